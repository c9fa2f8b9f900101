"""Measures the suite of micro-benchmarks: the same image on the emulator, where it checks the model, and on a board, where it checks
what the model is made of."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from hilnas.boards.board import Board
from hilnas.errors import CheckFailedError, InputError
from hilnas.firmware.elf import read_elf
from hilnas.hil.bench import Bench
from hilnas.hil.board_lock import hold_any
from hilnas.hil.board_selection import BoardSelection
from hilnas.hil.emulator.machine import Machine
from hilnas.hil.measurement import CYCLES_MODELLED
from hilnas.hil.targets import check_board
from hilnas.hil.targets.emulator import SLICE_INSTRUCTIONS, MachineTransport
from hilnas.hil.targets.serial import SerialBench
from hilnas.hil.timing.microbenchmarks import Microbenchmark, build_suite, measured_cycles, receive_results, suite_for
from hilnas.hil.timing.model import TimingModel
from hilnas.hil.transport import SerialTransport
from hilnas.progress import progress

TARGETS = ("emulator", "serial")
_REPORT_S = 30.0


@dataclass(frozen=True)
class SuiteRun:
    """The suite on a target: cycles of one pass of each body, in the order of `suite`, and by what they were counted."""

    board: str
    target: str
    build_id: str
    cycles_source: str
    target_version: str
    suite: tuple[Microbenchmark, ...]
    cycles: tuple[float, ...]

    @property
    def errors(self) -> tuple[float, ...]:
        """How far each is from what its source says, relative to that."""
        return tuple(cycles / item.cycles - 1 for item, cycles in zip(self.suite, self.cycles, strict=True))


def measure_suite(board: Board, target: str, selection: BoardSelection | None = None, only: frozenset[str] = frozenset()) -> SuiteRun:
    """Builds the suite for a board and measures it, whole or only those of certain names.

    Raises:
        InputError: the board does not run on that target, or the target cannot time.
        BuildError, ToolMissingError: the image cannot be built.
        BoardError: the board declares no timing, on the emulator.
        ConnectError, TargetError: the board cannot be flashed, or does not report.
        CheckFailedError: the timing model met an instruction that it does not know.
    """
    if target not in TARGETS:
        raise InputError(f"the timing suite does not run on target {target}", f"It runs on: {', '.join(TARGETS)}.")
    check_board(target, board.name, board.targets)
    suite = tuple(item for item in suite_for(board) if not only or item.name in only)
    with tempfile.TemporaryDirectory(prefix="hilnas-") as folder, progress(f"timing suite on {target}", None):
        elf = Path(folder) / "suite.elf"
        build_id = build_suite(suite, board, elf)
        measure = _on_emulator if target == "emulator" else _on_bench
        results, source, by = measure(suite, build_id, elf, board, selection or BoardSelection())
    return SuiteRun(board.name, target, build_id, source, by, suite, measured_cycles(suite, results))


_Results = tuple[tuple[int, ...], str, str]


def _on_emulator(suite: tuple[Microbenchmark, ...], build_id: str, elf: Path, board: Board, _: BoardSelection) -> _Results:
    with Machine(board, read_elf(elf)) as machine, TimingModel(board) as model:
        machine.set_timing(model.machine_timing())
        results = receive_results(suite, build_id, MachineTransport(machine, SLICE_INSTRUCTIONS), _REPORT_S)
        if warnings := model.warnings():
            raise CheckFailedError(f"the timing model does not know what it runs: {warnings}", "See docs/timing.md.")
    return results, CYCLES_MODELLED, f"unicorn {version('unicorn')}"


def _on_bench(suite: tuple[Microbenchmark, ...], build_id: str, elf: Path, board: Board, selection: BoardSelection) -> _Results:
    benches: list[Bench] = [SerialBench(port, probe, selection.flasher) for port, probe in selection.attached()]
    with hold_any(lambda: benches, selection.persistence.wait_s) as bench:
        bench.flash(elf, board)
        with SerialTransport(bench.port(), board.uart.baud_rate) as transport:
            results = receive_results(suite, build_id, transport, _REPORT_S)
        return results, bench.cycles_source, bench.version()

"""How fast the emulator is: instructions a second of bare Unicorn, of the machine, and with each timing mode.

Example: python benchmarks/emulator.py
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import unicorn
from unicorn.arm_const import UC_ARM_REG_SP, UC_CPU_ARM_CORTEX_M7

from hilnas.boards.board import Board, load_board
from hilnas.firmware.elf import Elf, read_elf
from hilnas.firmware.toolchain import ARM
from hilnas.hil.timing.model import TimingMode
from hilnas.hil.timing.timed_run import RunOptions, run_elf

_BOARD = "nucleo-h743zi2"
_REPEATS = 3
_SHARE_OF_BARE = {TimingMode.FULL: 1 / 10, TimingMode.FAST: 1 / 3}


def build_workload(board: Board, folder: Path) -> Path:
    """Compiles the work: code and weights in flash, data in AXI SRAM, stack in DTCM."""
    elf = folder / "workload.elf"
    text, data, stack = board.memories["flash"].base, board.memories["axi"].base, board.memories["dtcm"].end
    places = (
        f"-Wl,--section-start=.vectors={text:#x}",
        f"-Wl,-Ttext={text + 0x100:#x}",
        f"-Wl,-Tbss={data:#x}",
        f"-Wl,--defsym=stack_top={stack:#x}",
    )
    ARM.run(
        [
            f"-mcpu={board.core}",
            "-mthumb",
            "-O3",
            "-funroll-loops",
            "-nostdlib",
            "-Wl,-e,reset",
            *places,
            Path(__file__).with_suffix(".c"),
            "-o",
            elf,
        ]
    )
    return elf


def bare_seconds(elf: Elf, board: Board) -> float:
    """Seconds of Unicorn alone, with no hook and no peripheral, from reset to `done`."""
    engine = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_THUMB)
    engine.ctl_set_cpu_model(UC_CPU_ARM_CORTEX_M7)
    for memory in board.memories.values():
        engine.mem_map(memory.base, memory.size)
    for segment in elf.segments:
        engine.mem_write(segment.address, segment.data)
    engine.reg_write(UC_ARM_REG_SP, board.memories["dtcm"].end)
    started = time.process_time()
    engine.emu_start(elf.address_of("reset") | 1, elf.address_of("done"))
    return time.process_time() - started


def main() -> None:
    """Prints a table of rates and whether each mode reaches its share of bare Unicorn's."""
    board = load_board(_BOARD)
    with tempfile.TemporaryDirectory() as name:
        path = build_workload(board, Path(name))
        elf = read_elf(path)
        bare = min(bare_seconds(elf, board) for _ in range(_REPEATS))
        rates: dict[str, float] = {}
        for mode in TimingMode:
            best = float("inf")
            for _ in range(_REPEATS):
                started = time.process_time()
                run = run_elf(path, board, RunOptions(stop="done", timing=mode), lambda text: None)
                best = min(best, time.process_time() - started)
            rates[mode] = run.instructions / best
        bare_rate = run.instructions / bare
    print(f"{'':12s} {'M instr/s':>10s} {'of bare':>8s}")
    print(f"{'bare':12s} {bare_rate / 1e6:10.1f} {1:8.2f}")
    for mode, rate in rates.items():
        share = _SHARE_OF_BARE.get(TimingMode(mode))
        verdict = "" if share is None else f"  goal {share:.2f}: {'reached' if rate >= share * bare_rate else 'missed'}"
        print(f"{'timing ' + mode:12s} {rate / 1e6:10.1f} {rate / bare_rate:8.2f}{verdict}")


if __name__ == "__main__":
    main()

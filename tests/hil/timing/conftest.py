"""What the timing tests share: the board, and the convolution compiled once."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from hilnas.boards.board import Board, load_board
from hilnas.firmware.elf import read_elf
from hilnas.hil.emulator.machine import Machine
from hilnas.hil.emulator.native import StopReason
from hilnas.hil.timing.model import TimingModel


@pytest.fixture(scope="session")
def programs() -> ModuleType:
    path = Path(__file__).with_name("programs.py")
    specification = importlib.util.spec_from_file_location("timing_programs", path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def board() -> Board:
    return load_board("nucleo-h743zi2")


@pytest.fixture(scope="session")
def convolution(programs: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    elf: Path = programs.compile_program(programs.CONVOLUTION, tmp_path_factory.mktemp("convolution"))
    return elf


@pytest.fixture(scope="session")
def sliced_cycles() -> Callable[[Path, Board, int], int]:
    """Cycles of an ELF on a board whose machine is stopped every so many instructions."""

    def run_in_slices(elf: Path, board: Board, instructions: int) -> int:
        with Machine(board, read_elf(elf)) as machine, TimingModel(board) as model:
            machine.set_timing(model.machine_timing())
            while machine.run(instructions).reason is StopReason.LIMIT:
                pass
            model.finish()
            return model.cycles

    return run_in_slices

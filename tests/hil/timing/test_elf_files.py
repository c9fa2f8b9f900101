"""What `hilnas run` makes of an ELF file itself: its symbols, its addresses, and the core it is for."""

from pathlib import Path
from types import ModuleType

import pytest

from hilnas.boards.board import Board
from hilnas.errors import InputError
from hilnas.firmware.elf import read_elf
from hilnas.firmware.toolchain import ARM, run_tool
from hilnas.hil.timing.timed_run import RunOptions, TimedRun, run_elf


def timed(elf: Path, board: Board, mark: str | None = None) -> TimedRun:
    return run_elf(elf, board, RunOptions(mark=mark), lambda text: None)


def test_a_stripped_elf_says_so_and_takes_an_address(convolution: Path, tmp_path: Path, board: Board) -> None:
    stripped = tmp_path / "stripped.elf"
    run_tool(["arm-none-eabi-strip", convolution, "-o", stripped], ARM.package)
    address = read_elf(convolution).address_of("mark")
    intervals = timed(stripped, board, f"{address:#x}").intervals
    assert intervals == timed(convolution, board, "mark").intervals
    with pytest.raises(InputError, match="stripped of its symbols"):
        timed(stripped, board, "mark")


def test_a_mark_may_be_an_address(convolution: Path, board: Board) -> None:
    address = read_elf(convolution).address_of("mark")
    assert timed(convolution, board, f"{address:#x}") == timed(convolution, board, "mark")


def test_an_elf_without_physical_addresses_is_loaded_at_its_virtual_ones(convolution: Path, tmp_path: Path, board: Board) -> None:
    elf = bytearray(convolution.read_bytes())
    for index in range(elf[44]):
        at = int.from_bytes(elf[28:32], "little") + 32 * index
        elf[at + 12 : at + 16] = bytes(4)
    (tmp_path / "virtual.elf").write_bytes(elf)
    assert timed(tmp_path / "virtual.elf", board, "mark") == timed(convolution, board, "mark")


def test_an_elf_for_memories_that_the_board_has_not(programs: ModuleType, tmp_path: Path, board: Board) -> None:
    elf = programs.compile_program("void reset(void) { finish(); }", tmp_path)
    moved = bytearray(elf.read_bytes())
    for index in range(moved[44]):
        at = int.from_bytes(moved[28:32], "little") + 32 * index
        moved[at + 8 : at + 16] = 2 * (0x60000000 + 0x1000 * index).to_bytes(4, "little")
    elf.write_bytes(moved)
    with pytest.raises(InputError, match="0x60000000, where nucleo-h743zi2 has no memory"):
        timed(elf, board)


def test_an_elf_for_an_application_processor(tmp_path: Path, board: Board) -> None:
    elf = tmp_path / "a9.elf"
    (tmp_path / "a9.c").write_text("void _start(void) { for (;;); }")
    ARM.run(["-mcpu=cortex-a9", "-nostdlib", tmp_path / "a9.c", "-o", elf])
    with pytest.raises(InputError, match="application processor"):
        timed(elf, board)

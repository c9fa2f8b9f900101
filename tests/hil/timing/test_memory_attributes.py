"""What the MPU makes of memory: whether it is cached, written through, or shared."""

from pathlib import Path
from types import ModuleType

import pytest

from hilnas.boards.board import Board
from hilnas.hil.timing.timed_run import RunOptions, run_elf

PROGRAM = """
#define R(address) (*(volatile uint32_t *)(address))
enum { CTRL = 0xE000ED94, RNR = 0xE000ED98, RBAR = 0xE000ED9C, RASR = 0xE000EDA0, RBAR_A1 = 0xE000EDA4, RASR_A1 = 0xE000EDA8 };
enum { ALL = 1 | 18 << 1 | 3 << 24 }; /* 512 KB, full access */
enum { B = 1 << 16, C = 1 << 17, S = 1 << 18, TEX = 1 << 19 };
static volatile uint32_t buffer[1024] __attribute__((aligned(4096)));
__attribute__((noinline)) void mark(void) { __asm volatile(""); }
__attribute__((noinline)) void load(void) { for (int i = 0; i < 1024; i++) (void)buffer[i]; }
__attribute__((noinline)) void store(void) { for (int i = 0; i < 1024; i++) buffer[i] = i; }
void reset(void) {
    SETUP
    load(); store();
    mark(); load(); mark(); store(); mark();
    finish();
}
"""


def _cycles(programs: ModuleType, folder: Path, board: Board, setup: str) -> tuple[int, int]:
    """Of 1,024 loads and 1,024 stores of words that a cache of the board would hold."""
    elf = programs.compile_program(PROGRAM.replace("SETUP", setup), folder)
    loads, stores = run_elf(elf, board, RunOptions(mark="mark"), lambda text: None).intervals
    return loads.cycles, stores.cycles


@pytest.fixture(scope="module")
def cached(programs: ModuleType, tmp_path_factory: pytest.TempPathFactory, board: Board) -> tuple[int, int]:
    """Without the MPU."""
    return _cycles(programs, tmp_path_factory.mktemp("cached"), board, "")


REGION = "R(RNR) = 0; R(RBAR) = 0x24000000; R(RASR) = ALL | {}; R(CTRL) = 5;"


@pytest.mark.parametrize(
    "setup",
    [
        REGION.format("TEX | C | B"),  # write-back and allocate, as the default map has it
        REGION.format("TEX") + "R(CTRL) = 0;",
        REGION.format("TEX") + "R(RASR) &= ~1;",
        REGION.format("TEX") + "R(RNR) = 3; R(RBAR) = 0x24000000; R(RASR) = ALL | TEX | C | B;",  # the higher number wins
        REGION.format("TEX | 1 << 8"),  # without its first eighth, where the buffer is
        REGION.replace("0x24000000", "0x30000000").format("TEX"),
    ],
)
def test_memory_that_stays_cached(programs: ModuleType, tmp_path: Path, board: Board, cached: tuple[int, int], setup: str) -> None:
    assert _cycles(programs, tmp_path, board, setup) == pytest.approx(cached, rel=0.01)


@pytest.mark.parametrize(
    "setup",
    [
        REGION.format("TEX"),
        REGION.format("B"),  # a device
        REGION.format("TEX | C | B | S"),  # shared: the core's caches are not coherent
        REGION.format("4 * TEX"),
        "R(RBAR) = 0x24000000 | 16 | 7; R(RASR) = ALL | TEX; R(CTRL) = 5;",  # the region's number in its base address
        "R(RNR) = 2; R(RBAR_A1) = 0x24000000; R(RASR_A1) = ALL | TEX; R(CTRL) = 5;",
        REGION.format("TEX") + "R(RNR) = 1; R(RASR) = 0; R(RNR) = 0; R(RASR) |= 1;",  # each region has its own registers
    ],
)
def test_memory_that_is_not_cached(programs: ModuleType, tmp_path: Path, board: Board, cached: tuple[int, int], setup: str) -> None:
    loads, stores = _cycles(programs, tmp_path, board, setup)
    assert loads > 3 * cached[0]
    assert stores > 0.99 * cached[1]  # the store buffer hides what the bus takes


@pytest.mark.parametrize("attributes", ["C", "6 * TEX | C"])
def test_memory_that_is_written_through_is_read_from_the_cache(
    programs: ModuleType, tmp_path: Path, board: Board, cached: tuple[int, int], attributes: str
) -> None:
    loads, stores = _cycles(programs, tmp_path, board, REGION.format(attributes))
    assert loads == pytest.approx(cached[0], rel=0.01)
    assert stores > 0.99 * cached[1]

"""The Cortex-M4: what must hold of any timing holds of it, too; its flash's caches; firmware that controls them; that it is one."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from hilnas.boards.board import AcceleratedFlash, Board, load_board
from hilnas.boards.core import load_core
from hilnas.errors import BoardError, TargetError
from hilnas.firmware.toolchain import ARM
from hilnas.hil.timing.calibration import Point, apply, calibrate, fitted_knobs
from hilnas.hil.timing.model import CacheRule, TimingMode, TimingModel
from hilnas.hil.timing.timed_run import RunOptions, TimedRun, run_elf

FLASH_ACR = "(*(volatile uint32_t *)0x40022000)"
WORD = 8
WAIT_STATES = 5

Compile = Callable[[str], Path]
SlicedCycles = Callable[[Path, Board, int], int]


@pytest.fixture(scope="module")
def l4r5() -> Board:
    return load_board("nucleo-l4r5zi")


@pytest.fixture
def compile_m4(programs: ModuleType, tmp_path: Path, l4r5: Board) -> Compile:
    def compile_it(source: str) -> Path:
        (tmp_path / "program.c").write_text(programs.PRELUDE + source)
        elf = tmp_path / "program.elf"
        core = (f"-mcpu={l4r5.core}", f"-mfpu={l4r5.fpu}", "-mfloat-abi=hard", "-O2", "-nostdlib")
        places = ("-Wl,--section-start=.vectors=0x08000000", "-Wl,-Ttext=0x08000100", "-Wl,-Tbss=0x20000000", "-Wl,-Tdata=0x20040000")
        ARM.run([*core, "-Wl,-e,reset", "-Wl,--defsym=stack_top=0x200a0000", *places, tmp_path / "program.c", "-o", elf])
        return elf

    return compile_it


@pytest.fixture
def convolution_m4(programs: ModuleType, compile_m4: Compile) -> Path:
    return compile_m4(programs.CONVOLUTION)


def with_flash(board: Board, **changes: int) -> Board:
    flash = board.memories["flash"]
    assert isinstance(flash.timing, AcceleratedFlash)
    changed = flash.model_copy(update={"timing": flash.timing.model_copy(update=changes)})
    return board.model_copy(update={"memories": {**board.memories, "flash": changed}})


def run(elf: Path, board: Board, timing: TimingMode = TimingMode.FULL, caches: CacheRule = CacheRule.ON) -> TimedRun:
    options = RunOptions(mark="mark", timing=timing, caches=caches, profile=timing is not TimingMode.OFF)
    return run_elf(elf, board, options, lambda text: None)


def straight_code(bytes_in_loop: int, before: str = "") -> str:
    """Ten turns of a loop of wide NOPs, of which each takes a cycle, between each two marks."""
    return f"""__attribute__((noinline)) void mark(void) {{ __asm volatile(""); }}
    void reset(void) {{
        {before};
        for (int part = 0; part < 3; part++) {{
            mark();
            __asm volatile("mov r0, #10\\n .p2align 5\\n 1: subs.w r0, #1\\n .rept {bytes_in_loop // 4 - 2}\\n nop.w\\n .endr\\n bne.w 1b"
                           : : : "r0", "cc");
        }}
        mark();
        finish();
    }}"""


def cycles_a_word(elf: Path, board: Board, bytes_in_loop: int, caches: CacheRule = CacheRule.ON) -> float:
    """Of 8 bytes of the loop, from the second time on that it runs."""
    return run(elf, board, caches=caches).intervals[-1].cycles / (10 * bytes_in_loop / WORD)


def test_a_wait_state_more_never_makes_code_faster(convolution_m4: Path, l4r5: Board) -> None:
    cycles = [run(convolution_m4, with_flash(l4r5, wait_states=wait_states)).cycles for wait_states in range(13)]
    assert cycles == sorted(cycles)
    assert cycles[0] < cycles[-1]


@pytest.mark.parametrize("lines", ["instruction_lines", "data_lines"])
def test_more_lines_never_make_code_slower(convolution_m4: Path, l4r5: Board, lines: str) -> None:
    cycles = [run(convolution_m4, with_flash(l4r5, **{lines: count})).cycles for count in (0, 1, 2, 4, 8, 16, 32, 64, 128, 256)]
    assert cycles == sorted(cycles, reverse=True)
    assert cycles[0] > cycles[-1]


def test_causes_sum_to_the_total_and_every_run_is_the_same(convolution_m4: Path, l4r5: Board) -> None:
    result = run(convolution_m4, l4r5)
    assert result == run(convolution_m4, l4r5)
    assert result.profile is not None
    assert sum(result.profile.causes.values()) == result.cycles
    assert {"data_miss_flash", "instruction_miss", "branch", "load_use"} <= set(result.profile.causes)


@pytest.mark.parametrize("slice_instructions", [97, 100_000])
def test_cycles_do_not_depend_on_how_often_the_machine_is_stopped(
    convolution_m4: Path, l4r5: Board, sliced_cycles: SlicedCycles, slice_instructions: int
) -> None:
    assert sliced_cycles(convolution_m4, l4r5, slice_instructions) == run(convolution_m4, l4r5).cycles


def test_fast_mode_leaves_out_what_depends_on_addresses(convolution_m4: Path, l4r5: Board) -> None:
    full, fast = run(convolution_m4, l4r5), run(convolution_m4, l4r5, TimingMode.FAST)
    assert fast.profile is not None
    assert fast.cycles < full.cycles and fast.instructions == full.instructions
    assert not [cause for cause in fast.profile.causes if "miss" in cause]


@pytest.mark.parametrize(
    ("bytes_in_loop", "before", "caches", "cycles"),
    [
        (512, "", CacheRule.ON, 2),  # held by the cache: one wide instruction a cycle
        (512, f"{FLASH_ACR} = 5", CacheRule.ON, 2 + WAIT_STATES),  # turned off: handed over by two fetches, then the next is read
        (512, "", CacheRule.OFF, 2 + WAIT_STATES),
        (2048, "", CacheRule.ON, 2 + WAIT_STATES),  # twice the cache: least recently used, so nothing is left of it
        (2048, f"{FLASH_ACR} = 5 | 7 << 8", CacheRule.ON, 1 + WAIT_STATES),  # with prefetch the next is read at once
        (512, f"{FLASH_ACR} = 5 | 7 << 8", CacheRule.ON, 2),
    ],
)
def test_straight_code_comes_as_fast_as_the_flash_can(
    compile_m4: Compile, l4r5: Board, bytes_in_loop: int, before: str, caches: CacheRule, cycles: float
) -> None:
    """RM0432 3.3: 64 bits a read, 5 wait states at 120 MHz, an instruction cache of 1 KB."""
    elf = compile_m4(straight_code(bytes_in_loop, before))
    assert cycles_a_word(elf, l4r5, bytes_in_loop, caches) == pytest.approx(cycles, rel=0.04)


def test_what_the_firmware_empties_is_read_again(compile_m4: Compile, l4r5: Board) -> None:
    off, on = "= 5 | 1 << 11 | 1 << 12", "= 5 | 3 << 9"
    source = straight_code(512).replace("mark();\n            __asm", f"{FLASH_ACR} {off}; {FLASH_ACR} {on}; mark();\n            __asm")
    emptied, kept = (run(compile_m4(text), l4r5).intervals[-1].cycles for text in (source, straight_code(512)))
    assert WAIT_STATES * 512 / WORD <= emptied - kept <= (WAIT_STATES + 1) * (512 / WORD + 8)


def test_it_runs_what_others_made(programs: ModuleType, tmp_path: Path, l4r5: Board) -> None:
    """Vendor-like start-up code and newlib, compiled for the Cortex-M4."""
    source = """#include <stdio.h>
    void mark(void) { __asm volatile(""); }
    int main(void) { mark(); printf("%d %.3f\\n", 6 * 7, (double)(1.0f / 3)); mark(); return 0; }"""
    elf = programs.compile_hosted(source, tmp_path, ram=0x20000000, core=(f"-mcpu={l4r5.core}", f"-mfpu={l4r5.fpu}", "-mfloat-abi=hard"))
    heard: list[bytes] = []
    result = run_elf(elf, l4r5, RunOptions(mark="mark", profile=True), heard.append)
    assert b"".join(heard) == b"42 0.333\n"
    assert result.warnings == ()
    assert result.profile is not None and sum(result.profile.causes.values()) == result.cycles
    assert result.intervals[0].cycles > result.intervals[0].instructions


def test_what_is_fitted_of_it_is_recovered(compile_m4: Compile, l4r5: Board) -> None:
    elf = compile_m4("""
    volatile unsigned sum;
    __attribute__((noinline)) void mark(void) { __asm volatile(""); }
    __attribute__((noinline)) unsigned thrice(unsigned value) { return 3 * value; }
    void reset(void) {
        mark();
        for (unsigned i = 0; i < 500; i++) sum += thrice(i);
        mark();
        for (unsigned i = 1; i < 500; i++) sum += 12345u / i;
        mark();
        for (unsigned i = 1; i < 500; i++) sum += thrice(12345u / i);
        mark();
        finish();
    }""")
    core, truth = load_core("cortex-m4"), {"mispredicted": 3, "divide": 4}
    knobs = [knob for knob in fitted_knobs(core, {l4r5.name: l4r5}) if knob.name in truth]
    other, _ = apply(core, {l4r5.name: l4r5}, knobs, tuple(truth[knob.name] for knob in knobs))
    intervals = run_elf(elf, l4r5, RunOptions(mark="mark"), lambda text: None, other).intervals
    points = [Point(elf=elf, board=l4r5.name, mark="mark", interval=n, cycles=item.cycles) for n, item in enumerate(intervals)]
    result = calibrate(points, core, {l4r5.name: l4r5}, knobs)
    assert {knob.name: value for knob, value in zip(result.knobs, result.values, strict=True)} == truth


def test_it_says_what_core_it_is(compile_m4: Compile, l4r5: Board) -> None:
    source = 'void reset(void) { if (*(volatile uint32_t *)0xE000ED00 >> 4 == 0x410FC24) semihosting(4, "M4\\n"); finish(); }'
    heard: list[bytes] = []
    run_elf(compile_m4(source), l4r5, RunOptions(), heard.append)
    assert b"".join(heard) == b"M4\n"


def test_it_has_no_instruction_of_the_cortex_m7(compile_m4: Compile, l4r5: Board) -> None:
    """VMAXNM is FPv5's."""
    with pytest.raises(TargetError, match="an undefined instruction in reset"):
        run_elf(compile_m4('void reset(void) { __asm volatile(".inst.w 0xfe800a40"); finish(); }'), l4r5, RunOptions(), lambda text: None)


@pytest.mark.parametrize(
    "changes", [{"word_bytes": 12}, {"line_bytes": 4}, {"line_bytes": 128}, {"instruction_lines": 3, "line_bytes": 24}]
)
def test_an_impossible_accelerator_is_an_error(l4r5: Board, changes: dict[str, int]) -> None:
    with pytest.raises(BoardError, match="memory flash of nucleo-l4r5zi cannot be modelled"):
        TimingModel(with_flash(l4r5, **changes))


def test_a_memory_behind_a_bus_needs_caches() -> None:
    board = load_board("nucleo-h743zi2").model_copy(update={"caches": None})
    with pytest.raises(BoardError, match="memory flash of nucleo-h743zi2 is behind a bus"):
        TimingModel(board)

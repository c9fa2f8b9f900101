"""ELFs that others made, through `hilnas run`: newlib, vendor-like start-up code, exceptions, and every way to end."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from hilnas.boards.board import Board, load_board
from hilnas.errors import InputError, TargetError, TargetTimeoutError
from hilnas.firmware.build import build_image
from hilnas.firmware.elf import read_elf
from hilnas.hil.emulator.entry import find_start
from hilnas.hil.targets.emulator import EmulatorTarget
from hilnas.hil.timing.model import CacheRule, TimingMode
from hilnas.hil.timing.timed_run import RunOptions, TimedRun, run_elf, run_image
from hilnas.hil.verify import verification_inputs

Compile = Callable[[str], Path]

PRELUDE = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#define R(address) (*(volatile uint32_t *)(address))
__attribute__((noinline)) void mark(void) { __asm volatile(""); }
static inline void work(int turns) { for (volatile int i = 0; i < turns; i++); }
"""

NEWLIB = (
    PRELUDE
    + r"""
#include <time.h>
static int made;
__attribute__((constructor)) static void construct(void) { made = 42; }
static const char *initialised[2] = {"one", "two"};
int main(void) {
    float f = made;
    char *block = malloc(100);
    printf("%s %d %.3f %d\n", initialised[1], made, (double)f / 8, block != 0 && R(0xE000EDF0) == 1);
    fprintf(stderr, "to stderr\n");
    for (int turn = 0; turn < 3; turn++) { mark(); work(100 * (turn + 1)); }
    printf("clock %d, file %d\n", clock() >= 0, fopen("weights.bin", "rb") != 0);
    return 3;
}
"""
)

# As ST's HAL does it: a millisecond tick, clocks from the crystal, caches, MPU, and waits that end by the tick.
HAL = (
    PRELUDE
    + r"""
static volatile uint32_t ticks;
static volatile int calls, switches;
void SysTick_Handler(void) { ticks++; }
void SVC_Handler(void) { calls++; __asm volatile("vmov.f32 s5, #3.0" ::: "s5"); }
void PendSV_Handler(void) { switches++; }
static void delay(uint32_t count) { uint32_t since = ticks; while (ticks - since < count) { WAIT; } }
static int becomes(uint32_t address, uint32_t mask, uint32_t value) {
    uint32_t since = ticks;
    while ((R(address) & mask) != value) if (ticks - since > 2) return 0;
    return 1;
}
static void start_tick(uint32_t cycles) { R(0xE000E014) = cycles - 1; R(0xE000E018) = 0; R(0xE000E010) = 7; }
static int start_clocks(void) {
    uint32_t rcc = 0x58024400, pwr = 0x58024800;
    R(pwr + 0xC) = (R(pwr + 0xC) & ~7u) | 2;
    R(rcc) |= 1u << 16;
    int hse = becomes(rcc, 1u << 17, 1u << 17);
    R(rcc + 0x28) = 2 | 5 << 4;
    R(rcc + 0x30) = 191 | 1u << 16 | 1u << 24;
    R(rcc) |= 1u << 24;
    int pll = becomes(rcc, 1u << 25, 1u << 25);
    R(rcc + 0x10) = 3;
    return becomes(pwr + 4, 1u << 13, 1u << 13) && hse && pll && becomes(rcc + 0x10, 7u << 3, 3u << 3);
}
static void start_caches(void) {
    R(0xE000EF50) = 0;
    R(0xE000ED84) = 0;
    uint32_t size = R(0xE000ED80);
    for (uint32_t set = 0; set <= (size >> 13 & 0x7FFF); set++)
        for (uint32_t way = 0; way <= (size >> 3 & 0x3FF); way++) R(0xE000EF60) = set << 5 | way << 30;
    R(0xE000ED14) |= 3u << 16;
    R(0xE000ED98) = 0; R(0xE000ED9C) = 0x24000000; R(0xE000EDA0) = 3u << 24 | 0xB << 16 | 18 << 1 | 1; R(0xE000ED94) = 5;
    __asm volatile("dsb\nisb");
}
static uint32_t stack[128];
int main(void) {
    start_tick(64000);
    printf("clocks %d\n", start_clocks());
    start_caches();
    R(0xE000EDFC) |= 1u << 24; R(0xE0001FB0) = 0xC5ACCE55; R(0xE0001000) |= 1;
    start_tick(480000);
    delay(1);
    uint32_t since = ticks, cycles = R(0xE0001004);
    mark();
    delay(5);
    mark();
    cycles = R(0xE0001004) - cycles;
    printf("ticks %d, cycles of a tick %d\n", (int)(ticks - since), (int)(cycles + 2000) / 5 / 4000 * 4000);
    float kept;
    __asm volatile("msr psp, %1\n mov r0, #2\n msr control, r0\n isb\n vmov.f32 s5, #2.0\n svc 3\n vmov %0, s5\n"
                   "mov r0, #0\n msr control, r0\n isb" : "=t"(kept) : "r"(stack + 128) : "r0", "s5", "memory");
    __asm volatile("cpsid i");
    R(0xE000ED04) = 1u << 28;
    __asm volatile("dsb\nisb");
    int masked = switches;
    __asm volatile("cpsie i\nisb\nwfe\nsev\nyield");
    printf("calls %d, kept %d, masked %d, switches %d\n", calls, (int)kept, masked, switches);
    exit(0);
}
"""
)


def run(elf: Path, board: Board, options: RunOptions | None = None) -> tuple[TimedRun, str]:
    console = bytearray()
    return run_elf(elf, board, options or RunOptions(mark="mark"), console.extend), console.decode()


@pytest.fixture
def hosted(programs: ModuleType, tmp_path: Path) -> Compile:
    return lambda source: programs.compile_hosted(source, tmp_path)  # type: ignore[no-any-return]


@pytest.fixture
def bare(programs: ModuleType, tmp_path: Path) -> Compile:
    return lambda source: programs.compile_program(source, tmp_path)  # type: ignore[no-any-return]


def check_newlib(result: TimedRun, console: str) -> None:
    assert console.splitlines() == ["two 42 5.250 1", "to stderr", "clock 1, file 0"]
    assert (result.ended, result.exit_code) == ("exit", 3)
    first, second = result.intervals
    assert second.instructions > 1.8 * first.instructions
    (warning,) = result.warnings
    assert "SYS_OPEN" in warning and "no files of the host" in warning


def test_newlib_with_a_vendors_start_up_code(hosted: Compile, board: Board) -> None:
    check_newlib(*run(hosted(NEWLIB), board))


def test_somebody_elses_program_around_our_library_takes_what_our_firmware_takes(
    programs: ModuleType, data_folder: Path, tmp_path: Path, board: Board
) -> None:
    """Other start-up code, another linker script and C library, another way to measure: the same kernels."""
    image = build_image(data_folder / "tflite" / "mlperf_tiny" / "kws_dscnn_int8.tflite", board, tmp_path / "image")
    source = (
        PRELUDE
        + """
    #include "hilnas_model.h"
    static int8_t input[HILNAS_INPUT_BYTES], output[HILNAS_OUTPUT_BYTES];
    int main(void) { for (int turn = 0; turn < 3; turn++) { mark(); hilnas_infer(input, output); } return 0; }"""
    )
    result, _ = run(programs.compile_hosted(source, tmp_path, image.folder / "library"), board)
    inference = EmulatorTarget().run(image, board, [verification_inputs(image.manifest, 0)[0]], take_exits=False).inferences[0]
    assert result.warnings == ()
    for interval in result.intervals:
        assert interval.instructions == pytest.approx(inference.instructions, rel=0.01)
        assert interval.cycles == pytest.approx(inference.cycles, rel=0.03)


def test_an_image_runs_one_inference(data_folder: Path, tmp_path: Path, board: Board) -> None:
    """The interval is the inference, without start-up and conversation; its bare ELF only waits, and says so."""
    image = build_image(data_folder / "tflite" / "mlperf_tiny" / "kws_dscnn_int8.tflite", board, tmp_path / "image")
    result = run_image(image, board, RunOptions(profile=True))
    (inference,) = result.intervals
    measured = EmulatorTarget().run(image, board, [verification_inputs(image.manifest, 0)[0]], take_exits=False).inferences[0]
    assert inference.cycles == pytest.approx(measured.cycles, rel=0.001)
    assert inference.cycles < result.cycles
    assert any("waits for the host" in warning for warning in run_elf(image.elf, board, RunOptions(), lambda text: None).warnings)
    with pytest.raises(InputError, match="for board nucleo-h743zi2"):
        run_image(image, load_board("stm32f746g-disco"), RunOptions())


def test_newlib_without_a_table_of_vectors_in_ram(programs: ModuleType, tmp_path: Path, board: Board) -> None:
    """Its start-up code asks for the stack, the heap and the command line; .init_array begins a segment and is no table."""
    check_newlib(*run(programs.compile_for_ram(NEWLIB, tmp_path), board))


@pytest.mark.parametrize("wait", ['__asm volatile("")', '__asm volatile("wfi")'])
@pytest.mark.parametrize("timing", [TimingMode.FULL, TimingMode.OFF])
def test_ticks_calls_and_switches(hosted: Compile, board: Board, wait: str, timing: TimingMode) -> None:
    result, console = run(hosted(HAL.replace("WAIT", wait)), board, RunOptions(mark="mark", timing=timing))
    assert console.splitlines() == ["clocks 1", "ticks 5, cycles of a tick 480000", "calls 1, kept 2, masked 0, switches 1"]
    assert (result.ended, result.warnings) == ("exit", ())
    assert result.intervals[0].cycles == pytest.approx(5 * 480_000, rel=0.001)


def test_exceptions_do_not_depend_on_the_profile_and_sleep_is_a_cause(hosted: Compile, board: Board) -> None:
    elf = hosted(HAL.replace("WAIT", '__asm volatile("wfi")'))
    result = run(elf, board, RunOptions(mark="mark", profile=True))[0]
    assert result.profile is not None
    assert sum(result.profile.causes.values()) == result.cycles
    assert result.profile.causes["exception"] > 0
    assert result.profile.causes["sleep"] > 2_000_000
    assert run(elf, board)[0].cycles == result.cycles


@pytest.mark.parametrize(
    ("end", "ended"),
    [
        ("for (;;);", "endless loop"),
        ('for (;;) __asm volatile("wfi");', "sleeps: waits for an interrupt that does not come"),
        ('__asm volatile("bkpt 1");', "breakpoint"),
        ("R(0xE000ED0C) = 0x05FA0004; for (;;);", "reset"),
        ("abort();", "exit"),
    ],
)
def test_every_end_keeps_the_intervals(hosted: Compile, board: Board, end: str, ended: str) -> None:
    source = PRELUDE + f"int main(void) {{ for (int turn = 0; turn < 3; turn++) {{ mark(); work(10); }} {end} return 0; }}"
    result, _ = run(hosted(source), board)
    assert result.ended == ended
    assert len(result.intervals) == 2


UART = """
    static uint32_t ticks;
    void SysTick_Handler(void) { ticks++; }
    static int has_byte(void) { return R(0x4000481C) >> 5 & 1; }
    static void start_uart(void) { R(0x580244E8) |= 1u << 18; R(0x40004800) = 0xD; }
"""


def test_looking_for_input_now_and_then_is_not_waiting_for_it(hosted: Compile, board: Board) -> None:
    source = (
        PRELUDE + UART + "int main(void) { start_uart(); for (int turn = 0; turn < 100; turn++) { has_byte(); work(2000); } return 7; }"
    )
    assert run(hosted(source), board, RunOptions())[0].ended == "exit"


def test_waiting_for_input_ends_by_the_ticks_of_a_time_out(hosted: Compile, board: Board) -> None:
    source = (
        PRELUDE
        + UART
        + """int main(void) {
        start_uart(); R(0xE000E014) = 9999; R(0xE000E010) = 7;
        while (!has_byte() && *(volatile uint32_t *)&ticks < 50) {}
        return 7; }"""
    )
    assert run(hosted(source), board, RunOptions())[0].ended == "exit"


def test_waiting_for_input_without_end_ends_the_run(hosted: Compile, board: Board) -> None:
    source = PRELUDE + UART + "int main(void) { start_uart(); while (!has_byte()) {} return 7; }"
    assert run(hosted(source), board, RunOptions())[0].ended == "waits for input"


def test_a_loop_that_an_interrupt_can_leave_is_not_the_end(hosted: Compile, board: Board) -> None:
    source = (
        PRELUDE
        + """
        static int ticks;
        void SysTick_Handler(void) { if (++ticks == 3) exit(ticks); }
        int main(void) { R(0xE000E014) = 999; R(0xE000E010) = 7; for (;;); }"""
    )
    assert run(hosted(source), board, RunOptions())[0].exit_code in (1, 3)


def test_a_tick_without_a_handler_is_named(bare: Compile, board: Board) -> None:
    source = """__attribute__((noinline)) void wait(void) { for (;;); }
        void reset(void) { *(volatile uint32_t *)0xE000E014 = 999; *(volatile uint32_t *)0xE000E010 = 7; wait(); }"""
    with pytest.raises(TargetError, match="a SysTick interrupt in wait at"):
        run_elf(bare(source), board, RunOptions(), lambda text: None)


def test_the_time_out_keeps_complete_intervals(hosted: Compile, board: Board) -> None:
    source = PRELUDE + "int main(void) { for (int turn = 0; turn < CALLS; turn++) mark(); for (;;) work(10); }"
    result, _ = run(hosted(source.replace("CALLS", "3")), board, RunOptions(mark="mark", timeout_s=0.0))
    assert (result.ended, len(result.intervals)) == ("time-out", 2)
    with pytest.raises(TargetTimeoutError, match="did not end"):
        run(hosted(source.replace("CALLS", "1")), board, RunOptions(mark="mark", timeout_s=0.0))


def test_what_it_wrote_is_shown_before_it_fails(hosted: Compile, board: Board) -> None:
    console = bytearray()
    source = PRELUDE + 'int main(void) { puts("about to fail"); fflush(stdout); return R(0x90000000); }'
    with pytest.raises(TargetError, match="0x90000000 in main"):
        run_elf(hosted(source), board, RunOptions(), console.extend)
    assert console == b"about to fail\n"


def test_a_table_of_vectors_that_no_segment_begins_with(bare: Compile, board: Board) -> None:
    """Behind other constants, found by its name; without the name the ELF's entry is left, and a stack."""
    source = """
    __attribute__((section(".vectors"), used)) static const uint32_t before[4] = {1, 2, 3, 4};
    __attribute__((section(".vectors"), used)) const void *const NAME[2] = {(void *)0x24070000, reset};
    void reset(void) { finish(); }"""
    named = read_elf(bare(source.replace("NAME", "__Vectors").replace("before[4]", "before[40]")))
    named_start = find_start(named, board)
    assert run_elf(named.path, board, RunOptions(), lambda text: None).ended == "exit"
    assert named_start.entry == named.address_of("reset") | 1


def test_a_stack_pointer_at_the_last_byte_of_a_ram_is_rounded_as_the_core_does(hosted: Compile, board: Board) -> None:
    """Old linker scripts of vendors have it there."""
    elf = read_elf(hosted(PRELUDE + "int main(void) { return 7; }"))
    moved = elf.path.read_bytes().replace((0x24080000).to_bytes(4, "little"), (0x2407FFFF).to_bytes(4, "little"))
    elf.path.write_bytes(moved)
    assert find_start(read_elf(elf.path), board).stack_pointer == 0x2407FFFC
    assert run(elf.path, board, RunOptions())[0].ended == "exit"


@pytest.mark.parametrize(
    ("name", "message"),
    [("mark", "2 functions 'mark', at 0x0"), ("helper", "It has helper.constprop"), ("nothing", "List them"), ("0xzz", "no address")],
)
def test_a_mark_that_is_not_one_function_is_refused(bare: Compile, board: Board, name: str, message: str) -> None:
    source = """
    __asm(".text\\n.thumb\\n.type mark, %function\\n.size mark, 2\\nmark: bx lr\\n");
    __asm(".type helper.constprop.0, %function\\nhelper.constprop.0: bx lr\\n");
    void reset(void) { __asm volatile(".pushsection .text.second\\n.type second, %function\\nsecond: bx lr\\n.popsection"); finish(); }"""
    elf = bare(source)
    data = elf.read_bytes().replace(b"\0second\0", b"\0mark\0\0\0")
    elf.write_bytes(data)
    with pytest.raises(InputError, match=message):
        run_elf(elf, board, RunOptions(mark=name), lambda text: None)


@pytest.mark.parametrize(
    ("rule", "slow", "said"),
    [
        (CacheRule.ON, (False, False, True), "as the firmware set them"),
        (CacheRule.AS_SET, (True, False, True), "as the firmware set them"),
        (CacheRule.OFF, (True, True, True), "off"),
    ],
)
def test_caches_are_on_when_the_rule_says(hosted: Compile, board: Board, rule: CacheRule, slow: tuple[bool, ...], said: str) -> None:
    """Before the firmware turns them on, while they are on, and after it has turned them off."""
    source = (
        PRELUDE
        + """int main(void) {
        work(1000); mark(); work(1000); mark();
        R(0xE000ED14) |= 3u << 16; work(1000); mark(); work(1000); mark();
        R(0xE000ED14) &= ~(3u << 16); work(1000); mark(); work(1000); mark();
        return 0; }"""
    )
    result = run(hosted(source), board, RunOptions(mark="mark", caches=rule, profile=True))[0]
    before, _, cached, _, after = (interval.cycles for interval in result.intervals)
    assert tuple(cycles > 20_000 for cycles in (before, cached, after)) == slow
    assert result.caches == said
    assert result.profile is not None and sum(result.profile.causes.values()) == result.cycles


@pytest.mark.parametrize(
    ("statement", "is_slow"),
    [("R(0xE000ED14) &= ~(1u << 16)", True), ("R(0xE000ED14) |= 1u << 4", False), ("R(0xE000ED14) |= 1u << 17", True)],
)
def test_caches_that_the_firmware_turns_off_are_off(hosted: Compile, board: Board, statement: str, is_slow: bool) -> None:
    """It turns off what is off; it sets another bit of the register; it turns on the instruction cache alone."""
    source = PRELUDE + f"int main(void) {{ {statement}; work(1000); mark(); work(1000); mark(); return 0; }}"
    result = run(hosted(source), board)[0]
    assert (result.intervals[0].cycles > 15_000) == is_slow
    assert (result.caches == "as the firmware set them") == is_slow


@pytest.mark.parametrize(
    ("rule", "said"),
    [(CacheRule.ON, "assumed on: the firmware does not set them"), (CacheRule.AS_SET, "off: the firmware does not set them")],
)
def test_the_result_says_what_was_assumed_of_the_caches(convolution: Path, board: Board, rule: CacheRule, said: str) -> None:
    assert run_elf(convolution, board, RunOptions(caches=rule), lambda text: None).caches == said

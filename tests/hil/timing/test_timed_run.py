"""Any ELF through `hilnas run`: what it writes, why it ends, and what it is warned of."""

import ctypes as c
import json
from pathlib import Path
from types import ModuleType

import pytest
from click.testing import CliRunner

from hilnas.boards.board import Board, load_board
from hilnas.boards.core import load_core
from hilnas.cli.run import command
from hilnas.errors import BoardError, InputError, TargetError, TargetTimeoutError
from hilnas.hil.emulator.native import library
from hilnas.hil.timing.model import TimingMode, TimingModel, WarningKind
from hilnas.hil.timing.profile import speedscope
from hilnas.hil.timing.timed_run import RunOptions, TimedRun, run_elf


def run(elf: Path, board: Board, options: RunOptions | None = None) -> tuple[TimedRun, bytes]:
    console = bytearray()
    return run_elf(elf, board, options or RunOptions(), console.extend), bytes(console)


@pytest.fixture
def compiled(programs: ModuleType, tmp_path: Path):  # type: ignore[no-untyped-def]
    return lambda source, optimise="-O2": programs.compile_program(source, tmp_path, optimise)


def test_semihosting_is_shown_and_ends_the_run(convolution: Path, board: Board) -> None:
    result, console = run(convolution, board, RunOptions(mark="mark"))
    assert console == b"hello\n"
    assert (result.ended, result.exit_code, result.cycles_source, result.warnings) == ("exit", 0, "modelled", ())
    first, second = result.intervals
    assert first.instructions == pytest.approx(second.instructions, abs=10)
    assert second.cycles <= first.cycles
    assert first.cycles + second.cycles < result.cycles


def test_characters_strings_and_exit_codes(compiled, board: Board) -> None:  # type: ignore[no-untyped-def]
    source = r"""
    void reset(void) {
        semihosting(3, "A");
        semihosting(4, "bc");
        uint32_t write[3] = {1, (uint32_t) "defg", 3};
        semihosting(5, write);
        uint32_t exit_code[2] = {0x20026, 7};
        semihosting(0x20, exit_code);
    }"""
    result, console = run(compiled(source), board)
    assert (console, result.exit_code) == (b"Abcdef", 7)


def test_breakpoint_and_symbol_end_the_run(compiled, board: Board) -> None:  # type: ignore[no-untyped-def]
    elf = compiled('__attribute__((noinline)) void there(void) { __asm volatile("bkpt 1"); } void reset(void) { there(); }')
    assert run(elf, board)[0].ended == "breakpoint"
    assert run(elf, board, RunOptions(stop="there"))[0].ended == "symbol"


def test_mark_that_is_not_called_twice_is_a_warning(convolution: Path, board: Board) -> None:
    (warning,) = run(convolution, board, RunOptions(mark="reset"))[0].warnings
    assert "reset was called once" in warning


def test_endless_loop_is_a_time_out_that_says_where(compiled, board: Board) -> None:  # type: ignore[no-untyped-def]
    elf = compiled('__attribute__((noinline)) void spin(void) { for (;;) __asm volatile("nop"); } void reset(void) { spin(); }')
    with pytest.raises(TargetTimeoutError, match="spin"):
        run(elf, board, RunOptions(timeout_s=0.0))


def test_peripheral_that_is_not_modelled_is_a_warning_with_its_function(compiled, board: Board) -> None:  # type: ignore[no-untyped-def]
    source = """
    __attribute__((noinline)) void touch(void) { *(volatile uint32_t *)0x52005000 = 1; }
    void reset(void) { touch(); finish(); }"""
    (warning,) = run(compiled(source), board)[0].warnings
    assert "touch" in warning and "0x52005000" in warning


def test_exception_is_an_error_with_its_function(compiled, board: Board) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TargetError, match="supervise"):
        run(
            compiled('__attribute__((noinline)) void supervise(void) { __asm volatile("svc 0"); } void reset(void) { supervise(); }'), board
        )


def test_access_outside_of_the_memories_is_an_error(compiled, board: Board) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TargetError, match="0x90000000"):
        run(compiled("void reset(void) { *(volatile int *)0x90000000 = 1; finish(); }"), board)


def test_code_that_is_overwritten_is_a_warning(compiled, board: Board) -> None:  # type: ignore[no-untyped-def]
    source = """
    static volatile uint16_t code[32] __attribute__((aligned(32)));
    void reset(void) {
        code[0] = 0x2001; /* movs r0, #1 */
        code[1] = 0x4770; /* bx lr */
        void (*call)(void) = (void (*)(void))((uint32_t)code | 1);
        call();
        code[0] = 0x2002;
        finish();
    }"""
    warnings = run(compiled(source), board)[0].warnings
    assert any("overwritten" in warning for warning in warnings)


@pytest.mark.parametrize("timing", TimingMode)
def test_replaced_code_counts_as_what_it_is_now(compiled, board: Board, timing: TimingMode) -> None:  # type: ignore[no-untyped-def]
    """Six bytes that were two instructions become three."""
    source = """
    static volatile uint16_t code[32] __attribute__((aligned(32)));
    static volatile int second = SECOND;
    __attribute__((noinline)) void mark(void) { __asm volatile(""); }
    __attribute__((noinline)) void write(uint16_t first, uint16_t next) { code[0] = first; code[1] = next; code[2] = 0x4770; /* bx lr */ }
    void reset(void) {
        void (*call)(void) = (void (*)(void))((uint32_t)code | 1);
        for (int turn = 0; turn < 3; turn++) {
            if (turn == second) write(0x2001, 0x2001); /* movs r0, #1 and movs r0, #1 */
            else write(0xF240, 0x0001); /* movw r0, #1 */
            mark(); call(); mark();
        }
        finish();
    }"""

    def intervals(second: int) -> tuple[list[int], bool]:
        result = run(compiled(source.replace("SECOND", str(second))), board, RunOptions(mark="mark", timing=timing))[0]
        is_told = any("was replaced after it ran" in warning for warning in result.warnings)
        return [interval.instructions for interval in result.intervals[::2]], is_told

    (before, _, after), is_told = intervals(-1)
    assert (before, is_told) == (after, False)
    assert intervals(1) == ([before, before + 1, before], True)


def test_unknown_instruction_is_counted(board: Board) -> None:
    native = library()
    native.model_decode.restype = c.c_void_p
    native.model_decode.argtypes = (c.c_void_p, c.c_uint32, c.c_char_p, c.c_uint32)
    native.model_enter.argtypes = (c.c_void_p, c.c_void_p)
    with TimingModel(board) as model:
        coprocessor = bytes.fromhex("00ee0000")  # CDP p0
        block = native.model_decode(model._handle, 0x08000100, coprocessor, len(coprocessor))
        for _ in range(3):
            native.model_enter(model._handle, block)
        (warning,) = model.warnings()
    assert (warning.kind, warning.address, warning.count) == (WarningKind.UNKNOWN_INSTRUCTION, 0x08000100, 3)


def test_unknown_symbol_and_board_without_timing(convolution: Path, board: Board) -> None:
    with pytest.raises(InputError, match="nowhere"):
        run(convolution, board, RunOptions(mark="nowhere"))
    with pytest.raises(BoardError, match="timing"):
        run(convolution, board.model_copy(update={"caches": None}))


def test_board_of_another_clock_takes_another_time(convolution: Path) -> None:
    cycles = {name: run(convolution, load_board(name))[0].cycles for name in ("nucleo-h743zi2", "stm32h747i-disco", "nucleo-h7a3zi-q")}
    assert cycles["stm32h747i-disco"] < cycles["nucleo-h743zi2"]  # fewer wait states


def test_core_file_must_name_what_the_model_has(board: Board) -> None:
    core = load_core("cortex-m7")
    parameters = {name: value for name, value in core.parameters.items() if name != "divide"}
    with pytest.raises(BoardError, match="divide"):
        TimingModel(board, core.model_copy(update={"parameters": parameters}))


@pytest.mark.parametrize(("core_name", "board_name"), [("cortex-m7", "nucleo-h743zi2"), ("cortex-m4", "nucleo-l4r5zi")])
def test_a_core_that_leaves_out_a_latency_is_refused(core_name: str, board_name: str) -> None:
    core, board = load_core(core_name), load_board(board_name)
    for kind, latencies in core.latencies.items():
        for left_out in latencies.cycles:
            cycles = {role: count for role, count in latencies.cycles.items() if role != left_out}
            incomplete = core.latencies | {kind: latencies.model_copy(update={"cycles": cycles})}
            with pytest.raises(BoardError, match=f"latencies of {kind} lack .*{left_out}"):
                TimingModel(board, core.model_copy(update={"latencies": incomplete}))


def test_speedscope_file_holds_every_cycle(convolution: Path, board: Board) -> None:
    profile = run(convolution, board, RunOptions(profile=True))[0].profile
    assert profile is not None
    (recorded,) = speedscope(profile, "program")["profiles"]
    assert sum(recorded["weights"]) == recorded["endValue"] == profile.cycles
    assert len(recorded["weights"]) == len(recorded["samples"])


def test_json_has_what_the_design_names(convolution: Path, tmp_path: Path) -> None:
    scope = tmp_path / "scope.json"
    arguments = [str(convolution), "--board", "nucleo-h743zi2", "--mark", "mark", "--profile", "--json", "--speedscope", str(scope)]
    done = CliRunner().invoke(command, arguments, catch_exceptions=False)
    document = json.loads(done.stdout)
    assert {"instructions", "cycles", "intervals", "cycles_source", "profile", "warnings", "latency_s"} <= set(document)
    assert set(document["intervals"][0]) == {"instructions", "cycles"}
    assert json.loads(scope.read_text())["shared"]["frames"]


def test_table_names_the_functions(convolution: Path) -> None:
    done = CliRunner().invoke(command, [str(convolution), "--board", "nucleo-h743zi2", "--profile"], catch_exceptions=False)
    assert all(word in done.stdout for word in ("hello", "reset", "issue", "data_miss_axi"))


def test_instructions_alone_take_the_boards_constant(convolution: Path, board: Board) -> None:
    result = run(convolution, board, RunOptions(timing=TimingMode.OFF))[0]
    assert result.cycles_source == "instructions x CPI"
    assert result.cycles == pytest.approx(result.instructions * board.cycles_per_instruction, rel=1e-6)

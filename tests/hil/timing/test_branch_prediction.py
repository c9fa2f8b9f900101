"""What the branch predictor remembers: loops of few passes, callers, and as many branches as it has places."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from hilnas.boards.board import Board
from hilnas.boards.core import load_core
from hilnas.errors import BoardError
from hilnas.hil.timing.model import TimingModel
from hilnas.hil.timing.timed_run import RunOptions, run_elf

CallsOf = Callable[..., list[int]]
CORE = {name: parameter.value for name, parameter in load_core("cortex-m7").parameters.items()}
ROUNDS = 12
PROGRAM = """
__attribute__((noinline)) void mark(void) {{ __asm volatile(""); }}
void work(void);
void reset(void) {{
    for (int turn = 0; turn < {rounds}; turn++) {{ mark(); work(); {between} }}
    mark();
    finish();
}}
__asm(".syntax unified\\n.thumb\\n.p2align 10\\n.global work\\n.thumb_func\\n.type work, %function\\nwork:\\n{work}");
"""


@pytest.fixture
def calls_of(programs: ModuleType, board: Board, tmp_path: Path) -> CallsOf:
    """Cycles of each of some calls of a function in assembly; between two of them runs what is given in C."""

    def run(work: str, between: str = "") -> list[int]:
        source = PROGRAM.format(rounds=ROUNDS, between=between, work="\\n".join(line.strip() for line in work.split(";")))
        elf = programs.compile_program(source, tmp_path)
        calls = run_elf(elf, board, RunOptions(mark="mark"), lambda text: None).intervals
        return [call.cycles for call in calls][:-1]  # the end of the loop around them is another branch

    return run


def loop(passes: int) -> str:
    return f"mov.w r0, #{passes}; .p2align 3; 1: subs r0, #1; nop; nop; bne 1b; bx lr"


def test_the_end_of_a_loop_of_few_passes_is_predicted_once_they_repeat(calls_of: CallsOf) -> None:
    calls = calls_of(loop(8))
    assert calls[-1] == calls[-2]
    assert calls[1] - calls[-1] == CORE["mispredicted"] - CORE["overridden_branch"]


def test_passes_are_counted_up_to_a_limit(calls_of: CallsOf) -> None:
    taken = CORE["counted_passes"]  # a loop of n passes is taken n - 1 times
    counted, not_counted = (calls_of(loop(passes))[-1] for passes in (taken + 1, taken + 2))
    assert not_counted - counted == 2 + CORE["mispredicted"] - CORE["overridden_branch"]


def nest(depth: int) -> str:
    """Functions that call each other, the innermost from two places, so that only a stack knows where it returns to."""
    calls = [f"push.w {{r4, lr}}; bl 1{n}f; nop.w; bl 1{n}f; nop.w; pop.w {{r4, pc}}; .p2align 3; 1{n}:" for n in range(depth - 1)]
    return "; ".join([*calls, "nop.w; nop.w; nop.w; nop.w; bx lr"])


def test_returns_are_predicted_as_deep_as_the_stack(calls_of: CallsOf) -> None:
    """One level more doubles the cycles; where the stack is too small, the outermost return is mispredicted."""
    one, two, three, four, five = (calls_of(nest(depth))[-1] for depth in range(1, 6))
    assert [two, three, four] == [2 * one, 4 * one, 8 * one]
    assert five == 16 * one + CORE["mispredicted"]


def chain(branches: int) -> str:
    """Unconditional branches at addresses that share a set of the branch target cache."""
    stride = 8 * CORE["branch_target_entries"] // CORE["branch_target_ways"]
    branch = ".rept 27; nop.w; .endr; b.w"  # in a set in which no branch of the caller is
    return "; ".join([*(f"{branch} 1{n}f; .balign {stride}; 1{n}:" for n in range(branches)), "bx lr"])


def test_a_set_keeps_as_many_branches_as_it_has_ways(calls_of: CallsOf) -> None:
    ways = CORE["branch_target_ways"]
    one, all_ways, one_more = (calls_of(chain(number))[-1] for number in (1, ways, ways + 1))
    assert all_ways == one + (ways - 1) * (step := (all_ways - one) // (ways - 1))
    assert one_more == all_ways + step + (ways + 1) * CORE["unpredicted_direct_branch"]


def test_firmware_that_invalidates_the_predictor_starts_anew(calls_of: CallsOf) -> None:
    calls = calls_of(loop(8), "*(volatile uint32_t *)0xE000EF78 = 0;")
    assert calls[-1] == calls[-2] == calls[-3]
    assert calls[-1] > calls_of(loop(8))[-1]


@pytest.mark.parametrize(
    ("name", "value"), [("branch_target_ways", 3), ("branch_target_ways", 128), ("return_stack_entries", 17), ("counted_passes", 255)]
)
def test_a_predictor_that_cannot_be_is_refused(board: Board, name: str, value: int) -> None:
    core = load_core("cortex-m7")
    changed = core.parameters[name].model_copy(update={"value": value})
    with pytest.raises(BoardError, match="cannot be that of nucleo-h743zi2"):
        TimingModel(board, core.model_copy(update={"parameters": {**core.parameters, name: changed}}))

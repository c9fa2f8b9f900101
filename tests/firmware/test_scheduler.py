"""The order of a kernel's instructions, for cores as they are declared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations, groupby, permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hilnas.boards.core import load_core
from hilnas.firmware.assembly.add import AddFours
from hilnas.firmware.assembly.convolve import Dot
from hilnas.firmware.assembly.emitter import Block, Instruction, as_given
from hilnas.firmware.assembly.scheduler import schedule_for

CORES = ["cortex-m7", "cortex-m4"]
SCHEDULES = {core: schedule_for(load_core(core)) for core in CORES}
registers = st.sampled_from(["r0", "r1", "r2", "r3"])
loads = st.builds(lambda target, place: Instruction("ldr", (target, f"[r12, #{4 * place}]")), registers, st.integers(0, 7))
products = st.builds(lambda total, a, b: Instruction("smlad", (total, a, b, total)), registers, registers, registers)
updating = st.builds(lambda target, base: Instruction("ldr", (target, f"[{base}]", "#4")), registers, st.sampled_from(["r11", "r12"]))
stores = st.builds(lambda value, place: Instruction("str", (value, f"[r11, #{4 * place}]")), registers, st.integers(0, 7))


def conflict(early: Instruction, late: Instruction) -> bool:
    return bool(early.writes & (late.reads | late.writes) or early.reads & late.writes)


def keeps_order(block: Sequence[Instruction], places: Sequence[int]) -> bool:
    """Whether every instruction stays behind those that it depends on, where block[i] is at places[i]."""
    return all(places[early] < places[late] for early, late in combinations(range(len(block)), 2) if conflict(block[early], block[late]))


def groups_of_loads(order: Sequence[Instruction]) -> int:
    return sum(is_load for is_load, _ in groupby(order, lambda instruction: instruction.is_load))


@st.composite
def instructions(draw: st.DrawFn) -> Instruction:
    kind = draw(st.sampled_from(["add", "smlad", "sxtb16", "ssat", "ldr", "update", "str", "bfi", "cmp"]))
    a, b, c = draw(registers), draw(registers), draw(registers)
    offset = 4 * draw(st.integers(0, 3))
    return {
        "add": Instruction("add", (a, b, c, "asr #31")),
        "smlad": Instruction("smlad", (a, b, c, a)),
        "sxtb16": Instruction("sxtb16", (a, b)),
        "ssat": Instruction("ssat", (a, "#8", b, "asr #7")),
        "ldr": Instruction("ldr", (a, f"[sp, #{offset}]")),
        "update": Instruction("ldr", (a, "[r12]", "#4")),
        "str": Instruction("str", (a, f"[sp, #{offset}]")),
        "bfi": Instruction("bfi", (a, b, "#8", "#8")),
        "cmp": Instruction("cmp", (a, b)),
    }[kind]


def effects(block: list[Instruction]) -> dict[str, Any]:
    """What a block leaves in registers and memory, as expressions of what it found."""
    state: dict[str, Any] = {}
    for instruction in block:
        sources = tuple(state.get(name, name) for name in sorted(instruction.reads))
        memory = instruction.memory if instruction.memory is not None and "sp" in instruction.memory else None
        if instruction.is_store:
            state[str(memory)] = hash((str(instruction), sources))
            continue
        loaded = state.get(memory, memory) if memory is not None else None
        for name in instruction.writes:
            state[name] = hash((str(instruction), sources, loaded, name))
    return state


@pytest.mark.parametrize("core", CORES)
@given(st.lists(instructions(), max_size=25))
def test_scheduling_changes_the_order_only(core: str, block: list[Instruction]) -> None:
    ordered = list(SCHEDULES[core](Block(tuple(block))))
    assert sorted(map(str, ordered)) == sorted(map(str, block))
    assert effects(ordered) == effects(block)


@pytest.mark.parametrize("core", CORES)
@given(st.lists(st.one_of(loads, products, updating, stores), max_size=20, unique_by=lambda instruction: str(instruction)))
def test_what_depends_on_an_instruction_stays_behind_it(core: str, block: list[Instruction]) -> None:
    order = list(SCHEDULES[core](Block(tuple(block))))
    assert Counter(order) == Counter(block)
    assert keeps_order(block, [order.index(instruction) for instruction in block])


@given(st.lists(st.one_of(loads, products), max_size=6))
def test_where_lone_loads_cost_they_stand_in_as_few_groups_as_can_be(block: list[Instruction]) -> None:
    fewest = min(
        groups_of_loads([block[places.index(at)] for at in range(len(block))])
        for places in permutations(range(len(block)))
        if keeps_order(block, places)
    )
    assert groups_of_loads(SCHEDULES["cortex-m4"](Block(tuple(block)))) == fewest


def test_an_order_by_hand_stands_only_where_two_instructions_issue() -> None:
    step = next(line for line in Dot(4, None).routine().lines if isinstance(line, Block))
    assert step.dual_issue is not None
    assert tuple(SCHEDULES["cortex-m7"](step)) == step.dual_issue
    assert groups_of_loads(SCHEDULES["cortex-m4"](step)) == 2 < groups_of_loads(step.dual_issue)


def test_loads_of_one_memory_stand_side_by_side() -> None:
    """Only then does the address of one go out while the data of the other come."""
    loads = [Instruction("ldr", (f"r{at}", f"[{base}, #{4 * at}]")) for at, base in enumerate(("r11", "r12", "r11", "r12", "r11"))]
    order = SCHEDULES["cortex-m4"](Block(tuple(loads)))
    assert len(list(groupby(order, lambda instruction: instruction.addresses))) == 2


@pytest.mark.parametrize("pixels", range(1, 5))
def test_every_step_of_a_dot_product_has_one_order(pixels: int) -> None:
    """Rounds are entered at any step."""
    blocks = [line for line in Dot(pixels, None).routine().lines if isinstance(line, Block) and line.dual_issue is not None]
    for schedule in SCHEDULES.values():
        first, *others = (schedule(block) for block in blocks)
        assert len(others) > 1 and all(list(other) == list(others[0]) for other in others)
        assert [instruction.mnemonic for instruction in first] == [instruction.mnemonic for instruction in others[0]]


def test_text_has_the_order_of_its_core() -> None:
    assert len({AddFours().text(schedule) for schedule in (as_given, *SCHEDULES.values())}) == 3

"""The memory plan: nothing that is alive at the same time overlaps, and what does not fit is said."""

from __future__ import annotations

import sys
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hilnas.errors import BudgetError, DoesNotFitError
from hilnas.firmware.fusion import fuse
from hilnas.firmware.graph import Activated, Convolution, Graph, Operator, Padding, Plain, Quantization, Tensor, placeholder
from hilnas.firmware.lower import lower
from hilnas.firmware.lowering import KernelSet
from hilnas.firmware.packing import ALIGNMENT
from hilnas.firmware.plan import plan_fastest, plan_memory
from hilnas.firmware.reader import read_model
from hilnas.hil.loop.weightless_graph import weightless_graph
from hilnas.nas.network import DIGITS, FULL_SIZE, McuDimensions
from hilnas.nas.spaces.mcu import McuSpace
from hilnas.nas.spaces.mcu_network import largest, network_of, smallest
from hilnas.tflite.exits import named_exits

sys.path.insert(0, str(Path(__file__).parent))
from memory_simulation import Simulation

SCALE = Quantization((0.1,), (0,))


def same_padding(size: int, window: int, stride: int) -> tuple[int, int]:
    missing = max((-(-size // stride) - 1) * stride + window - size, 0)
    return missing // 2, missing - missing // 2


@st.composite
def random_graphs(draw: st.DrawFn) -> Graph:
    """Convolutions, depthwise ones, additions and reshapes in any order, each on any tensor made before it; with exits or without."""
    height, width = draw(st.sampled_from([1, 5, 12, 18])), draw(st.integers(1, 20))
    tensors = [Tensor("input", (1, height, width, draw(st.sampled_from([1, 3, 4, 8]))), "int8", SCALE)]
    operators: list[Operator] = []
    activations = [0]
    for index in range(draw(st.integers(1, 14))):
        source = draw(st.sampled_from([activations[-1], activations[-1], *activations[-3:]]))
        shape = tensors[source].shape
        kind = draw(st.sampled_from(["CONV_2D", "CONV_2D", "CONV_2D", "DEPTHWISE_CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "ADD", "RESHAPE"]))
        others = [other for other in activations if tensors[other].shape == shape]
        if kind in ("CONV_2D", "DEPTHWISE_CONV_2D") and len(shape) == 4:
            channels = draw(st.sampled_from([1, 2, 4, 6, 8, 12, 24])) if kind == "CONV_2D" else shape[3]
            window, stride = draw(st.sampled_from([1, 1, 3, 5])), draw(st.sampled_from([1, 1, 2]))
            filters = (channels, window, window, shape[3]) if kind == "CONV_2D" else (1, window, window, channels)
            padding = Padding(*same_padding(shape[1], window, stride), *same_padding(shape[2], window, stride))
            made = (1, -(-shape[1] // stride), -(-shape[2] // stride), channels)
            tensors.append(Tensor(f"weights {index}", filters, "int8", SCALE, placeholder(filters)))
            tensors.append(Tensor(f"convolution {index}", made, "int8", SCALE))
            operators.append(Operator(kind, (source, len(tensors) - 2), (len(tensors) - 1,), Convolution((stride, stride), padding)))
        elif kind == "RESHAPE":
            new = (1, tensors[source].elements) if len(shape) == 4 else shape
            tensors.append(Tensor(f"view {index}", new, "int8", SCALE))
            operators.append(Operator(kind, (source,), (len(tensors) - 1,), Plain()))
        else:
            tensors.append(Tensor(f"sum {index}", shape, "int8", SCALE))
            operators.append(Operator("ADD", (source, draw(st.sampled_from(others))), (len(tensors) - 1,), Activated()))
        activations.append(len(tensors) - 1)
    operators.append(Operator("ADD", (activations[-1],) * 2, (len(tensors),), Activated()))
    tensors.append(Tensor("last", tensors[activations[-1]].shape, "int8", SCALE))
    outputs = [len(tensors) - 1]
    if draw(st.booleans()):
        outputs.insert(0, draw(st.sampled_from(activations)))
    names = tuple(f"output {index}" for index in range(len(outputs)))
    leaves = len(outputs) == 2 and any(operator.outputs[0] == outputs[0] and operator.op != "RESHAPE" for operator in operators)
    exits = named_exits((0.5,)) if leaves and draw(st.booleans()) else None
    return Graph(tuple(tensors), tuple(operators), (0,), tuple(outputs), ("input",), names, exits=exits)


@settings(max_examples=100, deadline=None)
@given(
    random_graphs(),
    st.sampled_from([{"one": 10**6}, {"small": 200, "large": 10**6}]),
    st.sampled_from(KernelSet),
    st.sampled_from([0.0, 0.05, 9.0]),
)
def test_no_byte_is_overwritten_before_its_last_read(
    graph: Graph, memories: dict[str, int], kernel_set: KernelSet, added_share: float
) -> None:
    program = lower(fuse(graph), kernel_set)
    plan = plan_memory(program, memories, added_share)
    Simulation(program, plan).run()
    assert [layer for segment in plan.segments for layer in range(segment.first, segment.last + 1)] == [*range(len(program.layers))]
    assert all(item.offset % ALIGNMENT == 0 and item.end <= plan.arenas[item.memory] for item in plan.placed)
    assert plan.lower_bound_bytes >= plan.least_bound_bytes
    assert plan.arena_bytes >= plan.lower_bound_bytes or len(plan.arenas) > 1


def two_layers() -> Graph:
    """8,000 -> 16,000 -> 8,000 bytes."""
    tensors = [Tensor("input", (1, 40, 40, 5), "int8", SCALE)]
    operators = []
    for name, channels, inputs in (("wide", 10, 5), ("narrow", 5, 10)):
        filters = (channels, 1, 1, inputs)
        tensors.append(Tensor(f"{name} weights", filters, "int8", SCALE, placeholder(filters)))
        tensors.append(Tensor(name, (1, 40, 40, channels), "int8", SCALE))
        source = 0 if not operators else 2
        operators.append(Operator("CONV_2D", (source, len(tensors) - 2), (len(tensors) - 1,), Convolution((1, 1), Padding())))
    return Graph(tuple(tensors), tuple(operators), (0,), (4,), ("input",), ("output",))


def test_a_plan_that_overwrites_what_is_needed_does_not_pass_the_simulation() -> None:
    program = lower(two_layers(), KernelSet.PORTABLE)
    plan = plan_memory(program, {"ram": 24_000}, added_share=0.0)
    Simulation(program, plan).run()
    for index, item in enumerate(plan.placed):
        for offset in range(0, plan.arena_bytes - item.buffer.size_bytes + 1, 8):
            others = [other for other in plan.placed if other != item]
            apart = all(offset >= other.end or offset + item.buffer.size_bytes <= other.offset for other in others)
            if offset < item.offset and not apart:
                moved = (*plan.placed[:index], replace(item, offset=offset), *plan.placed[index + 1 :])
                with pytest.raises(AssertionError):
                    Simulation(program, replace(plan, placed=moved)).run()


def test_rows_stream_where_instructions_may_be_added() -> None:
    """The wide tensor of 16,000 bytes shrinks to one row of 400. Otherwise the input begins a row behind its middle, and it behind its
    successor."""
    program = lower(two_layers(), KernelSet.PORTABLE)
    fastest, smallest = plan_memory(program, {"ram": 24_000}, added_share=0.0), plan_memory(program, {"ram": 24_000})
    assert (fastest.arena_bytes, smallest.arena_bytes) == (16_400, 8_400)
    assert [segment.streams for segment in fastest.segments] == [False, False]
    assert [segment.streams for segment in smallest.segments] == [True]


DOCUMENT = Path(__file__).parents[2] / "docs" / "memory.md"
PUBLISHED = {
    "mcunet-vww1": "tinyengine/mcunet-vww1",
    "ic_resnet8": "mlperf_tiny/ic_resnet8_int8",
    "vww_96": "mlperf_tiny/vww_96_int8",
    "kws_dscnn": "mlperf_tiny/kws_dscnn_int8",
    "str_ww": "mlperf_tiny/str_ww_ref_model",
    "person_detect": "tflm/person_detect",
}


@pytest.mark.data
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models_take_what_the_document_says(name: str, data_folder: Path) -> None:
    (row,) = (line for line in DOCUMENT.read_text().splitlines() if line.startswith(f"| {name} |"))
    documented = [int(cell.replace(",", "")) for cell in row.split("|")[2:5]]
    program = lower(fuse(read_model((data_folder / "tflite" / f"{PUBLISHED[name]}.tflite").read_bytes(), name)))
    plan = plan_memory(program, {"ram": 10**6})
    Simulation(program, plan).run()
    assert [plan.arena_bytes, plan.lower_bound_bytes, plan.least_bound_bytes] == documented


@pytest.mark.parametrize(("dimensions", "nets"), [(DIGITS, 12), (FULL_SIZE, 3)], ids=["digits", "full size"])
def test_networks_of_the_spaces_stay_near_the_lower_bound(dimensions: McuDimensions, nets: int) -> None:
    """Random ones, and the largest, which has all exits."""
    space, chance = McuSpace(dimensions), np.random.default_rng(7)
    for architecture in (largest(space), *(chance.integers(space.choice_counts) for _ in range(nets))):
        program = lower(fuse(weightless_graph(network_of(space, architecture))))
        for added_share in (0.0, 0.05):
            plan = plan_memory(program, {"ram": 10**7}, added_share)
            assert plan.lower_bound_bytes <= plan.arena_bytes <= 1.1 * plan.lower_bound_bytes
            if dimensions is DIGITS:
                Simulation(program, plan).run()


def test_the_fastest_plan_within_a_limit_adds_less_than_the_smallest() -> None:
    program = lower(fuse(weightless_graph(network_of(McuSpace(FULL_SIZE), smallest(McuSpace(FULL_SIZE))))))
    memories = {"ram": 10**7}
    least, fastest = plan_memory(program, memories, inf), plan_memory(program, memories, 0.0)
    assert fastest.added_share == 0.0
    added = []
    for share in (0.0, 0.3, 0.7, 1.0):
        limit = round(least.arena_bytes + share * (fastest.arena_bytes - least.arena_bytes))
        plan = plan_fastest(program, memories, limit)
        assert plan.arena_bytes <= limit
        added.append(plan.added_share)
    assert added == sorted(added, reverse=True)
    assert added[-1] == 0 < added[0]


def test_a_limit_that_no_plan_keeps_is_answered_with_the_nearest() -> None:
    program = lower(two_layers(), KernelSet.PORTABLE)
    with pytest.raises(BudgetError, match="within 8 kB; the nearest takes 8400 bytes"):
        plan_fastest(program, {"ram": 10**6}, 8_000)


def test_what_does_not_fit_names_bytes_and_layer() -> None:
    program = lower(two_layers(), KernelSet.PORTABLE)
    with pytest.raises(DoesNotFitError, match=r"needs 400 bytes more RAM at layer \d \(CONV_2D '(wide|narrow)'\)"):
        plan_memory(program, {"ram": 8_000})


def test_the_second_memory_takes_what_the_first_cannot() -> None:
    program = lower(two_layers())
    plan = plan_memory(program, {"fast": 7_000, "slow": 100_000})
    assert set(plan.arenas) == {"fast", "slow"}
    Simulation(program, plan).run()

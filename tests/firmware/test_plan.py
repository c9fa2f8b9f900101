"""The memory plan: nothing that is alive at the same time overlaps, and what does not fit is said."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hilnas.errors import DoesNotFitError
from hilnas.firmware.fusion import fuse
from hilnas.firmware.graph import Activated, Convolution, Graph, Operator, Padding, Plain, Quantization, Tensor, placeholder
from hilnas.firmware.lower import lower
from hilnas.firmware.plan import ALIGNMENT, MemoryPlan, live_buffers, plan_memory

SCALE = Quantization((0.1,), (0,))


@st.composite
def random_graphs(draw: st.DrawFn) -> Graph:
    """Pointwise convolutions, additions and reshapes in any order, each on any tensor made before it."""
    size = draw(st.integers(1, 6))
    tensors = [Tensor("input", (1, size, size, 4), "int8", SCALE)]
    operators: list[Operator] = []
    activations = [0]
    for index in range(draw(st.integers(1, 12))):
        source = draw(st.sampled_from(activations))
        shape = tensors[source].shape
        kind = draw(st.sampled_from(["CONV_2D", "ADD", "RESHAPE"]))
        others = [other for other in activations if tensors[other].shape == shape]
        if kind == "CONV_2D" and len(shape) == 4:
            channels = draw(st.integers(1, 9))
            filters = (channels, 1, 1, shape[3])
            tensors.append(Tensor(f"weights {index}", filters, "int8", SCALE, placeholder(filters)))
            tensors.append(Tensor(f"convolution {index}", (*shape[:3], channels), "int8", SCALE))
            operators.append(Operator(kind, (source, len(tensors) - 2), (len(tensors) - 1,), Convolution((1, 1), Padding())))
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
    outputs = (len(tensors) - 1,)
    return Graph(tuple(tensors), tuple(operators), (0,), outputs, ("input",), ("output",))


def assert_sound(plan: MemoryPlan) -> None:
    """No two buffers that live at the same time share a byte; all lie in their arenas, aligned."""
    for index, one in enumerate(plan.placed):
        assert one.offset % ALIGNMENT == 0
        assert one.end <= plan.arenas[one.memory]
        for other in plan.placed[:index]:
            together = one.buffer.first <= other.buffer.last and other.buffer.first <= one.buffer.last
            if together and one.memory == other.memory:
                assert one.end <= other.offset or other.end <= one.offset, (one, other)


@settings(max_examples=100, deadline=None)
@given(random_graphs(), st.sampled_from([{"one": 10**6}, {"small": 200, "large": 10**6}]))
def test_live_buffers_never_overlap(graph: Graph, memories: dict[str, int]) -> None:
    program = lower(fuse(graph))
    plan = plan_memory(program, memories)
    assert_sound(plan)
    assert len(plan.placed) == len(live_buffers(program))
    busiest = max(
        sum(buffer.size_bytes for buffer in live_buffers(program) if buffer.first <= layer <= buffer.last)
        for layer in range(len(program.layers))
    )
    assert plan.arena_bytes >= busiest


@settings(max_examples=100, deadline=None)
@given(random_graphs())
def test_a_tensor_lives_from_its_writer_to_its_last_reader(graph: Graph) -> None:
    program = lower(fuse(graph))
    fused = program.graph
    lives = {buffer.tensor: (buffer.first, buffer.last) for buffer in live_buffers(program) if buffer.tensor is not None}
    for position, layer in enumerate(program.layers):
        for index in (*layer.operator.inputs, *layer.operator.outputs):
            if index is not None and fused.tensors[index].data is None:
                first, last = lives[fused.storage(index)]
                assert first <= position <= last
    for index in fused.outputs:
        assert lives[fused.storage(index)][1] == len(program.layers) - 1


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


def test_what_does_not_fit_names_bytes_and_layer() -> None:
    program = lower(two_layers(), dsp=False, assembly=False)
    assert plan_memory(program, {"ram": 24_000}).arena_bytes == 24_000
    with pytest.raises(DoesNotFitError, match=r"needs 1000 bytes more RAM at layer \d \(CONV_2D '(wide|narrow)'\)"):
        plan_memory(program, {"ram": 23_000})


def test_the_second_memory_takes_what_the_first_cannot() -> None:
    plan = plan_memory(lower(two_layers()), {"fast": 17_000, "slow": 100_000})
    assert set(plan.arenas) == {"fast", "slow"}
    assert_sound(plan)

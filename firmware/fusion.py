"""Rewrites a graph into one with less to do and the same outputs, bit by bit."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import cast

from hilnas.errors import ModelError
from hilnas.firmware.folding import VIEWS
from hilnas.firmware.graph import Convolution, Graph, Operator, Pad, Padding, Permutation, Reduction, Tensor


def fuse(graph: Graph) -> Graph:
    """The graph without edges of other types, without PAD before convolutions, RESHAPE and TRANSPOSE that moves nothing, and
    without operators whose result nobody reads.

    Inputs and outputs of float32 or uint8 become the int8 tensors behind them. With exits, operators are ordered so that each
    exit comes as early as it can.

    Raises:
        ModelError: a QUANTIZE or DEQUANTIZE in the middle of the graph works on types that the engine does not compute in.
    """
    graph = _trim_edges(graph)
    graph = _lower_transposes(graph)
    graph = _fuse_padding(graph)
    graph = _spread_single_channels(graph)
    graph = _alias_views(graph)
    graph = _order(graph)
    _check_types(graph)
    return graph


def _readers(graph: Graph) -> Counter[int]:
    counts = Counter(index for operator in graph.operators for index in operator.inputs if index is not None)
    counts.update(graph.outputs)
    return counts


def _trim_edges(graph: Graph) -> Graph:
    """Inputs that only a QUANTIZE reads, and outputs that a DEQUANTIZE or QUANTIZE writes, give way to the int8 tensor behind."""
    readers = _readers(graph)
    removed: set[int] = set()
    inputs, outputs = list(graph.inputs), list(graph.outputs)
    for position, operator in enumerate(graph.operators):
        if operator.op not in ("QUANTIZE", "DEQUANTIZE"):
            continue
        source, result = cast("int", operator.inputs[0]), operator.outputs[0]
        outer = ("float32", "uint8")
        if (
            operator.op == "QUANTIZE"
            and source in inputs
            and readers[source] == 1
            and graph.tensors[source].dtype in outer
            and graph.tensors[result].dtype == "int8"
        ):
            inputs[inputs.index(source)] = result
            removed.add(position)
        elif result in outputs and readers[result] == 1 and graph.tensors[result].dtype in outer and graph.tensors[source].dtype == "int8":
            outputs[outputs.index(result)] = source
            removed.add(position)
    operators = tuple(operator for position, operator in enumerate(graph.operators) if position not in removed)
    return replace(graph, operators=operators, inputs=tuple(inputs), outputs=tuple(outputs))


def _lower_transposes(graph: Graph) -> Graph:
    """Moves a TRANSPOSE behind the MEAN that reads it: what is left to move shrinks, mostly to nothing."""
    tensors = list(graph.tensors)
    operators = list(graph.operators)
    readers = _readers(graph)
    position = 0
    while position < len(operators):
        first = operators[position]
        follower = _only_reader(operators, first, readers)
        if first.op != "TRANSPOSE" or follower is None or operators[follower].op != "MEAN":
            position += 1
            continue
        second = operators[follower]
        image = tensors[cast("int", first.inputs[0])]
        order = cast("Permutation", first.attributes).axes
        axes = tuple(sorted(order[axis] for axis in cast("Reduction", second.attributes).axes))
        if axes != tuple(range(axes[0], axes[-1] + 1)):
            position += 1
            continue
        kept = [axis for axis in order if axis not in axes]
        result = tensors[second.outputs[0]]
        shape = tuple(image.shape[axis] for axis in sorted(kept))
        tensors.append(Tensor(f"{result.name} before its transposition", shape, result.dtype, result.quantization))
        mean = Operator("MEAN", (first.inputs[0], *second.inputs[1:]), (len(tensors) - 1,), Reduction(axes))
        ranks = sorted(kept)
        move = Operator("TRANSPOSE", (len(tensors) - 1,), second.outputs, Permutation(tuple(ranks.index(axis) for axis in kept)))
        operators[position] = mean
        operators[follower] = move
        readers[len(tensors) - 1] = 1
        position = 0
    return replace(graph, tensors=tuple(tensors), operators=tuple(operators))


def _only_reader(operators: list[Operator], operator: Operator, readers: Counter[int]) -> int | None:
    result = operator.outputs[0]
    if readers[result] != 1:
        return None
    return next((index for index, other in enumerate(operators) if other.inputs and other.inputs[0] == result), None)


def _fuse_padding(graph: Graph) -> Graph:
    """A convolution takes over the PAD before it: both add the zero point."""
    pads = {operator.outputs[0]: operator for operator in graph.operators if operator.op == "PAD" and _pads_image(operator)}
    operators = []
    for operator in graph.operators:
        pad = pads.get(cast("int", operator.inputs[0])) if operator.op in ("CONV_2D", "DEPTHWISE_CONV_2D") else None
        if pad is not None:
            amounts, convolution = cast("Pad", pad.attributes), cast("Convolution", operator.attributes)
            own = convolution.padding
            padding = Padding(
                own.top + amounts.before[1], own.bottom + amounts.after[1], own.left + amounts.before[2], own.right + amounts.after[2]
            )
            operator = replace(operator, inputs=(pad.inputs[0], *operator.inputs[1:]), attributes=replace(convolution, padding=padding))
        operators.append(operator)
    return replace(graph, operators=tuple(operators))


def _pads_image(operator: Operator) -> bool:
    pad = cast("Pad", operator.attributes)
    return len(pad.before) == 4 and not (pad.before[0] or pad.after[0] or pad.before[3] or pad.after[3])


def _spread_single_channels(graph: Graph) -> Graph:
    """A depthwise convolution of one channel to several is an ordinary one: only its weights are laid out differently."""
    tensors = list(graph.tensors)
    operators = []
    for operator in graph.operators:
        if operator.op == "DEPTHWISE_CONV_2D" and graph.input_of(operator).shape[3] == 1:
            weights = graph.input_of(operator, 1)
            assert weights.data is not None and weights.quantization is not None
            data = weights.data.transpose(3, 1, 2, 0)
            tensors.append(replace(weights, shape=data.shape, data=data, quantization=replace(weights.quantization, axis=0)))
            inputs = (operator.inputs[0], len(tensors) - 1, *operator.inputs[2:])
            operator = replace(operator, op="CONV_2D", inputs=inputs)
        operators.append(operator)
    return replace(graph, tensors=tuple(tensors), operators=tuple(operators))


def _alias_views(graph: Graph) -> Graph:
    """RESHAPE and its like, and TRANSPOSE that only moves axes of size 1, become other views of the same bytes."""
    views = dict(graph.same_bytes)
    operators = []
    for operator in graph.operators:
        source = cast("int", operator.inputs[0])
        if graph.tensors[source].data is None and (operator.op in VIEWS or _moves_nothing(graph, operator)):
            views[operator.outputs[0]] = source
        else:
            operators.append(operator)
    return replace(graph, operators=tuple(operators), same_bytes=views)


def _moves_nothing(graph: Graph, operator: Operator) -> bool:
    if operator.op != "TRANSPOSE":
        return False
    shape = graph.input_of(operator).shape
    moved = [axis for axis in cast("Permutation", operator.attributes).axes if shape[axis] != 1]
    return moved == sorted(moved)


def _order(graph: Graph) -> Graph:
    """Operators that outputs need, those of the first output first; within one output in the file's order."""
    writers = {graph.storage(index): position for position, operator in enumerate(graph.operators) for index in operator.outputs}
    done: set[int] = set()
    ordered: list[Operator] = []
    for output in graph.outputs:
        needed: set[int] = set()
        pending = [writers[graph.storage(output)]] if graph.storage(output) in writers else []
        while pending:
            position = pending.pop()
            if position in needed or position in done:
                continue
            needed.add(position)
            sources = (graph.storage(index) for index in graph.operators[position].inputs if index is not None)
            pending.extend(writers[source] for source in sources if source in writers)
        ordered.extend(graph.operators[position] for position in sorted(needed))
        done |= needed
    return replace(graph, operators=tuple(ordered))


def _check_types(graph: Graph) -> None:
    problems = []
    for operator in graph.operators:
        source, result = graph.input_of(operator).dtype, graph.output_of(operator).dtype
        if operator.op == "DEQUANTIZE" or (
            operator.op == "QUANTIZE" and (source, result) not in (("int8", "int8"), ("int16", "int8"), ("int16", "int32"))
        ):
            problems.append(
                f"{operator.op} that writes {graph.output_of(operator).name!r}: {source} to {result} only at an edge of the model"
            )
    if problems:
        raise ModelError("the model cannot be compiled:\n  " + "\n  ".join(problems), "Convert the whole model to int8.")

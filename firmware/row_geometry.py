"""Layers of a program as rows of images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hilnas.firmware.graph import ITEM_SIZES, Convolution, Graph, Operator, Tensor
from hilnas.firmware.kernel import Order, RowWise
from hilnas.firmware.streaming import Image, Stage

if TYPE_CHECKING:
    from hilnas.firmware.lower import Layer


def stage_of(graph: Graph, layer: Layer, numbers: Mapping[int, int]) -> Stage | None:
    """A layer as rows; `numbers` gives the number of each tensor. None if nothing is known of the order in which it reads and writes."""
    operator, kernel = layer.operator, layer.kernel
    if kernel.row_wise is None or len(operator.outputs) != 1:
        return None
    activations = [index for index in operator.inputs if index is not None and graph.tensors[index].data is None]
    attributes = operator.attributes
    window, strides, pad_top, image = 1, (1, 1), 0, _elements
    if isinstance(attributes, Convolution):
        if not has_rows(graph.input_of(operator)):
            return None
        height = graph.input_of(operator, 1).shape[1]
        window, strides, pad_top = (height - 1) * attributes.dilations[0] + 1, attributes.strides, attributes.padding.top
        image = _image
    return Stage(
        kernel.row_wise,
        image(graph.tensors[activations[0]]),
        image(graph.tensors[operator.outputs[0]]),
        window,
        strides,
        pad_top,
        kernel.scratch_bytes,
        tuple(numbers[index] for index in activations),
        numbers[operator.outputs[0]],
    )


def pushed_stage(graph: Graph, number: int) -> Stage:
    """The rows of the model's input as the caller pushes them, a stage that reads no tensor; `number` is that of the input."""
    image = _image(graph.tensors[graph.inputs[0]])
    return Stage(RowWise(Order.ROWS), image, image, 1, (1, 1), 0, 0, (), number)


def rows_read(graph: Graph, operator: Operator) -> float:
    """How often an operator reads each row of its input."""
    if operator.op not in ("CONV_2D", "DEPTHWISE_CONV_2D") or not isinstance(operator.attributes, Convolution):
        return 1.0
    return graph.input_of(operator, 1).shape[1] / operator.attributes.strides[0]


def has_rows(tensor: Tensor) -> bool:
    """Whether it is one image."""
    return len(tensor.shape) == 4 and tensor.shape[0] == 1


def _image(tensor: Tensor) -> Image:
    return Image(tensor.shape[1], tensor.shape[2], tensor.shape[3] * ITEM_SIZES[tensor.dtype])


def _elements(tensor: Tensor) -> Image:
    """To an operator on single elements these are the pixels: it writes one before it has read the next of the same pixel."""
    rows = tensor.shape[1] if has_rows(tensor) else 1
    return Image(rows, tensor.elements // rows, ITEM_SIZES[tensor.dtype])

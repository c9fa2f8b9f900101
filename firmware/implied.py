"""Operands that the output's shape says: whether a constant among them agrees with it. The engine looks at the shape, TensorFlow Lite's
kernels at the operand."""

from __future__ import annotations

from hilnas.firmware.graph import Tensor


def shape(values: list[int], _inputs: list[Tensor | None], outputs: list[Tensor]) -> bool:
    """The shape of the output."""
    return values == list(outputs[0].shape)


def shape_but_one(values: list[int], _inputs: list[Tensor | None], outputs: list[Tensor]) -> bool:
    """The shape of the output, with -1 for a size that follows from the others; old files have [0] for a tensor of one value."""
    return _fit(values, outputs[0].shape) or (values == [0] and outputs[0].shape == ())


def new_axis(values: list[int], inputs: list[Tensor | None], outputs: list[Tensor]) -> bool:
    """Where the output has an axis of one more than the input, counted from the end where it is negative."""
    if len(values) != 1 or inputs[0] is None:
        return False
    axis = values[0] + len(outputs[0].shape) if values[0] < 0 else values[0]
    before = inputs[0].shape
    return 0 <= axis <= len(before) and outputs[0].shape == (*before[:axis], 1, *before[axis:])


def image_size(values: list[int], _inputs: list[Tensor | None], outputs: list[Tensor]) -> bool:
    """Rows and columns of the output."""
    return values == list(outputs[0].shape[1:3])


def part_sizes(values: list[int], inputs: list[Tensor | None], outputs: list[Tensor]) -> bool:
    """The sizes of the parts along the axis that the third input says, -1 for one that follows from the others."""
    along = inputs[2].data if len(inputs) > 2 and inputs[2] is not None else None
    if along is None or along.size != 1:
        return False
    axis = int(along.ravel()[0])
    if not all(-len(output.shape) <= axis < len(output.shape) for output in outputs):
        return False
    return _fit(values, tuple(output.shape[axis] for output in outputs))


def _fit(values: list[int], sizes: tuple[int, ...]) -> bool:
    return len(values) == len(sizes) and all(value in (-1, size) for value, size in zip(values, sizes, strict=True))

"""Operators that only move elements. Each is worked out on arrays without memory: a view of the input, a view of the output, and their
strides say everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from hilnas.firmware.graph import Block, Movement, Tensor
from hilnas.firmware.operator_attributes import Unsupported

View = NDArray[np.int8]

MAX_BLOCKS = 256


def concatenation(options: Any, inputs: list[Tensor | None], outputs: list[Tensor]) -> Movement:
    """Of CONCATENATION."""
    axis = _axis(options.Axis(), len(outputs[0].shape))
    if options.FusedActivationFunction() != 0:
        raise Unsupported("a fused activation is not supported")
    return _parts(_shapes(inputs), outputs[0].shape, axis, joined=True)


def pack(options: Any, inputs: list[Tensor | None], outputs: list[Tensor]) -> Movement:
    """Of PACK."""
    axis = _axis(options.Axis(), len(outputs[0].shape))
    shapes = [(*shape[:axis], 1, *shape[axis:]) for shape in _shapes(inputs)]
    return _parts(shapes, outputs[0].shape, axis, joined=True)


def unpack(options: Any, inputs: list[Tensor | None], outputs: list[Tensor]) -> Movement:
    """Of UNPACK."""
    whole = _given(inputs, 0).shape
    axis = _axis(options.Axis(), len(whole))
    shapes = [(*output.shape[:axis], 1, *output.shape[axis:]) for output in outputs]
    return _parts(shapes, whole, axis, joined=False)


def split(_options: Any, inputs: list[Tensor | None], outputs: list[Tensor]) -> Movement:
    """Of SPLIT: the axis comes first."""
    whole = _given(inputs, 1).shape
    parts = _parts([output.shape for output in outputs], whole, _axis(_integers(inputs, 0)[0], len(whole)), joined=False)
    return Movement(tuple(replace(block, source=1) for block in parts.blocks))


def split_sizes(_options: Any, inputs: list[Tensor | None], outputs: list[Tensor]) -> Movement:
    """Of SPLIT_V: the outputs' shapes say the sizes."""
    whole = _given(inputs, 0).shape
    return _parts([output.shape for output in outputs], whole, _axis(_integers(inputs, 2)[0], len(whole)), joined=False)


def slice_(_options: Any, inputs: list[Tensor | None], outputs: list[Tensor]) -> Movement:
    """Of SLICE."""
    image = _array(_given(inputs, 0).shape)
    begins, sizes = _integers(inputs, 1), _integers(inputs, 2)
    if len(begins) != image.ndim or len(sizes) != image.ndim:
        raise Unsupported(f"{len(begins)} begins and {len(sizes)} sizes for {image.ndim} axes")
    ends = [size if length == -1 else begin + length for begin, length, size in zip(begins, sizes, image.shape, strict=True)]
    if not all(0 <= begin < end <= size for begin, end, size in zip(begins, ends, image.shape, strict=True)):
        raise Unsupported(f"a slice from {begins} to {ends} is not inside {list(image.shape)}")
    view = image[tuple(slice(begin, end) for begin, end in zip(begins, ends, strict=True))]
    return _one(image, view, outputs[0].shape)


def strided_slice(options: Any, inputs: list[Tensor | None], outputs: list[Tensor]) -> Movement:
    """Of STRIDED_SLICE: what NumPy calls indexing with slices."""
    image = _array(_given(inputs, 0).shape)
    begins, ends, strides = (_integers(inputs, position) for position in (1, 2, 3))
    if not len(begins) == len(ends) == len(strides) <= 31 or 0 in strides:
        raise Unsupported(f"begins {begins}, ends {ends} and strides {strides} do not fit each other")
    if options.Offset():
        raise Unsupported("ends relative to begins are not supported")
    index: list[Any] = []
    for place, (begin, end, stride) in enumerate(zip(begins, ends, strides, strict=True)):
        bit = 1 << place
        if options.EllipsisMask() & bit:
            index.append(Ellipsis)
        elif options.NewAxisMask() & bit:
            index.append(None)
        elif options.ShrinkAxisMask() & bit:
            if stride != 1 or options.BeginMask() & bit:
                raise Unsupported("a shrunk axis with a stride or without a begin is not supported")
            index.append(begin)
        else:
            first = None if options.BeginMask() & bit else begin
            last = None if options.EndMask() & bit else end
            index.append(slice(first, last, stride))
    if index.count(Ellipsis) > 1:
        raise Unsupported("more than one ellipsis is not supported")
    try:
        view = image[tuple(index) if Ellipsis in index else (*index, Ellipsis)]
    except IndexError as error:
        raise Unsupported(f"begins {begins} do not fit a tensor of shape {list(image.shape)}") from error
    return _one(image, view, outputs[0].shape)


def tile(_options: Any, inputs: list[Tensor | None], outputs: list[Tensor]) -> Movement:
    """Of TILE."""
    image = _array(_given(inputs, 0).shape)
    multiples = _integers(inputs, 1)
    if len(multiples) != image.ndim or min(multiples, default=1) < 1:
        raise Unsupported(f"multiples {multiples} for {image.ndim} axes")
    if outputs[0].shape != tuple(size * count for size, count in zip(image.shape, multiples, strict=True)):
        raise Unsupported(f"output {list(outputs[0].shape)} is not {list(image.shape)} times {multiples}")
    spread = tuple(size for pair in zip(multiples, image.shape, strict=True) for size in pair)
    singles = tuple(size for extent in image.shape for size in (1, extent))
    target = _array(outputs[0].shape)
    return Movement((_block(0, 0, image, np.broadcast_to(image.reshape(singles), spread), target, target.reshape(spread)),))


def broadcast_to(_options: Any, inputs: list[Tensor | None], outputs: list[Tensor]) -> Movement:
    """Of BROADCAST_TO."""
    image = _array(_given(inputs, 0).shape)
    try:
        view = np.broadcast_to(image, outputs[0].shape)
    except ValueError as error:
        raise Unsupported(f"input {list(image.shape)} cannot be broadcast to {list(outputs[0].shape)}") from error
    return _one(image, view, outputs[0].shape)


def reverse(_options: Any, inputs: list[Tensor | None], outputs: list[Tensor]) -> Movement:
    """Of REVERSE_V2."""
    image = _array(_given(inputs, 0).shape)
    axes = tuple(_axis(axis, image.ndim) for axis in _integers(inputs, 1))
    return _one(image, np.flip(image, axes), outputs[0].shape)


def space_to_depth(options: Any, inputs: list[Tensor | None], outputs: list[Tensor]) -> Movement:
    """Of SPACE_TO_DEPTH."""
    size = _block_size(options)
    image, target = _array(_given(inputs, 0).shape), _array(outputs[0].shape)
    rows, columns, channels = image.shape[1] // size, image.shape[2] // size, image.shape[3]
    if image.shape[1] % size or image.shape[2] % size or target.shape != (image.shape[0], rows, columns, channels * size * size):
        raise Unsupported(f"output {list(target.shape)} does not fit input {list(image.shape)} and blocks of {size}")
    read = image.reshape(-1, rows, size, columns, size, channels).transpose(0, 1, 3, 2, 4, 5)
    return Movement((_block(0, 0, image, read, target, target.reshape(read.shape)),))


def depth_to_space(options: Any, inputs: list[Tensor | None], outputs: list[Tensor]) -> Movement:
    """Of DEPTH_TO_SPACE."""
    size = _block_size(options)
    image, target = _array(_given(inputs, 0).shape), _array(outputs[0].shape)
    channels = image.shape[3] // (size * size)
    if image.shape[3] % (size * size) or target.shape != (image.shape[0], image.shape[1] * size, image.shape[2] * size, channels):
        raise Unsupported(f"output {list(target.shape)} does not fit input {list(image.shape)} and blocks of {size}")
    write = target.reshape(-1, image.shape[1], size, image.shape[2], size, channels).transpose(0, 1, 3, 2, 4, 5)
    return Movement((_block(0, 0, image, image.reshape(write.shape), target, write),))


def permuted(shape: tuple[int, ...], axes: Sequence[int]) -> Movement:
    """Of TRANSPOSE."""
    image = _array(shape)
    view = image.transpose(axes)
    return _one(image, view, view.shape)


def padded(shape: tuple[int, ...], before: Sequence[int], output: tuple[int, ...]) -> Movement:
    """The part of PAD that comes from the input."""
    image, target = _array(shape), _array(output)
    inside = target[tuple(slice(first, first + size) for first, size in zip(before, shape, strict=True))]
    return Movement((_block(0, 0, image, image, target, inside),))


def moved(movement: Movement, sources: Sequence[NDArray[Any]], shapes: Sequence[tuple[int, ...]]) -> list[NDArray[Any]]:
    """The outputs of `shapes`, all of whose elements come from `sources`."""
    dtype = sources[movement.blocks[0].source].dtype
    targets = [np.zeros(shape, dtype) for shape in shapes]
    for block in movement.blocks:
        source, target = np.ascontiguousarray(sources[block.source]).ravel(), targets[block.target].reshape(-1)
        read = as_strided(source[block.source_offset :], block.sizes, [stride * dtype.itemsize for stride in block.source_strides])
        write = as_strided(target[block.target_offset :], block.sizes, [stride * dtype.itemsize for stride in block.target_strides])
        write[...] = read
    return targets


def collapsed(sizes: Sequence[int], *strides: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Sizes and strides of the fewest axes that walk over the same places, in the same order."""
    axes: list[tuple[int, ...]] = []
    for axis in zip(sizes, *strides, strict=True):
        if axis[0] == 1:
            continue
        if axes and all(outer == inner * axis[0] for outer, inner in zip(axes[-1][1:], axis[1:], strict=True)):
            axes[-1] = (axes[-1][0] * axis[0], *axis[1:])
        else:
            axes.append(axis)
    return tuple(zip(*axes, strict=True)) if axes else ((),) * (1 + len(strides))


def strides_of(shape: Sequence[int]) -> tuple[int, ...]:
    """How many elements lie between neighbours along each axis."""
    return tuple(int(np.prod(shape[axis + 1 :], dtype=np.int64)) for axis in range(len(shape)))


def _array(shape: tuple[int, ...]) -> View:
    """Has the strides of a tensor of that shape, and no memory: it must not be read."""
    return as_strided(np.zeros(1, np.int8), shape, strides_of(shape))


def _block(source: int, target: int, image: View, read: View, output: View, write: View) -> Block:
    if read.shape != write.shape:
        raise Unsupported(f"output {list(write.shape)} should have shape {list(read.shape)}")
    if 0 in read.shape:
        raise Unsupported("nothing is left of its input")
    return Block(source, target, read.shape, _offset(image, read), read.strides, _offset(output, write), write.strides)


def _offset(whole: View, part: View) -> int:
    return int(part.__array_interface__["data"][0] - whole.__array_interface__["data"][0])


def _one(image: View, view: View, output: tuple[int, ...]) -> Movement:
    target = _array(output)
    return Movement((_block(0, 0, image, view, target, target),))


def _parts(shapes: Sequence[tuple[int, ...]], whole: tuple[int, ...], axis: int, joined: bool) -> Movement:
    """Tensors of `shapes` lie one behind the other along an axis of `whole`: they are joined, or it is split."""
    if len(shapes) > MAX_BLOCKS:
        raise Unsupported(f"{len(shapes)} parts are too many")
    blocks = []
    entire, place = _array(whole), 0
    for position, shape in enumerate(shapes):
        if len(shape) != len(whole):
            raise Unsupported(f"shapes {list(shape)} and {list(whole)} differ in rank")
        part = _array(shape)
        inside = entire[(slice(None),) * axis + (slice(place, place + shape[axis]),)]
        place += shape[axis]
        blocks.append(_block(position, 0, part, part, entire, inside) if joined else _block(0, position, entire, inside, part, part))
    if place != whole[axis]:
        raise Unsupported(f"its parts have {place} of {whole[axis]} places along axis {axis}")
    return Movement(tuple(blocks))


def _shapes(inputs: list[Tensor | None]) -> list[tuple[int, ...]]:
    return [_given(inputs, position).shape for position in range(len(inputs))]


def _given(inputs: list[Tensor | None], position: int) -> Tensor:
    return cast("Tensor", inputs[position])


def _integers(inputs: list[Tensor | None], position: int) -> list[int]:
    values = [int(value) for value in np.asarray(_given(inputs, position).data).ravel()]
    if not values:
        raise Unsupported("an operand has no value")
    return values


def _axis(axis: int, rank: int) -> int:
    if not -rank <= axis < rank:
        raise Unsupported(f"axis {axis} is not of a tensor of rank {rank}")
    return int(axis % rank)


def _block_size(options: Any) -> int:
    size = int(options.BlockSize())
    if not 1 <= size <= 4096:
        raise Unsupported(f"block size {size} is out of range")
    return size

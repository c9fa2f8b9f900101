"""Hypothesis strategies for operators that only move elements; see operator_cases.py."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from case_strategies import Draw, Edges, scales, shapes, sizes, types, zero_points
from tflite_builder import ModelBuilder


class Mover:
    """Adds tensors of one type and quantisation, and the movements between them."""

    def __init__(self, draw: Draw, builder: ModelBuilder) -> None:
        self.draw, self.builder = draw, builder
        self.dtype = draw(types)
        self.quantisation = {"scale": draw(scales), "zero_point": draw(zero_points) if self.dtype == "int8" else 0}
        if self.dtype == "int32":
            self.quantisation = {}

    def tensor(self, shape: Sequence[int], data: np.ndarray | None = None) -> int:
        return self.builder.tensor(shape, self.dtype, data=data, **self.quantisation)

    def adds(self, name: str, inputs: list[int], outputs: list[int], **options: Any) -> None:
        self.builder.operator(name, inputs, outputs, **options)

    def concatenation(self) -> Edges:
        shape, count = self.draw(shapes()), self.draw(st.integers(1, 4))
        axis = self.draw(st.integers(0, len(shape) - 1))
        lengths = [self.draw(sizes) for _ in range(count)]
        parts = [self.tensor((*shape[:axis], length, *shape[axis + 1 :])) for length in lengths]
        entries = list(parts)
        if count > 2 and self.dtype == "int8":
            constant = (*shape[:axis], 2, *shape[axis + 1 :])
            parts.insert(1, self.tensor(constant, np.random.default_rng(count).integers(-128, 128, constant)))
            lengths.append(2)
        out = self.tensor((*shape[:axis], sum(lengths), *shape[axis + 1 :]))
        self.adds("CONCATENATION", parts, [out], axis=axis - self.draw(st.sampled_from([0, len(shape)])))
        return entries, [out]

    def pack(self) -> Edges:
        shape, count = self.draw(shapes(1, 3)), self.draw(st.integers(1, 4))
        axis = self.draw(st.integers(0, len(shape)))
        parts = [self.tensor(shape) for _ in range(count)]
        out = self.tensor((*shape[:axis], count, *shape[axis:]))
        self.adds("PACK", parts, [out], axis=axis, valuesCount=count)
        return parts, [out]

    def unpack(self) -> Edges:
        shape, count = self.draw(shapes(1, 3)), self.draw(st.integers(1, 4))
        axis = self.draw(st.integers(0, len(shape)))
        whole = self.tensor((*shape[:axis], count, *shape[axis:]))
        parts = [self.tensor(shape) for _ in range(count)]
        self.adds("UNPACK", [whole], parts, axis=axis, num=count)
        return [whole], parts

    def split(self) -> Edges:
        shape, count = self.draw(shapes()), self.draw(st.integers(1, 3))
        axis = self.draw(st.integers(0, len(shape) - 1))
        whole = self.tensor((*shape[:axis], shape[axis] * count, *shape[axis + 1 :]))
        parts = [self.tensor(shape) for _ in range(count)]
        self.adds("SPLIT", [self.builder.constant(axis), whole], parts, numSplits=count)
        return [whole], parts

    def split_sizes(self) -> Edges:
        shape, lengths = self.draw(shapes()), self.draw(st.lists(sizes, min_size=1, max_size=3))
        axis = self.draw(st.integers(0, len(shape) - 1))
        whole = self.tensor((*shape[:axis], sum(lengths), *shape[axis + 1 :]))
        parts = [self.tensor((*shape[:axis], length, *shape[axis + 1 :])) for length in lengths]
        self.adds("SPLIT_V", [whole, self.builder.constant(lengths), self.builder.constant(axis)], parts, numSplits=len(lengths))
        return [whole], parts

    def slice(self) -> Edges:
        shape = self.draw(shapes())
        begins = [self.draw(st.integers(0, size - 1)) for size in shape]
        lengths = [self.draw(st.integers(1, size - begin)) for size, begin in zip(shape, begins, strict=True)]
        image, out = self.tensor(shape), self.tensor(lengths)
        to_end = [-1 if begin + length == size else length for begin, length, size in zip(begins, lengths, shape, strict=True)]
        self.adds("SLICE", [image, self.builder.constant(begins), self.builder.constant(to_end)], [out])
        return [image], [out]

    def strided_slice(self) -> Edges:
        shape = self.draw(shapes())
        index: list[Any] = []
        spec: list[tuple[int, int, int]] = []
        shrunk = begin_mask = end_mask = 0
        for axis, size in enumerate(shape):
            stride = self.draw(st.sampled_from([1, 1, 2, 3, -1, -2]))
            begin, end = sorted((self.draw(st.integers(0, size - 1)), self.draw(st.integers(0, size - 1))))
            if self.draw(st.integers(0, 4)) == 0:
                index.append(begin)
                spec.append((begin, begin + 1, 1))
                shrunk |= 1 << axis
            elif stride > 0:
                open_end = self.draw(st.booleans())
                index.append(slice(begin, None if open_end else end + 1, stride))
                spec.append((begin - self.draw(st.sampled_from([0, size])), end + 1, stride))
                end_mask |= open_end << axis
            else:
                open_begin = self.draw(st.booleans())
                index.append(slice(None if open_begin else end, begin - 1 if begin else None, stride))
                spec.append((end, begin - 1 if begin else -size - 1, stride))
                begin_mask |= open_begin << axis
        result = np.zeros(shape, np.int8)[tuple(index)].shape
        image, out = self.tensor(shape), self.tensor(result)
        operands = [self.builder.constant([entry[i] for entry in spec]) for i in range(3)]
        self.adds("STRIDED_SLICE", [image, *operands], [out], shrinkAxisMask=shrunk, beginMask=begin_mask, endMask=end_mask)
        return [image], [out]

    def tile(self) -> Edges:
        shape = self.draw(shapes(1, 3))
        multiples = [self.draw(st.integers(1, 3)) for _ in shape]
        image, out = self.tensor(shape), self.tensor([size * count for size, count in zip(shape, multiples, strict=True)])
        self.adds("TILE", [image, self.builder.constant(multiples)], [out])
        return [image], [out]

    def blocks(self) -> Edges:
        self.dtype = {"int16": "int8"}.get(self.dtype, self.dtype)
        size, rows, columns, channels = self.draw(st.integers(1, 3)), self.draw(sizes), self.draw(sizes), self.draw(sizes)
        deep, wide = self.tensor((1, rows, columns, channels * size * size)), self.tensor((1, rows * size, columns * size, channels))
        if self.draw(st.booleans()):
            self.adds("SPACE_TO_DEPTH", [wide], [deep], blockSize=size)
            return [wide], [deep]
        self.adds("DEPTH_TO_SPACE", [deep], [wide], blockSize=size)
        return [deep], [wide]

    def view(self) -> Edges:
        shape = self.draw(shapes(2, 4))
        image = self.tensor(shape)
        kind = self.draw(st.sampled_from(["RESHAPE", "EXPAND_DIMS", "SQUEEZE"]))
        if kind == "RESHAPE":
            result = (prod(shape[:2]), *shape[2:])
            out = self.tensor(result)
            self.adds(kind, [image, self.builder.constant(result)], [out], newShape=np.array(result, np.int32))
        elif kind == "EXPAND_DIMS":
            axis = self.draw(st.integers(0, len(shape)))
            out = self.tensor((*shape[:axis], 1, *shape[axis:]))
            self.adds(kind, [image, self.builder.constant(axis)], [out])
        else:
            image = self.tensor((1, *shape))
            out = self.tensor(shape)
            self.adds(kind, [image], [out], squeezeDims=np.array([0], np.int32))
        return [image], [out]

    def broadcast_to(self) -> Edges:
        shape = self.draw(shapes(1, 4))
        image = self.tensor([size if self.draw(st.booleans()) else 1 for size in shape])
        out = self.tensor(shape)
        self.adds("BROADCAST_TO", [image, self.builder.constant(shape)], [out])
        return [image], [out]

    def reverse(self) -> Edges:
        shape = self.draw(shapes(1, 4))
        # The reference takes neighbouring axes only.
        first = self.draw(st.integers(0, len(shape) - 1))
        axes = self.draw(st.permutations(range(first, self.draw(st.integers(first, len(shape) - 1)) + 1)))
        image, out = self.tensor(shape), self.tensor(shape)
        self.adds("REVERSE_V2", [image, self.builder.constant(axes)], [out])
        return [image], [out]


MOVEMENTS = (
    *("concatenation", "pack", "unpack", "split", "split_sizes", "slice", "strided_slice", "tile", "blocks", "view", "broadcast_to"),
    "reverse",
)


@st.composite
def movement(draw: Draw, builder: ModelBuilder) -> Edges:
    edges: Edges = getattr(Mover(draw, builder), draw(st.sampled_from(MOVEMENTS)))()
    return edges


@st.composite
def arrangement(draw: Draw, builder: ModelBuilder) -> Edges:
    """PAD and TRANSPOSE that nothing takes over."""
    shape = draw(shapes(1, 5))
    scale, point = draw(scales), draw(zero_points)
    values = builder.tensor(shape, scale=scale, zero_point=point)
    if draw(st.booleans()) and len(shape) < 5:
        amounts = [(draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in shape]
        result = [size + before + after for size, (before, after) in zip(shape, amounts, strict=True)]
        out = builder.tensor(result, scale=scale, zero_point=point)
        builder.operator("PAD", [values, builder.constant(amounts)], [out])
    else:
        axes = draw(st.permutations(range(len(shape))))
        out = builder.tensor([shape[axis] for axis in axes], scale=scale, zero_point=point)
        builder.operator("TRANSPOSE", [values, builder.constant(axes)], [out])
    return [values], [out]

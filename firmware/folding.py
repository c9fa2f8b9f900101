"""What an operator computes from constants and shapes alone, before there is any code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from hilnas.firmware.graph import Movement, Operator, Tensor
from hilnas.firmware.movement import moved

VIEWS = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")
"""Operators that leave all bytes where they are."""


def folded(operator: Operator, tensors: Sequence[Tensor]) -> list[NDArray[Any]] | None:
    """The values of its outputs, None where they are not known before the model runs."""
    outputs = [tensors[index] for index in operator.outputs]
    if operator.op == "SHAPE":
        return [np.array(tensors[cast("int", operator.inputs[0])].shape, outputs[0].dtype)]
    sources = [None if index is None else tensors[index].data for index in operator.inputs]
    if operator.op in VIEWS and sources[0] is not None and sources[0].size == outputs[0].elements:
        return [sources[0].reshape(outputs[0].shape)]
    if isinstance(operator.attributes, Movement):
        read = {block.source for block in operator.attributes.blocks}
        if all(sources[position] is not None for position in read):
            return moved(operator.attributes, cast("list[NDArray[Any]]", sources), [output.shape for output in outputs])
    return None

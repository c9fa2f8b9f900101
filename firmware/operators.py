"""The operators that the engine knows: one table that says what each supports, from which the reader, its errors and the
documentation are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hilnas.firmware import operator_attributes as attributes
from hilnas.firmware import operator_checks as checks
from hilnas.firmware.graph import Attributes, Graph, Operator, Tensor


@dataclass(frozen=True)
class Argument:
    """What an operator takes at one position. `ranks` empty: any rank."""

    role: str
    dtypes: tuple[str, ...] = ("int8",)
    constant: bool = False
    optional: bool = False
    ranks: tuple[int, ...] = ()
    per_channel: bool = False


@dataclass(frozen=True)
class OperatorSpec:
    """What the engine supports of a TFLite operator.

    `attributes` makes the typed attributes from the file's options (None where the file has none) and the tensors;
    `problems` says in words what is wrong with an operator whose arguments are right.
    """

    name: str
    inputs: tuple[Argument, ...]
    outputs: tuple[Argument, ...]
    options: str | None
    attributes: Callable[[Any, list[Tensor | None], list[Tensor]], Attributes]
    problems: Callable[[Graph, Operator], Iterator[str]]
    note: str = ""


_IMAGE = Argument("image", ranks=(4,))
_ANY = Argument("values")
_BIAS = Argument("bias", ("int32",), constant=True, optional=True, per_channel=True)


def _constant(role: str, dtypes: tuple[str, ...] = ("int32", "int64")) -> Argument:
    return Argument(role, dtypes, constant=True)


def _weights(rank: int, per_channel: bool = True) -> Argument:
    return Argument("weights", constant=True, ranks=(rank,), per_channel=per_channel)


_CONVOLUTION = (_IMAGE, _weights(4), _BIAS)

TABLE: dict[str, OperatorSpec] = {
    spec.name: spec
    for spec in (
        OperatorSpec("ADD", (_ANY, _ANY), (_ANY,), "AddOptions", attributes.activated, checks.add_problems, "equal shapes"),
        OperatorSpec("AVERAGE_POOL_2D", (_IMAGE,), (_IMAGE,), "Pool2DOptions", attributes.pooling, checks.pooling_problems),
        OperatorSpec("CONV_2D", _CONVOLUTION, (_IMAGE,), "Conv2DOptions", attributes.convolution, checks.convolution_problems, "no groups"),
        OperatorSpec(
            "DEPTHWISE_CONV_2D", _CONVOLUTION, (_IMAGE,), "DepthwiseConv2DOptions", attributes.convolution, checks.convolution_problems
        ),
        OperatorSpec(
            "DEQUANTIZE",
            (_ANY,),
            (Argument("values", ("float32",)),),
            None,
            attributes.plain,
            checks.same_elements,
            "at an output of the model",
        ),
        OperatorSpec(
            "FULLY_CONNECTED",
            (_ANY, _weights(2), _BIAS),
            (_ANY,),
            "FullyConnectedOptions",
            attributes.fully_connected,
            checks.fully_connected_problems,
        ),
        OperatorSpec("MAX_POOL_2D", (_IMAGE,), (_IMAGE,), "Pool2DOptions", attributes.pooling, checks.pooling_problems),
        OperatorSpec(
            "MEAN", (_ANY, _constant("axes")), (_ANY,), None, attributes.reduction, checks.reduction_problems, "neighbouring axes"
        ),
        OperatorSpec(
            "PAD", (Argument("values", ranks=(1, 2, 3, 4)), _constant("paddings")), (_ANY,), None, attributes.pad, checks.pad_problems
        ),
        OperatorSpec(
            "QUANTIZE",
            (Argument("values", ("int8", "int16", "uint8", "float32")),),
            (Argument("values", ("int8", "int32", "uint8")),),
            None,
            attributes.plain,
            checks.quantize_problems,
            "float32 and uint8 at the edges of the model; int8 to int8, int16 to int8 and int16 to int32",
        ),
        OperatorSpec(
            "RESHAPE", (_ANY, Argument("shape", ("int32",), optional=True)), (_ANY,), None, attributes.plain, checks.reshape_problems
        ),
        OperatorSpec(
            "SOFTMAX", (_ANY,), (Argument("values", ("int8", "int16")),), "SoftmaxOptions", attributes.softmax, checks.softmax_problems
        ),
        OperatorSpec(
            "SVDF",
            (
                Argument("values", ranks=(2,)),
                _weights(2, per_channel=False),
                Argument("time weights", ("int8",), constant=True, ranks=(2,)),
                Argument("bias", ("int32",), constant=True, optional=True),
                Argument("state", ("int8",)),
            ),
            (_ANY,),
            "SVDFOptions",
            attributes.svdf,
            checks.svdf_problems,
        ),
        OperatorSpec(
            "TRANSPOSE",
            (Argument("values", ranks=(1, 2, 3, 4)), _constant("permutation")),
            (_ANY,),
            None,
            attributes.permutation,
            checks.permutation_problems,
        ),
    )
}
"""Every supported operator by its TFLite name."""


def argument_problems(spec: OperatorSpec, inputs: list[Tensor | None], outputs: list[Tensor]) -> Iterator[str]:
    """What is wrong with the number, types and ranks of an operator's arguments."""
    if len(inputs) > len(spec.inputs) or len(outputs) != len(spec.outputs):
        yield f"{len(inputs)} inputs and {len(outputs)} outputs, at most {len(spec.inputs)} and exactly {len(spec.outputs)} are supported"
        return
    padded = inputs + [None] * (len(spec.inputs) - len(inputs))
    for argument, tensor in (*zip(spec.inputs, padded, strict=True), *zip(spec.outputs, outputs, strict=True)):
        if tensor is None:
            if not argument.optional:
                yield f"its {argument.role} is missing"
            continue
        where = f"{argument.role} {tensor.name!r}"
        if tensor.dtype not in argument.dtypes:
            yield f"{where} is {tensor.dtype}, supported: {', '.join(argument.dtypes)}"
            continue
        if argument.ranks and len(tensor.shape) not in argument.ranks:
            yield f"{where} has {len(tensor.shape)} dimensions, supported: {', '.join(map(str, argument.ranks))}"
        if argument.constant and tensor.data is None:
            yield f"{where} is not a constant"
        if tensor.dtype in ("int8", "int16", "uint8") and tensor.quantization is None:
            yield f"{where} has no scale"
        if tensor.quantization is not None and tensor.quantization.per_channel and not argument.per_channel:
            yield f"{where} has a scale for each channel"

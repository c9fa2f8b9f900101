"""The operators that the engine knows: one table that says what each supports, from which the reader, its errors and the
documentation are made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from hilnas.firmware import implied, movement
from hilnas.firmware import operator_attributes as attributes
from hilnas.firmware import operator_checks as checks
from hilnas.firmware.graph import ITEM_SIZES, Attributes, Graph, Operator, Tensor

Agreement = Callable[[list[int], list[Tensor | None], list[Tensor]], bool]
"""Whether the values of a constant fit an operator's inputs and outputs."""


@dataclass(frozen=True)
class Argument:
    """What an operator takes at one position. `ranks` empty: any rank.

    `implied`: the output's shape says it, and whether a constant agrees with that. `repeated`: any number of it.
    """

    role: str
    dtypes: tuple[str, ...] = ("int8",)
    constant: bool = False
    optional: bool = False
    ranks: tuple[int, ...] = ()
    per_channel: bool = False
    implied: Agreement | None = None
    repeated: bool = False


@dataclass(frozen=True)
class OperatorSpec:
    """What the engine supports of a TFLite operator.

    `attributes` makes the typed attributes from the file's options (None where the file has none) and the tensors;
    `problems` says in words what is wrong with an operator whose arguments are right. `order`: the engine has the image first, then
    the weights; these are their positions in the file where that differs. `has_intermediates`: `attributes` gets behind the outputs
    what the file calls intermediate tensors.
    """

    name: str
    inputs: tuple[Argument, ...]
    outputs: tuple[Argument, ...]
    options: str | None
    attributes: Callable[[Any, list[Tensor | None], list[Tensor]], Attributes]
    problems: Callable[[Graph, Operator], Iterator[str]]
    note: str = ""
    order: tuple[int, ...] = ()
    has_intermediates: bool = False

    @property
    def implied(self) -> frozenset[int]:
        """The positions of inputs that the output's shape says."""
        return frozenset(position for position, argument in enumerate(self.inputs) if argument.implied is not None)


_ALL_TYPES = tuple(ITEM_SIZES)
_IMAGE = Argument("image", ranks=(4,))
_VALUES = Argument("values")
_ANYTHING = Argument("values", _ALL_TYPES)
_PARTS = Argument("values", _ALL_TYPES, repeated=True)
_BIAS = Argument("bias", ("int32",), constant=True, optional=True, per_channel=True)


def _constant(role: str, dtypes: tuple[str, ...] = ("int32", "int64")) -> Argument:
    return Argument(role, dtypes, constant=True)


def _implied(role: str, agrees: Agreement) -> Argument:
    return Argument(role, _ALL_TYPES, optional=True, implied=agrees)


def _weights(rank: int, per_channel: bool = True) -> Argument:
    return Argument("weights", constant=True, ranks=(rank,), per_channel=per_channel)


_CONVOLUTION = (_IMAGE, _weights(4), _BIAS)
_EACH = ((_VALUES, _VALUES), (_VALUES,))
_ONE = ((_VALUES,), (_VALUES,))
_REDUCED = ((_VALUES, _constant("axes")), (_VALUES,))


def _absent(role: str, count: int) -> tuple[Argument, ...]:
    """Arguments that must not be there."""
    return (Argument(role, (), optional=True),) * count


def _unary(name: str) -> OperatorSpec:
    return OperatorSpec(name, *_ONE, None, attributes.plain, checks.unary_problems)


def _moving(
    name: str,
    inputs: tuple[Argument, ...],
    options: str | None,
    work: Callable[[Any, list[Tensor | None], list[Tensor]], Attributes],
    outputs: Argument = _ANYTHING,
    note: str = "",
) -> OperatorSpec:
    return OperatorSpec(name, inputs, (outputs,), options, work, checks.movement_problems, note)


_SPECS = (
    OperatorSpec("ADD", *_EACH, "AddOptions", attributes.activated, checks.add_problems),
    OperatorSpec("AVERAGE_POOL_2D", (_IMAGE,), (_IMAGE,), "Pool2DOptions", attributes.pooling, checks.pooling_problems),
    _moving("BROADCAST_TO", (_ANYTHING, _implied("shape", implied.shape)), None, movement.broadcast_to),
    _moving("CONCATENATION", (_PARTS,), "ConcatenationOptions", movement.concatenation, note="parts of one scale"),
    OperatorSpec("CONV_2D", _CONVOLUTION, (_IMAGE,), "Conv2DOptions", attributes.convolution, checks.convolution_problems),
    _moving("DEPTH_TO_SPACE", (Argument("image", _ALL_TYPES, ranks=(4,)),), "DepthToSpaceOptions", movement.depth_to_space),
    OperatorSpec(
        "DEPTHWISE_CONV_2D", _CONVOLUTION, (_IMAGE,), "DepthwiseConv2DOptions", attributes.convolution, checks.convolution_problems
    ),
    OperatorSpec(
        "DEQUANTIZE", (_VALUES,), (Argument("values", ("float32",)),), None, attributes.plain, checks.same_elements, "at an output"
    ),
    OperatorSpec(
        "EXPAND_DIMS", (_ANYTHING, _implied("axis", implied.new_axis)), (_ANYTHING,), None, attributes.plain, checks.reshape_problems
    ),
    OperatorSpec(
        "FULLY_CONNECTED",
        (_VALUES, _weights(2), _BIAS),
        (_VALUES,),
        "FullyConnectedOptions",
        attributes.fully_connected,
        checks.fully_connected_problems,
    ),
    OperatorSpec("HARD_SWISH", *_ONE, None, attributes.plain, checks.hard_swish_problems),
    OperatorSpec("LEAKY_RELU", *_ONE, "LeakyReluOptions", attributes.leaky_relu, checks.unary_problems),
    _unary("LOGISTIC"),
    OperatorSpec("LOG_SOFTMAX", *_ONE, None, attributes.plain, checks.log_softmax_problems),
    OperatorSpec("MAXIMUM", *_EACH, None, attributes.plain, checks.elementwise_problems),
    OperatorSpec("MAX_POOL_2D", (_IMAGE,), (_IMAGE,), "Pool2DOptions", attributes.pooling, checks.pooling_problems),
    OperatorSpec("MEAN", *_REDUCED, None, attributes.reduction, checks.mean_problems),
    OperatorSpec("MINIMUM", *_EACH, None, attributes.plain, checks.elementwise_problems),
    OperatorSpec("MUL", *_EACH, "MulOptions", attributes.activated, checks.multiply_problems),
    _moving("PACK", (_PARTS,), "PackOptions", movement.pack),
    OperatorSpec(
        "PAD",
        (Argument("values", ranks=(1, 2, 3, 4)), _constant("paddings")),
        (_VALUES,),
        None,
        attributes.pad,
        checks.pad_problems,
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
    OperatorSpec("REDUCE_MAX", *_REDUCED, None, attributes.reduction, checks.extremum_problems),
    OperatorSpec("REDUCE_MIN", *_REDUCED, None, attributes.reduction, checks.extremum_problems),
    _unary("RELU"),
    _unary("RELU6"),
    _unary("RELU_0_TO_1"),
    _unary("RELU_N1_TO_1"),
    OperatorSpec(
        "RESHAPE", (_ANYTHING, _implied("shape", implied.shape_but_one)), (_ANYTHING,), None, attributes.plain, checks.reshape_problems
    ),
    OperatorSpec(
        "RESIZE_BILINEAR",
        (_IMAGE, _implied("size", implied.image_size)),
        (_IMAGE,),
        "ResizeBilinearOptions",
        attributes.resize,
        checks.resize_problems,
    ),
    OperatorSpec(
        "RESIZE_NEAREST_NEIGHBOR",
        (_IMAGE, _implied("size", implied.image_size)),
        (_IMAGE,),
        "ResizeNearestNeighborOptions",
        attributes.resize,
        checks.resize_problems,
    ),
    _moving("REVERSE_V2", (_ANYTHING, _constant("axes")), None, movement.reverse),
    OperatorSpec(
        "SHAPE",
        (_ANYTHING,),
        (Argument("shape", ("int32", "int64")),),
        None,
        attributes.plain,
        checks.nothing_wrong,
        "folded: the engine knows all shapes",
    ),
    _moving("SLICE", (_ANYTHING, _constant("begin"), _constant("size")), None, movement.slice_),
    OperatorSpec(
        "SOFTMAX", (_VALUES,), (Argument("values", ("int8", "int16")),), "SoftmaxOptions", attributes.softmax, checks.softmax_problems
    ),
    _moving("SPACE_TO_DEPTH", (Argument("image", _ALL_TYPES, ranks=(4,)),), "SpaceToDepthOptions", movement.space_to_depth),
    _moving("SPLIT", (_constant("axis", ("int32",)), _ANYTHING), None, movement.split, _PARTS),
    _moving(
        "SPLIT_V", (_ANYTHING, _implied("sizes", implied.part_sizes), _constant("axis", ("int32",))), None, movement.split_sizes, _PARTS
    ),
    OperatorSpec("SQUEEZE", (_ANYTHING,), (_ANYTHING,), None, attributes.plain, checks.reshape_problems),
    _moving(
        "STRIDED_SLICE",
        (_ANYTHING, _constant("begins", ("int32",)), _constant("ends", ("int32",)), _constant("strides", ("int32",))),
        "StridedSliceOptions",
        movement.strided_slice,
    ),
    OperatorSpec("SUB", *_EACH, "SubOptions", attributes.activated, checks.add_problems),
    OperatorSpec(
        "SVDF",
        (
            Argument("values", ranks=(2,)),
            _weights(2, per_channel=False),
            Argument("time weights", ("int8", "int16"), constant=True, ranks=(2,)),
            Argument("bias", ("int32",), constant=True, optional=True),
            Argument("state", ("int8", "int16")),
        ),
        (_VALUES,),
        "SVDFOptions",
        attributes.svdf,
        checks.svdf_problems,
        "state and time weights both of int8 or both of int16",
    ),
    _unary("TANH"),
    _moving("TILE", (_ANYTHING, _constant("multiples")), None, movement.tile),
    OperatorSpec(
        "TRANSPOSE",
        (Argument("values", ranks=(1, 2, 3, 4, 5, 6)), _constant("permutation")),
        (_VALUES,),
        None,
        attributes.permutation,
        checks.permutation_problems,
    ),
    OperatorSpec(
        "TRANSPOSE_CONV",
        (_implied("output shape", implied.shape), _weights(4), _IMAGE, _BIAS),
        (_IMAGE,),
        "TransposeConvOptions",
        attributes.transposed_convolution,
        checks.transposed_convolution_problems,
        order=(2, 1, 3),
    ),
    OperatorSpec(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        (
            Argument("values", ranks=(3,)),
            *(_weights(2, per_channel=False),) * 8,
            *_absent("peephole", 3),
            *(Argument("bias", ("int32",), constant=True, ranks=(1,)),) * 4,
            *_absent("projection", 2),
            Argument("hidden state", ("int8",)),
            Argument("cells", ("int16",)),
            *_absent("layer normalisation", 4),
        ),
        (_VALUES,),
        "UnidirectionalSequenceLSTMOptions",
        attributes.lstm,
        checks.lstm_problems,
        "a batch of 1; neither peepholes nor projection nor layer normalisation nor coupled gates",
        has_intermediates=True,
    ),
    _moving("UNPACK", (_ANYTHING,), "UnpackOptions", movement.unpack, _PARTS),
)

TABLE: dict[str, OperatorSpec] = {spec.name: spec for spec in _SPECS}
"""Every supported operator by its TFLite name."""


def argument_problems(spec: OperatorSpec, inputs: list[Tensor | None], outputs: list[Tensor]) -> Iterator[str]:
    """What is wrong with the number, types and ranks of an operator's arguments."""
    operands, results = _repeated(spec.inputs, len(inputs)), _repeated(spec.outputs, len(outputs))
    if len(inputs) > len(operands) or len(outputs) != len(results):
        yield f"{len(inputs)} inputs and {len(outputs)} outputs, at most {len(operands)} and exactly {len(results)} are supported"
        return
    padded = [*inputs, *[None] * (len(operands) - len(inputs))]
    for argument, tensor in (*zip(operands, padded, strict=True), *zip(results, outputs, strict=True)):
        if argument.implied is None:
            yield from _argument_problems(argument, tensor)
    for argument, tensor in zip(operands, inputs, strict=False):
        if argument.implied is not None and tensor is None:
            yield f"its {argument.role} is no tensor"
        elif argument.implied is not None and tensor is not None and tensor.data is not None:
            values = [int(value) for value in tensor.data.ravel()]
            if not argument.implied(values, inputs, outputs):
                yield f"its {argument.role} {values} is not that of its output {', '.join(str(list(output.shape)) for output in outputs)}"


def _repeated(arguments: tuple[Argument, ...], count: int) -> tuple[Argument, ...]:
    """The arguments that `count` tensors are meant for."""
    missing = count - len(arguments) if arguments[-1].repeated else 0
    return arguments + arguments[-1:] * missing


def _argument_problems(argument: Argument, tensor: Tensor | None) -> Iterator[str]:
    if tensor is None:
        if not argument.optional:
            yield f"its {argument.role} is missing"
        return
    where = f"{argument.role} {tensor.name!r}"
    if tensor.dtype not in argument.dtypes:
        yield f"{where} is {tensor.dtype}, supported: {', '.join(argument.dtypes) or 'none'}"
        return
    if tensor.elements == 0:
        yield f"{where} has shape {list(tensor.shape)}: nothing is in it"
    if argument.ranks and len(tensor.shape) not in argument.ranks:
        yield f"{where} has {len(tensor.shape)} dimensions, supported: {', '.join(map(str, argument.ranks))}"
    if argument.constant and tensor.data is None:
        yield f"{where} is not a constant"
    if tensor.dtype in ("int8", "int16", "uint8") and tensor.quantization is None:
        yield f"{where} has no scale"
    if tensor.quantization is not None and tensor.quantization.per_channel and not argument.per_channel:
        yield f"{where} has a scale for each channel"

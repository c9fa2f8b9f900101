"""Writes docs/operators.md from the table of operators: python -m hilnas.firmware.operator_page > docs/operators.md"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from hilnas.firmware.graph import ITEM_SIZES
from hilnas.firmware.operators import TABLE, Argument, OperatorSpec

_INTRODUCTION = """\
# Operators

What the engine supports of TensorFlow Lite's operators; `firmware/operators.py` holds the table that this page, the reader and its errors
are made from. Each is bit-exact with the reference kernels (`BUILTIN_REF` of ai-edge-litert) over generated models
(`tests/firmware/test_operators.py`): on this computer, and on the emulated core with the kernels that it gets.

- Activations are int8 with one scale; weights are int8 with zero point 0, and one scale or one for each output channel.
- Fused activations NONE, RELU, RELU6 and RELU_N1_TO_1, where an operator has one.
- Convolutions: any stride, SAME, VALID or a PAD before them, dilation, groups, depth multipliers, odd numbers of channels.
- Batches: each image of a batch by itself. Up to six dimensions.
- Models have several inputs and outputs; float32 and uint8 at their edges give way to the int8 tensors behind QUANTIZE and DEQUANTIZE.
- What only says a shape (SHAPE, PACK of sizes ...) is folded: the engine knows all shapes. Shapes that change are not supported.
- State (of SVDF and UNIDIRECTIONAL_SEQUENCE_LSTM) is kept from one inference to the next.

The reference kernel of SVDF takes any state for int16 and writes behind the end of one of int8, as TensorFlow Lite Micro's models have it.
There the engine is compared with `tflite/svdf.py`, which for a state of int16 equals the reference kernel (`tests/tflite/test_svdf.py`); a
measurement's provenance says so under `reference`.

| operator | inputs | outputs | |
|---|---|---|---|
"""


def page() -> str:
    """The whole page."""
    return _INTRODUCTION + "".join(_row(TABLE[name]) for name in sorted(TABLE))


def _row(spec: OperatorSpec) -> str:
    inputs, outputs = (", ".join(_counted(arguments)) for arguments in (spec.inputs, spec.outputs))
    return f"| {spec.name} | {inputs} | {outputs} | {spec.note} |\n"


def _counted(arguments: tuple[Argument, ...]) -> Iterator[str]:
    for argument, group in groupby(argument for argument in arguments if argument.dtypes):
        count = len(list(group))
        yield f"{count} x {_described(argument)}" if count > 1 else _described(argument)


def _described(argument: Argument) -> str:
    if argument.implied:
        return f"{argument.role} (the output's shape says it)"
    types = "any type" if len(argument.dtypes) == len(ITEM_SIZES) else " or ".join(argument.dtypes)
    words = [
        f"{argument.role}{' ...' if argument.repeated else ''}: {'constant ' if argument.constant else ''}{types}",
        f"{argument.ranks[0]}-D" if len(argument.ranks) == 1 else "",
        f"up to {argument.ranks[-1]}-D" if len(argument.ranks) > 1 else "",
        "optional" if argument.optional else "",
    ]
    return " ".join(word for word in words if word)


if __name__ == "__main__":
    print(page(), end="")

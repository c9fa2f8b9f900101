"""A torch module computed by TensorFlow: what the converter to TensorFlow Lite reads.

The module is traced with torch.fx and its layers are mirrored one by one, channels last, with every BatchNorm folded in
float64 into the layer before it. The tables at the end are the vocabulary that can be exported.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx, nn

from hilnas.errors import InputError
from hilnas.nas.layers import GlobalAveragePool, SameConv2d, same_padding

Parameters = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Weight in torch's layout, and bias."""


@dataclass(frozen=True)
class Value:
    """A tensor on its way through the mirror: (1, H, W, C) or (1, C). `flattened` is the (H, W, C) it was flattened from."""

    tensor: Any
    flattened: tuple[int, ...] = ()


class _Unsupported(Exception):  # noqa: N818 - becomes one line of an InputError
    """Why one layer cannot be exported."""


class Mirror:
    """The TensorFlow function of a torch module in eval mode.

    Raises:
        InputError: layers outside the vocabulary, all of them named at once.
    """

    def __init__(self, module: nn.Module) -> None:
        tracer = _Tracer()
        root = nn.Sequential(module) if tracer.is_leaf_module(module, "") else module
        self.graph = tracer.trace(root.eval())
        self.modules: dict[str, nn.Module] = dict(root.named_modules())
        self._folds = {node: norm for node in self.graph.nodes if (norm := self._norm_behind(node)) is not None}
        unsupported = [reason for node in self.graph.nodes if (reason := self._unsupported(node))]
        if unsupported:
            raise _refused(unsupported)

    def __call__(self, images: Any) -> tuple[Any, ...]:
        """Images (1, H, W, C) -> the module's outputs, while TensorFlow traces."""
        import tensorflow as tf

        values: dict[fx.Node, Value] = {}
        problems: list[str] = []
        for node in self.graph.nodes:
            if node.op == "placeholder":
                values[node] = Value(images)
            elif node.op == "output":
                if problems:
                    raise _refused(problems)
                outputs = node.args[0] if isinstance(node.args[0], tuple | list) else (node.args[0],)
                return tuple(values[output].tensor for output in outputs)
            elif all(source in values for source in node.all_input_nodes):
                try:
                    with tf.name_scope(_scope(node)):
                        values[node] = self._apply(node, values)
                except _Unsupported as reason:
                    problems.append(f"{self._describe(node)}: {reason}")
        raise AssertionError("a traced graph ends with its output")

    def _apply(self, node: fx.Node, values: dict[fx.Node, Value]) -> Value:
        if node.op != "call_module":
            operands: Any = fx.node.map_arg(node.args, lambda source: cast(Any, values[source]))
            return _FUNCTIONS[node.target](*operands, **node.kwargs)
        source, module = values[node.all_input_nodes[0]], self._module(node)
        if type(module) in _WEIGHTED:
            return _WEIGHTED[type(module)](source, module, self._parameters(node, module))
        return source if node in self._folded else _LAYERS[type(module)](source, module)

    @property
    def _folded(self) -> set[fx.Node]:
        return set(self._folds.values())

    def _parameters(self, node: fx.Node, module: Any) -> Parameters:
        """The weight and bias of a layer with the BatchNorm behind it folded in."""
        weight = module.weight.detach().double().numpy()
        bias = np.zeros(len(weight)) if module.bias is None else module.bias.detach().double().numpy()
        norm = self._folds.get(node)
        return (weight, bias) if norm is None else _fold(weight, bias, self._module(norm))

    def _norm_behind(self, node: fx.Node) -> fx.Node | None:
        """The BatchNorm that alone reads a layer with weights."""
        if node.op != "call_module" or type(self._module(node)) not in _WEIGHTED or len(node.users) != 1:
            return None
        user = next(iter(node.users))
        return user if user.op == "call_module" and isinstance(self._module(user), nn.BatchNorm2d | nn.BatchNorm1d) else None

    def _module(self, node: fx.Node) -> nn.Module:
        return self.modules[str(node.target)]

    def _unsupported(self, node: fx.Node) -> str | None:
        if node.op == "call_module":
            known = type(self._module(node)) in _WEIGHTED or type(self._module(node)) in _LAYERS or node in self._folded
        elif node.op in ("call_function", "call_method"):
            known = node.target in _FUNCTIONS
        else:
            known = node.op in ("placeholder", "output")
        return None if known else f"{self._describe(node)}: not supported"

    def _describe(self, node: fx.Node) -> str:
        if node.op == "call_module":
            return f"{node.target} ({type(self._module(node)).__name__})"
        return f"{node.name} ({getattr(node.target, '__name__', node.target)})"


class _Tracer(fx.Tracer):
    """Traces down to the vocabulary: torch's own layers and ours."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, SameConv2d | GlobalAveragePool) or super().is_leaf_module(m, module_qualified_name)


def _scope(node: fx.Node) -> str:
    """The layer's name, for the tensors of the file: without its position in a Sequential."""
    name = str(node.target) if node.op == "call_module" else node.name
    return ".".join(part for part in name.split(".") if not part.isdigit()) or "layer" + name.replace(".", "_")


def _refused(problems: list[str]) -> InputError:
    return InputError(f"the network cannot be exported: {'; '.join(problems)}", "See hilnas.export.mirror for the layers that can be.")


def _fold(weight: NDArray[np.float64], bias: NDArray[np.float64], norm: Any) -> Parameters:
    """Folds a BatchNorm in eval mode: w' = w g / s, b' = (b - m) g / s + beta, with s the standard deviation."""
    mean, variance = norm.running_mean.double().numpy(), norm.running_var.double().numpy()
    scale = 1.0 / np.sqrt(variance + norm.eps)
    shift = np.zeros_like(mean)
    if norm.affine:
        scale, shift = scale * norm.weight.detach().double().numpy(), norm.bias.detach().double().numpy()
    return weight * scale.reshape(-1, *[1] * (weight.ndim - 1)), (bias - mean) * scale + shift


def _convolution(source: Value, module: SameConv2d | nn.Conv2d, parameters: Parameters) -> Value:
    import tensorflow as tf

    weight, bias = (array.astype(np.float32) for array in parameters)
    channels, strides = source.tensor.shape[-1], _pair(module.stride)
    padding = "SAME" if isinstance(module, SameConv2d) else _padding(module, source.tensor.shape)
    if module.groups == 1:
        result = tf.nn.conv2d(source.tensor, weight.transpose(2, 3, 1, 0), strides, padding)
    elif module.groups == channels:
        # torch keeps the outputs of one input channel together, as TensorFlow's (H, W, in, multiplier) does.
        kernel = weight.reshape(channels, -1, *weight.shape[2:]).transpose(2, 3, 0, 1)
        result = tf.nn.depthwise_conv2d(source.tensor, kernel, (1, *strides, 1), padding)
    else:
        raise _Unsupported(f"{module.groups} groups of {channels} channels")
    return Value(tf.nn.bias_add(result, bias))


def _padding(module: nn.Conv2d, shape: Any) -> str:
    """TensorFlow's name of a torch convolution's padding."""
    if module.dilation != (1, 1) or module.padding_mode != "zeros":
        raise _Unsupported("dilation or another padding than zeros")
    if module.padding in ("same", "valid"):
        if module.padding == "same" and any(size % 2 == 0 for size in module.kernel_size):
            raise _Unsupported("an even kernel with padding 'same'")
        return str(module.padding).upper()
    if set(module.padding) == {0}:
        return "VALID"
    sizes = zip(shape[1:3], module.kernel_size, module.stride, module.padding, strict=True)
    if all(same_padding(size, kernel, stride) == (pad, pad) for size, kernel, stride, pad in sizes):
        return "SAME"
    raise _Unsupported(f"padding {module.padding} is not TensorFlow's SAME; use hilnas.nas.layers.SameConv2d")


def _linear(source: Value, module: nn.Linear, parameters: Parameters) -> Value:
    import tensorflow as tf

    weight, bias = (array.astype(np.float32) for array in parameters)
    if source.flattened:
        height, width, channels = source.flattened
        weight = weight.reshape(-1, channels, height, width).transpose(0, 2, 3, 1).reshape(len(weight), -1)
    if source.tensor.shape.rank != 2:
        raise _Unsupported(f"a linear layer on a tensor of {source.tensor.shape.rank} dimensions; flatten it first")
    return Value(tf.nn.bias_add(tf.matmul(source.tensor, weight.T), bias))


def _relu(source: Value, module: nn.Module) -> Value:
    import tensorflow as tf

    return Value(tf.nn.relu(source.tensor), source.flattened)


def _relu6(source: Value, module: nn.Module) -> Value:
    import tensorflow as tf

    return Value(tf.nn.relu6(source.tensor), source.flattened)


def _same(source: Value, module: nn.Module) -> Value:
    return source


def _global_average(source: Value, module: nn.Module) -> Value:
    import tensorflow as tf

    if isinstance(module, nn.AdaptiveAvgPool2d) and module.output_size not in (1, (1, 1)):
        raise _Unsupported(f"an adaptive pool to {module.output_size}; only to 1")
    return Value(tf.reduce_mean(source.tensor, axis=(1, 2), keepdims=isinstance(module, nn.AdaptiveAvgPool2d)))


def _pool(source: Value, module: Any) -> Value:
    import tensorflow as tf

    padded = _pair(module.padding) != (0, 0)
    if padded or module.ceil_mode or _pair(getattr(module, "dilation", 1)) != (1, 1) or getattr(module, "divisor_override", None):
        raise _Unsupported("padding, ceil_mode, dilation or divisor_override")
    pool = tf.nn.max_pool2d if isinstance(module, nn.MaxPool2d) else tf.nn.avg_pool2d
    return Value(pool(source.tensor, _pair(module.kernel_size), _pair(module.stride), "VALID"))


def _zero_pad(source: Value, module: nn.ZeroPad2d) -> Value:
    import tensorflow as tf

    left, right, top, bottom = module.padding
    return Value(tf.pad(source.tensor, ((0, 0), (top, bottom), (left, right), (0, 0))))


def _flatten_layer(source: Value, module: nn.Flatten) -> Value:
    return _flatten(source, module.start_dim, module.end_dim)


def _flatten(source: Value, start_dim: int = 0, end_dim: int = -1) -> Value:
    import tensorflow as tf

    shape = tuple(source.tensor.shape)
    if start_dim != 1 or end_dim not in (-1, len(shape) - 1):
        raise _Unsupported(f"flattening dimensions {start_dim} to {end_dim}; only all behind the batch")
    if len(shape) == 2:
        return source
    return Value(tf.reshape(source.tensor, (1, int(np.prod(shape[1:])))), shape[1:])


def _add(first: Value, second: Value) -> Value:
    import tensorflow as tf

    if not (isinstance(first, Value) and isinstance(second, Value)) or first.tensor.shape != second.tensor.shape:
        raise _Unsupported("only two tensors of the same shape can be added")
    return Value(tf.add(first.tensor, second.tensor), first.flattened)


def _concatenate(parts: list[Value], dim: int = 0) -> Value:
    import tensorflow as tf

    if dim != 1 or any(part.flattened for part in parts):
        raise _Unsupported("concatenation along another dimension than the channels, or of flattened images")
    return Value(tf.concat([part.tensor for part in parts], axis=-1))


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


_WEIGHTED: dict[type, Callable[..., Value]] = {SameConv2d: _convolution, nn.Conv2d: _convolution, nn.Linear: _linear}
_LAYERS: dict[type, Callable[..., Value]] = {
    nn.ReLU: _relu,
    nn.ReLU6: _relu6,
    nn.Identity: _same,
    nn.Dropout: _same,
    nn.Flatten: _flatten_layer,
    nn.MaxPool2d: _pool,
    nn.AvgPool2d: _pool,
    nn.AdaptiveAvgPool2d: _global_average,
    GlobalAveragePool: _global_average,
    nn.ZeroPad2d: _zero_pad,
}
_FUNCTIONS: dict[Any, Callable[..., Value]] = {
    operator.add: _add,
    torch.add: _add,
    "add": _add,
    torch.cat: _concatenate,
    torch.flatten: _flatten,
    "flatten": _flatten,
}

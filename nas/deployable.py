"""A trained convolutional child without concatenations and BatchNorms, as engines for microcontrollers like it.

A convolution over several images side by side is the sum of the convolutions over each of them, so that no joined image has
to be in memory. The function is the child's, exactly.
"""

from __future__ import annotations

from functools import reduce
from operator import add

import torch
from torch import Tensor, nn

from hilnas.nas.children import ConvolutionalChild
from hilnas.nas.layers import GlobalAveragePool, SameConv2d
from hilnas.nas.spaces.convolutional import CONVOLUTION, POOLING


class DeployableChild(nn.Module):
    """The function of a trained child in eval mode: images (N, C, H, W) -> logits (N, classes)."""

    def __init__(self, child: ConvolutionalChild, channels: int) -> None:
        super().__init__()
        self.layers = child.layers
        self.unread = child.unread
        self.pads = child.joins
        self.operators = nn.ModuleList()
        widths: list[list[int]] = []
        for layer, operator in zip(child.layers, child.operators, strict=True):
            parts = [width for source in layer.sources for width in widths[source]] or [channels]
            if layer.type == POOLING:
                self.operators.append(operator)
                widths.append(parts)
                continue
            assert isinstance(operator, nn.Sequential)
            convolution, norm = operator[0], operator[1]
            assert isinstance(convolution, SameConv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            self.operators.append(nn.ModuleList(_split(convolution, norm, parts)))
            widths.append([layer.filters] if layer.type == CONVOLUTION else parts)
        self.relus = nn.ModuleList(nn.ReLU() for _ in child.layers)
        self.pool = GlobalAveragePool()
        self.classifiers = nn.ModuleList(_split_linear(child.classifier, [width for index in self.unread for width in widths[index]]))

    def forward(self, images: Tensor) -> Tensor:
        """Runs the layers; each value is a list of images that the child would have side by side."""
        values: list[list[Tensor]] = []
        for index, layer in enumerate(self.layers):
            parts = self._parts(index, [values[source] for source in layer.sources] or [[images]])
            operator = self.operators[index]
            if layer.type == POOLING:
                values.append([operator(part) for part in parts])
                continue
            assert isinstance(operator, nn.ModuleList)
            results = [one(part) for one, part in zip(operator, parts, strict=True)]
            values.append([self.relus[index](reduce(add, results))] if layer.type == CONVOLUTION else results)
        pooled = [self.pool(part) for part in self._parts(len(self.layers), [values[index] for index in self.unread])]
        logits: Tensor = reduce(add, [classifier(part) for classifier, part in zip(self.classifiers, pooled, strict=True)])
        return logits

    def _parts(self, index: int, sources: list[list[Tensor]]) -> list[Tensor]:
        pads = self.pads[index]
        assert isinstance(pads, nn.ModuleList)
        return [pad(part) for pad, parts in zip(pads, sources, strict=True) for part in parts]


def _split(convolution: SameConv2d, norm: nn.BatchNorm2d, parts: list[int]) -> list[SameConv2d]:
    """One convolution per part of the input channels, the BatchNorm behind them folded in; the first has the whole bias."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    weight = convolution.weight * scale[:, None, None, None]
    bias = norm.bias - norm.running_mean * scale
    depthwise = convolution.groups > 1
    kernel, stride = (weight.shape[2], weight.shape[3]), convolution.stride
    split, first = [], 0
    for width in parts:
        rows = slice(first, first + width)
        one = SameConv2d(width, width if depthwise else len(weight), kernel, stride, width if depthwise else 1, bias=True)
        one.weight.data = weight.data[rows].clone() if depthwise else weight.data[:, rows].clone()
        assert one.bias is not None
        if depthwise:
            one.bias.data = bias.data[rows].clone()
        elif first == 0:
            one.bias.data = bias.data.clone()
        split.append(one)
        first += width
    return split


def _split_linear(linear: nn.Linear, parts: list[int]) -> list[nn.Linear]:
    """One linear layer per part of the inputs; the first has the bias."""
    split, first = [], 0
    for width in parts:
        one = nn.Linear(width, linear.out_features)
        one.weight.data = linear.weight.data[:, first : first + width].clone()
        one.bias.data = linear.bias.data.clone() if first == 0 else torch.zeros_like(linear.bias)
        split.append(one)
        first += width
    return split

"""The torch layers that networks for microcontrollers are made of, padded as TensorFlow pads.

This is also the vocabulary of the exporter: any module made of these, of torch's Linear, BatchNorm2d, ReLU, ReLU6, Flatten
and pooling layers, of additions and concatenations can be exported.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME padding of one dimension, (before, after): the larger half after.

    An even input with stride 2 gives (0, 1), (1, 2), (2, 3) for kernels 3, 5, 7.
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def convolve_same(images: Tensor, weight: Tensor, bias: Tensor | None, stride: int | tuple[int, int], groups: int) -> Tensor:
    """A convolution with TensorFlow's SAME padding: images (N, C, H, W), weight (O, C / groups, K, L); strides (down, across)."""
    down, across = _pair(stride)
    top, bottom = same_padding(images.shape[-2], weight.shape[-2], down)
    left, right = same_padding(images.shape[-1], weight.shape[-1], across)
    if top == bottom and left == right:
        return functional.conv2d(images, weight, bias, stride, (top, left), 1, groups)
    return functional.conv2d(functional.pad(images, (left, right, top, bottom)), weight, bias, stride, 0, 1, groups)


class SameConv2d(nn.Module):
    """A convolution with TensorFlow's SAME padding; depthwise where `groups` equals the channels. Pairs are (vertical, horizontal)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        groups: int = 1,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel, self.stride, self.groups = kernel, stride, groups
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, *_pair(kernel)))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        nn.init.kaiming_normal_(self.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, O, ceil(H / down), ceil(W / across))."""
        return convolve_same(images, self.weight, self.bias, self.stride, self.groups)


class GlobalAveragePool(nn.Module):
    """The mean over height and width."""

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C)."""
        return images.mean(dim=(2, 3))


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value

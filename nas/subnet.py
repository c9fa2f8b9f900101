"""A network of the space as a torch module of its own."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from hilnas.nas.layers import GlobalAveragePool, SameConv2d
from hilnas.nas.network import ADD, DENSE, DEPTHWISE, INPUT, MEAN, Layer, Network


class Subnet(nn.Module):
    """A network with early exits: (N, C, H, W) float32 -> the logits (N, classes) of every exit and, last, the final ones.

    Every output is computed; which exit is taken is decided on the logits (`hilnas.exit_rule`).
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        for layer in network.layers:
            if layer.op != ADD:
                self.add_module(module_name(layer), _module(layer))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Runs the layers in the network's order."""
        values = {INPUT: images}
        for layer in self.network.layers:
            operands = [values[name] for name in layer.inputs]
            values[layer.name] = operands[0] + operands[1] if layer.op == ADD else self.get_submodule(module_name(layer))(operands[0])
        return tuple(values[name] for name in self.network.outputs)

    def recalibrate(self, images: Tensor, batch_size: int = 256) -> None:
        """Sets the statistics of every BatchNorm to those of `images` (N, C, H, W), averaged over batches; leaves eval mode on.

        A subnet's channels have other statistics than the supernet's (Yu and Huang, "Universally Slimmable Networks", 2019).
        """
        norms = [module for module in self.modules() if isinstance(module, nn.BatchNorm2d)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = cast(float, None)  # None: torch averages over all batches instead of forgetting the first ones
        self.train()
        with torch.no_grad():
            for batch in images.split(batch_size):
                self(batch)
        self.eval()


def module_name(layer: Layer) -> str:
    """The layer's name as torch allows it."""
    return layer.name.replace(".", "_")


def _module(layer: Layer) -> nn.Module:
    if layer.op == MEAN:
        return GlobalAveragePool()
    channels, width = layer.input_shape[-1], layer.output_shape[-1]
    if layer.op == DENSE:
        return nn.Linear(channels, width)
    groups = channels if layer.op == DEPTHWISE else 1
    convolution = SameConv2d(channels, width, layer.kernel, layer.stride, groups)
    activation = [nn.ReLU6()] if layer.relu6 else []
    return nn.Sequential(convolution, nn.BatchNorm2d(width), *activation)

"""The supernet: one set of weights that every network of a space takes its own from."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from hilnas.nas.layers import SameConv2d, convolve_same
from hilnas.nas.network import ADD, DENSE, DEPTHWISE, INPUT, MEAN, Layer, Network
from hilnas.nas.spaces.mcu import McuSpace
from hilnas.nas.spaces.mcu_network import largest, network_of
from hilnas.nas.subnet import Subnet, module_name


class Supernet(nn.Module):
    """Weights of the largest network of a space; smaller networks take parts of them.

    Elastic width: the first channels. Elastic kernel: the centre of the next larger kernel times a learnt matrix, as in
    Once-for-All (Cai et al., 2020, section 3.2). Elastic depth: the first blocks of a stage.
    """

    def __init__(self, space: McuSpace) -> None:
        super().__init__()
        self.space = space
        layers = [layer for layer in network_of(space, largest(space)).layers if layer.weight_count]
        self.operators = nn.ModuleDict({module_name(layer): _ElasticOperator(layer, _kernels(space, layer)) for layer in layers})

    def forward(self, images: Tensor, network: Network) -> tuple[Tensor, ...]:
        """Runs `network` with this supernet's weights and the batch's own statistics, as training does; outputs as `Subnet`'s."""
        values = {INPUT: images}
        for layer in network.layers:
            operands = [values[name] for name in layer.inputs]
            if layer.op == ADD:
                values[layer.name] = operands[0] + operands[1]
            elif layer.op == MEAN:
                values[layer.name] = operands[0].mean(dim=(2, 3))
            else:
                values[layer.name] = self._operator(layer)(operands[0], layer)
        return tuple(values[name] for name in network.outputs)

    def subnet(self, network: Network) -> Subnet:
        """The module of `network` with its weights from this supernet, copied; its BatchNorms still need `recalibrate`."""
        subnet = Subnet(network)
        with torch.no_grad():
            for layer in network.layers:
                if layer.weight_count:
                    self._operator(layer).copy_to(subnet.get_submodule(module_name(layer)), layer)
        return subnet

    def _operator(self, layer: Layer) -> _ElasticOperator:
        operator = self.operators[module_name(layer)]
        assert isinstance(operator, _ElasticOperator)
        return operator


class _ElasticOperator(nn.Module):
    """The weights of one layer at its largest, with the scale and shift of its BatchNorm, or the bias of a dense layer."""

    def __init__(self, layer: Layer, kernels: tuple[int, ...]) -> None:
        super().__init__()
        channels, width = layer.input_shape[-1], layer.output_shape[-1]
        fan_in = 1 if layer.op == DEPTHWISE else channels
        shape = (width, fan_in) if layer.op == DENSE else (width, fan_in, layer.kernel, layer.kernel)
        self.weight = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.zeros(width))
        if layer.op == DENSE:
            nn.init.normal_(self.weight, std=channels**-0.5)
            return
        nn.init.kaiming_normal_(self.weight, mode="fan_out" if layer.op != DEPTHWISE else "fan_in", nonlinearity="relu")
        self.scale = nn.Parameter(torch.ones(width))
        self.transforms = nn.ParameterDict({str(kernel): nn.Parameter(torch.eye(kernel**2)) for kernel in kernels})

    def forward(self, images: Tensor, layer: Layer) -> Tensor:
        weight, width = self.sliced(layer), layer.output_shape[-1]
        if layer.op == DENSE:
            return functional.linear(images, weight, self.bias[:width])
        groups = width if layer.op == DEPTHWISE else 1
        convolved = convolve_same(images, weight, None, layer.stride, groups)
        normalised = functional.batch_norm(convolved, None, None, self.scale[:width], self.bias[:width], training=True)
        return functional.relu6(normalised) if layer.relu6 else normalised

    def sliced(self, layer: Layer) -> Tensor:
        """The weights of a smaller layer: its first channels, its kernel made from the larger ones."""
        fan_in = 1 if layer.op == DEPTHWISE else layer.input_shape[-1]
        weight = self.weight[: layer.output_shape[-1], :fan_in]
        if layer.op == DENSE:
            return weight
        for kernel in sorted(map(int, self.transforms), reverse=True):
            if kernel >= layer.kernel:
                margin = (weight.shape[-1] - kernel) // 2
                centre = weight[..., margin : margin + kernel, margin : margin + kernel]
                weight = (centre.flatten(2) @ self.transforms[str(kernel)]).view_as(centre)
        return weight

    def copy_to(self, module: nn.Module, layer: Layer) -> None:
        """Gives `module`, a layer of a `Subnet`, its weights."""
        width = layer.output_shape[-1]
        if isinstance(module, nn.Linear):
            module.weight.copy_(self.sliced(layer))
            module.bias.copy_(self.bias[:width])
            return
        assert isinstance(module, nn.Sequential)
        convolution, norm = cast(SameConv2d, module[0]), cast(nn.BatchNorm2d, module[1])
        convolution.weight.copy_(self.sliced(layer))
        norm.weight.copy_(self.scale[:width])
        norm.bias.copy_(self.bias[:width])


def _kernels(space: McuSpace, layer: Layer) -> tuple[int, ...]:
    """The kernels below the largest that a layer can have: those that need a matrix."""
    size = space.dimensions
    if layer.op != DEPTHWISE or layer.kernel == 1 or layer.name.startswith("first."):
        return ()
    choices = size.exit_kernels if layer.name.startswith("exit") else size.kernels
    return tuple(kernel for kernel in choices if kernel < layer.kernel)

"""The supernet: how smaller layers take their weights from larger ones."""

import torch

from hilnas.nas.network import CONV, DEPTHWISE, DIGITS, Layer
from hilnas.nas.spaces.mcu import McuSpace
from hilnas.nas.spaces.mcu_network import largest, network_of, smallest
from hilnas.nas.supernet import Supernet, _ElasticOperator


def depthwise(kernel: int, channels: int = 6) -> Layer:
    return Layer("block.depthwise", DEPTHWISE, ("input",), (8, 8, channels), (8, 8, channels), kernel)


def test_a_smaller_kernel_is_the_centre_of_the_larger_one_until_its_matrix_is_trained():
    operator = _ElasticOperator(depthwise(7), kernels=(3, 5))
    assert torch.equal(operator.sliced(depthwise(7)), operator.weight)
    torch.testing.assert_close(operator.sliced(depthwise(5)), operator.weight[..., 1:6, 1:6])
    torch.testing.assert_close(operator.sliced(depthwise(3)), operator.weight[..., 2:5, 2:5])


def test_the_smallest_kernel_passes_through_every_matrix():
    operator = _ElasticOperator(depthwise(7), kernels=(3, 5))
    with torch.no_grad():
        operator.transforms["5"] *= 2
        operator.transforms["3"] *= 3
    torch.testing.assert_close(operator.sliced(depthwise(3)), 6 * operator.weight[..., 2:5, 2:5])


def test_narrower_layers_are_the_first_channels():
    wide = Layer("project", CONV, ("input",), (8, 8, 12), (8, 8, 6))
    narrow = Layer("project", CONV, ("input",), (8, 8, 4), (8, 8, 6))
    operator = _ElasticOperator(wide, kernels=())
    assert torch.equal(operator.sliced(narrow), operator.weight[:, :4])


def test_every_weight_is_used_by_the_largest_network():
    space = McuSpace(DIGITS)
    supernet = Supernet(space)
    sum(output.sum() for output in supernet(torch.randn(4, 1, 8, 8), network_of(space, largest(space)))).backward()
    unused = [name for name, parameter in supernet.named_parameters() if parameter.grad is None and ".transforms" not in name]
    assert not unused


def test_the_smallest_network_trains_the_matrices_of_its_kernels():
    space = McuSpace(DIGITS)
    supernet = Supernet(space)
    sum(output.sum() for output in supernet(torch.randn(4, 1, 8, 8), network_of(space, smallest(space)))).backward()
    trained = {name for name, parameter in supernet.named_parameters() if ".transforms" in name and parameter.grad is not None}
    assert trained == {f"operators.stage{stage}_block0_depthwise.transforms.3" for stage in range(4)}

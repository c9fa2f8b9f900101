"""Subnets: TensorFlow's padding, and weights that are the supernet's."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hilnas.nas.layers import SameConv2d, same_padding
from hilnas.nas.network import DIGITS
from hilnas.nas.spaces.mcu import McuSpace
from hilnas.nas.spaces.mcu_network import network_of
from hilnas.nas.supernet import Supernet

SPACE = McuSpace(DIGITS)


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    torch.manual_seed(5)
    net = Supernet(SPACE)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return net


@pytest.mark.parametrize(("kernel", "padding"), [(3, (0, 1)), (5, (1, 2)), (7, (2, 3))])
def test_even_inputs_with_stride_two_pad_more_behind(kernel, padding):
    assert same_padding(8, kernel, 2) == padding


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 20), st.sampled_from([1, 3, 5, 7]), st.integers(1, 3))
def test_padding_gives_one_output_per_stride(size, kernel, stride):
    convolution = SameConv2d(2, 3, kernel, stride)
    assert convolution(torch.zeros(1, 2, size, size)).shape[2:] == (-(-size // stride),) * 2


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_subnet_computes_what_the_supernet_computes(supernet, seed):
    """In training mode both use the batch's own statistics, so that only the weights can differ."""
    rng = np.random.default_rng(seed)
    network = network_of(SPACE, SPACE.sample(1, rng)[0])
    images = torch.from_numpy(rng.normal(size=(6, 1, 8, 8)).astype(np.float32))
    with torch.no_grad():
        expected = supernet(images, network)
        actual = supernet.subnet(network).train()(images)
    for left, right in zip(expected, actual, strict=True):
        torch.testing.assert_close(left, right, atol=1e-4, rtol=1e-4)


def test_recalibration_makes_evaluation_equal_training_on_the_same_batch(supernet):
    network = network_of(SPACE, SPACE.sample(1, np.random.default_rng(0))[0])
    images = torch.randn(512, 1, 8, 8)
    subnet = supernet.subnet(network)
    before = subnet.eval()(images)[-1]
    subnet.recalibrate(images, batch_size=512)
    after, expected = subnet(images)[-1], subnet.train()(images)[-1]
    error = (after - expected).abs().max()
    assert error < 0.02 * expected.abs().max()
    assert (before - expected).abs().max() > 5 * error


def test_a_subnet_does_not_share_memory_with_the_supernet(supernet):
    network = network_of(SPACE, SPACE.sample(1, np.random.default_rng(0))[0])
    subnet = supernet.subnet(network)
    before = supernet.operators["stem"].weight.clone()
    with torch.no_grad():
        for parameter in subnet.parameters():
            parameter.zero_()
    assert torch.equal(supernet.operators["stem"].weight, before)

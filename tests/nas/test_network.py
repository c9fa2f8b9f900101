"""Network descriptions: the published counts, and that they describe what torch computes."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hilnas.errors import InputError
from hilnas.nas.network import ADD, DIGITS, FULL_SIZE, Network
from hilnas.nas.spaces.mcu import McuSpace
from hilnas.nas.spaces.mcu_network import largest, network_of, read_architecture, smallest
from hilnas.nas.subnet import Subnet, module_name

SPACE = McuSpace(DIGITS)


def random_network(seed: int) -> Network:
    return network_of(SPACE, SPACE.sample(1, np.random.default_rng(seed))[0])


def test_full_size_networks_have_the_published_counts():
    space = McuSpace(FULL_SIZE)
    small, large = network_of(space, smallest(space)), network_of(space, largest(space))
    assert (round(small.macs / 1e6), round(small.weight_count / 1e6, 2)) == (120, 0.82)
    assert (round(large.macs / 1e6), round(large.weight_count / 1e6, 2)) == (584, 3.92)
    assert len(large.outputs) == 7
    assert not small.thresholds


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32))
def test_layers_read_only_what_is_there_and_shapes_agree(seed):
    network = random_network(seed)
    shapes = {"input": network.input_shape}
    for layer in network.layers:
        assert all(shapes[name] == layer.input_shape for name in layer.inputs)
        assert layer.name not in shapes
        shapes[layer.name] = layer.output_shape
    assert all(shapes[name] == (DIGITS.classes,) for name in network.outputs)
    assert len(network.outputs) == len(network.thresholds) + 1


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32))
def test_weights_and_shapes_are_those_of_the_torch_module(seed):
    network = random_network(seed)
    subnet = Subnet(network).eval()
    weights = sum(parameter.numel() for name, parameter in subnet.named_parameters() if parameter.ndim > 1)
    assert weights == network.weight_count
    shapes = {}
    for layer in network.layers:
        if layer.op != ADD:
            subnet.get_submodule(module_name(layer)).register_forward_hook(
                lambda module, args, output, name=layer.name: shapes.__setitem__(name, tuple(output.shape[1:]))
            )
    with torch.no_grad():
        subnet(torch.zeros(1, DIGITS.channels, DIGITS.resolution, DIGITS.resolution))
    for layer in network.layers:
        if layer.name in shapes:
            assert shapes[layer.name] == (layer.output_shape[-1], *layer.output_shape[:-1])


def test_thresholds_are_scaled_to_the_number_of_classes():
    row = largest(SPACE)
    assert network_of(SPACE, row).thresholds == pytest.approx([2.0] * 4)


def test_digits_networks_differ_by_more_than_a_factor_of_three():
    small, large = network_of(SPACE, smallest(SPACE)), network_of(SPACE, largest(SPACE))
    assert large.macs > 3 * small.macs
    assert large.weight_count > 3 * small.weight_count


def test_architectures_are_read_by_name_and_from_files(tmp_path):
    assert np.array_equal(read_architecture(SPACE, "largest"), largest(SPACE))
    row = SPACE.sample(1, np.random.default_rng(3))[0]
    for content in (row.tolist(), {"architecture": row.tolist()}):
        file = tmp_path / "architecture.json"
        file.write_text(json.dumps(content))
        assert np.array_equal(read_architecture(SPACE, str(file)), row)


@pytest.mark.parametrize("content", ["", "[1, 2", "[1, 2]", "{}", '["a"]', "[99" + ", 0" * 43 + "]", "[[1]]", "3", "[" + "9" * 44 + "]"])
def test_what_is_no_architecture_is_refused(tmp_path, content):
    file = tmp_path / "architecture.json"
    file.write_text(content)
    with pytest.raises(InputError):
        read_architecture(SPACE, str(file))

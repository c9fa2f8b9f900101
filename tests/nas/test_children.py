"""The convolutional space and the networks of its architectures, trained on real digits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from hilnas.errors import InputError
from hilnas.nas.children import ChildRecipe, ChildTrainer, ConvolutionalChild
from hilnas.nas.data import DataSet, load_data
from hilnas.nas.deployable import DeployableChild
from hilnas.nas.space import Connection
from hilnas.nas.spaces.convolutional import LAYER_TYPES, ConvolutionalDimensions, ConvolutionalLayer, ConvolutionalSpace

PLAIN = ConvolutionalSpace()
FULL = ConvolutionalSpace(ConvolutionalDimensions(depths=(1, 3, 4), strides=(1, 2), types=LAYER_TYPES))


def convolution(filters: int, *sources: int, stride: tuple[int, int] = (1, 1)) -> ConvolutionalLayer:
    return ConvolutionalLayer("convolution", (3, 1), stride, filters, sources)


@pytest.fixture(scope="module")
def digits() -> DataSet:
    data = load_data("digits")
    return replace(data, training=data.training[:600])


def test_every_later_layer_may_read_every_earlier_one() -> None:
    connections = [decision.name for decision in PLAIN.decisions if isinstance(decision, Connection)]
    assert connections == [f"layer{layer}.from{source}" for layer in range(5) for source in range(layer)]


def test_a_connection_is_anchored_where_the_earlier_layer_is_decided() -> None:
    for decision in PLAIN.decisions:
        if isinstance(decision, Connection):
            source = int(decision.name.split("from")[1])
            assert PLAIN.decisions[decision.anchor].name.startswith(f"layer{source}.")


@pytest.mark.parametrize("space", [PLAIN, FULL], ids=["plain", "full"])
def test_inert_decisions_do_not_change_the_layers(space: ConvolutionalSpace) -> None:
    rng = np.random.default_rng(0)
    batch = space.sample(200, rng)
    others = np.where(space.live(batch), batch, space.sample(200, rng))
    np.testing.assert_array_equal(space.canonical(batch), space.canonical(others))
    np.testing.assert_array_equal(space.encode(batch), space.encode(others))
    for row, other in zip(batch, others, strict=True):
        for layer, same in zip(space.layers(row), space.layers(other), strict=True):
            assert (layer.type, layer.sources) == (same.type, same.sources)
            if layer.type == "convolution":
                assert layer == same
            if layer.type == "pooling":
                assert layer.kernel == same.kernel


@pytest.mark.parametrize("space", [PLAIN, FULL], ids=["plain", "full"])
def test_every_architecture_is_a_network(space: ConvolutionalSpace) -> None:
    for row in space.sample(60, np.random.default_rng(1)):
        child = ConvolutionalChild(space.layers(row), (3, 11, 8), classes=7).eval()
        assert child(torch.zeros(2, 3, 11, 8)).shape == (2, 7)


def test_the_skip_rules_of_the_source() -> None:
    """A layer that reads none reads the image, one that reads many reads them all, and layers that none reads are classified."""
    layers = (convolution(4), convolution(6), convolution(8, 0, 1), convolution(5))
    child = ConvolutionalChild(layers, (1, 8, 8), classes=10)
    assert [operator[0].in_channels for operator in child.operators if isinstance(operator, nn.Sequential)] == [1, 1, 10, 1]
    assert child.classifier.in_features == 8 + 5


def test_smaller_images_are_padded_with_zeros() -> None:
    layers = (convolution(4), convolution(4, stride=(2, 2)), convolution(8, 0, 1))
    child = ConvolutionalChild(layers, (1, 8, 8), classes=10)
    seen: list[torch.Tensor] = []
    child.operators[2].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    child.eval()(torch.ones(1, 1, 8, 8))
    assert seen[0].shape == (1, 8, 8, 8)
    assert not seen[0][:, 4:, 4:].any()
    assert not seen[0][:, 4:, :, 4:].any()


@pytest.mark.parametrize("seed", range(8))
def test_the_deployable_child_is_the_same_function_without_concatenation(seed: int) -> None:
    torch.manual_seed(seed)
    row = FULL.sample(1, np.random.default_rng(seed))[0]
    child = ConvolutionalChild(FULL.layers(row), (2, 8, 8), classes=5)
    images = torch.randn(16, 2, 8, 8)
    child.train()(images)  # statistics of the BatchNorms that are not 0 and 1
    child.eval()
    deployable = DeployableChild(child, channels=2).eval()
    torch.testing.assert_close(deployable(images), child(images), atol=1e-4, rtol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in deployable.modules())


def test_training_learns_and_repeats_itself(digits: DataSet) -> None:
    wide = np.zeros(len(PLAIN.decisions), dtype=np.int64)
    wide[[1, 2, 3, 4, 5, 6]] = (2, 2, 3, 1, 1, 2)
    trainer = ChildTrainer(PLAIN, digits, ChildRecipe(epochs=5, batch_size=32), seed=0)
    first, again = trainer.train(wide), trainer.train(wide)
    assert first.accuracy == again.accuracy > 0.5
    for name, weight in first.module.state_dict().items():
        torch.testing.assert_close(weight, again.module.state_dict()[name], rtol=0, atol=0)


def test_the_evaluator_tells_accuracy_and_parameters(digits: DataSet) -> None:
    trainer = ChildTrainer(PLAIN, digits, ChildRecipe(epochs=1), seed=0)
    batch = PLAIN.sample(2, np.random.default_rng(0))
    metrics = trainer.predict(batch)
    counted = [sum(p.numel() for p in ConvolutionalChild(PLAIN.layers(row), (1, 8, 8), 10).parameters()) for row in batch]
    np.testing.assert_array_equal(metrics.flash_bytes.mean, counted)
    assert ((metrics.accuracy.mean >= 0) & (metrics.accuracy.mean <= 1)).all()
    assert np.isnan(metrics.latency_s.mean).all()


@pytest.mark.parametrize(
    "wrong", [{"heights": (2,)}, {"depths": (3, 2)}, {"depths": ()}, {"types": ("dense",)}, {"filters": ()}, {"depths": (0, 1)}]
)
def test_dimensions_that_make_no_sense_are_refused(wrong: dict[str, tuple[int, ...]]) -> None:
    with pytest.raises(InputError):
        ConvolutionalDimensions(**wrong)

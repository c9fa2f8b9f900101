"""The mirror: every layer of the vocabulary computes what torch computes, and the rest is refused by name."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hilnas.errors import InputError
from hilnas.export.mirror import Mirror
from hilnas.export.quiet import quiet
from hilnas.nas.layers import GlobalAveragePool, SameConv2d


def outputs_of(module: nn.Module, images: np.ndarray) -> list[np.ndarray]:
    """What TensorFlow computes for images (1, H, W, C), channels first again."""
    with quiet():
        import tensorflow as tf

        values = [value.numpy() for value in Mirror(module)(tf.constant(images))]
    return [value.transpose(0, 3, 1, 2) if value.ndim == 4 else value for value in values]


def assert_equal(module: nn.Module, shape: tuple[int, int, int] = (8, 8, 4)) -> None:
    torch.manual_seed(0)
    for norm in (layer for layer in module.modules() if isinstance(layer, nn.BatchNorm2d)):
        nn.init.normal_(norm.running_mean), nn.init.uniform_(norm.running_var, 0.1, 4.0)
        if norm.affine:
            nn.init.normal_(norm.weight), nn.init.normal_(norm.bias)
    images = np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32)
    with torch.no_grad():
        expected = module.eval()(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()))
    expected = expected if isinstance(expected, tuple) else (expected,)
    for left, right in zip(expected, outputs_of(module, images), strict=True):
        np.testing.assert_allclose(left.numpy(), right, atol=2e-5, rtol=1e-4)


@settings(max_examples=40, deadline=None)
@given(size=st.integers(1, 9), kernel=st.sampled_from([1, 3, 5, 7]), stride=st.integers(1, 3), depthwise=st.booleans(), bias=st.booleans())
def test_same_convolutions(size, kernel, stride, depthwise, bias):
    convolution = SameConv2d(4, 4 if depthwise else 6, kernel, stride, groups=4 if depthwise else 1, bias=bias)
    assert_equal(convolution, (size, size + 1, 4))


@pytest.mark.parametrize(
    "module",
    [
        nn.Sequential(SameConv2d(4, 6, 3, 2), nn.BatchNorm2d(6), nn.ReLU6()),
        nn.Sequential(SameConv2d(4, 4, 5, groups=4, bias=True), nn.BatchNorm2d(4, affine=False), nn.ReLU()),
        nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6)),
        nn.Conv2d(4, 6, (3, 5), padding=(1, 2)),
        nn.Conv2d(4, 6, 3, padding="same"),
        nn.Conv2d(4, 6, 3, stride=2),
        nn.Conv2d(4, 8, 3, groups=4),
        nn.Sequential(SameConv2d(4, 6, 1), GlobalAveragePool(), nn.Linear(6, 3)),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3, bias=False)),
        nn.Sequential(SameConv2d(4, 3, 3), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.ReLU6(), nn.Linear(192, 5)),
        nn.Sequential(nn.MaxPool2d(2), nn.AvgPool2d(3, 2), nn.Identity()),
        nn.Sequential(nn.ZeroPad2d((1, 2, 0, 3)), nn.Conv2d(4, 2, 3)),
    ],
    ids=lambda module: type(module).__name__ if not isinstance(module, nn.Sequential) else "-".join(type(part).__name__ for part in module),
)
def test_layers_compute_what_torch_computes(module):
    assert_equal(module)


class _Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = SameConv2d(4, 5, 3), SameConv2d(4, 5, 1)
        self.norm = nn.BatchNorm2d(5)

    def forward(self, images):
        left, right = self.norm(self.left(images)), self.right(images)
        joined = torch.cat([left + right, images], dim=1)
        return left.add(right), joined, torch.flatten(joined.add(joined), 1)


class _WithoutFlattenedOutput(_Branches):
    def forward(self, images):
        return super().forward(images)[:2]


def test_branches_additions_and_concatenations():
    assert_equal(_WithoutFlattenedOutput())


def test_every_unsupported_layer_is_named_at_once():
    module = nn.Sequential(nn.ConvTranspose2d(4, 4, 3), nn.Sigmoid(), SameConv2d(4, 4, 3), nn.BatchNorm2d(4), nn.Softmax(1))
    with pytest.raises(InputError) as error:
        Mirror(module)
    assert all(name in str(error.value) for name in ("0 (ConvTranspose2d)", "1 (Sigmoid)", "4 (Softmax)"))
    assert "BatchNorm2d" not in str(error.value)


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(4, 4, 3, stride=2, padding=1),
        nn.Conv2d(4, 4, 3, dilation=2),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(4, 4, 3, groups=2),
        nn.MaxPool2d(3, 2, padding=1),
        nn.AdaptiveAvgPool2d(2),
        nn.Linear(8, 2),
        nn.Flatten(0),
    ],
)
def test_settings_that_cannot_be_mirrored_are_named(module):
    with pytest.raises(InputError, match="cannot be exported"):
        outputs_of(nn.Sequential(module), np.zeros((1, 8, 8, 4), dtype=np.float32))


def test_a_batchnorm_whose_layer_has_other_readers_is_refused():
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.norm = SameConv2d(4, 4, 3), nn.BatchNorm2d(4)

        def forward(self, images):
            convolved = self.convolution(images)
            return self.norm(convolved) + convolved

    with pytest.raises(InputError, match="norm"):
        Mirror(Shared())


def test_native_output_is_collected_and_python_stderr_stays(capfd):
    import os
    import sys

    with quiet() as collected:
        os.write(2, b"noise of a library\n")
        print("progress", file=sys.stderr)
        assert collected() == "noise of a library\n"
    assert capfd.readouterr().err == "progress\n"

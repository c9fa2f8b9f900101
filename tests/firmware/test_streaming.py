"""Chains through which rows stream compute what the reference computes: rings, residual additions, strides and padding."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hilnas.boards.board import load_board
from hilnas.firmware.host import build_host
from hilnas.firmware.kernel import Order, RowWise
from hilnas.firmware.streaming import Distance, Image, Stage, schedule, whole
from hilnas.hil.measure import deploy
from hilnas.hil.targets import create_target
from hilnas.tflite.reference import ReferenceModel

sys.path.insert(0, str(Path(__file__).parent))
from tflite_builder import ModelBuilder

SANITIZERS = ("-fsanitize=undefined", "-fno-sanitize-recover=all")


class Chain:
    """A model made layer by layer; every layer's outputs use their range well."""

    def __init__(self, height: int, width: int, channels: int, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.builder = ModelBuilder()
        self.shape = (1, height, width, channels)
        self.input = self.last = self.builder.tensor(self.shape, scale=0.1, zero_point=3)

    def convolve(self, window: int, stride: int, channels: int | None) -> None:
        """A convolution to `channels`, a depthwise one where it is None."""
        _, height, width, inputs = self.shape
        depthwise, filters = channels is None, channels or inputs
        shape = (1, window, window, filters) if depthwise else (filters, window, window, inputs)
        taps = window * window * (1 if depthwise else inputs)
        scales = (self.rng.uniform(0.5, 2, filters) / (60 * np.sqrt(taps))).astype(np.float32)
        weights = self.rng.integers(-127, 128, shape).astype(np.int8)
        filter_ = self.builder.tensor(shape, scale=scales, data=weights, axis=3 if depthwise else 0)
        biases = self.rng.integers(-500, 500, filters)
        bias = self.builder.tensor((filters,), "int32", scale=np.float32(0.1) * scales, data=biases)
        self.shape = (1, -(-height // stride), -(-width // stride), filters)
        made = self.builder.tensor(self.shape, scale=0.1, zero_point=int(self.rng.integers(-20, 20)))
        options = {"strideH": stride, "strideW": stride, "dilationHFactor": 1, "dilationWFactor": 1, "padding": 0}
        if depthwise:
            options["depthMultiplier"] = 1
        self.builder.operator("DEPTHWISE_CONV_2D" if depthwise else "CONV_2D", [self.last, filter_, bias], [made], **options)
        self.last = made

    def add(self, other: int) -> None:
        """The sum of the last tensor and another one."""
        made = self.builder.tensor(self.shape, scale=0.15, zero_point=-4)
        self.builder.operator("ADD", [self.last, other], [made])
        self.last = made

    def build(self) -> bytes:
        """The .tflite file."""
        return self.builder.build([self.input], [self.last])


def inverted_residuals(height: int, width: int, seed: int) -> bytes:
    """A convolution, two inverted residuals with an addition, a third one with a stride."""
    chain = Chain(height, width, 4, seed)
    chain.convolve(3, 1, 8)
    for window in (3, 5):
        before = chain.last
        chain.convolve(1, 1, 24)
        chain.convolve(window, 1, None)
        chain.convolve(1, 1, 8)
        chain.add(before)
    chain.convolve(1, 1, 32)
    chain.convolve(3, 2, None)
    chain.convolve(1, 1, 12)
    return chain.build()


def assert_streams_bit_exactly(content: bytes) -> None:
    reference, model = ReferenceModel(content), build_host(content, flags=SANITIZERS)
    assert any(segment.streams for segment in model.compiled.plan.segments)
    rng = np.random.default_rng(1)
    for _ in range(3):
        values = rng.integers(-128, 128, reference.inputs[0].shape).astype(np.int8)
        for one, other in zip(reference.run(values), model.run(values)[0], strict=True):
            np.testing.assert_array_equal(one.ravel(), other.ravel())


@settings(max_examples=6, deadline=None)
@given(st.integers(12, 21), st.integers(12, 21), st.integers(0, 2**32 - 1))
def test_streamed_inverted_residuals_are_bit_exact(height: int, width: int, seed: int) -> None:
    assert_streams_bit_exactly(inverted_residuals(height, width, seed))


@settings(max_examples=6, deadline=None)
@given(st.sampled_from([12, 17, 20]), st.sampled_from([3, 5]), st.integers(0, 2**32 - 1))
def test_streamed_residual_convolutions_are_bit_exact(size: int, window: int, seed: int) -> None:
    chain = Chain(size, size, 3, seed)
    chain.convolve(3, 1, 16)
    for stride in (1, 2):
        before = chain.last
        chain.convolve(window, stride, 16)
        chain.convolve(3, 1, 16)
        after, shape = chain.last, chain.shape
        if stride == 2:
            chain.last, chain.shape = before, (1, size, size, 16)
            chain.convolve(1, 2, 16)
            chain.last, before, chain.shape = after, chain.last, shape
        chain.add(before)
    assert_streams_bit_exactly(chain.build())


@pytest.mark.parametrize("size", [20, 21])
def test_chains_in_assembly_are_bit_exact_on_the_emulator(size: int, tmp_path: Path) -> None:
    """With and without a rest of pixels in a row."""
    model = tmp_path / "model.tflite"
    model.write_bytes(inverted_residuals(size, size, 5))
    measurement = deploy(model, load_board("nucleo-h743zi2"), create_target("emulator"), tmp_path / "image")
    assert measurement.bit_exact
    assert "hilnas_step chain_" in (tmp_path / "image" / "library" / "model.c").read_text()
    assert all(layer.instructions for layer in measurement.layers)
    assert sum(layer.instructions or 0 for layer in measurement.layers) == measurement.instructions
    assert measurement.arena_bytes < 2 * size * size * 24


def stage(order: Order, source: Image, target: Image, window: int = 1, numbers: tuple[int, int] = (0, 1)) -> Stage:
    return Stage(RowWise(order, "function"), source, target, window, (1, 1), window // 2, 0, (numbers[0],), numbers[1])


@pytest.mark.parametrize(
    ("order", "window", "channels", "least"),
    [
        (Order.PIXELS, 1, (8, 8), 0),
        (Order.PIXELS, 1, (4, 8), 4 * 99),
        (Order.ROWS, 3, (8, 8), 80),
        (Order.LATE, 3, (8, 8), 160),
        (Order.CHANNELS, 3, (8, 8), 80),
    ],
)
def test_an_output_may_share_memory_as_far_as_it_overtakes_no_read(
    order: Order, window: int, channels: tuple[int, int], least: int
) -> None:
    """Images of 10 x 10; a window of three needs the row before the one that is written."""
    made = dict(whole(stage(order, Image(10, 10, channels[0]), Image(10, 10, channels[1]), window)).distances)
    assert made[0, 1].least == least


def test_only_whole_pixels_apart_may_channels_go_in_turns() -> None:
    distance = Distance(least=80, grid=8, free=160)
    assert [distance.allows(value) for value in (72, 80, 84, 88, 160, 161)] == [False, True, False, True, True, True]


def test_a_ring_keeps_the_rows_under_the_next_window() -> None:
    image = Image(10, 10, 8)
    stages = (stage(Order.ROWS, image, image, 3), stage(Order.ROWS, image, image, 5, (1, 2)))
    by_rows, by_fours = schedule(stages, frozenset({2}), 1), schedule(stages, frozenset({2}), 4)
    assert dict(by_rows.rings) == {1: 5}
    assert dict(by_fours.rings) == {1: 8}
    assert [step.first for step in by_rows.steps if step.stage == 1] == [*range(10)]
    assert [(step.stage, step.first, step.count) for step in by_fours.steps][:3] == [(0, 0, 4), (0, 4, 4), (1, 0, 4)]

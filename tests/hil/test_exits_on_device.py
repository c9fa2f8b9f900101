"""Early exits decided on the device: the same as by the rule on the reference interpreter's outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hilnas.boards.board import load_board
from hilnas.firmware.build import build_image
from hilnas.hil.measure import measure
from hilnas.hil.samples import Samples
from hilnas.hil.targets import create_target
from hilnas.nas.data import load_data
from hilnas.tflite.reference import ReferenceModel

DIGITS = 200


@pytest.mark.parametrize(("board_name", "target_name"), [("nucleo-h743zi2", "emulator"), ("qemu-m7", "qemu")])
def test_the_device_leaves_where_the_rule_says(early_exit_model: Path, tmp_path: Path, board_name: str, target_name: str) -> None:
    board = load_board(board_name)
    image = build_image(early_exit_model, board, tmp_path / "image")
    reference = ReferenceModel.load(early_exit_model)
    digits = load_data("digits").test
    count = DIGITS if target_name == "emulator" else 30
    data = Samples("digits", digits.inputs[:count], digits.y[:count])
    inputs = data.inputs(image.manifest.inputs[0])
    run = create_target(target_name).run(image, board, inputs, take_exits=True)

    for values, inference in zip(inputs, run.inferences, strict=True):
        expected = reference.run(*values)
        wanted = int(reference.exit_taken(expected)[0])
        assert inference.exit_taken == wanted
        for index, (output, reference_output) in enumerate(zip(inference.outputs, expected, strict=True)):
            if index <= wanted:
                np.testing.assert_array_equal(output, reference_output)
            else:
                assert output is None
    taken = [inference.exit_taken for inference in run.inferences]
    assert len(set(taken)) >= 3

    if target_name == "emulator":
        measurement = measure(image, board, create_target(target_name), reference, data=data)
        exits = measurement.exits
        assert measurement.bit_exact
        assert (
            exits is not None and exits.accuracy is not None and exits.expected_latency_s is not None and measurement.latency_s is not None
        )
        assert exits.counts == tuple(taken.count(index) for index in range(len(reference.outputs)))
        assert exits.accuracy > 0.5
        assert exits.expected_latency_s < measurement.latency_s
        known = [cycles for cycles in exits.cycles_to_exit if cycles is not None]
        assert known == sorted(known) and measurement.cycles is not None and known[-1] <= measurement.cycles

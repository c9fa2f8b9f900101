"""Exported files: what they contain, what they compute, and that they are the same every time."""

import json

import numpy as np
import onnx
import pytest
import torch

from hilnas.errors import BuildError, StoreError
from hilnas.export.exporter import export_subnet, export_tflite
from hilnas.export.quantise import to_int8_tflite
from hilnas.export.supernet import export_architecture
from hilnas.export.verify import Verification, int8_accuracy, verify
from hilnas.nas.accuracy import calibrated_subnet, subnet_accuracy
from hilnas.nas.data import load_data
from hilnas.nas.layers import SameConv2d
from hilnas.nas.spaces.mcu_network import network_of, smallest
from hilnas.nas.subnet import Subnet
from hilnas.nas.training import load_supernet
from hilnas.tflite.reference import ReferenceModel


@pytest.fixture(scope="module")
def data():
    return load_data("digits")


@pytest.fixture(scope="module")
def subnet(digits_supernet, data) -> Subnet:
    """A random network with exits."""
    supernet = load_supernet(digits_supernet).supernet
    space = supernet.space
    row = space.sample(1, np.random.default_rng(2))[0]
    row[space.layout.exit_active] = [1, 0, 1, 0]
    return calibrated_subnet(supernet, row, data.training)


@pytest.fixture(scope="module")
def content(subnet, data) -> bytes:
    return to_int8_tflite(subnet, data.training.inputs[:128], subnet.network.thresholds)


def operators(content: bytes) -> list[str]:
    return [operator["op_name"] for operator in ReferenceModel(content)._interpreter._get_ops_details()]


def test_the_file_has_the_operators_of_the_description_and_no_others(subnet, content):
    assert operators(content) == [layer.op for layer in subnet.network.layers]


def test_tensors_have_the_shapes_of_the_description(subnet, content):
    model = ReferenceModel(content)
    for layer, operator in zip(subnet.network.layers, model._interpreter._get_ops_details(), strict=True):
        shape = model._interpreter.get_tensor_details()[operator["outputs"][0]]["shape"]
        assert tuple(shape[1:]) == layer.output_shape


def test_everything_is_int8_with_weights_per_channel(content):
    model = ReferenceModel(content)
    details = {detail["index"]: detail for detail in model._interpreter.get_tensor_details()}
    for operator in model._interpreter._get_ops_details():
        assert details[operator["outputs"][0]]["dtype"] is np.int8
        if "CONV" in operator["op_name"]:
            weights = details[operator["inputs"][1]]
            assert len(weights["quantization_parameters"]["scales"]) == max(
                weights["shape"][0], weights["shape"][-1] * (weights["shape"][0] == 1)
            )


def test_the_int8_input_is_the_pixel_minus_128(content, data):
    edge = ReferenceModel(content).inputs[0]
    assert (edge.scale, edge.zero_point) == (1 / 128, 0)
    assert np.array_equal(edge.quantise(data.test.inputs), data.test.x.astype(np.int64) - 128)


def test_outputs_are_the_modules_in_signature_order(subnet, content, data):
    model = ReferenceModel(content)
    assert [edge.name for edge in model.outputs] == ["exit_0", "exit_1", "logits"]
    assert model.exits.thresholds == subnet.network.thresholds
    result = verify(model, subnet, data.test.inputs, subnet.network.thresholds)
    result.check()
    assert min(result.snr_db) > 18
    assert min(result.agreement) > 0.93
    assert result.exit_agreement > 0.9
    # The outputs in another order would not pass: they are different functions.
    other = verify(model, _Reordered(subnet), data.test.inputs)
    with pytest.raises(BuildError):
        other.check()


def test_int8_accuracy_is_near_the_float_one(subnet, content, data):
    accuracy = int8_accuracy(ReferenceModel(content), data.test.inputs, data.test.y)
    assert abs(accuracy - subnet_accuracy(subnet, data.test).accuracy) < 0.05


def test_the_same_network_gives_the_same_bytes(subnet, content, data):
    assert to_int8_tflite(subnet, data.training.inputs[:128], subnet.network.thresholds) == content


def test_both_files_are_written_and_onnx_runs_on_any_batch(subnet, data, tmp_path):
    exported = export_subnet(subnet, data.training.inputs[:128], tmp_path, subnet.network.thresholds)
    assert exported.onnx_error < 1e-4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.onnx", "model.tflite"]
    model = onnx.load(exported.onnx)
    onnx.checker.check_model(model)
    assert [output.name for output in model.graph.output] == ["exit_0", "exit_1", "logits"]
    assert b"site-packages" not in exported.onnx.read_bytes()


def test_a_network_that_int8_ruins_fails_the_check_and_nothing_is_written(data, tmp_path):
    """One channel is a thousand times larger than the one that the classes depend on: a step of int8 is larger than that one."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(SameConv2d(1, 2, 1), torch.nn.Flatten(), torch.nn.Linear(128, 3))
    with torch.no_grad():
        module[0].weight[:] = torch.tensor([1000.0, 1.0]).reshape(2, 1, 1, 1)
        module[2].weight[:, :64] = 0.0
    with pytest.raises(BuildError, match="too far"):
        export_tflite(module, data.training.inputs[:64], tmp_path / "out" / "model.tflite")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_a_store_error(subnet, data, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        export_tflite(subnet, data.training.inputs[:128], tmp_path / "file" / "model.tflite", subnet.network.thresholds)


def test_verification_fails_below_its_limits():
    Verification(8, (16.0,), (0.95,), 1.0).check()
    for snr, agreement in ((14.0, 1.0), (30.0, 0.8)):
        with pytest.raises(BuildError):
            Verification(8, (snr,), (agreement,), 1.0).check()


def test_an_architecture_of_a_file_is_exported(digits_supernet, tmp_path):
    supernet = load_supernet(digits_supernet).supernet
    row = smallest(supernet.space)
    row[supernet.space.layout.kernel] = 1
    file = tmp_path / "architecture.json"
    file.write_text(json.dumps(row.tolist()))
    exported = export_architecture(digits_supernet, str(file), tmp_path / "out")
    assert exported.architecture == tuple(row.tolist())
    assert exported.float_accuracy.exit_rates == (1.0,)
    assert exported.int8_accuracy > 0.7
    assert exported.macs == network_of(supernet.space, row).macs


def test_the_fixture_of_other_tests_takes_every_exit(early_exit_model, data):
    model = ReferenceModel.load(early_exit_model)
    images = model.inputs[0].quantise(data.test.inputs[:200])
    taken = model.exit_taken(model.run_batch(images))
    assert set(taken.tolist()) == {0, 1, 2, 3}


class _Reordered(torch.nn.Module):
    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, images):
        return self.module(images)[::-1]

"""The verbs train and export, from images to files."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

from hilnas.cli.main import verbs
from hilnas.errors import InputError
from hilnas.tflite.reference import ReferenceModel


def run(*arguments: object):
    result = CliRunner().invoke(verbs, [str(argument) for argument in arguments], catch_exceptions=True)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(scope="module")
def stripes(tmp_path_factory):
    """Colour images of three classes that differ in where their bright column is."""
    rng = np.random.default_rng(0)
    y = np.arange(480) % 3
    x = rng.integers(0, 120, (480, 6, 6, 3)).astype(np.uint8)
    x[np.arange(480), :, 1 + y] += 120
    path = tmp_path_factory.mktemp("data") / "stripes.npz"
    np.savez(path, x=x, y=y)
    return path


def test_images_of_the_user_are_trained_on_and_exported(stripes, tmp_path):
    supernet, out = tmp_path / "supernet.pt", tmp_path / "out"
    trained = json.loads(run("train", "--data", stripes, "--out", supernet, "--epochs", 6, "--json").stdout)
    assert [network["name"] for network in trained["networks"]] == ["smallest", "largest"]
    assert trained["networks"][1]["accuracy"]["by_output"][-1] > 0.9
    exported = json.loads(run("export", supernet, "--architecture", "smallest", "--out", out, "--json").stdout)
    assert exported["int8_accuracy"] > 0.6
    model = ReferenceModel.load(out / "model.tflite")
    assert (model.inputs[0].shape, model.outputs[0].shape) == ((1, 6, 6, 3), (1, 3))
    assert exported["verification"]["onnx_error"] < 1e-4


def test_an_export_of_what_is_no_supernet_leaves_nothing(tmp_path):
    (tmp_path / "supernet.pt").write_bytes(b"nothing of the kind")
    with pytest.raises(InputError):
        run("export", tmp_path / "supernet.pt", "--architecture", "largest", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_no_supernet_is_said_in_one_line(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(InputError) as caught:
        run("export", tmp_path / "run.json", "--architecture", "largest", "--out", tmp_path / "out")
    assert str(caught.value).splitlines() == [f"{tmp_path / 'run.json'} is not a supernet", "Train one with `hilnas train`."]


@pytest.mark.parametrize("verb", ["train", "export"])
def test_help_has_an_example(verb):
    assert f"Example: hilnas {verb} " in run(verb, "--help").stdout

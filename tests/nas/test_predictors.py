"""Predictors: what they learn, what they refuse, and that they are files nobody has to trust."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from hilnas.errors import InputError
from hilnas.nas.metrics import Estimate, Metrics
from hilnas.nas.network import DIGITS
from hilnas.nas.predictors.errors import prediction_errors
from hilnas.nas.predictors.files import evaluate_predictor, load_nets, open_predictor, save_nets, train_predictors
from hilnas.nas.predictors.gaussian_process import GaussianProcess
from hilnas.nas.predictors.joint import JointPredictor
from hilnas.nas.predictors.mlp import Mlp, MlpPredictor, Training
from hilnas.nas.predictors.study import load_mlp, load_study_predictor
from hilnas.nas.spaces.mcu import McuSpace
from hilnas.nas.spaces.mcu_work import work

SPACE = McuSpace(DIGITS)
FULL = McuSpace()


def nets(count: int, seed: int = 0) -> np.ndarray:
    return SPACE.canonical(SPACE.sample(count, np.random.default_rng(seed)))


def latency(architectures: np.ndarray) -> np.ndarray:
    """Cycles by kind of work, and something of each decision's own."""
    own = SPACE.encode(architectures) @ np.linspace(0.0, 4e-5, len(SPACE.feature_names))
    return work(SPACE, architectures) @ np.array([2e-9, 5e-9, 2e-8, 8e-9, 1e-5]) + own


def test_gaussian_process_learns_latency_from_24_nets_and_knows_its_error() -> None:
    process = GaussianProcess(SPACE.encode, lambda batch: work(SPACE, batch))
    known, unknown = nets(24), nets(400, seed=1)
    process.update(known, Estimate.exact(latency(known)))
    predicted = process.predict(unknown)
    wrong = predicted.mean - latency(unknown)
    assert np.mean(np.abs(wrong) / latency(unknown)) < 0.05
    assert 0.4 < np.std(wrong / predicted.std) < 2.5


def test_gaussian_process_gets_better_with_more_nets() -> None:
    def error(count: int) -> float:
        process = GaussianProcess(SPACE.encode, lambda batch: work(SPACE, batch))
        for part in np.array_split(nets(count), 2):
            process.update(part, Estimate.exact(latency(part)))
        unknown = nets(400, seed=1)
        return float(np.mean(np.abs(process.predict(unknown).mean - latency(unknown))))

    assert error(120) < error(12)


def test_predictors_without_measurements_say_so() -> None:
    with pytest.raises(InputError, match="3 measurements"):
        GaussianProcess(SPACE.encode, lambda batch: work(SPACE, batch)).predict(nets(1))
    with pytest.raises(InputError, match="not trained"):
        MlpPredictor(SPACE, 0).predict(nets(1))
    with pytest.raises(InputError, match="10 measurements"):
        MlpPredictor(SPACE, 0).update(nets(5), Estimate.exact(np.zeros(5)))


def test_mlp_learns_and_is_reproducible() -> None:
    known, unknown = nets(600), nets(200, seed=1)
    answers = []
    for _ in range(2):
        predictor = MlpPredictor(SPACE, 0, Training(epochs=25))
        predictor.update(known, Estimate.exact(latency(known)))
        answers.append(predictor.predict(unknown))
    assert np.array_equal(answers[0].mean, answers[1].mean)
    assert prediction_errors(answers[0].mean, latency(unknown)).r2 > 0.8
    assert answers[0].std[0] > 0.0


def test_joint_predictor_teaches_each_metric_its_own() -> None:
    joint = JointPredictor(*(GaussianProcess(SPACE.encode, lambda batch: work(SPACE, batch)) for _ in range(4)))
    known = nets(30)
    values = [Estimate.exact(factor * latency(known)) for factor in (1.0, 2.0, 3.0, 4.0)]
    joint.update(known, Metrics(*values))
    predicted = joint.predict(known)
    for name, wanted in Metrics(*values):
        assert getattr(predicted, name).mean == pytest.approx(wanted.mean, rel=0.05)


def test_trained_predictors_survive_their_folder(tmp_path: Path) -> None:
    batch = nets(300)
    values = latency(batch)
    metrics = Metrics(*(Estimate.exact(factor * values) for factor in (1.0, 1.0, 1e6, 1e6)))
    save_nets(tmp_path / "nets.npz", batch, metrics)
    loaded, again = load_nets(tmp_path / "nets.npz", SPACE)
    assert np.array_equal(loaded, batch) and np.array_equal(again.sram_bytes.mean, metrics.sram_bytes.mean)
    train_predictors(tmp_path / "nets.npz", SPACE, tmp_path / "out", epochs=40, seed=0)
    predictor, space = open_predictor(tmp_path / "out")
    assert space.name == SPACE.name
    assert evaluate_predictor(predictor, space, tmp_path / "nets.npz")["latency_s"].pearson > 0.8


def test_data_that_is_no_nets_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "nets.npz"
    for content in (b"", b"PK\x03\x04 truncated", b"text"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="nets"):
            load_nets(path, SPACE)
    batch = nets(4)
    bad = Metrics(*(Estimate.exact(np.array([0.0, np.nan, 0.0, 0.0])) for _ in range(4)))
    save_nets(path, batch, bad)
    with pytest.raises(InputError, match="finite"):
        load_nets(path, SPACE)
    np.savez(path, architectures=np.array([object()], dtype=object))
    with pytest.raises(InputError):
        load_nets(path, SPACE)


def test_published_predictors_say_what_the_study_says(data_folder: Path) -> None:
    """The smallest net: accuracy .7175, latency .712 s, flash 1.194 MB."""
    smallest = load_study_predictor(data_folder / "seed", FULL).predict(np.zeros((1, 70), dtype=np.int64))
    assert smallest.accuracy.mean[0] == pytest.approx(0.7175, abs=5e-5)
    assert smallest.latency_s.mean[0] == pytest.approx(0.712, abs=5e-4)
    assert smallest.flash_bytes.mean[0] == pytest.approx(1.194e6, abs=500)


def write(path: Path, change: object = None, **parameters: torch.Tensor) -> Path:
    state = Mlp(len(SPACE.feature_names)).state_dict()
    state.update(parameters)
    if isinstance(change, str):
        del state[change]
    torch.save(state, path)
    return path


def test_predictor_files_that_do_not_fit_are_refused_with_every_difference(tmp_path: Path) -> None:
    path = tmp_path / "accuracy_predictor.pth"
    features = len(SPACE.feature_names)
    load_mlp(write(path), features, sigmoid=False)
    with pytest.raises(InputError, match=r"layers\.5\.bias is missing"):
        load_mlp(write(path, "layers.5.bias"), features, sigmoid=False)
    with pytest.raises(InputError, match=r"layers\.0\.weight has shape \(2, 2\)"):
        load_mlp(write(path, **{"layers.0.weight": torch.zeros(2, 2)}), features, sigmoid=False)
    with pytest.raises(InputError, match=r"more is unknown"):
        load_mlp(write(path, more=torch.zeros(1)), features, sigmoid=False)
    with pytest.raises(InputError, match="not finite"):
        load_mlp(write(path, **{"layers.12.bias": torch.tensor([float("nan")])}), features, sigmoid=False)


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (open, (str(self.path), "w"))


def test_pickles_that_hold_code_are_not_run(tmp_path: Path) -> None:
    trap, path = tmp_path / "trap", tmp_path / "latency_predictor.pth"
    torch.save({"layers.0.weight": Trap(trap)}, path)
    with pytest.raises(InputError, match="not a plain file of tensors"):
        load_mlp(path, 198, sigmoid=False)
    path.write_bytes(pickle.dumps(Trap(trap)))
    with pytest.raises(InputError):
        load_mlp(path, 198, sigmoid=False)
    assert not trap.exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"no torch file at all"])
def test_damaged_predictor_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "sram_predictor.pth"
    path.write_bytes(content)
    with pytest.raises(InputError, match="sram_predictor"):
        load_mlp(path, 198, sigmoid=False)
    with pytest.raises(InputError, match="cannot read"):
        load_mlp(tmp_path / "absent.pth", 198, sigmoid=False)


def test_errors_of_known_values() -> None:
    measured = prediction_errors(np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 3.5]))
    assert measured.mae == pytest.approx(0.5)
    assert measured.rmse == pytest.approx(np.sqrt(1.25 / 3.0))
    assert measured.spearman == pytest.approx(1.0)
    assert prediction_errors(np.ones(3), np.ones(3)).r2 == 0.0

"""What all tests share: the data folder. Where it is absent its tests skip with a reason; in CI that is a failure."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Networks of these sizes are fastest on one thread, and threads that wait for each other are slow on busy machines.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder that HILNAS_DATA names."""
    folder = os.environ.get("HILNAS_DATA")
    if folder and Path(folder).is_dir():
        return Path(folder)
    reason = "HILNAS_DATA names no folder"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def digits_supernet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A supernet trained on the digits just long enough for its smallest network to be right nine times out of ten."""
    from hilnas.nas.accuracy import train_and_evaluate
    from hilnas.nas.training import Recipe

    path = tmp_path_factory.mktemp("supernet") / "supernet.pt"
    train_and_evaluate("digits", Recipe(epochs=6, random_subnets=1, learning_rate=2e-2), path)
    return path


@pytest.fixture(scope="session")
def early_exit_model(digits_supernet: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported int8 subnet for 8 x 8 digits with three exits, each of which some digits take."""
    import numpy as np

    from hilnas.export.exporter import export_tflite
    from hilnas.nas.accuracy import calibrated_subnet
    from hilnas.nas.data import load_data
    from hilnas.nas.training import load_supernet

    trained = load_supernet(digits_supernet)
    space = trained.supernet.space
    architecture = np.zeros(len(space.decisions), dtype=np.int64)
    architecture[space.layout.exit_active] = [0, 1, 1, 1]
    architecture[space.layout.exit_threshold] = [0, 2, 2, 0]
    data = load_data("digits")
    subnet = calibrated_subnet(trained.supernet, architecture, data.training)
    path = tmp_path_factory.mktemp("early_exit") / "model.tflite"
    export_tflite(subnet, data.training.inputs[:256], path, subnet.network.thresholds)
    return path

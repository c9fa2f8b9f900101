"""From a trained supernet and an architecture to verified files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hilnas.errors import InputError
from hilnas.export.exporter import ExportedModel, export_subnet
from hilnas.export.verify import int8_accuracy
from hilnas.nas.accuracy import SubnetAccuracy, calibrated_subnet, subnet_accuracy
from hilnas.nas.data import load_data
from hilnas.nas.spaces.mcu_network import read_architecture
from hilnas.nas.training import load_supernet
from hilnas.progress import progress
from hilnas.tflite.reference import ReferenceModel

CALIBRATION_IMAGES = 256


@dataclass(frozen=True)
class ExportedSubnet:
    """An exported subnet, its work, and its accuracy on the test images, exits taken."""

    architecture: tuple[int, ...]
    model: ExportedModel
    macs: int
    weights: int
    thresholds: tuple[float, ...]
    float_accuracy: SubnetAccuracy
    int8_accuracy: float


def export_architecture(supernet_path: Path, architecture: str, folder: Path) -> ExportedSubnet:
    """Exports the subnet `architecture` (`smallest`, `largest`, or a JSON file) of a supernet that `train` wrote.

    Raises:
        InputError: a file cannot be read, is not what it should be, or the data set is no longer what it was.
        BuildError: an exporter failed, or a file is too far from the network.
        StoreError: the disk refused.
    """
    trained = load_supernet(supernet_path)
    row = read_architecture(trained.supernet.space, architecture)
    data = load_data(trained.data, trained.recipe.data_seed)
    size = trained.supernet.space.dimensions
    if data.shape != (size.resolution, size.resolution, size.channels):
        raise InputError(f"{trained.data} has images {data.shape} now, the supernet was trained on others", "Train it again.")
    with progress(f"exporting to {folder}", 3) as advance:
        subnet = calibrated_subnet(trained.supernet, row, data.training)
        advance(1)
        thresholds = subnet.network.thresholds
        model = export_subnet(subnet, data.training.inputs[:CALIBRATION_IMAGES], folder, thresholds)
        advance(1)
        accuracy = int8_accuracy(ReferenceModel.load(model.tflite), data.test.inputs, data.test.y)
        advance(1)
    return ExportedSubnet(
        architecture=tuple(int(index) for index in np.asarray(row)),
        model=model,
        macs=subnet.network.macs,
        weights=subnet.network.weight_count,
        thresholds=thresholds,
        float_accuracy=subnet_accuracy(subnet, data.test),
        int8_accuracy=accuracy,
    )

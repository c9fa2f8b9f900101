"""How close an exported .tflite is to the torch module that it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from hilnas.errors import BuildError
from hilnas.exit_rule import first_exit
from hilnas.tflite.reference import ReferenceModel

MINIMUM_SNR_DB = 15.0
MINIMUM_AGREEMENT = 0.9


@dataclass(frozen=True)
class Verification:
    """An int8 file against the float module on N images, per output in signature order.

    `snr_db` is the power of the float logits over that of the difference; `agreement` the fraction of images with the same
    class; `exit_agreement` the fraction that leave by the same exit.
    """

    images: int
    snr_db: tuple[float, ...]
    agreement: tuple[float, ...]
    exit_agreement: float

    def check(self) -> None:
        """Raises:
        BuildError: an output is too far from the float module.
        """
        if min(self.snr_db) < MINIMUM_SNR_DB or min(self.agreement) < MINIMUM_AGREEMENT:
            raise BuildError(
                f"the int8 file is too far from the network: SNR {', '.join(f'{snr:.1f}' for snr in self.snr_db)} dB "
                f"(at least {MINIMUM_SNR_DB:.0f}), same class {', '.join(f'{share:.2f}' for share in self.agreement)} "
                f"(at least {MINIMUM_AGREEMENT})",
                "Give calibration images like those the network was trained on, or train it longer.",
            )


def float_logits(module: nn.Module, images: NDArray[np.float32]) -> tuple[NDArray[np.float64], ...]:
    """The module's outputs on images (N, H, W, C), each (N, classes)."""
    with torch.no_grad():
        outputs = module.eval()(torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))))
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return tuple(output.double().numpy() for output in outputs)


def int8_logits(model: ReferenceModel, images: NDArray[np.float32]) -> tuple[NDArray[np.float64], ...]:
    """The dequantised outputs of an exported file on images (N, H, W, C), each (N, classes)."""
    return model.dequantise(model.run_batch(model.inputs[0].quantise(images)))


def int8_accuracy(model: ReferenceModel, images: NDArray[np.float32], classes: NDArray[np.int64]) -> float:
    """Accuracy in [0, 1] of an exported file on images (N, H, W, C) with its exits taken."""
    logits = int8_logits(model, images)
    taken = model.exits.taken(logits)
    right = np.stack([output.argmax(axis=1) == classes for output in logits])
    return float(right[taken, np.arange(len(classes))].mean())


def verify(model: ReferenceModel, module: nn.Module, images: NDArray[np.float32], thresholds: Sequence[float] = ()) -> Verification:
    """Compares an exported file on the reference kernels with the module it was made from, on images (N, H, W, C)."""
    expected, actual = float_logits(module, images), int8_logits(model, images)
    pairs = list(zip(expected, actual, strict=True))
    same_exit = first_exit(expected[:-1], thresholds) == first_exit(actual[:-1], thresholds) if thresholds else np.ones(len(images))
    return Verification(
        images=len(images),
        snr_db=tuple(_snr_db(left, right) for left, right in pairs),
        agreement=tuple(float(np.mean(left.argmax(axis=1) == right.argmax(axis=1))) for left, right in pairs),
        exit_agreement=float(np.mean(same_exit)),
    )


def _snr_db(signal: NDArray[np.float64], noisy: NDArray[np.float64]) -> float:
    noise = float(np.square(signal - noisy).sum())
    return float(10 * np.log10(max(float(np.square(signal).sum()), 1e-30) / max(noise, 1e-30)))

"""The study's predictor: a multilayer perceptron on one-hot features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from hilnas.errors import InputError
from hilnas.nas.metrics import Estimate, FloatArray
from hilnas.nas.space import Architectures, Features, SearchSpace
from hilnas.progress import progress

WIDTH = 512
DROPOUT = 0.1


class Mlp(nn.Module):
    """Three times [Linear 512, LayerNorm, ReLU, Dropout 0.1], then Linear 1, on `features` inputs.

    Source: study 1's predictors; the parameters are named as in its files. `sigmoid` ends the one for accuracy.
    """

    def __init__(self, features: int, sigmoid: bool = False) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs in (features, WIDTH, WIDTH):
            layers += [nn.Linear(inputs, WIDTH), nn.LayerNorm(WIDTH), nn.ReLU(), nn.Dropout(DROPOUT)]
        layers.append(nn.Linear(WIDTH, 1))
        if sigmoid:
            layers.append(nn.Sigmoid())
        self.layers = nn.Sequential(*layers)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """One value per row of `features` (N, F), shape (N,)."""
        values: torch.Tensor = self.layers(features).squeeze(-1)
        return values


@dataclass(frozen=True)
class Training:
    """How an `Mlp` is trained: AdamW on the absolute error, one tenth held out, best epoch kept."""

    epochs: int = 200
    batch: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    held_out: float = 0.1


class MlpPredictor:
    """Predicts one metric with an `Mlp`; the deviation is the root mean square error on the measurements held out.

    The network learns the standardised metric: `offset + scale * output`.
    """

    def __init__(self, space: SearchSpace, seed: int, training: Training | None = None) -> None:
        self.space = space
        self.seed = seed
        self.training = training or Training()
        self._features: Features = np.zeros((0, len(space.feature_names)), dtype=np.float32)
        self._values: FloatArray = np.zeros(0)
        self.offset, self.scale, self.std = 0.0, 1.0, 0.0
        self._model: Mlp | None = None

    @classmethod
    def from_model(cls, space: SearchSpace, model: Mlp, offset: float, scale: float, std: float) -> MlpPredictor:
        """A predictor from what an earlier one learned."""
        predictor = cls(space, seed=0)
        predictor.offset, predictor.scale, predictor.std, predictor._model = offset, scale, std, model
        return predictor

    def parameters(self) -> dict[str, torch.Tensor]:
        """The parameters of the trained network by name.

        Raises:
            InputError: nothing was learned yet.
        """
        return self._trained().state_dict()

    def update(self, architectures: Architectures, measured: Estimate) -> None:
        """Trains anew on these measurements and those of earlier calls.

        Raises:
            InputError: fewer than ten measurements, of which none could be held out.
        """
        self._features = np.concatenate([self._features, self.space.encode(architectures)])
        self._values = np.concatenate([self._values, measured.mean])
        if len(self._values) < 10:
            raise InputError(f"an MLP predictor needs 10 measurements, it has {len(self._values)}", "Measure more networks first.")
        self.offset, self.scale = float(self._values.mean()), float(self._values.std()) or 1.0
        self._model, error = train(self._features, (self._values - self.offset) / self.scale, self.training, self.seed)
        self.std = error * self.scale

    def predict(self, architectures: Architectures) -> Estimate:
        """Mean and standard deviation, shape (N,).

        Raises:
            InputError: nothing was learned yet.
        """
        mean = self.offset + self.scale * evaluate(self._trained(), self.space.encode(architectures))
        return Estimate(mean, np.full(len(mean), self.std))

    def _trained(self) -> Mlp:
        if self._model is None:
            raise InputError("the MLP predictor was not trained", "Give it measurements first.")
        return self._model


def evaluate(model: Mlp, features: Features) -> FloatArray:
    """The outputs of `model` in evaluation mode (no dropout), shape (N,), float64."""
    model.eval()
    with torch.inference_mode():
        outputs: FloatArray = model(torch.from_numpy(features)).double().numpy()
    return outputs


def train(features: Features, targets: FloatArray, training: Training, seed: int) -> tuple[Mlp, float]:
    """Trains an `Mlp` on (N, F) features and (N,) targets; returns it with the root mean square error on the held-out part."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        order = torch.randperm(len(targets))
        held = max(1, round(training.held_out * len(targets)))
        inputs, wanted = torch.from_numpy(features), torch.from_numpy(targets.astype(np.float32))
        kept, test = order[held:], order[:held]
        model = Mlp(features.shape[1])
        optimizer = torch.optim.AdamW(model.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, training.epochs)
        best_error, best_state = np.inf, model.state_dict()
        with progress("training a predictor", training.epochs) as advance:
            for _ in range(training.epochs):
                model.train()
                for rows in torch.split(kept[torch.randperm(len(kept))], training.batch):
                    optimizer.zero_grad()
                    loss = nn.functional.l1_loss(model(inputs[rows]), wanted[rows])
                    torch.autograd.backward(loss)
                    optimizer.step()
                schedule.step()
                error = float(np.sqrt(np.mean((evaluate(model, features[test.numpy()]) - targets[test.numpy()]) ** 2)))
                if error < best_error:
                    best_error, best_state = error, {name: value.clone() for name, value in model.state_dict().items()}
                advance(1)
        model.load_state_dict(best_state)
        return model, best_error

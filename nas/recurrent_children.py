"""Recurrent children of study 3: a found cell as a torch module, and the language model that judges it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from hilnas.errors import InputError
from hilnas.files import read_input
from hilnas.nas.children import child_metrics
from hilnas.nas.metrics import Metrics
from hilnas.nas.space import Architectures
from hilnas.nas.spaces.recurrent import Cell, Node, RecurrentSpace
from hilnas.nas.threads import one_thread

LEAST_BYTES = 100_000

State = tuple[Tensor, Tensor]
"""Hidden and memory state h and c of a cell, both (N, units)."""

_ACTIVATIONS = {"identity": lambda value: value, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "relu": torch.relu}


class RecurrentCell(nn.Module):
    """A cell of the space as a module, used like `torch.nn.LSTMCell`: input (N, inputs) and state -> (h, c)."""

    def __init__(self, cell: Cell, inputs: int, units: int) -> None:
        super().__init__()
        self.cell = cell
        self.units = units
        self.from_input = nn.Linear(inputs, cell.base * units)
        self.from_hidden = nn.Linear(units, cell.base * units, bias=False)

    def forward(self, inputs: Tensor, state: State) -> State:
        """One step."""
        return self.step(self.from_input(inputs), state)

    def step(self, projected: Tensor, state: State) -> State:
        """One step from inputs that `from_input` has already projected, (N, base x units): all steps' projections are one product."""
        cell, (hidden, memory) = self.cell, state
        from_input = projected.chunk(cell.base, dim=-1)
        from_hidden = self.from_hidden(hidden).chunk(cell.base, dim=-1)
        values: list[Tensor] = []
        remembered = memory
        for index, node in enumerate(cell.nodes):
            if index < cell.base:
                first, second = from_input[index], from_hidden[index]
            else:
                first, second = (values[child] for child in cell.children(index))
            combined = _combine(node, first, second)
            if index == cell.remembered:
                remembered = combined
            value = _ACTIVATIONS[node.activation](combined)
            if index == cell.injected_at:
                value = _ACTIVATIONS[cell.injected.activation](_combine(cell.injected, value, memory))
            values.append(value)
        return values[-1], remembered

    def initial_state(self, count: int) -> State:
        """Zeros for `count` sequences."""
        zeros = self.from_input.weight.new_zeros(count, self.units)
        return zeros, zeros


@dataclass(frozen=True)
class Text:
    """A text as tokens, split into training, validation and test: int64 arrays. `vocabulary` is the number of different tokens."""

    name: str
    vocabulary: int
    training: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]


def load_text(path: Path, words: bool = False, longest: int | None = None) -> Text:
    """Reads a text file of at least 100 kB: characters (its bytes) or, for files like Penn Treebank's, words; split 90 : 5 : 5 in order.

    Of a text of more than `longest` tokens, the first are taken.

    Raises:
        InputError: unreadable, or too short.
    """
    data = read_input(path)
    if len(data) < LEAST_BYTES:
        raise InputError(f"{path} has {len(data):,} bytes; a language model needs at least {LEAST_BYTES:,}", "Give a longer text.")
    raw = np.array(data.replace(b"\n", b" <eos> ").split()) if words else np.frombuffer(data, dtype=np.uint8)
    known, tokens = np.unique(raw[:longest], return_inverse=True)
    tokens = tokens.astype(np.int64)
    held_out = len(tokens) // 20
    return Text(path.name, len(known), tokens[: -2 * held_out], tokens[-2 * held_out : -held_out], tokens[-held_out:])


class LanguageModel(nn.Module):
    """Embedding, one layer of a cell, softmax over the vocabulary. Input and output weights are one matrix (Press and Wolf, 2017)."""

    def __init__(self, cell: Cell, vocabulary: int, units: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, units)
        self.cell = RecurrentCell(cell, units, units)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        for weight in (self.embedding.weight, self.cell.from_input.weight, self.cell.from_hidden.weight):
            nn.init.uniform_(weight, -0.1, 0.1)

    def forward(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Tokens (N, T) and a state -> logits (N, T, vocabulary) of the next tokens, and the state after the last one."""
        projected = self.cell.from_input(self.embedding(tokens))
        hidden = []
        for step in projected.unbind(1):
            state = self.cell.step(step, state)
            hidden.append(state[0])
        return functional.linear(torch.stack(hidden, 1), self.embedding.weight, self.bias), state


@dataclass(frozen=True)
class LanguageRecipe:
    """How a language model is trained: Adam, truncated back-propagation over `steps` tokens of `batch_size` parts of the text.

    The defaults get most out of one epoch of 100 kB: many short updates, each of many rows, with a high learning rate.
    """

    epochs: int = 1
    units: int = 32
    batch_size: int = 128
    steps: int = 16
    learning_rate: float = 0.02
    clip: float = 1.0
    """Of the gradient's norm."""


@dataclass(frozen=True)
class TrainedCell:
    """A trained language model with the perplexity that it reached on the validation part, and the number of its parameters."""

    module: LanguageModel
    perplexity: float
    parameters: int


class CellTrainer:
    """Trains language models of the cells of a space, on a GPU when there is one. A child's seed is `seed` and its own decisions."""

    def __init__(self, space: RecurrentSpace, text: Text, recipe: LanguageRecipe, seed: int) -> None:
        self.space = space
        self.text = text
        self.recipe = recipe
        self.seed = seed
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def train(self, architecture: NDArray[np.int64]) -> TrainedCell:
        """Trains one child from scratch. One that diverges gets the perplexity of the uniform guess: the vocabulary's size."""
        recipe = self.recipe
        rng = np.random.default_rng([self.seed, *architecture.tolist()])
        with torch.random.fork_rng():
            torch.manual_seed(int(rng.integers(2**31)))
            model = LanguageModel(self.space.cell(architecture), self.text.vocabulary, recipe.units)
        model.to(self.device)
        optimizer = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate)
        perplexities = []
        with one_thread():
            for _ in range(recipe.epochs):
                if not self._epoch(model, optimizer):
                    break
                perplexities.append(self.perplexity(model, self.text.validation))
        best = min(perplexities, default=float(self.text.vocabulary))
        return TrainedCell(model.eval(), best, sum(parameter.numel() for parameter in model.parameters()))

    def predict(self, architectures: Architectures) -> Metrics:
        """Trains a batch (N, D). Accuracy is 1 / validation perplexity: the mean probability (geometric) of each token that came."""
        trained = [self.train(row) for row in architectures]
        return child_metrics([1.0 / one.perplexity for one in trained], [one.parameters for one in trained])

    def update(self, architectures: Architectures, metrics: Metrics) -> None:
        """Nothing: training is the measurement."""

    def perplexity(self, model: LanguageModel, tokens: NDArray[np.int64]) -> float:
        """exp of the mean negative log-likelihood of each next token; at most the vocabulary's size, which knowing nothing reaches."""
        model.eval()
        total, count = 0.0, 0
        with torch.no_grad():
            state = model.cell.initial_state(self.recipe.batch_size)
            for inputs, targets in self._parts(tokens):
                logits, state = model(inputs, state)
                total += float(functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum"))
                count += targets.numel()
        mean = total / count
        # Not a number is not less than anything.
        return float(np.exp(mean)) if mean < np.log(self.text.vocabulary) else float(self.text.vocabulary)

    def _epoch(self, model: LanguageModel, optimizer: torch.optim.Optimizer) -> bool:
        """One pass over the training part; False if the loss stops being a number."""
        model.train()
        state = model.cell.initial_state(self.recipe.batch_size)
        for inputs, targets in self._parts(self.text.training):
            state = (state[0].detach(), state[1].detach())
            logits, state = model(inputs, state)
            loss = functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
            if not torch.isfinite(loss):
                return False
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), self.recipe.clip)
            optimizer.step()
        return True

    def _parts(self, tokens: NDArray[np.int64]) -> list[tuple[Tensor, Tensor]]:
        """Inputs and next tokens (batch_size, steps), in an order in which each row goes on where it was."""
        rows, steps = self.recipe.batch_size, self.recipe.steps
        length = (len(tokens) - 1) // rows
        if length < 1:
            raise InputError(f"{len(tokens):,} tokens cannot be shared by {rows} rows", "Give a longer text or a smaller batch.")
        parts = (torch.from_numpy(part[: rows * length].reshape(rows, length)) for part in (tokens[:-1], tokens[1:]))
        inputs, targets = (part.to(self.device) for part in parts)
        return [(inputs[:, start : start + steps], targets[:, start : start + steps]) for start in range(0, length, steps)]


def _combine(node: Node, first: Tensor, second: Tensor) -> Tensor:
    return first + second if node.combination == "add" else first * second

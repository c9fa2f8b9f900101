"""The recurrent cell space, a found cell as a module, and the language model that judges it."""

from __future__ import annotations

import pydoc_data.topics
from pathlib import Path

import numpy as np
import pytest
import torch

from hilnas.errors import InputError
from hilnas.nas.metrics import Budget
from hilnas.nas.recurrent_children import CellTrainer, LanguageModel, LanguageRecipe, RecurrentCell, Text, load_text
from hilnas.nas.rewards import squared_inverse_perplexity
from hilnas.nas.spaces.recurrent import Cell, Node, RecurrentSpace

SPACE = RecurrentSpace()

STUDY = Cell(
    nodes=(Node("add", "tanh"), Node("multiply", "relu"), Node("multiply", "sigmoid")),
    injected=Node("add", "relu"),
    injected_at=0,
    remembered=1,
)
"""The cell of the source's Figure 5."""


@pytest.fixture(scope="module")
def text() -> Text:
    return load_text(Path(pydoc_data.topics.__file__))


def small(text: Text) -> Text:
    return Text("small", text.vocabulary, text.training[:60_000], text.validation[:8_000], text.test[:100])


def test_the_space_has_the_sources_size() -> None:
    assert float(np.prod(SPACE.choice_counts.astype(float))) == 8.0**16 * 15**2


@pytest.mark.parametrize("base", [0, 1, 3, 6])
def test_a_tree_that_is_not_binary_is_refused(base: int) -> None:
    with pytest.raises(InputError, match="not binary"):
        RecurrentSpace(base)


def test_an_architecture_names_every_part_of_its_cell() -> None:
    row = SPACE.sample(1, np.random.default_rng(0))[0]
    cell = SPACE.cell(row)
    named = {decision.name: decision.choices[choice] for decision, choice in zip(SPACE.decisions, row, strict=True)}
    for index, node in enumerate(cell.nodes):
        assert (node.combination, node.activation) == (named[f"node{index}.combination"], named[f"node{index}.activation"])
    assert (cell.injected.combination, cell.injected.activation) == (named["injected.combination"], named["injected.activation"])
    assert (cell.remembered, cell.injected_at) == (named["remembered"], named["injected_at"])


def test_the_tree_joins_leaves_pairwise_up_to_one_root() -> None:
    cell = SPACE.cell(SPACE.sample(1, np.random.default_rng(0))[0])
    assert [cell.children(node) for node in range(8, 15)] == [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (10, 11), (12, 13)]


def test_the_sources_example_is_computed_as_the_source_writes_it() -> None:
    torch.manual_seed(0)
    module = RecurrentCell(STUDY, inputs=5, units=4)
    x, h, c = torch.randn(3, 5), torch.randn(3, 4), torch.randn(3, 4)
    wx, wh = module.from_input(x).chunk(2, -1), module.from_hidden(h).chunk(2, -1)
    a0 = torch.relu(torch.tanh(wx[0] + wh[0]) + c)
    before = wx[1] * wh[1]
    expected = torch.sigmoid(a0 * torch.relu(before))
    new_h, new_c = module(x, (h, c))
    torch.testing.assert_close(new_h, expected)
    torch.testing.assert_close(new_c, before)


@pytest.mark.parametrize("seed", range(5))
def test_every_cell_runs_and_has_gradients(seed: int) -> None:
    torch.manual_seed(seed)
    model = LanguageModel(SPACE.cell(SPACE.sample(1, np.random.default_rng(seed))[0]), vocabulary=11, units=6)
    logits, state = model(torch.randint(11, (3, 7)), model.cell.initial_state(3))
    assert logits.shape == (3, 7, 11)
    assert [part.shape for part in state] == [(3, 6), (3, 6)]
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_long_sequence_is_the_same_in_parts() -> None:
    torch.manual_seed(0)
    model = LanguageModel(STUDY, vocabulary=11, units=6)
    tokens = torch.randint(11, (2, 10))
    whole, _ = model(tokens, model.cell.initial_state(2))
    first, state = model(tokens[:, :4], model.cell.initial_state(2))
    second, _ = model(tokens[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)


def test_a_text_is_split_in_order_into_tokens(text: Text) -> None:
    raw = np.frombuffer(Path(pydoc_data.topics.__file__).read_bytes(), dtype=np.uint8)
    tokens = np.concatenate([text.training, text.validation, text.test])
    assert len(tokens) == len(raw)
    np.testing.assert_array_equal(np.unique(raw)[tokens], raw)
    assert text.vocabulary == tokens.max() + 1


def test_words_are_tokens_too(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text(" the cat saw the dog \n" * 6000)
    text = load_text(tmp_path / "words.txt", words=True)
    assert text.vocabulary == len({"the", "cat", "saw", "dog", "<eos>"})


def test_a_short_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "short.txt").write_text("too short")
    with pytest.raises(InputError, match="100,000"):
        load_text(tmp_path / "short.txt")


def test_an_lstm_like_cell_learns_more_than_letter_frequencies(text: Text) -> None:
    """Perplexity of the best constant guess is exp of the letters' entropy; a trained cell is well under it, on any text."""
    part = small(text)
    shares = np.bincount(part.training, minlength=part.vocabulary) / len(part.training)
    constant = float(np.exp(-np.sum(shares[shares > 0] * np.log(shares[shares > 0]))))
    row = np.zeros(len(SPACE.decisions), dtype=np.int64)
    row[1::2] = 1  # add and tanh everywhere
    trainer = CellTrainer(SPACE, part, LanguageRecipe(units=24), seed=0)
    trained = trainer.train(row)
    assert trained.perplexity < 0.9 * constant
    metrics = trainer.predict(row[None])
    assert metrics.accuracy.mean[0] == pytest.approx(1.0 / trained.perplexity)
    assert squared_inverse_perplexity(metrics, Budget())[0] == pytest.approx(trained.perplexity**-2)


@pytest.mark.parametrize("bias", [float("nan"), float("inf"), 50.0])
def test_a_cell_that_diverges_or_misleads_is_worth_the_uniform_guess(text: Text, bias: float) -> None:
    class Misleading(CellTrainer):
        def perplexity(self, model: LanguageModel, tokens: np.ndarray) -> float:
            model.bias.data[0] += bias
            return super().perplexity(model, tokens)

    row: np.ndarray = np.zeros(len(SPACE.decisions), dtype=np.int64)
    part = Text("tiny", text.vocabulary, text.training[:4_000], text.validation[:1_000], text.test[:100])
    assert Misleading(SPACE, part, LanguageRecipe(units=4), seed=0).train(row).perplexity == text.vocabulary


def test_a_cell_whose_training_breaks_down_is_worth_the_uniform_guess(text: Text) -> None:
    """Products of products of unbounded values, one state fed back into all of them: the loss overflows on the way."""
    row: np.ndarray = np.zeros(len(SPACE.decisions), dtype=np.int64)
    row[16:28:2] = 1  # leaves add, the nodes over them multiply; identity everywhere
    part = small(text)
    trained = CellTrainer(SPACE, part, LanguageRecipe(learning_rate=1.0), seed=0).train(row)
    assert trained.perplexity == text.vocabulary

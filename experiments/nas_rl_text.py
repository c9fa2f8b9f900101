"""Study 3: recurrent cells found by the RNN controller on a text, against random cells at the same budget."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from hilnas.errors import InputError
from hilnas.experiments.catalogue import option
from hilnas.experiments.report import Report, Table
from hilnas.experiments.statistics import Interval, interval, paired_p_value
from hilnas.nas.distributed import Child, DistributedSearch, Scale
from hilnas.nas.metrics import FloatArray
from hilnas.nas.recurrent_children import CellTrainer, LanguageRecipe, load_text
from hilnas.nas.rewards import squared_inverse_perplexity
from hilnas.nas.searches.controller import ControllerSettings
from hilnas.nas.spaces.recurrent import Cell, Node, RecurrentSpace
from hilnas.nas.workers import Workers, open_workers
from hilnas.progress import Advance, progress

SPACE = RecurrentSpace(base=8)
LEARNING_RATE = 0.04
"""The source's 6e-4 is for thousands of cells; these are a hundred."""
BASELINE_DECAY = 0.8
"""Rewards rise within a few of the 25 updates; an average over twenty, as by default, would stay behind them."""
SIGNIFICANCE = 0.05


@dataclass(frozen=True)
class Options:
    """What can be varied."""

    seeds: int = option(10, "Number of searches.")
    children: int = option(100, "Cells that each search trains; as many random ones are trained beside it.")
    text: str | None = option(None, "Text file of at least 100 kB; Python's own language reference without one.")
    words: bool = option(False, "The text's tokens are words, as in Penn Treebank's files, not characters.")
    tokens: int = option(120_000, "Tokens of the text that are used, from its start.")
    epochs: int = option(1, "Epochs that a cell's language model is trained for.")
    units: int = option(32, "Hidden units of the language model.")
    ray: str | None = option(None, 'Address of a Ray cluster, or "local" to start one; one process without.')
    replicas: int = option(1, "Controllers that share their parameters.")
    batch: int = option(4, "Cells of one update, trained at the same time on Ray.")


@dataclass(frozen=True)
class Comparison:
    """Mean perplexities by seed, and the one-sided Wilcoxon tests between those of the same seed.

    Means are of logarithms (geometric), as a perplexity is itself the exponential of a mean.
    """

    controller_all: Interval
    controller_first_quarter: Interval
    controller_last_quarter: Interval
    random_all: Interval
    controller_best: Interval
    random_best: Interval
    seeds_better_than_random: int
    p_value: float
    p_value_improvement: float
    p_value_best: float


@dataclass(frozen=True)
class BestCell:
    """The best cell of all searches: its perplexity in its search, and on the part of the text that no choice depended on."""

    seed: int
    architecture: list[int]
    perplexity: float
    test_perplexity: float


def run(options: Options) -> Report:
    """Searches with every seed, trains random cells beside, and compares perplexities.

    Raises:
        InputError: bad options, a text that is missing or too short, no Ray at the address.
    """
    if options.seeds < 1 or options.children < 4:
        raise InputError(f"{options.seeds} seeds of {options.children} cells cannot be judged", "Give at least one seed and 4 cells.")
    path = default_text() if options.text is None else Path(options.text)
    text = load_text(path, options.words, options.tokens)
    searches, found, random = [], [], []
    with open_workers(options.ray) as workers, progress("cells", total=2 * options.seeds * options.children) as advance:
        for seed in range(options.seeds):
            trainer = partial(_create_trainer, path, options, seed)
            searches.append(_search(workers, trainer, options, seed, advance))
            found.append([_perplexity(child) for child in searches[-1]])
            random.append(_random(trainer(), options.children, seed, advance))
    controller, baseline = np.array(found), np.array(random)
    seed, child = min(
        ((seed, child) for seed, children in enumerate(searches) for child in children), key=lambda item: _perplexity(item[1])
    )
    comparison = _compare(controller, baseline)
    best = BestCell(seed, child.architecture.tolist(), _perplexity(child), _test_perplexity(_create_trainer(path, options, seed), child))
    return Report(
        title=f"Study 3: {options.children} recurrent cells on {text.name}, {options.seeds} seeds",
        document={
            "options": asdict(options),
            "controller": asdict(_settings(options)),
            "recipe": asdict(_recipe(options)),
            "text": {"name": text.name, "tokens": len(text.training), "vocabulary": text.vocabulary},
            **asdict(comparison),
            "best": asdict(best),
        },
        tables=(_table(controller, baseline), _cell_table(SPACE.cell(child.architecture))),
        findings=_findings(comparison, best, options.seeds),
    )


def default_text() -> Path:
    """A long English text that every Python brings along: its language reference as the `help` command shows it."""
    import pydoc_data.topics

    return Path(pydoc_data.topics.__file__)


def _create_trainer(path: Path, options: Options, seed: int) -> CellTrainer:
    """The evaluator of one search, made in the worker's process."""
    return CellTrainer(SPACE, load_text(path, options.words, options.tokens), _recipe(options), seed)


def _recipe(options: Options) -> LanguageRecipe:
    return LanguageRecipe(epochs=options.epochs, units=options.units)


def _settings(options: Options) -> ControllerSettings:
    return ControllerSettings(learning_rate=LEARNING_RATE, batch=options.batch, baseline_decay=BASELINE_DECAY)


def _search(workers: Workers, trainer: partial[CellTrainer], options: Options, seed: int, advance: Advance) -> list[Child]:
    children: list[Child] = []

    def done(child: Child) -> None:
        children.append(child)
        advance(1)

    settings, scale = _settings(options), Scale(replicas=options.replicas, children=options.batch)
    with closing(DistributedSearch(workers, SPACE, trainer, squared_inverse_perplexity, settings, scale, seed)) as search:
        search.run(options.children, done)
    return children


def _random(trainer: CellTrainer, count: int, seed: int, advance: Advance) -> list[float]:
    """Perplexities of `count` random cells."""
    perplexities = []
    for row in SPACE.sample(count, np.random.default_rng([seed, 2])):
        perplexities.append(trainer.train(row).perplexity)
        advance(1)
    return perplexities


def _perplexity(child: Child) -> float:
    return float(1.0 / child.metrics.accuracy.mean[0])


def _test_perplexity(trainer: CellTrainer, child: Child) -> float:
    """Of a child trained once more, on the part of the text that no choice depended on."""
    return trainer.perplexity(trainer.train(child.architecture).module, trainer.text.test)


def _compare(controller: FloatArray, random: FloatArray) -> Comparison:
    """Of perplexities, shape (seeds, cells)."""
    quarter = controller.shape[1] // 4
    found, first, last, drawn = (
        np.log(values).mean(axis=1) for values in (controller, controller[:, :quarter], controller[:, -quarter:], random)
    )
    return Comparison(
        controller_all=interval(np.exp(found)),
        controller_first_quarter=interval(np.exp(first)),
        controller_last_quarter=interval(np.exp(last)),
        random_all=interval(np.exp(drawn)),
        controller_best=interval(controller.min(axis=1)),
        random_best=interval(random.min(axis=1)),
        seeds_better_than_random=int((found < drawn).sum()),
        p_value=paired_p_value(drawn - found),
        p_value_improvement=paired_p_value(first - last),
        p_value_best=paired_p_value(np.log(random.min(axis=1)) - np.log(controller.min(axis=1))),
    )


def _findings(comparison: Comparison, best: BestCell, seeds: int) -> tuple[str, ...]:
    verdict = "beats" if comparison.p_value < SIGNIFICANCE else "is not told apart from"
    return (
        f"Mean perplexity of all cells: controller {comparison.controller_all:.2f}, random {comparison.random_all:.2f}; lower in "
        f"{comparison.seeds_better_than_random} of {seeds} seeds, one-sided Wilcoxon "
        f"p = {comparison.p_value:.2g}: the search {verdict} random cells at the same budget.",
        f"The controller's first quarter {comparison.controller_first_quarter:.2f}, its last {comparison.controller_last_quarter:.2f}; "
        f"p = {comparison.p_value_improvement:.2g}.",
        f"Best cell of a search: controller {comparison.controller_best:.2f}, random {comparison.random_best:.2f}; "
        f"p = {comparison.p_value_best:.2g}. The best of all has {best.perplexity:.2f}, on the test part {best.test_perplexity:.2f}.",
    )


def _table(controller: FloatArray, random: FloatArray) -> Table:
    rows = tuple(
        (seed, number, f"{controller[seed, number]:.4f}", f"{random[seed, number]:.4f}")
        for seed in range(len(controller))
        for number in range(controller.shape[1])
    )
    return Table("cells", "Validation perplexity of all cells", ("seed", "cell", "controller", "random"), rows)


def _cell_table(cell: Cell) -> Table:
    """The best cell, node by node."""

    def row(name: str, operands: str, node: Node) -> tuple[str, ...]:
        return name, operands, node.combination, node.activation

    rows = [
        row(f"node {index}", "W x, U h" if index < cell.base else "nodes {}, {}".format(*cell.children(index)), node)
        for index, node in enumerate(cell.nodes)
    ]
    rows.append(row("injected", f"node {cell.injected_at}, c", cell.injected))
    rows.append(("c", f"node {cell.remembered} before its activation", "", ""))
    return Table("best_cell", "The best cell", ("value", "of", "combination", "activation"), tuple(rows))

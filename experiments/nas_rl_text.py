"""Study 3: recurrent cells found by the RNN controller on a text, against random cells at the same budget."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hilnas.errors import InputError
from hilnas.experiments.catalogue import option
from hilnas.experiments.report import Report, Table
from hilnas.experiments.statistics import Interval, interval
from hilnas.nas.distributed import Child, DistributedSearch, Scale
from hilnas.nas.metrics import FloatArray
from hilnas.nas.recurrent_children import CellTrainer, LanguageRecipe, load_text
from hilnas.nas.rewards import squared_inverse_perplexity
from hilnas.nas.searches.controller import ControllerSettings
from hilnas.nas.spaces.recurrent import Cell, Node, RecurrentSpace
from hilnas.nas.workers import Workers, open_workers
from hilnas.progress import Advance, progress

SPACE = RecurrentSpace(base=8)
LEARNING_RATE = 0.02


@dataclass(frozen=True)
class Options:
    """What can be varied."""

    seeds: int = option(3, "Number of searches.")
    children: int = option(60, "Cells that each search trains; as many random ones are trained beside it.")
    text: str | None = option(None, "Text file of at least 100 kB; Python's own language reference without one.")
    words: bool = option(False, "The text's tokens are words, as in Penn Treebank's files, not characters.")
    tokens: int = option(120_000, "Tokens of the text that are used, from its start.")
    epochs: int = option(1, "Epochs that a cell's language model is trained for.")
    units: int = option(32, "Hidden units of the language model.")
    ray: str | None = option(None, 'Address of a Ray cluster, or "local" to start one; one process without.')
    replicas: int = option(1, "Controllers that share their parameters.")
    batch: int = option(4, "Cells of one update, trained at the same time on Ray.")


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
    comparison = _compare(controller, baseline)
    best = min((child for children in searches for child in children), key=_perplexity)
    document = {
        "options": asdict(options),
        "text": {"name": text.name, "tokens": len(text.training), "vocabulary": text.vocabulary},
        **comparison,
        "best": {"perplexity": _perplexity(best), "architecture": best.architecture.tolist()},
    }
    return Report(
        title=f"Study 3: {options.children} recurrent cells on {text.name}, {options.seeds} seeds",
        document=document,
        tables=(_table(controller, baseline), _cell_table(SPACE.cell(best.architecture))),
        findings=_findings(document),
    )


def default_text() -> Path:
    """A long English text that every Python brings along: its language reference as the `help` command shows it."""
    import pydoc_data.topics

    return Path(pydoc_data.topics.__file__)


def _create_trainer(path: Path, options: Options, seed: int) -> CellTrainer:
    """The evaluator of one search, made in the worker's process."""
    recipe = LanguageRecipe(epochs=options.epochs, units=options.units)
    return CellTrainer(SPACE, load_text(path, options.words, options.tokens), recipe, seed)


def _search(workers: Workers, trainer: partial[CellTrainer], options: Options, seed: int, advance: Advance) -> list[Child]:
    children: list[Child] = []

    def done(child: Child) -> None:
        children.append(child)
        advance(1)

    settings = ControllerSettings(learning_rate=LEARNING_RATE, batch=options.batch)
    scale = Scale(replicas=options.replicas, children=options.batch)
    DistributedSearch(workers, SPACE, trainer, squared_inverse_perplexity, settings, scale, seed).run(options.children, done)
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


def _compare(controller: FloatArray, random: FloatArray) -> dict[str, Any]:
    """Mean perplexities by seed. Means are of logarithms (geometric), so that one cell that diverged does not decide."""

    def means(values: FloatArray) -> dict[str, float]:
        return interval(np.exp(np.log(values).mean(axis=1))).as_dict()

    quarter = max(controller.shape[1] // 4, 1)
    return {
        "controller_all": means(controller),
        "controller_last_quarter": means(controller[:, -quarter:]),
        "controller_best": interval(controller.min(axis=1)).as_dict(),
        "random_all": means(random),
        "random_best": interval(random.min(axis=1)).as_dict(),
    }


def _findings(document: dict[str, Any]) -> tuple[str, ...]:
    mean = {key: Interval(**document[key]) for key in document if key.startswith(("controller_", "random_"))}
    found, random = mean["controller_all"], mean["random_all"]
    verdict = "beats" if found.high < random.low else "does not beat" if found.mean >= random.mean else "is not told apart from"
    return (
        f"Mean perplexity of all cells: controller {found:.2f}, random {random:.2f}: the search {verdict} "
        f"random cells at the same budget. Last quarter of the controller's: {mean['controller_last_quarter']:.2f}.",
        f"Best cell of a search: controller {mean['controller_best']:.2f}, random {mean['random_best']:.2f}.",
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

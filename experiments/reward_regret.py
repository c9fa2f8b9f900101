"""How far searches on NAS-Bench-201 stay from the best net under a latency limit, on CIFAR-100, after 500 to 5,000 samples.

A search sees validation accuracy and latency. Its answer after n samples is the net under T with the best validation accuracy among
them; its regret is the test accuracy of the best net under T, minus that of the answer, in points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hilnas.experiments.catalogue import option
from hilnas.experiments.nasbench201 import DEVICES, TEST, evaluator_of, latency_limit, open_table, run_search
from hilnas.experiments.report import Report, Table
from hilnas.experiments.statistics import Interval, interval
from hilnas.nas.evaluators.table import TableEvaluator
from hilnas.nas.metrics import Budget, FloatArray
from hilnas.nas.rewards import REWARDS, log_limit_for
from hilnas.nas.search import Search
from hilnas.nas.searches.controller import Controller, ControllerSettings
from hilnas.nas.searches.ga import GeneticSearch
from hilnas.nas.searches.ppo_controller import PpoController, PpoSettings
from hilnas.nas.searches.random import RandomSearch
from hilnas.nas.searches.regularised_evolution import RegularisedEvolution
from hilnas.nas.spaces.nasbench201 import NasBench201Space
from hilnas.progress import progress

CHECKPOINTS = (500, 1000, 2500, 5000)
PERCENTILES = (25, 50, 75)
SIGNIFICANCE = 0.05
SPACE = NasBench201Space()
SETTINGS = ControllerSettings(batch=10, entropy=0.01)
"""Unlike in the study, the controller goes on exploring: its answer is the best net that it has seen, not where it ends."""

Sample = Callable[[TableEvaluator, Budget, int], NDArray[np.int64]]
"""Evaluator, limit and number of seeds to the cells asked for, shape (seeds, samples)."""


@dataclass(frozen=True)
class Options:
    """What can be varied."""

    seeds: int = option(20, "Number of searches per method and setting.")
    devices: str = option(DEVICES, "Devices, separated by commas.")
    table: str | None = option(None, "Table of NAS-Bench-201: .csv, .csv.gz or a published .pth.")


@dataclass(frozen=True)
class Setting:
    """One device and one limit."""

    device: str
    percentile: int
    evaluator: TableEvaluator
    limit_s: float
    test: FloatArray

    @property
    def feasible(self) -> NDArray[np.bool_]:
        """Which cells meet the limit, in the table's order."""
        under: NDArray[np.bool_] = self.evaluator.latency_s <= self.limit_s
        return under

    def regrets(self, cells: NDArray[np.int64], samples: int) -> tuple[FloatArray, FloatArray]:
        """Test and validation regret in points after `samples` of the cells asked for (seeds, S), by seed.

        A search without a net under T yet has the whole accuracy of the best one as its regret.
        """
        feasible, validation = self.feasible, self.evaluator.accuracy
        seen = cells[:, :samples]
        answer = np.take_along_axis(seen, np.where(feasible, validation, -1.0)[seen].argmax(axis=1)[:, None], axis=1)[:, 0]
        found = feasible[answer]
        regrets = [values[feasible].max() - np.where(found, values[answer], 0.0) for values in (self.test, validation)]
        return 100.0 * regrets[0], 100.0 * regrets[1]

    def selection_regret(self) -> float:
        """Test regret in points of the cell with the best validation accuracy under T: what a perfect search would answer."""
        best = np.where(self.feasible, self.evaluator.accuracy, -1.0).argmax()
        return float(100.0 * (self.test[self.feasible].max() - self.test[best]))


@dataclass(frozen=True)
class Row:
    """A method under one setting: its regrets in points at each checkpoint, how likely random search's last ones are as low, the
    setting's `selection_regret`, and how many seeds found the net with the best validation accuracy."""

    device: str
    percentile: int
    limit_s: float
    method: str
    test_regret: tuple[Interval, ...]
    validation_regret: tuple[Interval, ...]
    p_test: float
    p_validation: float
    selection_regret: float
    found_best: int


def _replicated(reward: str, ppo: bool, evaluator: TableEvaluator, budget: Budget, seeds: int) -> NDArray[np.int64]:
    """All seeds of a controller as one batch."""
    limit_s = budget.latency_s or 0.0
    objective = REWARDS[reward if reward == "mnasnet" else log_limit_for(limit_s)]
    search: Controller
    if ppo:
        search = PpoController(SPACE, budget, 0, objective, PpoSettings(), replicas=seeds)
    else:
        search = Controller(SPACE, budget, 0, objective, SETTINGS, replicas=seeds)
    return run_search(search, evaluator, CHECKPOINTS[-1], search.settings.batch, seeds)


def _one_by_one(
    create: Callable[[Budget, int], Search], batch: int, evaluator: TableEvaluator, budget: Budget, seeds: int
) -> NDArray[np.int64]:
    """One search per seed, `batch` architectures at a time."""
    return np.concatenate([run_search(create(budget, seed), evaluator, CHECKPOINTS[-1], batch) for seed in range(seeds)])


METHODS: dict[str, Sample] = {
    "controller, mnasnet": partial(_replicated, "mnasnet", False),
    "controller, log_limit": partial(_replicated, "log_limit", False),
    "PPO, log_limit": partial(_replicated, "log_limit", True),
    "GA": partial(_one_by_one, lambda budget, seed: GeneticSearch(SPACE, budget, seed, population=100), 100),
    "regularised evolution": partial(_one_by_one, lambda budget, seed: RegularisedEvolution(SPACE, budget, seed), 10),
    "random": partial(_one_by_one, lambda budget, seed: RandomSearch(SPACE, seed), 500),
}
"""The searches compared. Each sees one sample as one evaluation, also a cell that it asks for again."""
CONTROLLERS = ("controller, mnasnet", "controller, log_limit")


def run(options: Options) -> Report:
    """Runs every method on every device and limit, and tests the controllers against random search.

    Raises:
        InputError: an unknown device, no table.
    """
    table = open_table(options.table)
    settings = []
    for device in options.devices.split(","):
        evaluator = evaluator_of(table, device)
        settings += [
            Setting(device, percent, evaluator, latency_limit(f"{percent}%", evaluator), table.column(TEST) / 100.0)
            for percent in PERCENTILES
        ]
    rows: list[Row] = []
    with progress("searches", total=len(settings) * len(METHODS)) as advance:
        for setting in settings:
            cells = {}
            for name, sample in METHODS.items():
                cells[name] = sample(setting.evaluator, Budget(latency_s=setting.limit_s), options.seeds)
                advance(1)
            rows += [_row(setting, name, cells[name], cells["random"]) for name in METHODS]
    return Report(
        title=f"Regret on NAS-Bench-201, CIFAR-100, {options.seeds} seeds",
        document={"seeds": options.seeds, "checkpoints": list(CHECKPOINTS), "rows": [asdict(row) for row in rows]},
        tables=(_table(rows),),
        findings=_findings(rows),
    )


def _row(setting: Setting, method: str, cells: NDArray[np.int64], random: NDArray[np.int64]) -> Row:
    test, validation = zip(*(setting.regrets(cells, samples) for samples in CHECKPOINTS), strict=True)
    baseline = setting.regrets(random, CHECKPOINTS[-1])
    return Row(
        device=setting.device,
        percentile=setting.percentile,
        limit_s=setting.limit_s,
        method=method,
        test_regret=tuple(interval(values) for values in test),
        validation_regret=tuple(interval(values) for values in validation),
        p_test=_p_value(test[-1], baseline[0]),
        p_validation=_p_value(validation[-1], baseline[1]),
        selection_regret=setting.selection_regret(),
        found_best=int((validation[-1] == 0.0).sum()),
    )


def _p_value(regrets: FloatArray, random: FloatArray) -> float:
    """Of the one-sided Mann-Whitney test that these regrets are lower than random search's."""
    from scipy.stats import mannwhitneyu

    return float(mannwhitneyu(regrets, random, alternative="less").pvalue)


def _table(rows: list[Row]) -> Table:
    lines = tuple(
        (
            *(row.device, row.percentile, f"{row.limit_s * 1e3:.2f}", row.method, *(f"{regret:.2f}" for regret in row.test_regret)),
            *(f"{row.validation_regret[-1]:.2f}", f"{row.p_test:.1e}", f"{row.p_validation:.1e}"),
        )
        for row in rows
    )
    columns = ("device", "percentile", "T, ms", "method", *(f"test, {count:,}" for count in CHECKPOINTS))
    last = f"validation, {CHECKPOINTS[-1]:,}"
    return Table("regret", "Regret in points: mean [95 % interval]", (*columns, last, "p test < random", "p validation < random"), lines)


def _findings(rows: list[Row]) -> tuple[str, ...]:
    """Where the controllers beat random search, and where they do not, with the reason."""
    ours = [row for row in rows if row.method in CONTROLLERS]
    random = {(row.device, row.percentile): row for row in rows if row.method == "random"}
    seen = [row for row in ours if row.p_validation >= SIGNIFICANCE]
    unseen = [row for row in ours if row.p_test >= SIGNIFICANCE]
    lines = []
    for worse, words, why in (
        (seen, "validation regret (what the search sees)", _missed_by_few),
        (unseen, "test regret", _misled_by_validation),
    ):
        lines.append(
            f"By {words} the controller beats random search at {CHECKPOINTS[-1]:,} samples (p < {SIGNIFICANCE}) in "
            f"{len(ours) - len(worse)} of {len(ours)} settings."
        )
        lines += [
            f"By {words} not on {row.device} at {row.percentile} %, {row.method}: {why(row, random[row.device, row.percentile])}"
            for row in worse
        ]
    return tuple(lines)


def _missed_by_few(row: Row, random: Row) -> str:
    """Why a controller does not beat random search on what both see."""
    return (
        f"validation regret {row.validation_regret[-1].mean:.3f}, random's {random.validation_regret[-1].mean:.3f}; {row.found_best} "
        f"of its seeds drew the best net, and so did {random.found_best} of random search, which draws a third of the space."
    )


def _misled_by_validation(row: Row, random: Row) -> str:
    """Why a controller does not beat random search on test accuracy, which neither sees."""
    return (
        f"test regret {row.test_regret[-1].mean:.2f}, random's {random.test_regret[-1].mean:.2f}; validation regret "
        f"{row.validation_regret[-1].mean:.2f} and {random.validation_regret[-1].mean:.2f}. The net with the best validation accuracy, "
        f"found by {row.found_best} seeds, has itself a test regret of {row.selection_regret:.2f}."
    )

"""Study 2, Figures 6 and 7: what the RNN controller samples on NAS-Bench-201 under MnasNet's reward and under the study's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np

from hilnas.experiments.catalogue import option
from hilnas.experiments.figures import band, png
from hilnas.experiments.nasbench201 import DEVICES, evaluator_of, latency_limit, open_table, run_search
from hilnas.experiments.report import Report, Table
from hilnas.experiments.statistics import Interval, interval
from hilnas.nas.evaluators.table import TableEvaluator
from hilnas.nas.metrics import Budget, FloatArray
from hilnas.nas.rewards import REWARDS, log_limit_for
from hilnas.nas.searches.controller import Controller, ControllerSettings
from hilnas.nas.spaces.nasbench201 import NasBench201Space
from hilnas.progress import progress

BINS = 20
BANDS = ((0.5, 0.6), (0.6, 0.7))
"""The accuracies between which Figure 6 counts nets under T."""
PUBLISHED_COUNTS = {"mnasnet": (659, 781), "log_limit": (780, 1004)}
PUBLISHED_CROSSINGS = {"mnasnet": 4750, "log_limit": 4000}
SETTINGS = ControllerSettings(batch=10)


@dataclass(frozen=True)
class Options:
    """What can be varied."""

    seeds: int = option(20, "Number of controllers per reward and device.")
    samples: int = option(5000, "Nets that each controller samples.")
    devices: str = option(DEVICES, "Devices, separated by commas.")
    limit: str = option("25%", 'Latency limit T: a time ("17ms") or a percentile of all cells ("25%").')
    table: str | None = option(None, "Table of NAS-Bench-201: .csv, .csv.gz or a published .pth.")


@dataclass(frozen=True)
class Sampled:
    """What the controllers of one device and one reward sampled: accuracy and latency in seconds, shape (seeds, samples)."""

    device: str
    reward: str
    limit_s: float
    accuracy: FloatArray
    latency_s: FloatArray

    def counts(self) -> tuple[FloatArray, ...]:
        """Nets under T with an accuracy in each band, by seed."""
        under = self.latency_s <= self.limit_s
        return tuple((under & (self.accuracy >= low) & (self.accuracy < high)).sum(axis=1).astype(float) for low, high in BANDS)

    def binned(self, values: FloatArray) -> FloatArray:
        """Means of `values` in 20 bins of samples, shape (seeds, 20)."""
        return np.stack([part.mean(axis=1) for part in np.array_split(values, BINS, axis=1)], axis=1)

    def crossings(self) -> FloatArray:
        """The sample at the end of the first bin whose mean latency is under T, by seed; one bin past the end where none is."""
        under = self.binned(self.latency_s) <= self.limit_s
        first = np.where(under.any(axis=1), under.argmax(axis=1), BINS)
        last: FloatArray = (first + 1) * self.latency_s.shape[1] / BINS
        return last


@dataclass(frozen=True)
class Comparison:
    """Both rewards on one device, and their differences, paired by seed: positive is in favour of the study's claim.

    What is there by reward has the name of each; the fraction is of the samples that MnasNet's reward takes.
    """

    device: str
    limit_s: float
    reward: str
    crossing: dict[str, Interval]
    earlier: Interval
    earlier_fraction: float
    more_50_60: Interval
    more_60_70: Interval
    last_bin_accuracy: dict[str, float]
    last_bin_latency_s: dict[str, float]


def run(options: Options) -> Report:
    """Samples with both rewards on every device and compares them.

    Raises:
        InputError: an unknown device, a bad limit, no table.
    """
    table = open_table(options.table)
    devices = options.devices.split(",")
    pairs: list[tuple[Sampled, Sampled]] = []
    with progress("controllers", total=2 * len(devices)) as advance:
        for device in devices:
            evaluator = evaluator_of(table, device)
            limit_s = latency_limit(options.limit, evaluator)
            both = []
            for reward in ("mnasnet", log_limit_for(limit_s)):
                both.append(_sample(device, reward, limit_s, evaluator, options))
                advance(1)
            pairs.append((both[0], both[1]))
    comparisons = [_compare(*pair) for pair in pairs]
    return Report(
        title=f"Study 2: two rewards for a latency limit, {options.seeds} seeds, {options.samples:,} samples, T at {options.limit}",
        document={
            **{"seeds": options.seeds, "samples": options.samples},
            **{"rows": [asdict(comparison) for comparison in comparisons], "claim": _claim(comparisons)},
        },
        tables=(_counts_table(pairs), _bins_table(pairs)),
        findings=(*(_finding(comparison) for comparison in comparisons), _claim(comparisons)),
        figures={f"figure6_{pair[0].device}": _heat_map(pair) for pair in pairs}
        | {f"figure7_{pair[0].device}": _bins(pair) for pair in pairs},
    )


def _sample(device: str, reward: str, limit_s: float, evaluator: TableEvaluator, options: Options) -> Sampled:
    controller = Controller(NasBench201Space(), Budget(latency_s=limit_s), 0, REWARDS[reward], SETTINGS, replicas=options.seeds)
    cells = run_search(controller, evaluator, options.samples, SETTINGS.batch, options.seeds)
    return Sampled(device, reward, limit_s, evaluator.accuracy[cells], evaluator.latency_s[cells])


def _compare(mnasnet: Sampled, study: Sampled) -> Comparison:
    earlier = mnasnet.crossings() - study.crossings()
    more = [study_count - other for study_count, other in zip(study.counts(), mnasnet.counts(), strict=True)]
    end = slice(-1, None)
    return Comparison(
        device=study.device,
        limit_s=study.limit_s,
        reward=study.reward,
        crossing={one.reward: interval(one.crossings()) for one in (mnasnet, study)},
        earlier=interval(earlier),
        earlier_fraction=float(earlier.mean() / mnasnet.crossings().mean()),
        more_50_60=interval(more[0]),
        more_60_70=interval(more[1]),
        last_bin_accuracy={one.reward: float(one.binned(one.accuracy)[:, end].mean()) for one in (mnasnet, study)},
        last_bin_latency_s={one.reward: float(one.binned(one.latency_s)[:, end].mean()) for one in (mnasnet, study)},
    )


def _finding(row: Comparison) -> str:
    return (
        f"{row.device}, T = {row.limit_s * 1e3:.2f} ms: with the study's reward mean latency falls under T "
        f"{row.earlier:.0f} samples earlier ({row.earlier_fraction:.0%}; study: 750, 16%); nets under T with accuracy "
        f"50-60 %: {row.more_50_60:+.0f} (study: +121), 60-70 %: {row.more_60_70:+.0f} (study: +223)."
    )


def _claim(rows: list[Comparison]) -> str:
    """Whether each part of the claim holds on every device: the whole interval of the difference is above 0."""
    parts = []
    for words, differences in (
        ("latency under T earlier", [row.earlier for row in rows]),
        ("more nets of 50-60 %", [row.more_50_60 for row in rows]),
        ("more nets of 60-70 %", [row.more_60_70 for row in rows]),
    ):
        holds = [row.device for row, difference in zip(rows, differences, strict=True) if difference.low > 0]
        fails = [row.device for row, difference in zip(rows, differences, strict=True) if difference.high < 0]
        verdict = "holds on every device" if len(holds) == len(rows) else f"holds on {', '.join(holds) or 'none'}"
        parts.append(f"{words}: {verdict}" + (f", the opposite on {', '.join(fails)}" if fails else ""))
    return "Published claim, by 95 % intervals. " + "; ".join(parts) + "."


def _counts_table(pairs: list[tuple[Sampled, Sampled]]) -> Table:
    rows = []
    for one in _each(pairs):
        counts, crossings = one.counts(), one.crossings()
        name = "mnasnet" if one.reward == "mnasnet" else "log_limit"
        never = int((crossings > one.latency_s.shape[1]).sum())
        rows.append(
            (
                *(one.device, f"{one.limit_s * 1e3:.2f}", one.reward),
                *(f"{interval(count):.0f} ({published})" for count, published in zip(counts, PUBLISHED_COUNTS[name], strict=True)),
                *(f"{interval(crossings):.0f} ({PUBLISHED_CROSSINGS[name]})", never),
            )
        )
    columns = ("device", "T, ms", "reward", "under T, 50-60 %", "under T, 60-70 %", "latency under T at sample", "seeds that never are")
    return Table(
        "counts", "Nets under T, and when mean latency falls under T: mean [95 % interval] (study, other device)", columns, tuple(rows)
    )


def _bins_table(pairs: list[tuple[Sampled, Sampled]]) -> Table:
    rows = []
    for one in _each(pairs):
        accuracy, latency_ms = one.binned(one.accuracy).mean(axis=0), one.binned(one.latency_s).mean(axis=0) * 1e3
        for index in range(BINS):
            last = (index + 1) * one.latency_s.shape[1] // BINS
            rows.append((one.device, one.reward, last, f"{accuracy[index]:.4f}", f"{latency_ms[index]:.3f}"))
    return Table(
        "bins", "Mean accuracy and latency in 20 bins of samples", ("device", "reward", "to sample", "accuracy", "latency, ms"), tuple(rows)
    )


def _each(pairs: list[tuple[Sampled, Sampled]]) -> Iterator[Sampled]:
    return (one for pair in pairs for one in pair)


def _heat_map(pair: tuple[Sampled, Sampled]) -> bytes:
    """Figure 6: how often each accuracy and latency was sampled, all seeds together."""
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    longest = max(float(one.latency_s.max()) for one in pair) * 1e3
    for axis, one in zip(axes, pair, strict=True):
        image = axis.hist2d(one.latency_s.ravel() * 1e3, one.accuracy.ravel(), bins=50, range=((0, longest), (0, 0.8)), norm=LogNorm())[3]
        axis.axvline(one.limit_s * 1e3, color="tab:red", linewidth=1)
        axis.set(title=f"{one.reward}, {one.device}", xlabel="latency, ms")
    axes[0].set_ylabel("validation accuracy")
    figure.colorbar(image, ax=axes, label="samples")
    return png(figure)


def _bins(pair: tuple[Sampled, Sampled]) -> bytes:
    """Figure 7: mean accuracy and latency over the samples, with the 95 % interval over seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    axes = figure.subplots(1, 2)
    for one in pair:
        ends = [index * one.latency_s.shape[1] / BINS for index in range(1, BINS + 1)]
        for axis, values in zip(axes, (one.accuracy, one.latency_s * 1e3), strict=True):
            band(axis, ends, one.binned(values), one.reward)
    axes[1].axhline(pair[0].limit_s * 1e3, color="tab:red", linewidth=1, label="T")
    axes[0].set(title=f"accuracy, {pair[0].device}", xlabel="samples", ylabel="mean validation accuracy")
    axes[1].set(title=f"latency, {pair[0].device}", xlabel="samples", ylabel="mean latency, ms")
    for axis in axes:
        axis.legend()
    return png(figure)

"""Study 1, Table 6: errors of its predictor, trained anew on nets that its published predictors label."""

from __future__ import annotations

from dataclasses import asdict, astuple, dataclass

import numpy as np

from hilnas.experiments.catalogue import option
from hilnas.experiments.figures import png
from hilnas.experiments.report import Report, Table
from hilnas.experiments.study1 import folder_of, open_study
from hilnas.nas.metrics import METRIC_NAMES, FloatArray
from hilnas.nas.predictors.errors import MEASURES, PredictionErrors, prediction_errors
from hilnas.nas.predictors.mlp import MlpPredictor, Training

PUBLISHED = {
    "accuracy": PredictionErrors(0.0057, 0.0091, 0.9921, 0.9961, 0.9894),
    "latency_s": PredictionErrors(0.0264, 0.0341, 0.9917, 0.9959, 0.9944),
    "flash_bytes": PredictionErrors(0.0894e6, 0.1120e6, 0.9128, 0.9571, 0.9275),
    "sram_bytes": PredictionErrors(0.0014e6, 0.0021e6, 0.9999, 1.0000, 0.8820),
}


@dataclass(frozen=True)
class Options:
    """What can be varied."""

    samples: int = option(4_000, "Nets to train on.")
    test: int = option(1_000, "Nets to judge on.")
    epochs: int = option(60, "Passes over the training nets.")
    seed: int = option(0, "Seed of the nets and of the training.")
    predictors: str | None = option(None, "Folder with the study's four predictor files.")


def run(options: Options) -> Report:
    """Trains one predictor a metric and judges it on other nets.

    The study's data (trained nets, measured boards) is not published: its own predictors stand in for them here, so that the
    errors are those of the architecture on a function that it can represent, not those of its data.

    Raises:
        InputError: the predictors cannot be used.
    """
    published = open_study(folder_of(options.predictors))
    space, rng = published.space, np.random.default_rng(options.seed)
    nets = space.canonical(space.sample(options.samples + options.test, rng))
    known, unknown = nets[: options.samples], nets[options.samples :]
    labels, truth = published.predict(known), published.predict(unknown)
    rows: dict[str, PredictionErrors] = {}
    pairs: dict[str, tuple[FloatArray, FloatArray]] = {}
    for name in METRIC_NAMES:
        predictor = MlpPredictor(space, options.seed, Training(epochs=options.epochs))
        predictor.update(known, getattr(labels, name))
        predicted, actual = predictor.predict(unknown).mean, getattr(truth, name).mean
        pairs[name] = (actual, predicted)
        rows[name] = prediction_errors(predicted, actual)
    return Report(
        title=f"Study 1, Table 6: errors of predictors trained on {options.samples:,} nets that its own predictors labelled",
        document={
            "samples": options.samples,
            "test": options.test,
            "rows": [{"metric": name, **asdict(ours), "published": asdict(PUBLISHED[name])} for name, ours in rows.items()],
        },
        tables=(_table(rows),),
        findings=("The study's measurements are not published; labels are its predictors' answers.",),
        figures={"predictors": _figure(pairs)},
    )


def _table(rows: dict[str, PredictionErrors]) -> Table:
    lines = tuple(
        (name, *(f"{value:.5g} ({published:.5g})" for value, published in zip(astuple(ours), astuple(PUBLISHED[name]), strict=True)))
        for name, ours in rows.items()
    )
    return Table("table6", "Ours (published); accuracy in [0, 1], latency in s, sizes in bytes", ("metric", *MEASURES), lines)


def _figure(pairs: dict[str, tuple[FloatArray, FloatArray]]) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 3.6), layout="constrained")
    for axis, (name, (actual, predicted)) in zip(figure.subplots(1, len(pairs)), pairs.items(), strict=True):
        axis.plot(actual, predicted, ".", markersize=2)
        axis.axline((float(actual.mean()), float(actual.mean())), slope=1, color="k", linewidth=0.7)
        axis.set(title=name, xlabel="label", ylabel="predicted")
    return png(figure)

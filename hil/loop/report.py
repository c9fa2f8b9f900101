"""The report of a run: one self-contained HTML page, made from what the run folder holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from string import Template
from typing import Any

from hilnas.errors import InputError
from hilnas.files import write_atomically
from hilnas.firmware.image import FirmwareImage, Manifest
from hilnas.firmware.memory_map import memory_map
from hilnas.hil.loop.charts import Bar, Guide, Mark, Series, bar_chart, legend, stacked_bar, xy_chart
from hilnas.hil.loop.result import AGREEMENT, CandidateResult, Figures, LoopResult
from hilnas.hil.loop.run_folder import RESULT_NAME, RunDescription, RunFolder
from hilnas.hil.measurement import LayerMeasurement, Measurement
from hilnas.hil.store import MeasurementStore
from hilnas.quantities import kilobytes, milliseconds

_TEMPLATE = Path(__file__).with_name("report.html")


@dataclass(frozen=True)
class ReportData:
    """All that a report shows: what was asked, what came out, and the best candidate in detail."""

    description: RunDescription
    result: LoopResult
    manifest: Manifest
    measurement: Measurement


def load_report_data(folder: RunFolder) -> ReportData:
    """What the report of a finished run shows.

    Raises:
        InputError: the folder holds no finished run.
        StoreError: the measurement store is damaged.
    """
    description = folder.description()
    result = folder.read(RESULT_NAME, LoopResult)
    image = FirmwareImage.load(folder.candidate(result.best) / "firmware")
    with MeasurementStore.existing(folder.store_path) as store:
        measurements = store.find(build_id=image.manifest.build_id, board=result.board, target=result.target)
    if not measurements:
        raise InputError(f"{folder.store_path} has no measurement of {result.best}", "It was removed: start another run.")
    return ReportData(description, result, image.manifest, measurements[0])


def write_report(folder: RunFolder, path: Path | None = None) -> Path:
    """Writes the report of a finished run, to the run folder unless `path` says otherwise.

    Raises:
        InputError: the folder holds no finished run.
        StoreError: the disk refused, or the measurement store is damaged.
    """
    page = render(load_report_data(folder))
    path = path or folder.report_path
    write_atomically(path, page)
    return path


def render(data: ReportData) -> str:
    """The page: needs no network and no script."""
    result, best = data.result, data.result.best_candidate
    parts = {
        "title": escape(f"hilnas on {result.board}"),
        "lead": _lead(data),
        "best": escape(best.name),
        "tiles": _tiles(best, result, data.measurement),
        "candidates_note": "Predicted before measuring, then measured. Latency is the longest path, no exit taken; expected latency is the "
        f"mean over the test images of {escape(result.data)}.",
        "candidates": _candidates(result),
        "pareto_note": "Small dots are random nets as predicted; the others were built and measured. The dashed line is the budget.",
        "pareto": _pareto(result),
        "predicted_note": f"Latency of nets that no predictor had learned from. Inside the band the two agree within {AGREEMENT:.0%}.",
        "predicted": _predicted(result),
        "errors_note": f"Mean relative error of predicted latency. Round 0 is the first fit, on {result.fitted_on} measured nets.",
        "errors": _errors(result),
        "exits_note": f"Share of the test images of {escape(result.data)} that leave at each exit.",
        "exits": _exits(result),
        "layers_note": f"Cycles of each layer on the longest path ({escape(data.measurement.cycles_source or 'not known')}).",
        "layers": _layers(data.measurement),
        "memory_note": "Each block is a buffer, alive from its first layer to its last.",
        "memory": memory_map(data.manifest),
        "provenance": _provenance(data),
    }
    return Template(_TEMPLATE.read_text()).substitute(parts)


def _lead(data: ReportData) -> str:
    result = data.result
    rounds = f"{len(result.rounds)} round{'s' if len(result.rounds) > 1 else ''}"
    end = f"predicted and measured latency agree within {AGREEMENT:.0%}" if result.agreed else "the rounds allowed were used up"
    return escape(f"Early-exit nets for {result.data}, measured by {result.target}, seed {result.seed}. {rounds}; then {end}.")


def _tiles(best: CandidateResult, result: LoopResult, measurement: Measurement) -> str:
    limits = result.budget.budget
    tiles = [
        (f"{best.measured.accuracy:.1%}", "accuracy, int8 on the test images"),
        (milliseconds(best.measured.latency_s), f"latency, longest path{_limit(limits.latency_s, milliseconds)}"),
        (milliseconds(best.expected_latency_s), "expected latency, exits taken"),
        (kilobytes(best.measured.flash_bytes), f"flash{_limit(limits.flash_bytes, kilobytes)}"),
        (kilobytes(best.measured.sram_bytes), f"SRAM{_limit(limits.sram_bytes, kilobytes)}"),
        (f"{measurement.macs / 1e6:.2f} M", "multiply-accumulates"),
    ]
    return "".join(f'<div class="tile"><b>{escape(value)}</b><span>{escape(name)}</span></div>' for value, name in tiles)


def _limit(value: float | None, show: Callable[[float], str]) -> str:
    return "" if value is None else f" (limit {show(value)})"


def _candidates(result: LoopResult) -> str:
    head = (
        '<tr class="groups"><th></th><th></th><th colspan="3">accuracy</th><th colspan="4">latency, ms</th><th colspan="2">flash, kB</th>'
        '<th colspan="2">SRAM, kB</th><th></th></tr><tr><th>net</th><th>round</th><th>predicted</th><th>float</th><th>int8</th>'
        "<th>predicted</th><th>measured</th><th>error</th><th>expected</th><th>predicted</th><th>measured</th><th>predicted</th>"
        "<th>measured</th><th>budget</th></tr>"
    )
    rows = []
    for one in result.candidates:
        number = next(entry.number for entry in result.rounds if one in entry.candidates)
        error = one.predicted.latency_s / one.measured.latency_s - 1
        met = '<span class="good">met</span>' if one.meets_budget else '<span class="bad">missed</span>'
        cells = (
            f"{escape(one.name)}{' ★' if one.name == result.best else ''}",
            str(number),
            f"{one.predicted.accuracy:.1%}",
            f"{one.float_accuracy:.1%}",
            f"{one.measured.accuracy:.1%}",
            f"{one.predicted.latency_s * 1e3:.3f}",
            f"{one.measured.latency_s * 1e3:.3f}",
            f"{error:+.1%}",
            f"{one.expected_latency_s * 1e3:.3f}",
            f"{one.predicted.flash_bytes / 1e3:.2f}",
            f"{one.measured.flash_bytes / 1e3:.2f}",
            f"{one.predicted.sram_bytes / 1e3:.2f}",
            f"{one.measured.sram_bytes / 1e3:.2f}",
            met,
        )
        rows.append(f'<tr{_row_style(one, result)} title="{escape(one.description)}">{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>')
    best = f'<p class="note">★ {escape(result.best_candidate.description)}</p>'
    return f"<table>{head}{''.join(rows)}</table>{best}"


def _row_style(candidate: CandidateResult, result: LoopResult) -> str:
    return ' class="best"' if candidate.name == result.best else ""


def _pareto(result: LoopResult) -> str:
    series = [_points("random nets, predicted", result.random_nets, "s0", "small")]
    front = _front([candidate.measured for candidate in result.candidates])
    if len(front) > 1:
        series.append(_points("front", front, "s4", "line"))
    for one in result.rounds:
        titles = [_title(candidate) for candidate in one.candidates]
        measured = [candidate.measured for candidate in one.candidates]
        series.append(_points(f"round {one.number}", measured, _round_style(one.number), "dot", titles))
    limit = result.budget.budget.latency_s
    guides = [] if limit is None else [Guide("budget", x=limit * 1e3)]
    return xy_chart(series, "latency, ms", "accuracy", guides)


def _front(nets: Sequence[Figures]) -> list[Figures]:
    """The nets that no other beats in accuracy and latency, by latency."""
    front: list[Figures] = []
    for net in sorted(nets, key=lambda one: (one.latency_s, -one.accuracy)):
        if not front or net.accuracy > front[-1].accuracy:
            front.append(net)
    return front


def _points(label: str, nets: Iterable[Figures], style: str, mark: Mark, titles: Sequence[str] = ()) -> Series:
    nets = list(nets)
    return Series(label, [one.latency_s * 1e3 for one in nets], [one.accuracy for one in nets], style, mark, titles)


def _predicted(result: LoopResult) -> str:
    held = result.held_out
    milliseconds = [value * 1e3 for value in held.measured]
    series = [
        Series("held-out, first fit", milliseconds, [value * 1e3 for value in held.first], "s0", "ring"),
        Series("held-out, last", milliseconds, [value * 1e3 for value in held.last], "s3", "dot"),
    ]
    for one in result.rounds:
        x = [candidate.measured.latency_s * 1e3 for candidate in one.candidates]
        y = [candidate.predicted.latency_s * 1e3 for candidate in one.candidates]
        titles = [_title(candidate) for candidate in one.candidates]
        series.append(Series(f"round {one.number}", x, y, _round_style(one.number), "dot", titles))
    return xy_chart(series, "measured latency, ms", "predicted latency, ms", diagonal_band=AGREEMENT)


def _errors(result: LoopResult) -> str:
    numbers = [one.number for one in result.rounds]
    held_out = [result.first_fit_error.mean, *(one.held_out_error.mean for one in result.rounds)]
    candidates = [one.candidate_error.mean for one in result.rounds]
    series = [
        Series("held-out nets", [0, *numbers], [100 * error for error in held_out], "s3", "line", [f"{error:.2%}" for error in held_out]),
        Series("the round's candidates", numbers, [100 * error for error in candidates], "s1", "line", [f"{e:.2%}" for e in candidates]),
    ]
    guides = [Guide(f"{AGREEMENT:.0%}", y=100 * AGREEMENT)]
    return xy_chart(series, "round", "error, %", guides, from_zero=True, x_ticks=[0, *numbers])


def _exits(result: LoopResult) -> str:
    head = '<tr><th>net</th><th class="left">share of each exit</th><th>expected ms</th><th>longest ms</th></tr>'
    rows = []
    for one in result.candidates:
        shares = stacked_bar([(f"{name} {rate:.1%}", rate) for name, rate in zip(one.exit_names, one.exit_rates, strict=True)])
        cells = f'<td>{escape(one.name)}</td><td class="left share">{shares}</td>'
        times = f"<td>{one.expected_latency_s * 1e3:.3f}</td><td>{one.measured.latency_s * 1e3:.3f}</td>"
        rows.append(f"<tr{_row_style(one, result)}>{cells}{times}</tr>")
    return f"<table>{head}{''.join(rows)}</table>"


def _layers(measurement: Measurement) -> str:
    total = sum(_cost(layer) for layer in measurement.layers) or 1
    styles = {op: f"s{index % 6 + 1}" for index, op in enumerate(dict.fromkeys(layer.op for layer in measurement.layers))}
    bars = []
    for layer in measurement.layers:
        cost = _cost(layer)
        rate = f", {layer.macs / cost:.2f} MAC/cycle" if layer.macs and cost else ""
        text = f"{cost:,} ({cost / total:.1%}{rate})"
        title = f"{layer.name}: {layer.op}, {layer.macs:,} MAC, {cost:,} cycles"
        bars.append(Bar(f"{layer.name}", float(cost), text, styles[layer.op], title))
    return bar_chart(bars, "cycles by layer") + legend([(op, style, "square") for op, style in styles.items()])


def _cost(layer: LayerMeasurement) -> int:
    return layer.cycles if layer.cycles is not None else layer.instructions or 0


def _provenance(data: ReportData) -> str:
    """One table for each source, for sources have names in common: the seed of the run is not that of the measurement's inputs."""
    manifest, measurement = data.manifest, data.measurement
    best = data.result.best_candidate.name
    sections: dict[str, dict[str, object]] = {
        "Run": asdict(data.description.configuration) | data.description.provenance,
        f"Firmware of {best}": {
            "model": f"{manifest.model}, SHA-256 {manifest.model_sha256}",
            "build id": manifest.build_id,
            "engine": manifest.engine_version,
            "compiler": f"{manifest.compiler} {' '.join(manifest.flags)}",
        },
        f"Measurement of {best}": {
            "bit-exact": measurement.bit_exact,
            "output digest": measurement.output_digest,
            "attempts": "; ".join(measurement.attempts) or None,
            **measurement.provenance,
        },
    }
    return "".join(f"<h3>{escape(name)}</h3>{_table(_flat(rows))}" for name, rows in sections.items())


def _table(rows: dict[str, object]) -> str:
    cells = (
        f'<tr><td>{escape(name)}</td><td class="left wrap">{escape(str(value))}</td></tr>'
        for name, value in rows.items()
        if value is not None
    )
    return f"<table>{''.join(cells)}</table>"


def _flat(document: dict[str, Any], prefix: str = "") -> dict[str, object]:
    """The values of nested documents, each named by its path: `limits.latency_s`."""
    rows: dict[str, object] = {}
    for name, value in document.items():
        rows.update(_flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value})
    return rows


def _title(candidate: CandidateResult) -> str:
    measured = candidate.measured
    return f"{candidate.name}: {measured.accuracy:.1%}, {milliseconds(measured.latency_s)}, {kilobytes(measured.flash_bytes)} flash"


def _round_style(number: int) -> str:
    return f"s{(1, 2, 5, 6, 4)[(number - 1) % 5]}"

"""Shows a timing suite's run: as a table for people, as one JSON document for programs."""

from __future__ import annotations

from dataclasses import asdict

from hilnas.cli.output import print_json, print_table
from hilnas.hil.timing.suite import SuiteRun

_CLOSE = 0.02


def show_suite(run: SuiteRun, as_json: bool) -> None:
    """Prints expected and counted cycles of each micro-benchmark, and how far they are apart."""
    rows = list(zip(run.suite, run.cycles, run.errors, strict=True))
    sizes = [abs(error) for error in run.errors]
    mean, worst = sum(sizes) / len(sizes), max(sizes)
    if as_json:
        document = {name: value for name, value in asdict(run).items() if name not in ("suite", "cycles")}
        benchmarks = [
            {"name": item.name, "group": item.group, "body": item.body, "source": item.source}
            | {"expected_cycles": item.cycles, "cycles": cycles, "error": error}
            for item, cycles, error in rows
        ]
        print_json({**document, "mean_absolute_error": mean, "worst_error": worst, "benchmarks": benchmarks})
        return
    close = sum(size <= _CLOSE for size in sizes)
    print_table(
        f"Timing suite on {run.board}, {run.target}: {close} of {len(rows)} within {100 * _CLOSE:.0f} %, "
        f"mean error {100 * mean:.1f} %, worst {100 * worst:.1f} %; cycles {run.cycles_source}",
        ("benchmark", "body", "expected", "cycles", "error, %"),
        [(item.name, item.body, f"{item.cycles:g}", f"{cycles:.2f}", f"{100 * error:+.1f}") for item, cycles, error in rows],
    )

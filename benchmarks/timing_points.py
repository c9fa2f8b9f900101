"""Modelled beside measured cycles of ELFs, whoever built them: error, causes, and whether the model ranks them as the board does.

Example: python benchmarks/timing_points.py measured.yaml   (the file that `hilnas calibrate-timing` takes; docs/timing.md)
"""

from __future__ import annotations

import sys
from itertools import combinations
from pathlib import Path

from hilnas.hil.timing.calibration import load_declarations, load_points
from hilnas.hil.timing.timed_run import RunOptions, run_elf

_SHOWN_CAUSES = 8


def main() -> None:
    """Prints a line a point, the mean and the worst error, and how many pairs are ranked as measured."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    points = load_points(Path(sys.argv[1]))
    core, boards = load_declarations(points, None)
    results: list[tuple[float, float]] = []  # measured and modelled cycles
    for point in points:
        run = run_elf(point.elf, boards[point.board], RunOptions(point.mark, point.stop, profile=True), lambda text: None, core)
        assert run.profile is not None
        timed = run.intervals[point.interval] if point.mark else run
        causes = sorted(run.profile.causes.items(), key=lambda item: -item[1])[:_SHOWN_CAUSES]
        shares = ", ".join(f"{cause} {100 * cycles / run.profile.cycles:.1f}" for cause, cycles in causes)
        counts = f"{timed.instructions:12,d} instructions, {timed.cycles:12,d} of {point.cycles:12,.0f} cycles"
        print(f"{point.elf.stem:12s} {counts} {100 * (timed.cycles / point.cycles - 1):+6.1f} %  {shares}", flush=True)
        results.append((point.cycles, timed.cycles))
    errors = [100 * abs(modelled / measured - 1) for measured, modelled in results]
    pairs = [(a, b) for a, b in combinations(results, 2) if a[0] != b[0]]
    agree = sum((a[0] < b[0]) == (a[1] < b[1]) for a, b in pairs)
    mean, worst = sum(errors) / len(errors), max(errors)
    print(f"mean absolute error {mean:.1f} %, worst {worst:.1f} %; {agree} of {len(pairs)} pairs in the measured order")


if __name__ == "__main__":
    main()

"""Plots as PNG images."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hilnas.experiments.statistics import interval

Line = tuple[Sequence[float], Sequence[float]]
"""The x and the y of a line's points."""


def figure_of_lines(lines: Mapping[str, Line], x_label: str, y_label: str) -> bytes:
    """One plot of named lines."""
    return figure_of_panels({y_label: lines}, x_label)


def figure_of_panels(panels: Mapping[str, Mapping[str, Line]], x_label: str) -> bytes:
    """One plot a panel, side by side; the panel's name labels its y axis, and all share the names of the lines."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.0 + 5.0 * len(panels), 4.2), layout="constrained")
    for axis, (name, lines) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        for label, (x, y) in lines.items():
            axis.plot(x, y, marker="o" if len(x) < 20 else None, label=label)
        axis.set(xlabel=x_label, ylabel=name)
        axis.legend(fontsize="small")
    return png(figure)


def png(figure: Any) -> bytes:
    """A matplotlib figure as a PNG image."""
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=110)
    return image.getvalue()


def band(axis: Any, positions: Sequence[float], values: NDArray[np.float64], label: str) -> None:
    """Draws the means over seeds of `values` (seeds, positions) with their 95 % intervals."""
    intervals = [interval(np.ascontiguousarray(column)) for column in values.T]
    axis.plot(positions, [one.mean for one in intervals], label=label)
    axis.fill_between(positions, [one.low for one in intervals], [one.high for one in intervals], alpha=0.25)

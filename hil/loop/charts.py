"""Charts as inline SVG: no script, no network, colours from the page's style sheet, values in tooltips."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Literal

_WIDTH, _HEIGHT = 520.0, 340.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 16.0, 14.0, 46.0
_MARK_RADIUS = 4.5

Mark = Literal["dot", "ring", "line", "small"]


@dataclass(frozen=True)
class Series:
    """Points of one kind. `style` is a CSS class; `titles` are the tooltips, one per point or none."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    style: str
    mark: Mark = "dot"
    titles: Sequence[str] = ()


@dataclass(frozen=True)
class Guide:
    """A dashed line across the plot with a word at its end."""

    label: str
    x: float | None = None
    y: float | None = None


@dataclass(frozen=True)
class Bar:
    """One bar of a bar chart: its label, its value, what is written behind it, its CSS class and its tooltip."""

    label: str
    value: float
    text: str
    style: str
    title: str = ""


@dataclass(frozen=True)
class _Scale:
    """A linear axis: values `low` .. `high` lie on pixels `start` .. `stop`."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)


def ticks(low: float, high: float) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart) between `low` and `high`, about six of them."""
    raw = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def xy_chart(
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    guides: Sequence[Guide] = (),
    *,
    from_zero: bool = False,
    diagonal_band: float | None = None,
    x_ticks: Sequence[float] | None = None,
) -> str:
    """A chart of points and lines with axes, guides and a legend.

    `diagonal_band` makes both axes equal, draws the diagonal and shades where y is within that fraction of x.
    """
    xs = [value for one in series for value in one.x] + [guide.x for guide in guides if guide.x is not None]
    ys = [value for one in series for value in one.y] + [guide.y for guide in guides if guide.y is not None]
    if not xs or not ys:
        return '<p class="empty">Nothing to draw yet.</p>'
    if diagonal_band is not None:
        xs = ys = xs + ys
    x_scale = _scale(xs, _LEFT, _WIDTH - _RIGHT, from_zero=False)
    y_scale = _scale(ys, _HEIGHT - _BOTTOM, _TOP, from_zero=from_zero)
    parts = [_axes(x_scale, y_scale, x_label, y_label, x_ticks)]
    if diagonal_band is not None:
        parts.append(_diagonal(x_scale, y_scale, diagonal_band))
    parts += [_guide(guide, x_scale, y_scale) for guide in guides]
    parts += [_series(one, x_scale, y_scale) for one in series]
    return _svg(_WIDTH, _HEIGHT, parts, f"{y_label} against {x_label}") + legend([(one.label, one.style, one.mark) for one in series])


def bar_chart(bars: Sequence[Bar], label: str) -> str:
    """Horizontal bars from zero, one row each."""
    if not bars:
        return '<p class="empty">Nothing to draw yet.</p>'
    width, row, names, behind = 1080.0, 22.0, 330.0, 190.0
    scale = _Scale(0.0, max(max(bar.value for bar in bars), 1e-30), names, width - behind)
    parts = []
    for index, bar in enumerate(bars):
        y = index * row + 4
        title = f"<title>{escape(bar.title or bar.label)}</title>"
        parts.append(
            f'<g class="bar"><text class="name" x="{names - 8:.1f}" y="{y + 12:.1f}" text-anchor="end">{escape(_cut(bar.label, 50))}</text>'
            f'<rect class="{bar.style}" x="{names:.1f}" y="{y:.1f}" width="{max(scale(bar.value) - names, 0.8):.1f}" '
            f'height="{row - 6:.1f}" rx="2"/>'
            f'<text x="{scale(bar.value) + 6:.1f}" y="{y + 12:.1f}">{escape(bar.text)}</text>{title}</g>'
        )
    return _svg(width, len(bars) * row + 8, parts, label)


def stacked_bar(shares: Sequence[tuple[str, float]]) -> str:
    """One bar of labelled shares, the last one (what is left) in grey."""
    parts = []
    for index, (label, share) in enumerate(shares):
        style = "s0" if index == len(shares) - 1 else f"s{index % 6 + 1}"
        words = escape(label) if share >= 0.18 else ""
        parts.append(f'<span class="{style}" style="width:{share:.2%}" title="{escape(label)}"><b>{words}</b></span>')
    return f'<div class="stack">{"".join(parts)}</div>'


def legend(entries: Sequence[tuple[str, str, str]]) -> str:
    """The legend under a chart: (label, CSS class, mark) each."""
    items = "".join(f'<span><i class="key {style} {mark}"></i>{escape(label)}</span>' for label, style, mark in entries if label)
    return f'<p class="legend">{items}</p>' if items else ""


def _scale(values: Sequence[float], start: float, stop: float, *, from_zero: bool) -> _Scale:
    low, high = min(values), max(values)
    margin = (high - low) * 0.07 or abs(high) * 0.1 or 1.0
    return _Scale(0.0 if from_zero else low - margin, high + margin, start, stop)


def _axes(x: _Scale, y: _Scale, x_label: str, y_label: str, x_ticks: Sequence[float] | None) -> str:
    parts = []
    for value in ticks(x.low, x.high) if x_ticks is None else x_ticks:
        parts.append(f'<line x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{y.start:.1f}" y2="{y.stop:.1f}"/>')
        parts.append(f'<text x="{x(value):.1f}" y="{y.start + 16:.1f}" text-anchor="middle">{_number(value)}</text>')
    for value in ticks(y.low, y.high):
        parts.append(f'<line x1="{x.start:.1f}" x2="{x.stop:.1f}" y1="{y(value):.1f}" y2="{y(value):.1f}"/>')
        parts.append(f'<text x="{x.start - 8:.1f}" y="{y(value) + 4:.1f}" text-anchor="end">{_number(value)}</text>')
    center, middle = (x.start + x.stop) / 2, (y.start + y.stop) / 2
    parts.append(f'<text class="label" x="{center:.1f}" y="{y.start + 36:.1f}" text-anchor="middle">{escape(x_label)}</text>')
    parts.append(f'<text class="label" transform="translate(14 {middle:.1f}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>')
    return f'<g class="axes">{"".join(parts)}</g>'


def _diagonal(x: _Scale, y: _Scale, fraction: float) -> str:
    low, high = max(x.low, 0.0), x.high
    corners = [(low, low * (1 - fraction)), (high, high * (1 - fraction)), (high, high * (1 + fraction)), (low, low * (1 + fraction))]
    points = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in corners)
    left, top, width, height = x.start, y.stop, x.stop - x.start, y.start - y.stop
    frame = f'x="{left}" y="{top}" width="{width}" height="{height}" viewBox="{left} {top} {width} {height}"'
    return (
        f'<svg {frame}><polygon class="band" points="{points}"><title>within {fraction:.0%}</title></polygon>'
        f'<line class="diagonal" x1="{x(low):.1f}" y1="{y(low):.1f}" x2="{x(high):.1f}" y2="{y(high):.1f}"/></svg>'
    )


def _guide(guide: Guide, x: _Scale, y: _Scale) -> str:
    if guide.x is not None:
        at = x(guide.x)
        line = f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{y.start:.1f}" y2="{y.stop:.1f}"/>'
        word = f'<text x="{at - 5:.1f}" y="{y.stop + 10:.1f}" text-anchor="end">{escape(guide.label)}</text>'
    else:
        at = y(guide.y or 0.0)
        line = f'<line x1="{x.start:.1f}" x2="{x.stop:.1f}" y1="{at:.1f}" y2="{at:.1f}"/>'
        word = f'<text x="{x.stop - 4:.1f}" y="{at - 5:.1f}" text-anchor="end">{escape(guide.label)}</text>'
    return f'<g class="guide">{line}{word}</g>'


def _series(series: Series, x: _Scale, y: _Scale) -> str:
    points = [(x(a), y(b)) for a, b in zip(series.x, series.y, strict=True)]
    titles = series.titles or [""] * len(points)
    parts = []
    if series.mark == "line":
        parts += [f'<line x1="{a:.1f}" y1="{b:.1f}" x2="{c:.1f}" y2="{d:.1f}"/>' for (a, b), (c, d) in pairwise(points)]
    radius = 2.2 if series.mark == "small" else _MARK_RADIUS
    for (a, b), title in zip(points, titles, strict=True):
        tooltip = f"<title>{escape(title)}</title>" if title else ""
        parts.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="{radius}">{tooltip}</circle>')
    return f'<g class="series {series.style} {series.mark}">{"".join(parts)}</g>'


def _svg(width: float, height: float, parts: Sequence[str], label: str) -> str:
    return f'<svg viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'


def _number(value: float) -> str:
    return f"{value:.6g}"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length // 2 - 1]}…{text[-(length // 2) :]}"

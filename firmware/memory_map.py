"""Draws a memory plan: one panel for each memory, layers to the right, bytes upwards, a block for every buffer.

The SVG is self-contained: a file of its own, or an element of a page, which its style leaves alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import cycle

from hilnas.firmware.image import Allocation, Manifest

_WIDTH, _LEFT, _RIGHT = 1280.0, 76.0, 24.0
_HEAD, _PANEL, _BETWEEN, _FOOT = 112.0, 420.0, 64.0, 56.0
_LETTER, _LINE = 6.3, 12.0
"""Width and height of the text in blocks, in pixels."""
_LAYER_LABELS, _BYTE_LABELS = 28, 7
_TENSOR_COLOURS = ("#8ecae6", "#a8dadc", "#b7c9f2", "#9bd3b4", "#c3b1e1", "#f2c6c2")
_ROWS, _SCRATCH = "#f6bd60", "#c9c9c9"
_STYLE = {
    "text": "font:11px system-ui,sans-serif;fill:#222",
    ".head": "font-size:16px;font-weight:600",
    ".axis": "fill:#555",
    ".paper": "fill:#fff",
    ".grid": "stroke:#e4e4e4",
    ".bound": "stroke:#b00020;stroke-dasharray:6 4",
    ".buffer": "stroke:#3a3a3a;stroke-width:.7;fill-opacity:.82",
    ".streamed": "fill:#f6bd60",
}


def memory_map(manifest: Manifest) -> str:
    """The drawing of the memory plan of an image."""
    memories = list(dict.fromkeys(one.memory for one in manifest.memory_plan))
    height = _HEAD + len(memories) * (_PANEL + _BETWEEN) - _BETWEEN + _FOOT
    panels = [
        _Panel(manifest, memory, [one for one in manifest.memory_plan if one.memory == memory], _HEAD + index * (_PANEL + _BETWEEN))
        for index, memory in enumerate(memories)
    ]
    size = f'viewBox="0 0 {_WIDTH:.0f} {height:.0f}" width="{_WIDTH:.0f}" height="{height:.0f}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="memory-map" role="img" aria-label="memory map" {size}>',
        f"<style>{''.join(f'.memory-map {selector}{{{rules}}}' for selector, rules in _STYLE.items())}</style>",
        '<defs><pattern id="rows" width="6" height="6" patternUnits="userSpaceOnUse"><path d="M0 3H6" stroke="#b97a13" '
        'stroke-opacity=".45"/></pattern></defs>',
        f'<rect class="paper" width="{_WIDTH:.0f}" height="{height:.0f}"/>',
        *_head(manifest),
        *(line for panel in panels for line in panel.lines()),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _head(manifest: Manifest) -> Iterator[str]:
    yield f'<text class="head" x="{_LEFT}" y="28">{escape(manifest.model)} on {escape(manifest.board)}</text>'
    sizes = (
        f"arenas {manifest.arena_bytes:,} bytes; no less than {manifest.lower_bound_bytes:,} with these segments, "
        f"than {manifest.least_bound_bytes:,} with any"
    )
    yield f'<text x="{_LEFT}" y="48">{sizes}</text>'
    x = _LEFT
    for name, colour in (("whole tensor", _TENSOR_COLOURS[0]), ("ring of rows", _ROWS), ("scratch", _SCRATCH)):
        yield f'<rect class="buffer" x="{x:.0f}" y="60" width="14" height="12" fill="{colour}"/>'
        yield f'<text x="{x + 20:.0f}" y="70">{name}</text>'
        x += 40 + len(name) * _LETTER
    yield f'<rect class="streamed" x="{x:.0f}" y="66" width="22" height="4"/>'
    yield f'<text x="{x + 28:.0f}" y="70">layers through which rows stream; where blocks overlap, input and output share bytes</text>'


@dataclass(frozen=True)
class _Panel:
    """The arena of one memory, drawn from `top` down."""

    manifest: Manifest
    memory: str
    blocks: Sequence[Allocation]
    top: float

    @property
    def size(self) -> int:
        """Bytes of the arena."""
        return max(one.offset + one.size_bytes for one in self.blocks)

    def x(self, layer: float) -> float:
        """Where a layer begins."""
        return _LEFT + layer / len(self.manifest.layers) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, offset: float) -> float:
        """Where a byte is."""
        return self.top + _PANEL * (1 - offset / self.size)

    def lines(self) -> Iterator[str]:
        """The elements of the panel."""
        yield f'<text x="{_LEFT}" y="{self.top - 6:.1f}" font-weight="600">{escape(self.memory)}: {self.size:,} bytes</text>'
        yield from self._axes()
        # What lives long lies below what lives short.
        ordered = sorted(self.blocks, key=lambda one: (one.first_layer - one.last_layer, one.first_layer))
        for index, one in enumerate(ordered):
            yield from self._block(one, _colour(one, index))
        for one in ordered:
            yield from self._label(one)
        yield from self._bound()

    def _axes(self) -> Iterator[str]:
        step = _round_step(self.size, _BYTE_LABELS)
        for offset in range(0, self.size + 1, step):
            y = self.y(offset)
            yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>'
            yield f'<text class="axis" x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{offset:,}</text>'
        layers = self.manifest.layers
        bottom = self.top + _PANEL
        for index in range(0, len(layers), max(1, -(-len(layers) // _LAYER_LABELS))):
            name = f"{index}: {layers[index].op} {layers[index].name}"
            x = self.x(index + 0.5)
            yield f'<text class="axis" x="{x:.1f}" y="{bottom + 18:.1f}" text-anchor="middle">{index}<title>{escape(name)}</title></text>'
        for first, last in dict.fromkeys((one.first_layer, one.last_layer) for one in self.manifest.memory_plan if one.kind == "rows"):
            x, width = self.x(first), self.x(last + 1) - self.x(first)
            yield f'<rect class="streamed" x="{x + 1:.1f}" y="{bottom + 2:.1f}" width="{width - 2:.1f}" height="4"/>'
        yield f'<text class="axis" x="{_LEFT - 8}" y="{bottom + 18:.1f}" text-anchor="end">layer</text>'

    def _block(self, one: Allocation, colour: str) -> Iterator[str]:
        x, right = self.x(one.first_layer), self.x(one.last_layer + 1)
        y, bottom = self.y(one.offset + one.size_bytes), self.y(one.offset)
        shape = f'x="{x + 0.5:.1f}" y="{y:.1f}" width="{right - x - 1:.1f}" height="{max(bottom - y, 1):.1f}"'
        what = {"tensor": "tensor", "rows": "ring of rows", "scratch": "scratch memory"}[one.kind]
        title = (
            f"{one.name}\n{what}, {one.size_bytes:,} bytes at {one.offset:,}\n"
            f"layer {one.first_layer} ({self.manifest.layers[one.first_layer].op}) to "
            f"{one.last_layer} ({self.manifest.layers[one.last_layer].op})"
        )
        yield f'<g><title>{escape(title)}</title><rect class="buffer" {shape} fill="{colour}"/>'
        if one.kind == "rows":
            yield f'<rect {shape} fill="url(#rows)"/>'
        yield "</g>"

    def _label(self, one: Allocation) -> Iterator[str]:
        """Name and size, in the layers during which the block shares no bytes, or in all if there are none."""
        own: list[list[int]] = [[]]
        for layer in range(one.first_layer, one.last_layer + 1):
            if any(_shares(one, other) and other.first_layer <= layer <= other.last_layer for other in self.blocks):
                own.append([])
            else:
                own[-1].append(layer)
        layers = max(own, key=len) or range(one.first_layer, one.last_layer + 1)
        place = self.x(layers[0]), self.y(one.offset + one.size_bytes), self.x(layers[-1] + 1), self.y(one.offset)
        return _text(one.name.split(";")[0], f"{one.size_bytes:,}", *place)

    def _bound(self) -> Iterator[str]:
        """Of all arenas together, so it says something of one alone."""
        if self.size == self.manifest.arena_bytes:
            y = self.y(self.manifest.lower_bound_bytes)
            yield f'<path class="bound" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>'
            yield f'<text class="axis" x="{_WIDTH - _RIGHT}" y="{y - 5:.1f}" text-anchor="end">lower bound</text>'


def _colour(one: Allocation, index: int) -> str:
    if one.kind == "tensor":
        return _TENSOR_COLOURS[index % len(_TENSOR_COLOURS)]
    return _ROWS if one.kind == "rows" else _SCRATCH


def _shares(one: Allocation, other: Allocation) -> bool:
    return other is not one and one.offset < other.offset + other.size_bytes and other.offset < one.offset + one.size_bytes


def _text(name: str, size: str, x: float, y: float, right: float, bottom: float) -> Iterator[str]:
    """As much as there is room for in a block: beside each other, below each other, upwards in a narrow one."""
    width, height = right - x - 8, bottom - y - 4
    middle = (x + right) / 2, (y + bottom) / 2
    if width < height and _LINE - 6 <= width < 7 * _LETTER:
        if text := _shortened(f"{name}  {size}", height):
            place = f'x="{middle[0]:.1f}" y="{middle[1]:.1f}" transform="rotate(-90 {middle[0]:.1f} {middle[1]:.1f})" dy="4"'
            yield f'<text class="name" {place} text-anchor="middle">{escape(text)}</text>'
    elif height >= _LINE - 2:
        lines = [_shortened(name, width), _shortened(size, width)] if height >= 2 * _LINE else [_shortened(f"{name}  {size}", width)]
        for row, text in enumerate(lines):
            if text:
                line = middle[1] + 4 + (row - (len(lines) - 1) / 2) * _LINE
                yield f'<text class="name" x="{x + 5:.1f}" y="{line:.1f}">{escape(text)}</text>'


def _shortened(text: str, width: float) -> str:
    """As much of a text as fits; nothing if that says too little."""
    letters = int(width / _LETTER)
    if len(text) <= letters:
        return text
    return text[: letters - 1] + "…" if letters >= 5 else ""


def _round_step(size: int, count: int) -> int:
    """A round number of bytes that divides a size into at most `count` parts."""
    step, factors = 1, cycle((2.0, 2.5, 2.0))
    while size > count * step:
        step = round(step * next(factors))
    return step

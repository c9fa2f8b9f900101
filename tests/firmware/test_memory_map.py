"""The drawing of a memory plan: every buffer where and when it is, in a picture that needs nothing else."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from hilnas.boards.board import load_board
from hilnas.firmware.build import build_image
from hilnas.firmware.image import FirmwareImage
from hilnas.firmware.memory_map import memory_map

sys.path.insert(0, str(Path(__file__).parent))
from test_streaming import inverted_residuals

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> FirmwareImage:
    """A model through which rows stream, so that it has all kinds of buffers."""
    folder = tmp_path_factory.mktemp("map")
    (folder / "model.tflite").write_bytes(inverted_residuals(21, 21, 5))
    return build_image(folder / "model.tflite", load_board("nucleo-h743zi2"), folder / "image")


def test_every_buffer_is_drawn_where_and_when_it_lives(image: FirmwareImage) -> None:
    manifest = image.manifest
    assert {one.kind for one in manifest.memory_plan} == {"tensor", "rows", "scratch"}
    root = ElementTree.fromstring(memory_map(manifest))
    drawn = {}
    for group in root.iter(f"{SVG}g"):
        box, title = group.find(f"{SVG}rect"), group.find(f"{SVG}title")
        assert box is not None and title is not None and title.text is not None
        drawn[title.text] = {name: float(box.attrib[name]) for name in ("x", "y", "width", "height")}
    assert len(drawn) == len(manifest.memory_plan)
    for one in manifest.memory_plan:
        (box,) = (box for title, box in drawn.items() if title.startswith(f"{one.name}\n") and f"bytes at {one.offset:,}\n" in title)
        layer, byte = 1180 / len(manifest.layers), 420 / manifest.arena_bytes
        assert box["width"] == pytest.approx((one.last_layer - one.first_layer + 1) * layer - 1, abs=0.2)
        assert box["height"] == pytest.approx(max(one.size_bytes * byte, 1), abs=0.2)


def test_names_of_the_file_cannot_leave_the_text(image: FirmwareImage) -> None:
    hostile = replace(image.manifest, model="</text><script>alert(1)</script>")
    hostile = replace(hostile, memory_plan=tuple(replace(one, name=f"<b>&{one.name}") for one in hostile.memory_plan))
    root = ElementTree.fromstring(memory_map(hostile))
    assert not list(root.iter(f"{SVG}script")) and not list(root.iter(f"{SVG}b"))

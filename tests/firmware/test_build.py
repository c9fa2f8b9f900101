"""Images: built with the real cross compiler, whole or not at all."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from hilnas.boards.board import Board, load_board
from hilnas.errors import DoesNotFitError, InputError, ModelError, ToolMissingError
from hilnas.firmware.build import build_image
from hilnas.firmware.elf import read_sections
from hilnas.firmware.image import FirmwareImage

sys.path.insert(0, str(Path(__file__).parent))
from tflite_builder import ModelBuilder


def pointwise(width: int = 8, seed: int = 0) -> bytes:
    """One pointwise convolution of a 16x16 image, 4 to `width` channels."""
    rng = np.random.default_rng(seed)
    builder = ModelBuilder()
    image = builder.tensor((1, 16, 16, 4), scale=0.05, zero_point=1)
    shape = (width, 1, 1, 4)
    filters = builder.tensor(shape, scale=[0.01] * width, data=rng.integers(-127, 128, shape))
    bias = builder.tensor((width,), "int32", scale=[0.0005] * width, data=rng.integers(-999, 999, width))
    out = builder.tensor((1, 16, 16, width), scale=0.1, zero_point=2)
    builder.operator("CONV_2D", [image, filters, bias], [out], strideH=1, strideW=1, padding=1)
    return builder.build([image], [out])


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "pointwise.tflite"
    path.write_bytes(pointwise())
    return path


@pytest.fixture(scope="module")
def board() -> Board:
    return load_board("nucleo-h743zi2")


def with_memory(board: Board, name: str, size: int) -> Board:
    memories = {**board.memories, name: board.memories[name].model_copy(update={"size": size})}
    return board.model_copy(update={"memories": memories})


def test_the_manifest_tells_what_the_elf_is(model: Path, board: Board, tmp_path: Path) -> None:
    image = build_image(model, board, tmp_path / "image")
    manifest = FirmwareImage.load(tmp_path / "image").manifest
    assert manifest == image.manifest
    assert manifest.macs == 16 * 16 * 4 * 8
    assert manifest.inputs[0].shape == (1, 16, 16, 4)
    assert manifest.outputs[0].size_bytes == 16 * 16 * 8
    sections = read_sections(image.elf)
    flash = board.memories["flash"]
    assert manifest.flash_bytes == sum(section.size_bytes for section in sections if section.loaded)
    assert manifest.sram_bytes >= manifest.arena_bytes >= 16 * 16 * 8
    assert manifest.flash_bytes > manifest.code_bytes + manifest.weight_bytes
    assert all(flash.base <= section.address < flash.end for section in sections if section.executable)
    assert (tmp_path / "image" / "library" / "model.c").read_text().startswith("/* Made by hilnas")


def test_the_build_id_names_everything_that_matters(model: Path, board: Board, tmp_path: Path) -> None:
    first = build_image(model, board, tmp_path / "first").manifest.build_id
    assert build_image(model, board, tmp_path / "again").manifest.build_id == first
    slower = board.model_copy(update={"clock_hz": board.clock_hz // 2})
    assert build_image(model, slower, tmp_path / "slower").manifest.build_id != first
    model.write_bytes(pointwise(seed=1))
    assert build_image(model, board, tmp_path / "other").manifest.build_id != first


def test_what_does_not_fit_is_said_and_nothing_is_left(model: Path, board: Board, tmp_path: Path) -> None:
    out = tmp_path / "image"
    small_ram = with_memory(with_memory(board, "dtcm", 13_500), "axi", 1024)
    with pytest.raises(DoesNotFitError, match=r"bytes more RAM at layer 0 \(CONV_2D"):
        build_image(model, small_ram, out)
    with pytest.raises(DoesNotFitError, match=r"needs \d+ bytes more than nucleo-h743zi2 has in memory 'flash'"):
        build_image(model, with_memory(board, "flash", 2048), out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pointwise.tflite"]


def test_a_failure_leaves_the_old_image(model: Path, board: Board, tmp_path: Path) -> None:
    out = tmp_path / "image"
    build_image(model, board, out)
    before = (out / "firmware.elf").read_bytes()
    model.write_bytes(b"not a model")
    with pytest.raises(ModelError):
        build_image(model, board, out)
    assert (out / "firmware.elf").read_bytes() == before


def test_a_missing_compiler_is_named_with_its_package(model: Path, board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model.write_bytes(pointwise(seed=2))
    with pytest.raises(ToolMissingError) as caught:
        build_image(model, board, tmp_path / "image")
    assert "apt-get install gcc-arm-none-eabi" in caught.value.hint
    assert not (tmp_path / "image").exists()


def test_a_missing_file_is_named(board: Board, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        build_image(tmp_path / "nowhere.tflite", board, tmp_path / "image")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_named(model: Path, board: Board, tmp_path: Path) -> None:
    from hilnas.errors import StoreError

    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    with pytest.raises(StoreError, match="locked"):
        build_image(model, board, locked / "image")


@pytest.mark.parametrize("name", ["nucleo-h7a3zi-q", "stm32f746g-disco", "stm32h747i-disco", "nucleo-l4r5zi", "qemu-m7"])
def test_every_board_links(name: str, model: Path, tmp_path: Path) -> None:
    assert build_image(model, load_board(name), tmp_path / name).manifest.board == name

"""A tiny firmware for tests: the real runtime, start-up and linker script, around a model of two layers in a few lines of C."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from hilnas.boards.board import Board, load_board
from hilnas.boards.linker import linker_script
from hilnas.firmware.board_support import support_header, support_sources
from hilnas.firmware.build import core_flags
from hilnas.firmware.image import FirmwareImage, LayerInfo, LibraryNeeds, Manifest, TensorInfo
from hilnas.firmware.plan import PlanRequest
from hilnas.firmware.protocol import c_header
from hilnas.firmware.toolchain import RUNTIME_FOLDER

SIZE = 600
"""Bytes of input and output: three lines each."""

_MODEL = """
#include "hilnas.h"
#include <stdbool.h>
static int8_t arena[3 * {size}] __attribute__((section(".bss.hilnas_arena_{arena}"), aligned(16)));
static uint32_t runs;
const uint32_t hilnas_input_count = 1, hilnas_output_count = 1, hilnas_layer_count = 2, hilnas_exit_count = 0;
const hilnas_tensor hilnas_inputs[] = {{{{arena, {size}}}}};
const hilnas_tensor hilnas_outputs[] = {{{{arena + 2 * {size}, {size}}}}};
void hilnas_reset(void) {{ runs = 0; }}
uint32_t hilnas_run(uint32_t flags)
{{
    (void)flags;
    runs++;
    hilnas_layer_mark(0);
    for (int i = 0; i < {size}; i++) arena[{size} + i] = (int8_t)(arena[i] / 2);
    hilnas_layer_mark(1);
    {{ {second_layer} }}
    for (int i = 0; i < {size}; i++) arena[2 * {size} + i] = (int8_t)(arena[{size} + i] + 1);
    for (int i = 0; i < {size}; i++) arena[i] = 0;
    hilnas_layer_mark(2);
    return 0;
}}
"""


class TinyFirmware:
    """Builds the tiny firmware, and knows what it computes. Images of the same arguments are built once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._built: dict[tuple[str, str, str], FirmwareImage] = {}
        generator = np.random.default_rng(7)
        self.inputs = [(generator.integers(-128, 128, (1, SIZE), np.int8),) for _ in range(3)]

    def expected(self, inputs: tuple[NDArray[np.int8], ...]) -> NDArray[np.int8]:
        """The output: half of the input, rounded to zero, plus one."""
        return (np.trunc(inputs[0] / 2) + 1).astype(np.int8)

    def build(self, board: Board | str, second_layer: str = "", build_id: str = "0123456789abcdef") -> FirmwareImage:
        """The firmware for a board; `second_layer` is C that runs in layer 1."""
        board = load_board(board) if isinstance(board, str) else board
        key = (board.model_dump_json(), second_layer, build_id)
        if key not in self._built:
            self._built[key] = self._build(board, second_layer, build_id)
        return self._built[key]

    def _build(self, board: Board, second_layer: str, build_id: str) -> FirmwareImage:
        folder = Path(tempfile.mkdtemp(dir=self._folder))
        (folder / "board.ld").write_text(linker_script(board, board.placement.arena))
        (folder / "hilnas_board.h").write_text(support_header(board, build_id, "tiny", 2))
        (folder / "hilnas_protocol.h").write_text(c_header())
        model = folder / "model.c"
        model.write_text(_MODEL.format(size=SIZE, arena=board.placement.arena[0], second_layer=second_layer))
        command: list[str | Path] = [
            "arm-none-eabi-gcc",
            *core_flags(board),
            "-O2",
            "-Wno-error",
            "-nostdlib",
            "-nostartfiles",
            "-Wl,--gc-sections",
        ]
        command += ["-I", folder, "-I", RUNTIME_FOLDER, "-T", folder / "board.ld", *support_sources(board), model, "-lgcc"]
        result = subprocess.run([*command, "-o", folder / "firmware.elf"], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        image = FirmwareImage(folder, _manifest(board, build_id))
        image.save()
        return image


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyFirmware:
    """The tiny firmware."""
    return TinyFirmware(tmp_path_factory.mktemp("tiny"))


def _manifest(board: Board, build_id: str) -> Manifest:
    def tensor(name: str) -> TensorInfo:
        return TensorInfo(name, (1, SIZE), "int8", 1.0, 0, SIZE)

    return Manifest(
        model="tiny",
        model_sha256="0" * 64,
        board=board.name,
        build_id=build_id,
        engine_version="tiny",
        compiler="test",
        flags=(),
        flash_bytes=1,
        sram_bytes=1,
        arena_bytes=3 * SIZE,
        weight_bytes=0,
        channel_bytes=0,
        code_bytes=1,
        stack_bytes=1024,
        library=LibraryNeeds(1, 1, 1, 1),
        macs=0,
        sections={},
        inputs=(tensor("input"),),
        outputs=(tensor("output"),),
        layers=(LayerInfo("half", "MUL", 0), LayerInfo("plus_one", "ADD", 0)),
        exit_thresholds=(),
        stateful=False,
        plan_request=PlanRequest(),
        lower_bound_bytes=0,
        least_bound_bytes=0,
        added_share=0.0,
        memory_plan=(),
    )

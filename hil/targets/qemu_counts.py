"""How often each instruction of a firmware ran on QEMU, counted by a plugin of its code generator (qemu_count.c)."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import numpy as np

from hilnas.boards.board import Memory
from hilnas.firmware.elf import Elf

RUN_SYMBOL = "hilnas_run"
MARK_SYMBOL = "hilnas_layer_mark"
_FOLDER = Path(__file__).parent
_HEADER_WORDS = 2


@cache
def counting_plugin(program: str) -> Path | None:
    """The plugin, where it is built and this QEMU takes it: QEMU 6 to 8, made with plugins. The API of later ones is another."""
    built = sorted(_FOLDER.glob("_qemu_count*.so"))
    version = re.search(r"version (\d+)", _output(program, "--version"))
    is_taken = version is not None and 6 <= int(version[1]) <= 8 and "-plugin" in _output(program, "--help")
    return built[0] if built and is_taken else None


def _output(program: str, option: str) -> str:
    return subprocess.run([program, option], capture_output=True, text=True, check=False, timeout=60).stdout


def _escaped(path: Path) -> str:
    """As QEMU takes it among its comma-separated options."""
    return str(path).replace(",", ",,")


class InstructionCounts:
    """The counters of one QEMU, in a file of `folder` that it shares with the plugin; to be read while QEMU runs or afterwards.

    Args:
        plugin: the plugin that counts.
        elf: the firmware; code outside of the memory `code` is counted in one sum.
    """

    def __init__(self, plugin: Path, elf: Elf, code: Memory, folder: Path) -> None:
        self._base = code.base
        path = folder / "counts"
        with path.open("wb") as file:
            file.truncate(8 * (_HEADER_WORDS + code.size // 2))
        self._words = np.memmap(path, np.uint64, "r")
        marks = "".join(
            f",{name}={elf.symbols[symbol]:#x}" for name, symbol in (("run", RUN_SYMBOL), ("mark", MARK_SYMBOL)) if symbol in elf.symbols
        )
        self.options = ("-plugin", f"{_escaped(plugin)},counts={_escaped(path)},base={code.base:#x},size={code.size:#x}{marks}")

    @property
    def between_marks(self) -> int:
        """Instructions between the layer marks of all inferences so far."""
        return int(self._words[0])

    @property
    def elsewhere(self) -> int:
        """Instructions outside of the memory of the code."""
        return int(self._words[1])

    def executions(self) -> dict[int, int]:
        """How often each instruction has run, by its address."""
        counters = self._words[_HEADER_WORDS:]
        return {self._base + 2 * int(index): int(counters[index]) for index in np.flatnonzero(counters)}

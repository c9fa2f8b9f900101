"""Sizes of an image: what its sections say, and what can be said before it is built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hilnas.boards.board import Board
from hilnas.boards.linker import GUARD_BYTES
from hilnas.firmware.elf import Section

RUNTIME_RAM_BYTES = 4096
"""What is kept free for the runtime's own data beside an arena in the same memory."""


@dataclass(frozen=True)
class Totals:
    """Bytes of an image as the design defines them: everything in flash, code in flash, everything kept in RAM but the stack."""

    flash_bytes: int
    code_bytes: int
    sram_bytes: int


@dataclass(frozen=True)
class MemoryUse:
    """Bytes of one memory of a board that an image takes, the stack that is reserved there included, and how many it has."""

    memory: str
    used_bytes: int
    size_bytes: int


def memory_use(sections: Sequence[Section], board: Board) -> tuple[MemoryUse, ...]:
    """What an image takes of each memory of its board. What is loaded elsewhere than where it runs also takes the flash of the code."""
    use = []
    for name, memory in board.memories.items():
        here = [section for section in sections if memory.base <= section.address < memory.end]
        if name == board.placement.text:
            here += [section for section in sections if section.loaded and section not in here]
        use.append(MemoryUse(name, sum(section.size_bytes for section in here), memory.size))
    return tuple(use)


def arena_memories(board: Board) -> dict[str, int]:
    """Bytes that an arena may take in each memory of the board, in order of preference."""
    placement = board.placement
    memories = {}
    for name in placement.arena:
        size = board.memories[name].size
        size -= board.stack_bytes if name == placement.stack else 0
        size -= RUNTIME_RAM_BYTES if name == placement.data else 0
        memories[name] = max(size - 2 * GUARD_BYTES, 0)
    return memories


def section_totals(sections: Sequence[Section], board: Board) -> Totals:
    """The totals of an image for `board`; the stack counts nowhere."""
    ram = [memory for memory in board.memories.values() if memory.kind == "ram"]
    in_ram = [
        section for section in sections if section.name != ".stack" and any(memory.base <= section.address < memory.end for memory in ram)
    ]
    return Totals(
        flash_bytes=sum(section.size_bytes for section in sections if section.loaded),
        code_bytes=sum(section.size_bytes for section in sections if section.executable),
        sram_bytes=sum(section.size_bytes for section in in_ram),
    )

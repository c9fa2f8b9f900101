"""The linker script of a board: one template, fed from the board's memories."""

from __future__ import annotations

from collections.abc import Collection
from string import Template

from hilnas.boards.board import BOARDS_FOLDER, Board

TEMPLATE = BOARDS_FOLDER / "linker.ld.in"
GUARD_BYTES = 32
"""In front of an arena and behind it (firmware/runtime/guard.c)."""

_GUARD = f". += {GUARD_BYTES};"


def arena_section(memory: str) -> str:
    """The section that a model's arena in `memory` goes into. Other projects' linker scripts take it for zeroed data, as it is."""
    return f".bss.hilnas_arena_{memory}"


def linker_script(board: Board, arenas: Collection[str]) -> str:
    """The linker script (GNU ld) of `board` for a model with arenas in the memories `arenas`, each between two guards.

    Code marked `.ramcode` goes to `placement.ramcode`; on a board without it, it stays where all code is.
    """
    placement = board.placement
    memories = (
        f"    {name} ({'rx' if memory.kind == 'flash' else 'rwx'}) : ORIGIN = {memory.base:#010x}, LENGTH = {memory.size}"
        for name, memory in board.memories.items()
    )
    sections = {f".arena.{memory}": memory for memory in placement.arena if memory in arenas}
    places = "\n".join(f"        LONG(ADDR({section})) LONG(SIZEOF({section}))" for section in sections)
    return Template(TEMPLATE.read_text()).substitute(
        board=board.name,
        memories="\n".join(memories),
        text=placement.text,
        data=placement.data,
        stack=placement.stack,
        ramcode=placement.ramcode or placement.text,
        stack_bytes=board.stack_bytes,
        zeroed=places,
        guarded=places,
        arenas="\n".join(
            f"    {section} (NOLOAD) : ALIGN(32) {{ {_GUARD} *({arena_section(memory)}) . = ALIGN(4); {_GUARD} }} > {memory}"
            for section, memory in sections.items()
        ),
    )

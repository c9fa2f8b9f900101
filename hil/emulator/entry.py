"""Where a firmware starts whose maker did not think of hilnas: its table of vectors, stack pointer, entry, and room for a heap."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from hilnas.boards.board import Board, Memory
from hilnas.errors import InputError
from hilnas.firmware.elf import Elf

# What start-up codes call their table of vectors.
_VECTOR_SYMBOLS = (
    "g_pfnVectors",
    "__Vectors",
    "__isr_vector",
    "__isr_vectors",
    "__vector_table",
    "_vectors",
    "__vectors",
    "vector_table",
    "isr_vector",
    "vectors",
    "__VECTOR_TABLE",
)
# What linker scripts call the initial stack, and the end of the data.
_STACK_SYMBOLS = ("__StackTop", "_estack", "__stack", "__initial_sp")
_END_SYMBOLS = ("__end__", "end", "_end")


@dataclass(frozen=True)
class Start:
    """Addresses: of the table of vectors, of the initial stack, and of the first instruction with its Thumb bit.

    The heap lies between `heap_base`, 0 if it is not known, and `heap_limit`.
    """

    vectors: int
    stack_pointer: int
    entry: int
    heap_base: int = 0
    heap_limit: int = 0


def find_start(elf: Elf, board: Board) -> Start:
    """Where the core starts, as it would after a reset, else as a debugger would that loaded the ELF.

    The table of vectors is at the start of the board's code memory, or where a segment begins, or where a symbol says; of several the
    one whose reset handler is the ELF's entry. Without one the stack is where the linker script says or the
    last RAM with data ends.

    Raises:
        InputError: there is neither a table of vectors nor an entry.
    """
    tables = [table for address in _table_addresses(elf, board) if (table := _table_at(elf, board, address)) is not None]
    boot = [table for table in tables if table.vectors == board.memories[board.placement.text].base]
    entered = [table for table in tables if elf.entry and table.entry | 1 == elf.entry | 1]
    # A list of functions, as .init_array is, looks like a table with an odd stack pointer.
    plausible = [table for table in tables if table.stack_pointer % 4 == 0]
    for table in (*boot, *entered, *plausible):
        # The core ignores the last two bits.
        return _with_heap(replace(table, stack_pointer=table.stack_pointer & ~3), elf, board)
    if not elf.entry:
        raise InputError(f"{elf.path} has neither a table of vectors nor an entry", "Link it with a table of vectors, or with -e SYMBOL.")
    lowest = min(segment.address for segment in elf.segments)
    return _with_heap(Start(lowest, _stack_without_table(elf, board), elf.entry | 1), elf, board)


def _table_addresses(elf: Elf, board: Board) -> Iterator[int]:
    yield board.memories[board.placement.text].base
    yield from (segment.address for segment in elf.segments)
    yield from (elf.symbols[name] for name in _VECTOR_SYMBOLS if name in elf.symbols)


def _table_at(elf: Elf, board: Board, address: int) -> Start | None:
    """The table at an address, if it can be one: a stack pointer into RAM, and a reset handler in code that is loaded."""
    for segment in elf.segments:
        offset = address - segment.address
        if address % 4 or not 0 <= offset <= len(segment.data) - 8:
            continue
        stack, entry = struct.unpack_from("<II", segment.data, offset)
        in_ram = any(memory.base < stack <= memory.end for memory in _ram(board))
        is_code = any(item.run_address <= entry < item.run_address + len(item.data) for item in elf.segments)
        if in_ram and entry & 1 and is_code:
            return Start(address, stack, entry)
    return None


def _stack_without_table(elf: Elf, board: Board) -> int:
    """What a linker script calls it, else the end of the RAM in which the program has its last data, else the board's."""
    named = [elf.symbols[name] for name in _STACK_SYMBOLS if name in elf.symbols]
    ends = sorted((segment.run_address + segment.run_size for segment in elf.segments), reverse=True)
    stacks = [address for address in named if any(memory.base < address <= memory.end for memory in _ram(board))]
    stacks += [memory.end for end in ends for memory in _ram(board) if memory.base < end <= memory.end]
    return next(iter(stacks), board.memories[board.placement.stack].end)


def _ram(board: Board) -> list[Memory]:
    return [memory for memory in board.memories.values() if memory.kind == "ram"]


def _with_heap(start: Start, elf: Elf, board: Board) -> Start:
    """The heap goes from the end of the program's data to the stack, or to the end of that RAM if the stack is not above it.

    Where the ELF does not tell where its data end (armlink's does not), it begins where the C library thinks: 0.
    """
    data_ends = [segment.run_address + segment.run_size for segment in elf.segments]
    ends = [elf.symbols[name] for name in _END_SYMBOLS if name in elf.symbols] or sorted(data_ends, reverse=True)
    for end in ends:
        for memory in _ram(board):
            if memory.base <= end < memory.end:
                limit = start.stack_pointer if end < start.stack_pointer <= memory.end else memory.end
                return replace(start, heap_base=(end + 7) & ~7, heap_limit=limit)
    return replace(start, heap_limit=start.stack_pointer)

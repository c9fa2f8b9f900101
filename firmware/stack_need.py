"""The stack that a program needs, from its machine code: the longest path through its calls, assembly included.

A function's frame is the sum of what its code takes from the stack pointer. What is called by name is seen in the code. By pointer, C
calls the routines in assembly, and these call only ends of their own, which take nothing (assembly/depthwise_finish.py). Calls in a
circle have no bound and are refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from hilnas.errors import BuildError
from hilnas.firmware.toolchain import run_tool

_OBJDUMP = "arm-none-eabi-objdump"
_PACKAGE = "binutils-arm-none-eabi"
_FUNCTION = re.compile(r"^[0-9a-f]+ <([^>]+)>:$")
_INSTRUCTION = re.compile(r"^\s*[0-9a-f]+:\t(\S+)(?:\s+([^@;]*))?")
_SUBTRACTION = re.compile(r"^sp, (?:sp, )?#(\d+)$")
_PRE_INDEXED = re.compile(r"\[sp, #-(\d+)\]!")
_TARGET = re.compile(r"<([^>+]+)>$")
_BRANCHES = re.compile(r"^(?:bl|b|b(?:eq|ne|cs|cc|mi|pl|vs|vc|hi|ls|ge|lt|gt|le)|cbn?z)$")


@dataclass
class _Function:
    frame: int = 0
    calls: set[str] = field(default_factory=set)
    by_pointer: bool = False


def stack_need(elf: Path, entry: str, routines: Collection[str]) -> int:
    """Bytes that a call of `entry` takes from the stack at most, without interrupts. `routines` are those in assembly, by symbol.

    Raises:
        ToolMissingError: the disassembler is not installed.
        BuildError: it failed, the program has no such function, or its calls have no bound.
    """
    functions = _functions(run_tool([_OBJDUMP, "-d", "--no-show-raw-insn", elf], _PACKAGE))
    return _depth(functions, entry, routines)


def _depth(functions: Mapping[str, _Function], entry: str, routines: Collection[str]) -> int:
    entered: list[str] = []

    @cache
    def depth(name: str) -> int:
        if name in entered:
            raise BuildError(f"the stack that {entry} needs has no bound: {' -> '.join([*entered[entered.index(name) :], name])}")
        function = functions.get(name)
        if function is None:
            raise BuildError(f"the program calls {name}, which is not in it")
        entered.append(name)
        called = set(function.calls)
        if function.by_pointer and name not in routines:
            called |= functions.keys() & set(routines)
        deepest = max(map(depth, sorted(called)), default=0)
        entered.pop()
        return function.frame + deepest

    return depth(entry)


def _functions(listing: str) -> dict[str, _Function]:
    functions: dict[str, _Function] = {}
    name = ""
    for line in listing.splitlines():
        if found := _FUNCTION.match(line):
            name = found.group(1)
            functions[name] = _Function()
        elif (found := _INSTRUCTION.match(line)) and name:
            _take(functions[name], name, found.group(1), (found.group(2) or "").strip())
    return functions


def _take(function: _Function, name: str, mnemonic: str, operands: str) -> None:
    """Adds what one instruction does to the stack and whom it calls."""
    base = mnemonic.removesuffix(".w").removesuffix(".n")
    function.frame += _taken(base, operands)
    if base == "blx" or (base == "bx" and operands != "lr"):
        function.by_pointer = True
    elif _BRANCHES.match(base) and (found := _TARGET.search(operands)) and found.group(1) != name:
        function.calls.add(found.group(1))


def _taken(mnemonic: str, operands: str) -> int:
    """Bytes by which an instruction lowers the stack pointer."""
    if mnemonic in ("push", "vpush"):
        return _saved(operands)
    if mnemonic in ("stmdb", "vstmdb") and operands.startswith("sp!, "):
        return _saved(operands.removeprefix("sp!, "))
    found = _SUBTRACTION.match(operands) if mnemonic in ("sub", "subw") else None
    if mnemonic.startswith("str"):
        found = _PRE_INDEXED.search(operands)
    return int(found.group(1)) if found else 0


def _saved(registers: str) -> int:
    """Bytes of a list of registers like {r4, r5-r7, lr} or {d8}."""
    count = 0
    for part in registers.strip("{}").split(","):
        first, _, last = part.strip().partition("-")
        count += int(last[1:]) - int(first[1:]) + 1 if last else 1
    return count * (8 if registers.startswith("{d") else 4)

"""Instructions of a routine, and its text for the assembler."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

GENERAL = ("r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "lr")
"""The fourteen registers that a routine may hold values in, once it has saved r4 to r11 and lr."""

_REGISTER = re.compile(r"\b(?:r1[0-2]|r\d|lr|sp|pc|s\d+)\b")
_STORES = frozenset({"str", "strb", "strh", "strd", "stm"})
_LOADS = frozenset({"ldr", "ldrb", "ldrh", "ldrsb", "ldrsh", "ldrd", "ldm"})
_COMPARISONS = frozenset({"cmp", "tst"})
_READ_AND_WRITE = frozenset({"bfi"})
_MULTIPLIES = frozenset({"mul", "mla", "smlad", "smuad", "smmla", "smmlar", "smmul", "smmulr", "smlabb", "smlabt", "smlatb", "smlatt"})
_DSP = frozenset({"sxtb16", "sxtab16", "ssat", "usat", "pkhbt", "pkhtb", "sxtb", "sxth", "bfi"})


@dataclass(frozen=True)
class Instruction:
    """One instruction: a mnemonic and its operands as the assembler wants them."""

    mnemonic: str
    operands: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.mnemonic} {', '.join(self.operands)}"

    @property
    def is_store(self) -> bool:
        """Whether it writes memory."""
        return self.mnemonic in _STORES

    @property
    def is_load(self) -> bool:
        """Whether it reads memory."""
        return self.mnemonic in _LOADS

    @property
    def is_multiply(self) -> bool:
        """Whether it uses the multiplier."""
        return self.mnemonic in _MULTIPLIES

    @property
    def is_dsp(self) -> bool:
        """Whether it is one of the bit-field and saturation instructions that issue once a cycle."""
        return self.mnemonic in _DSP

    @property
    def issues_alone(self) -> bool:
        """Whether nothing issues beside it: transfers of several registers."""
        return self.mnemonic in ("ldrd", "strd", "ldm", "stm", "push", "pop")

    @property
    def is_shifted(self) -> bool:
        """Whether its last register passes the shifter of the ALU."""
        return bool(re.match(r"(lsl|lsr|asr|ror)\b", self.operands[-1])) and not self.is_dsp and self.memory is None

    @property
    def uses_early_shifter(self) -> bool:
        """Whether it needs the one shifter of the early stage."""
        return self.is_shifted or self.mnemonic in ("bfi", "pkhbt", "pkhtb", "sxtab16")

    @cached_property
    def memory(self) -> str | None:
        """The address operand, or None."""
        return next((operand for operand in self.operands if operand.startswith("[")), None) if self.is_load or self.is_store else None

    @cached_property
    def addresses(self) -> frozenset[str]:
        """Registers that form an address."""
        if self.mnemonic in ("ldm", "stm"):
            return frozenset({self.operands[0].rstrip("!")})
        return frozenset(_REGISTER.findall(self.memory or ""))

    @cached_property
    def accumulator(self) -> str | None:
        """The operand that a multiply-accumulate adds to."""
        return self.operands[3] if self.is_multiply and len(self.operands) == 4 else None

    def role(self, register: str) -> str:
        """How it reads a register: as address or its index, stored value, multiplicand, accumulator, in the early stage, as the partner of
        an operand of the early stage, or late."""
        if register in self.addresses:
            return "index" if self.memory is not None and register != _REGISTER.findall(self.memory)[0] else "address"
        if self.is_store:
            return "store"
        if self.is_multiply:
            return "multiplicand" if register in self.operands[1:3] else "accumulator"
        if self.mnemonic in ("ssat", "usat"):
            return "early"
        if self.is_shifted or self.mnemonic in ("pkhbt", "pkhtb", "sxtab16"):
            return "early" if register == [operand for operand in self.operands if _REGISTER.fullmatch(operand)][-1] else "partner"
        if self.mnemonic == "bfi":
            return "early" if register == self.operands[1] else "partner"
        return "late"

    @cached_property
    def writes(self) -> frozenset[str]:
        """Registers that it changes; `flags` is one."""
        if self.mnemonic in ("ldm", "stm"):
            base = {self.operands[0][:-1]} if self.operands[0].endswith("!") else set()
            return frozenset(base | (_listed(self.operands[1]) if self.is_load else set()))
        updated = set()
        if self.memory is not None and (self.operands[-1].startswith("#") or self.memory.endswith("!")):
            updated.add(_REGISTER.findall(self.memory)[0])
        if self.is_store:
            return frozenset(updated)
        if self.mnemonic in _COMPARISONS:
            return frozenset({"flags"})
        if self.mnemonic.startswith("b") and self.mnemonic != "bfi":
            return frozenset()
        results = 2 if self.mnemonic == "ldrd" else 1
        flags = {"flags"} if self.mnemonic in ("subs", "adds", "lsrs", "movs") else set()
        return frozenset({*self.operands[:results], *updated, *flags})

    @cached_property
    def reads(self) -> frozenset[str]:
        """Registers that it needs; `flags` is one."""
        if self.mnemonic in ("ldm", "stm"):
            return self.addresses | (_listed(self.operands[1]) if self.is_store else frozenset())
        first = (
            0 if self.is_store or self.mnemonic in _COMPARISONS or self.mnemonic in _READ_AND_WRITE else 2 if self.mnemonic == "ldrd" else 1
        )
        found = {name for operand in self.operands[first:] for name in _REGISTER.findall(operand)}
        if self.mnemonic in ("bne", "beq", "bhi", "blo", "bge", "blt"):
            found.add("flags")
        return frozenset(found)


def _listed(registers: str) -> set[str]:
    """The registers of a list like {r0, r4-r7}."""
    found: set[str] = set()
    for part in registers.strip("{}").split(","):
        first, _, last = part.strip().partition("-")
        low, high = GENERAL.index(first), GENERAL.index(last or first)
        found.update(GENERAL[low : high + 1])
    return found


@dataclass(frozen=True)
class Block:
    """Instructions of which only the effect counts, not the order; no branch is among them. `dual_issue`: as many with the same effect, in
    an order made by hand for cores that issue two a cycle."""

    instructions: tuple[Instruction, ...]
    dual_issue: tuple[Instruction, ...] | None = None


Schedule = Callable[[Block], Sequence[Instruction]]
"""In which order the instructions of a block are written."""


def as_given(block: Block) -> Sequence[Instruction]:
    """The order in which a block has them, for no core in particular."""
    return block.instructions


Line = Instruction | Block | str


def _instructions(line: Instruction | Block, schedule: Schedule = as_given) -> Sequence[Instruction]:
    return schedule(line) if isinstance(line, Block) else (line,)


_DIRECTIVE_BYTES = {".hword": 2, ".word": 4, ".balign": 3}


def _data_bytes(line: str) -> int:
    """Bytes of a line that is no instruction, at most: a label or a directive."""
    return 0 if line.endswith(":") else _DIRECTIVE_BYTES[line.split(maxsplit=1)[0]]


@dataclass
class Routine:
    """A routine under construction: instructions, blocks of them, and lines of another kind (labels, directives, tables) as text."""

    symbol: str
    lines: list[Line] = field(default_factory=list)

    def __call__(self, mnemonic: str, *operands: str) -> None:
        """Appends an instruction."""
        self.lines.append(Instruction(mnemonic, operands))

    def label(self, name: str) -> None:
        """Places a label that only this routine sees."""
        self.lines.append(f".L{self.symbol}_{name}:")

    def label_global(self, name: str) -> None:
        """Places a label that other routines see."""
        self.lines += [f"    .global {name}", f"{name}:"]

    def target(self, name: str) -> str:
        """The operand that names a label of this routine."""
        return f".L{self.symbol}_{name}"

    def directive(self, text: str) -> None:
        """Appends an assembler directive."""
        self.lines.append(f"    {text}")

    def block(self, instructions: Iterable[Instruction], dual_issue: Iterable[Instruction] | None = None) -> None:
        """Appends instructions whose order is made for a core; see `Block`."""
        self.lines.append(Block(tuple(instructions), None if dual_issue is None else tuple(dual_issue)))

    def code_bytes(self, start: str, end: str) -> int:
        """Bytes of code between two of its labels, at most: an instruction counts as four."""
        first, last = (self.lines.index(f"{self.target(name)}:") for name in (start, end))
        return sum(_data_bytes(line) if isinstance(line, str) else 4 * len(_instructions(line)) for line in self.lines[first:last])

    def text(self, purpose: str, schedule: Schedule) -> str:
        """The routine as assembler source; `purpose` becomes its comment."""
        lines = ([line] if isinstance(line, str) else map(_wide, _instructions(line, schedule)) for line in self.lines)
        body = "\n".join(chain.from_iterable(lines))
        return f"""@ {purpose}
    .section .text.{self.symbol}, "ax", %progbits
    .balign 8
    .global {self.symbol}
    .type {self.symbol}, %function
    .thumb_func
{self.symbol}:
{body}
    .size {self.symbol}, . - {self.symbol}
"""


PREAMBLE = """    .syntax unified
    .cpu cortex-m7
    .fpu fpv5-d16
    .thumb
"""
"""What a source file of routines begins with."""

_NARROW_TRANSFERS = frozenset({"ldr", "ldrb", "ldrh", "str", "strb", "strh"})
_NARROW_ARITHMETIC = frozenset({"mov", "add", "sub", "subs", "cmp", "asr", "lsl", "orr"})
_NARROW_BRANCHES = frozenset({"b", "bne", "beq", "bhs", "blo"})
_HAS_NARROW_ENCODING = _NARROW_TRANSFERS | _NARROW_ARITHMETIC | _NARROW_BRANCHES


def _wide(instruction: Instruction) -> str:
    """Its line, with the 32-bit encoding where there are two: one size keeps pairs of instructions aligned to fetches and makes steps of
    a loop equally long, so that a loop can be entered at any of them."""
    suffix = ".w" if instruction.mnemonic in _HAS_NARROW_ENCODING else ""
    return f"    {instruction.mnemonic}{suffix} {', '.join(instruction.operands)}"

"""A list scheduler for straight-line code, for the core that it is to run on.

Instructions are taken in the order of their longest path to the end of the block, cycle by cycle, two a cycle where the core can issue
two. What the rules leave open is decided by the original order, so the result is deterministic. Where a load holds up what transfers
nothing, loads wait until nothing else can go on, and then stand together: in as few groups as the block allows, but for the latencies of
addresses. Those with one base register, so of one memory, stand side by side. A block's stores do not alias its loads, except for equal
addresses relative to sp. Latencies are those of the core's declaration; which instructions pair where two issue is as on a Cortex-M7, whose
declaration names the sources.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from hilnas.boards.core import Core
from hilnas.firmware.assembly.emitter import Block, Instruction, Schedule


@dataclass(frozen=True)
class Pipeline:
    """What of a core an order is made for: instructions a cycle, cycles for which a load holds up what transfers nothing, and cycles from
    the issue of a producer to that of a reader, by kind of result and by the way in which it is read."""

    issue_width: int
    load_data_phase: int
    latencies: Mapping[str, Mapping[str, int]]

    @classmethod
    def of(cls, core: Core) -> Pipeline:
        """What is declared of a core."""
        issue_width, load_data_phase = (core.parameters[name].value for name in ("issue_width", "load_data_phase"))
        return cls(issue_width, load_data_phase, {kind: latencies.cycles for kind, latencies in core.latencies.items()})


def schedule_for(core: Core) -> Schedule:
    """What orders instructions for a core."""
    return partial(schedule, Pipeline.of(core))


def schedule(pipeline: Pipeline, block: Block) -> list[Instruction]:
    """The instructions of a block in an order that takes fewer cycles; the block has no branch."""
    if block.dual_issue is not None and pipeline.issue_width == 2:
        return list(block.dual_issue)
    left = _Left(pipeline, block.instructions, _dependences(block.instructions, pipeline.latencies))
    ordered: list[Instruction] = []
    while left.ready:
        ordered += left.issue()
    return ordered


@dataclass
class _Left:
    """What of a block is left to issue. `after` has for each instruction those that must follow it, and after how many cycles at least;
    `ready` are those that need follow none any more, `_load` is what was issued last if it loads one register."""

    pipeline: Pipeline
    block: tuple[Instruction, ...]
    after: list[dict[int, int]]
    cycle: int = 0
    ready: list[int] = field(init=False)
    _height: list[int] = field(init=False)
    _waiting: list[int] = field(init=False)
    _earliest: list[int] = field(init=False)
    _load: Instruction | None = None

    def __post_init__(self) -> None:
        count = len(self.block)
        self._height, self._waiting, self._earliest = [0] * count, [0] * count, [0] * count
        for index in reversed(range(count)):
            self._height[index] = max((delay + self._height[late] for late, delay in self.after[index].items()), default=0)
            for late in self.after[index]:
                self._waiting[late] += 1
        self.ready = [index for index in range(count) if self._waiting[index] == 0]

    def issue(self) -> list[Instruction]:
        """The instructions of the next cycle, older first."""
        first = self._best(self._available())
        chosen = [] if first is None else [first]
        if first is not None:
            self._take(first)
            if self.pipeline.issue_width == 2:
                chosen = self._with_partner(first)
        self.cycle += 1
        return [self.block[index] for index in chosen]

    def _with_partner(self, first: int) -> list[int]:
        block, others = self.block, self._available()
        as_younger = self._best([index for index in others if _pairs(block[first], block[index])])
        as_older = self._best([index for index in others if index not in self.after[first] and _pairs(block[index], block[first])])
        second = self._best([index for index in (as_younger, as_older) if index is not None])
        if second is None:
            return [first]
        self._take(second)
        return [first, second] if second == as_younger else [second, first]

    def _available(self) -> list[int]:
        return [index for index in self.ready if self._earliest[index] <= self.cycle]

    def _best(self, candidates: list[int]) -> int | None:
        return max(candidates, key=lambda index: (self._overlap(index), self._height[index], -index), default=None)

    def _overlap(self, index: int) -> int:
        """Larger, the more this one overlaps with the load before, or the fewer loads would stand alone if it came next."""
        instruction = self.block[index]
        if not self.pipeline.load_data_phase or instruction.issues_alone:
            return 0
        if self._load is not None:
            return (2 + (instruction.addresses == self._load.addresses)) * instruction.is_load + instruction.is_store
        return -instruction.is_load - 2 * instruction.is_store

    def _take(self, index: int) -> None:
        taken = self.block[index]
        self._load = taken if taken.is_load and not taken.issues_alone else None
        self.ready.remove(index)
        for late, delay in self.after[index].items():
            self._waiting[late] -= 1
            self._earliest[late] = max(self._earliest[late], self.cycle + delay)
            if self._waiting[late] == 0:
                self.ready.append(late)


def _dependences(block: tuple[Instruction, ...], latencies: Mapping[str, Mapping[str, int]]) -> list[dict[int, int]]:
    """For each instruction those that must follow it, and after how many cycles at least."""
    after: list[dict[int, int]] = [{} for _ in block]
    for late, reader in enumerate(block):
        for early in range(late):
            delay = _delay(block[early], reader, latencies)
            if delay is not None:
                after[early][late] = delay
    return after


def _delay(early: Instruction, late: Instruction, latencies: Mapping[str, Mapping[str, int]]) -> int | None:
    flowing = early.writes & late.reads
    delays = [1 if register == "flags" else latencies[_kind(early, register)][late.role(register)] for register in flowing]
    if early.writes & late.writes:
        delays.append(1)
    if early.reads & late.writes:
        delays.append(0)
    if early.memory is not None and early.memory == late.memory and "sp" in early.memory and (early.is_store or late.is_store):
        delays.append(1)
    return max(delays, default=None)


def _kind(producer: Instruction, register: str) -> str:
    if producer.is_load or producer.is_store:
        return "address_update" if register in producer.addresses else "load_word"
    if producer.is_multiply:
        return "multiply"
    if producer.mnemonic in ("ssat", "usat"):
        return "saturate"
    return "dsp" if producer.is_dsp else "late_alu"


def _pairs(older: Instruction, younger: Instruction) -> bool:
    """Whether two independent instructions issue together."""
    if older.issues_alone or younger.issues_alone or younger.is_dsp:
        return False
    if (older.is_multiply and younger.is_multiply) or (older.is_store and younger.is_store):
        return False
    if (older.is_multiply and younger.is_store) or (older.is_store and younger.is_multiply):
        return False
    return not (older.uses_early_shifter and younger.uses_early_shifter)

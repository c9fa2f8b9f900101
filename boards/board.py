"""Boards as declarations: one YAML each, validated. A board is named, or is a path to a user's own file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from hilnas.boards.declaration import Declaration, is_path, names_in, read_declaration
from hilnas.errors import BoardError
from hilnas.suggestion import did_you_mean

BOARDS_FOLDER = Path(__file__).parent


class BusTiming(Declaration):
    """How long a cache line takes from a memory behind the bus.

    The first 8 bytes come `core_cycles` of the core plus `bus_cycles` and `wait_states` of the bus (at `bus_hz`) after the miss;
    the memory reads `width_bytes` at a time, each time with its wait states. `sequential_saving` is what a line comes
    earlier behind one of the last few that were read, in bus cycles. What `fitted` names has no source but the bounds of what is physical.
    """

    bus_hz: int = Field(gt=0)
    core_cycles: int = Field(ge=0)
    bus_cycles: int = Field(ge=1)
    wait_states: int = Field(default=0, ge=0)
    width_bytes: int = Field(default=8, ge=4)
    sequential_saving: int = Field(default=0, ge=0)
    source: str = Field(min_length=1)
    fitted: dict[Literal["core_cycles", "bus_cycles", "sequential_saving"], tuple[int, int]] = Field(default_factory=dict)


class AcceleratedFlash(Declaration):
    """Flash with caches of its own in front of it, as ST's ART accelerator, and without one in the core.

    A read takes `wait_states` cycles of the core more than a hit and brings `word_bytes`, by which the lines of both caches fill.
    """

    wait_states: int = Field(ge=0)
    word_bytes: int = Field(ge=4)
    line_bytes: int = Field(ge=4)
    instruction_lines: int = Field(ge=0)
    data_lines: int = Field(ge=0)
    source: str = Field(min_length=1)


class Memory(Declaration):
    """A memory of the part: where it is, how large (bytes), what may live in it, and how fast it is if that is known."""

    base: int = Field(ge=0, lt=2**32)
    size: int = Field(gt=0)
    kind: Literal["flash", "ram"]
    timing: BusTiming | AcceleratedFlash | Literal["tightly-coupled", "zero-wait"] | None = None

    @property
    def end(self) -> int:
        """The first address behind it."""
        return self.base + self.size


class Cache(Declaration):
    """A cache: its size in bytes and its ways."""

    bytes: int = Field(gt=0)
    ways: int = Field(gt=0)


class Caches(Declaration):
    """The caches of the part; both have the same lines, in bytes."""

    instruction: Cache
    data: Cache
    line_bytes: int = 32
    source: str


@dataclass(frozen=True)
class InstructionCache:
    """What a core fetches code through: `lines` of `line_bytes`, each of which is taken to hold code from anywhere."""

    lines: int
    line_bytes: int

    def holds(self, pieces: Iterable[int]) -> bool:
        """Whether pieces of code of so many bytes stay in it together, wherever each of them begins."""
        # A piece begins at a halfword: the worst is the last one of a line.
        return sum((size + self.line_bytes - 3) // self.line_bytes + 1 for size in pieces) <= self.lines


class Placement(Declaration):
    """Which memory each part of an image lives in, by memory name; `arena` in order of preference.

    `ramcode` is where code that must run from RAM is copied to at start; without it such code stays in `text`.
    """

    text: str
    data: str
    stack: str
    arena: tuple[str, ...] = Field(min_length=1)
    ramcode: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Every memory that is named."""
        return (self.text, self.data, self.stack, *self.arena, *([self.ramcode] if self.ramcode else []))


class Uart(Declaration):
    """The UART that carries the report: register layout, base address, speed in baud, its clock (Hz), and its pins where it has some."""

    kind: Literal["stm32-usart", "stm32-lpuart", "cmsdk-uart"]
    base: int = Field(ge=0, lt=2**32)
    baud_rate: int = Field(default=115_200, gt=0)
    clock_hz: int = Field(gt=0)
    tx: str | None = Field(default=None, pattern=r"^P[A-K](1[0-5]|[0-9])$")
    rx: str | None = Field(default=None, pattern=r"^P[A-K](1[0-5]|[0-9])$")
    alternate_function: int = Field(default=0, ge=0, le=15)

    @model_validator(mode="after")
    def _has_pins(self) -> Uart:
        if self.kind != "cmsdk-uart" and (self.tx is None or self.rx is None):
            raise ValueError(f"a {self.kind} needs its pins tx and rx")
        return self


class Flashing(Declaration):
    """How images get into the board: what can flash it, in the order in which it is tried, and what the tools call the part.

    `openocd` is the script for OpenOCD's `-f`, `pyocd` the target type of pyOCD. `device_id` is what the part says of itself (the lowest
    12 bits of DBGMCU_IDCODE): OpenOCD writes to no other part.
    """

    flashers: tuple[Literal["openocd", "st-flash", "pyocd", "stm32cubeprogrammer"], ...] = Field(min_length=1)
    openocd: str | None = None
    pyocd: str | None = None
    device_id: int | None = Field(default=None, ge=0, lt=2**12)

    @model_validator(mode="after")
    def _is_named(self) -> Flashing:
        for flasher, name in (("openocd", self.openocd), ("pyocd", self.pyocd)):
            if flasher in self.flashers and name is None:
                raise ValueError(f"flasher {flasher} needs {flasher}: what it calls the part")
        return self


class Board(Declaration):
    """A board: core, clock (Hz), memories by name, where the image goes, UART, start-up code, flashing, targets that can run it.

    `startup` names the start-up code of the part (`firmware/runtime/clock_<startup>.c`); `supply` is how the part's core is
    powered on this board: by its linear regulator or by its switching one.
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    description: str
    part: str
    core: Literal["cortex-m7", "cortex-m4"]
    fpu: Literal["fpv5-d16", "fpv5-sp-d16", "fpv4-sp-d16"]
    clock_hz: int = Field(gt=0)
    cycles_per_instruction: float = Field(gt=0)
    memories: dict[str, Memory]
    caches: Caches | None = None
    placement: Placement
    stack_bytes: int = Field(default=8192, ge=1024)
    uart: Uart
    startup: Literal["stm32h743", "stm32h7a3", "stm32f746", "stm32l4r5", "mps2-an500"]
    supply: Literal["ldo", "smps"] = "ldo"
    flashing: Flashing | None = None
    targets: tuple[Literal["emulator", "qemu", "renode", "serial", "farm"], ...] = Field(min_length=1)

    @property
    def instruction_cache(self) -> InstructionCache | None:
        """The cache between the core and an image's code, the core's or the flash's; None if there is none or none is known."""
        timing = self.memories[self.placement.text].timing
        if isinstance(timing, AcceleratedFlash):
            return InstructionCache(timing.instruction_lines, timing.line_bytes) if timing.instruction_lines else None
        if self.caches is None or timing in ("tightly-coupled", "zero-wait"):
            return None
        return InstructionCache(self.caches.instruction.bytes // self.caches.line_bytes, self.caches.line_bytes)

    @model_validator(mode="after")
    def _is_consistent(self) -> Board:
        for (first_name, first), (second_name, second) in combinations(self.memories.items(), 2):
            if first.base < second.end and second.base < first.end:
                raise ValueError(f"memories {first_name} and {second_name} overlap")
        unknown = sorted(set(self.placement.names) - set(self.memories))
        if unknown:
            raise ValueError(f"placement names {', '.join(unknown)}, which is not among the memories {', '.join(self.memories)}")
        for name in (self.placement.data, self.placement.stack, *self.placement.arena):
            if self.memories[name].kind != "ram":
                raise ValueError(f"placement puts what is written at run time into {name}, which is not RAM")
        if self.flashing is None and "serial" in self.targets:
            raise ValueError("target serial needs flashing: what writes images to the board")
        if self.stack_bytes % 8 or self.stack_bytes > self.memories[self.placement.stack].size:
            raise ValueError(f"stack_bytes must be a multiple of 8 and fit in {self.placement.stack}")
        return self


def board_names() -> tuple[str, ...]:
    """Names of the boards that come with hilnas."""
    return names_in(BOARDS_FOLDER)


def load_board(name_or_path: str) -> Board:
    """Loads a board by name, or a user's own by the path of its YAML.

    Raises:
        BoardError: unknown name, unreadable file, unknown key, overlapping memories.
    """
    if is_path(name_or_path):
        return read_declaration(Path(name_or_path), Board, "board", "docs/boards.md")
    if name_or_path not in board_names():
        known = f"Known: {', '.join(board_names())}; or give the path of a .yaml file."
        raise BoardError(f"unknown board {name_or_path!r}", did_you_mean(name_or_path, board_names()) + known)
    return read_declaration(BOARDS_FOLDER / f"{name_or_path}.yaml", Board, "board", "docs/boards.md")

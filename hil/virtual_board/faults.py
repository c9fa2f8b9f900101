"""What a virtual board can do wrong, and when it does: decided by a seed, so that a bad day can be had twice."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from enum import StrEnum


class Fault(StrEnum):
    """A fault by the name that `--fault` takes. What is not lasting spoils one flash and what follows it; the next one is well again."""

    PORT_MISSING = "port-missing"
    PORT_BUSY = "port-busy"
    PERMISSION_DENIED = "permission-denied"
    FIRST_CONNECT = "first-connect"
    VERIFY = "verify"
    SILENCE = "silence"
    STALE_BUILD = "stale-build"
    RESET = "reset"
    HANG = "hang"
    DISCONNECT = "disconnect"
    NOISE = "noise"
    TRUNCATION = "truncation"
    RESETS = "resets"
    ALTERNATES = "alternates"
    DIES = "dies"


DESCRIPTIONS = {
    Fault.PORT_MISSING: "the serial port is not there",
    Fault.PORT_BUSY: "another program holds the serial port",
    Fault.PERMISSION_DENIED: "the serial port may not be opened",
    Fault.FIRST_CONNECT: "the probe does not reach the core",
    Fault.VERIFY: "what is read back from flash is not what was written",
    Fault.SILENCE: "the firmware does not start",
    Fault.STALE_BUILD: "the probe says that it has written, and the old firmware stays",
    Fault.RESET: "resets in a layer",
    Fault.HANG: "hangs in a layer",
    Fault.DISCONNECT: "is unplugged in a layer",
    Fault.NOISE: "lasting: bytes change, get lost, double, appear, both ways",
    Fault.TRUNCATION: "lasting: lines lose their end",
    Fault.RESETS: "lasting: resets at random, in one of 200 layers",
    Fault.ALTERNATES: "lasting: starts only every second time that it is flashed",
    Fault.DIES: "lasting: loses power in a layer and stays dead",
}

LASTING = frozenset({Fault.NOISE, Fault.TRUNCATION, Fault.RESETS, Fault.ALTERNATES, Fault.DIES})

NOISE_RATE = 1 / 5000
"""Damage of a noisy line: so much of its bytes."""
TRUNCATION_RATE = 1 / 50
"""Lines of a truncating line that lose their end."""
RESET_RATE = 1 / 200
"""Layers in which a board that resets at random does so."""
FIRST_LAYERS = 8
"""Fewer than the few inferences of any measurement have."""

_IN_A_LAYER = {Fault.RESET, Fault.HANG, Fault.DISCONNECT, Fault.DIES}


class FaultPlan:
    """When which fault strikes: the lasting ones always, of the others one each time the board is flashed, in their order.

    What strikes in a layer does so in one of the first `layers` that run.
    """

    def __init__(self, faults: Sequence[Fault] = (), seed: int = 0, layers: int = FIRST_LAYERS) -> None:
        self._random = random.Random(seed)
        self._layers = layers
        self._lasting = frozenset(faults) & LASTING
        self._coming = [fault for fault in faults if fault not in LASTING]
        self._flashed = 0
        self._layers_left: dict[Fault, int] = {}
        if Fault.DIES in self._lasting:
            self._layers_left[Fault.DIES] = self._draw_layer()
        self.current: Fault | None = None

    def flash(self) -> None:
        """The board is being flashed: `current` is now what goes wrong until the next time."""
        self._flashed += 1
        self.current = self._coming.pop(0) if self._coming else None
        if self.current is None and Fault.ALTERNATES in self._lasting and self._flashed % 2:
            self.current = Fault.SILENCE
        self._layers_left = {fault: left for fault, left in self._layers_left.items() if fault in LASTING}
        if self.current in _IN_A_LAYER:
            self._layers_left[self.current] = self._draw_layer()

    def layer(self) -> Fault | None:
        """A layer begins: the fault that strikes in it, if one does."""
        for fault in self._layers_left:
            self._layers_left[fault] -= 1
        due = [fault for fault, left in self._layers_left.items() if left == 0]
        if due:
            return due[0]
        if Fault.RESETS in self._lasting and self._random.random() < RESET_RATE:
            return Fault.RESET
        return None

    def damage(self, data: bytes) -> bytes:
        """What arrives of bytes that are sent, either way."""
        if Fault.NOISE in self._lasting:
            data = _noisy(data, self._random)
        if Fault.TRUNCATION in self._lasting:
            data = _truncated(data, self._random)
        return data

    def _draw_layer(self) -> int:
        return self._random.randint(1, self._layers)


def _noisy(data: bytes, generator: random.Random) -> bytes:
    damages: tuple[Callable[[int], bytes], ...] = (
        lambda byte: bytes([byte ^ 1 << generator.randrange(8)]),
        lambda byte: b"",
        lambda byte: bytes([byte, byte]),
        lambda byte: bytes([generator.randrange(256), byte]),
    )
    return b"".join(generator.choice(damages)(byte) if generator.random() < NOISE_RATE else bytes([byte]) for byte in data)


def _truncated(data: bytes, generator: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    return b"".join(line[: generator.randrange(len(line))] if generator.random() < TRUNCATION_RATE else line for line in lines)

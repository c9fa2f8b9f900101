"""Where the cycles went: by function and by cause, as rows, as JSON, and as a file for https://www.speedscope.app."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

from hilnas.firmware.elf import Elf
from hilnas.hil.timing.model import TimingModel

_SCHEMA = "https://www.speedscope.app/file-format-schema.json"


@dataclass(frozen=True)
class FunctionTime:
    """A function's own instructions and cycles, without those that it calls; `causes` sum to `cycles`."""

    name: str
    instructions: int
    cycles: int
    causes: dict[str, int]


@dataclass(frozen=True)
class Profile:
    """All functions that ran, the longest first; their cycles sum to `cycles`, and so do `causes`."""

    cycles: int
    causes: dict[str, int]
    functions: tuple[FunctionTime, ...]


def function_profile(model: TimingModel, elf: Elf) -> Profile:
    """The profile of a finished model by the ELF's functions."""
    instructions: Counter[str] = Counter()
    causes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for block in model.profile():
        name = elf.function_at(block.address)
        instructions[name] += block.instructions
        causes[name].update(block.cycles)
    functions = (FunctionTime(name, instructions[name], counts.total(), _nonzero(counts, model)) for name, counts in causes.items())
    total: Counter[str] = Counter()
    for counts in causes.values():
        total.update(counts)
    return Profile(total.total(), _nonzero(total, model), tuple(sorted(functions, key=lambda function: -function.cycles)))


def speedscope(profile: Profile, name: str) -> dict[str, Any]:
    """The profile as speedscope's JSON: each function with its causes as if they were called by it; the unit is cycles."""
    frames: dict[str, int] = {}
    samples, weights = [], []
    for function in profile.functions:
        for cause, cycles in function.causes.items():
            samples.append([frames.setdefault(frame, len(frames)) for frame in (function.name, cause)])
            weights.append(cycles)
    return {
        "$schema": _SCHEMA,
        "exporter": "hilnas",
        "name": name,
        "activeProfileIndex": 0,
        "shared": {"frames": [{"name": frame} for frame in frames]},
        "profiles": [
            {
                "type": "sampled",
                "name": f"{name}, cycles",
                "unit": "none",
                "startValue": 0,
                "endValue": profile.cycles,
                "samples": samples,
                "weights": weights,
            }
        ],
    }


def _nonzero(counts: Counter[str], model: TimingModel) -> dict[str, int]:
    return {cause: counts[cause] for cause in model.causes if counts[cause]}

"""What a run of an image on a target told: the record that everything after it works with."""

from __future__ import annotations

from dataclasses import dataclass, field

CYCLES_MEASURED = "measured"
CYCLES_MODELLED = "modelled"
CYCLES_FROM_INSTRUCTIONS = "instructions x CPI"


@dataclass(frozen=True)
class LayerMeasurement:
    """One layer on the longest path. `cycles` and `instructions` are None where the target cannot know them."""

    name: str
    op: str
    macs: int
    cycles: int | None
    instructions: int | None


@dataclass(frozen=True)
class ExitStatistics:
    """How often each exit was taken on a named data set and what that costs: exit_0 .. exit_n, then the final output.

    `accuracy` is in [0, 1], by the output of the exit that was taken; None if the data set has no labels.
    """

    data: str
    counts: tuple[int, ...]
    cycles_to_exit: tuple[int | None, ...]
    expected_latency_s: float | None
    accuracy: float | None = None


@dataclass(frozen=True)
class Measurement:
    """One image measured on one target, with its whole provenance.

    `latency_s` is the longest path (no exit taken). Sizes are bytes as the design defines them. `output_digest` is the
    SHA-256 of the outputs of all inputs of the run, in order. `bit_exact` is None where nothing was compared; where it is False,
    `first_difference` says where outputs differ first. `tensors_compared` is how many layers' outputs were compared, too. `attempts`
    has a line for everything that had to be repeated. `provenance` says by what and when: hilnas, engine, compiler and target
    versions, host, seed of the inputs, date.
    """

    model: str
    model_sha256: str
    board: str
    target: str
    build_id: str
    clock_hz: int
    cycles: int | None
    cycles_source: str | None
    instructions: int | None
    latency_s: float | None
    flash_bytes: int
    arena_bytes: int
    sram_bytes: int
    stack_bytes: int | None
    macs: int
    layers: tuple[LayerMeasurement, ...]
    output_digest: str
    bit_exact: bool | None
    first_difference: str | None = None
    tensors_compared: int | None = None
    attempts: tuple[str, ...] = ()
    exits: ExitStatistics | None = None
    provenance: dict[str, str | int | float | None] = field(default_factory=dict)

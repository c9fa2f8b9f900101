"""How `deploy` and `measure` print a measurement."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from hilnas.cli.output import print_json, print_table
from hilnas.errors import CheckFailedError
from hilnas.quantities import kilobytes, milliseconds

if TYPE_CHECKING:
    from hilnas.hil.measurement import ExitStatistics, Measurement


def show_measurement(measurement: Measurement, per_layer: bool, as_json: bool) -> None:
    """Prints it.

    Raises:
        CheckFailedError: it is not bit-exact.
    """
    if as_json:
        print_json(asdict(measurement))
    else:
        if per_layer:
            _show_layers(measurement)
        print_table(f"{measurement.model} on {measurement.board} ({measurement.target})", ("", ""), _rows(measurement))
    if measurement.bit_exact is False:
        raise CheckFailedError(
            f"{measurement.model} is not bit-exact on {measurement.board}: {measurement.first_difference}",
            "This is a defect of the engine: please report it with the model.",
        )


def _rows(measurement: Measurement) -> list[tuple[str, object]]:
    latency = None if measurement.latency_s is None else f"{milliseconds(measurement.latency_s)} at {measurement.clock_hz / 1e6:g} MHz"
    cycles = None if measurement.cycles is None else f"{measurement.cycles:,} ({measurement.cycles_source})"
    rows: list[tuple[str, object]] = [
        ("bit-exact", {True: "yes", False: "no", None: "not compared"}[measurement.bit_exact]),
        ("tensors compared", measurement.tensors_compared),
        ("latency", latency),
        ("cycles", cycles),
        ("instructions", _count(measurement.instructions)),
        ("multiply-accumulates", _count(measurement.macs)),
        ("flash", kilobytes(measurement.flash_bytes)),
        ("SRAM", kilobytes(measurement.sram_bytes)),
        ("  arenas", kilobytes(measurement.arena_bytes)),
        ("stack, not in SRAM", None if measurement.stack_bytes is None else kilobytes(measurement.stack_bytes)),
        ("output digest", measurement.output_digest[:16]),
        ("build", measurement.build_id),
    ]
    return [(name, value) for name, value in (*rows, *_data_rows(measurement.exits)) if value is not None]


def _data_rows(exits: ExitStatistics | None) -> list[tuple[str, object]]:
    """What a data set told; a model without exits has but one way to go."""
    if exits is None:
        return []
    accuracy = (f"accuracy on {exits.data}", None if exits.accuracy is None else f"{exits.accuracy:.4f} of {sum(exits.counts):,}")
    if len(exits.counts) == 1:
        return [accuracy]
    latency = None if exits.expected_latency_s is None else milliseconds(exits.expected_latency_s)
    return [(f"exits on {exits.data}", " ".join(map(str, exits.counts))), ("expected latency", latency), accuracy]


def _show_layers(measurement: Measurement) -> None:
    total = measurement.cycles
    print_table(
        "Layers",
        ("layer", "operator", "cycles", "share", "instructions", "MAC", "MAC/cycle"),
        (
            (
                layer.name,
                layer.op,
                _count(layer.cycles),
                None if layer.cycles is None or not total else f"{layer.cycles / total:.1%}",
                _count(layer.instructions),
                _count(layer.macs),
                f"{layer.macs / layer.cycles:.2f}" if layer.cycles and layer.macs else None,
            )
            for layer in measurement.layers
        ),
    )


def _count(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"

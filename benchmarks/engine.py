"""The engine beside CMSIS-NN, TinyEngine and X-CUBE-AI: instructions, cycles, RAM and flash of five published models, three of them on a
Cortex-M4, too.

Instructions are counted between input ready and output written, cycles are the timing model's; both are of the slowest of the
verification inputs. The others' instructions were counted on an emulated Cortex-M7 (GCC 12.2), their cycles are published latencies times
the clock (silicon/mcu_latency.csv and cortex_m7.md of the data folder), their RAM is what their planners say. Ends with exit code 1 if an
output is not bit-exact or a bar does not hold.

Example: HILNAS_DATA=../shared/data python benchmarks/engine.py --json engine.json
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from hilnas.boards.board import load_board
from hilnas.cli.output import print_table
from hilnas.errors import HilnasError, InputError
from hilnas.files import write_atomically
from hilnas.firmware.build import build_image
from hilnas.hil.measure import measure
from hilnas.hil.targets import create_target
from hilnas.tflite.reference import ReferenceModel


@dataclass(frozen=True)
class Figure:
    """One figure of a model: what others reach, what we must reach, what we want to; None where nobody says."""

    others: dict[str, int]
    bar: int | None = None
    goal: int | None = None


@dataclass(frozen=True)
class Case:
    """A model, the board that it is measured on, and its figures."""

    model: str
    board: str
    instructions: Figure
    cycles: Figure = Figure({})
    ram: Figure = Figure({})
    overhead: Figure = Figure({})
    """Bytes of code and tables beyond the weights."""


CASES = (
    Case(
        "tinyengine/mcunet-vww1.tflite",
        "nucleo-h743zi2",
        Figure({"CMSIS-NN": 47_760_000, "TinyEngine": 33_460_000}, 15_000_000, 13_500_000),
        Figure({"TinyEngine": 24_500_000, "X-CUBE-AI 7.3": 27_400_000}, 11_500_000, 9_700_000),
        Figure({"TinyEngine": 93_992}, 30_000, 24_000),
        Figure({"CMSIS-NN": 200_000, "X-CUBE-AI": 70_000}, 24_000),
    ),
    Case(
        "mlperf_tiny/ic_resnet8_int8.tflite",
        "nucleo-h7a3zi-q",
        Figure({"CMSIS-NN": 29_930_000}, 12_500_000, 9_000_000),
        Figure({"X-CUBE-AI 9.0": 11_400_000}, 8_500_000, 6_500_000),
        Figure({}, 30_000, 20_000),
    ),
    Case(
        "mlperf_tiny/vww_96_int8.tflite",
        "nucleo-h7a3zi-q",
        Figure({"CMSIS-NN": 24_470_000}, 9_200_000, 8_300_000),
        Figure({"X-CUBE-AI 9.0": 6_660_000}, 6_000_000, 5_400_000),
        Figure({}, 33_000, 29_500),
    ),
    Case(
        "mlperf_tiny/kws_dscnn_int8.tflite",
        "nucleo-h7a3zi-q",
        Figure({"CMSIS-NN": 7_760_000}, 3_300_000, 3_000_000),
        Figure({"X-CUBE-AI 9.0": 3_170_000}, 2_400_000, 2_000_000),
        Figure({}, 9_500, 7_000),
    ),
    Case("mlperf_tiny/str_ww_ref_model.tflite", "nucleo-h7a3zi-q", Figure({"CMSIS-NN": 2_180_000}, 1_100_000, 900_000)),
    Case(
        "mlperf_tiny/ic_resnet8_int8.tflite",
        "nucleo-l4r5zi",
        Figure({}),
        Figure({"X-CUBE-AI 9.0": 19_800_000, "Plumerai 2023": 20_100_000}, 19_800_000),
    ),
    Case(
        "mlperf_tiny/vww_96_int8.tflite",
        "nucleo-l4r5zi",
        Figure({}),
        Figure({"X-CUBE-AI 9.0": 10_700_000, "Plumerai 2023": 11_900_000}, 14_500_000, 10_700_000),
    ),
    Case(
        "mlperf_tiny/kws_dscnn_int8.tflite",
        "nucleo-l4r5zi",
        Figure({}),
        Figure({"X-CUBE-AI 9.0": 5_180_000, "Plumerai 2023": 5_730_000}, 5_180_000),
    ),
)


@dataclass(frozen=True)
class Result:
    """What one model took. `overhead_bytes` is all flash of the model's library (code, parameters, plan, hilnas_infer, memcpy) beyond its
    weights and the bias and scale of each channel; start-up code, clocks and the report over UART are no part of it."""

    model: str
    board: str
    bit_exact: bool
    macs: int
    instructions: int
    cycles: int
    cycles_source: str
    arena_bytes: int
    flash_bytes: int
    weight_bytes: int
    channel_bytes: int
    overhead_bytes: int
    stack_bytes: int | None
    output_digest: str


def run(case: Case, folder: Path) -> Result:
    """Builds and measures one model.

    Raises:
        HilnasError: it cannot be built or run.
    """
    board = load_board(case.board)
    model = folder / case.model
    with tempfile.TemporaryDirectory() as scratch:
        image = build_image(model, board, Path(scratch) / "image")
        measured = measure(image, board, create_target("emulator"), ReferenceModel.load(model))
    assert measured.instructions is not None and measured.cycles is not None
    return Result(
        model=model.stem,
        board=board.name,
        bit_exact=measured.bit_exact is True,
        macs=measured.macs,
        instructions=measured.instructions,
        cycles=measured.cycles,
        cycles_source=measured.cycles_source,
        arena_bytes=measured.arena_bytes,
        flash_bytes=measured.flash_bytes,
        weight_bytes=image.manifest.weight_bytes,
        channel_bytes=image.manifest.channel_bytes,
        overhead_bytes=image.manifest.library.overhead_bytes,
        stack_bytes=measured.stack_bytes,
        output_digest=measured.output_digest,
    )


def comparisons(case: Case, result: Result) -> Iterator[tuple[str, Figure, int]]:
    """The figures of a model that somebody names, each with ours."""
    yield "instructions", case.instructions, result.instructions
    yield "cycles", case.cycles, result.cycles
    yield "RAM, bytes", case.ram, result.arena_bytes
    yield "code and tables, bytes", case.overhead, result.overhead_bytes


def row(model: str, board: str, what: str, figure: Figure, ours: int) -> tuple[str, ...]:
    """A line of the table: ours, the others', and how far bar and goal are (negative: reached)."""

    def distance(limit: int | None) -> str:
        return "-" if limit is None else f"{limit:,} ({(ours - limit) / limit:+.1%})"

    others = ", ".join(f"{name} {value:,}" for name, value in figure.others.items()) or "-"
    return model, board, what, f"{ours:,}", others, distance(figure.bar), distance(figure.goal)


def main() -> int:
    """Prints both tables; the exit code says whether all bars hold."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also writes the results to this file")
    arguments = parser.parse_args()
    folder = os.environ.get("HILNAS_DATA")
    if not folder:
        raise InputError("HILNAS_DATA names no folder", "Set it to the data folder; the models are in its tflite/.")
    results = [(case, run(case, Path(folder) / "tflite")) for case in CASES]
    print_table(
        "The engine",
        ("model", "board", "exact", "MAC/instruction", "MAC/cycle", "flash", "weights", "biases, scales", "code, tables", "cycles are"),
        (
            (
                result.model,
                result.board,
                result.bit_exact,
                f"{result.macs / result.instructions:.3f}",
                f"{result.macs / result.cycles:.3f}",
                f"{result.flash_bytes:,}",
                f"{result.weight_bytes:,}",
                f"{result.channel_bytes:,}",
                f"{result.overhead_bytes:,}",
                result.cycles_source,
            )
            for _, result in results
        ),
    )
    figures = [(result.model, result.board, *comparison) for case, result in results for comparison in comparisons(case, result)]
    named = [line for line in figures if line[3].others or line[3].bar]
    columns = ("model", "board", "figure", "hilnas", "others", "bar", "goal")
    print_table("Against others, bars and goals", columns, (row(*line) for line in named))
    if arguments.json:
        write_atomically(arguments.json, json.dumps([asdict(result) for _, result in results], indent=2) + "\n")
    missed = [f"{model} on {board}: {what}" for model, board, what, figure, ours in named if figure.bar is not None and ours > figure.bar]
    missed += [f"{result.model} on {result.board}: not bit-exact" for _, result in results if not result.bit_exact]
    if missed:
        print("Missed:", "; ".join(missed))
    return 1 if missed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except HilnasError as error:
        print(error, file=sys.stderr)
        sys.exit(2)

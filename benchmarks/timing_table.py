"""Runs the micro-benchmarks on the emulator and writes their table into docs/timing.md.

Example: python benchmarks/timing_table.py
"""

from __future__ import annotations

from pathlib import Path

from hilnas.boards.board import load_board
from hilnas.hil.microbenchmarks import markdown_table
from hilnas.hil.timing_suite import measure_suite

DOCUMENT = Path(__file__).parents[1] / "docs" / "timing.md"
BEGIN, END = "<!-- micro-benchmarks begin -->\n", "<!-- micro-benchmarks end -->\n"


def main() -> None:
    """Replaces what stands between the two marks."""
    run = measure_suite(load_board("nucleo-h743zi2"), "emulator")
    text = DOCUMENT.read_text()
    before, rest = text.split(BEGIN)
    DOCUMENT.write_text(before + BEGIN + markdown_table(run.suite, run.cycles) + END + rest.split(END)[1])
    print(f"wrote {len(run.suite)} rows into {DOCUMENT}")


if __name__ == "__main__":
    main()

"""Runs the micro-benchmarks on the emulator and writes their table into docs/timing.md.

Example: python benchmarks/timing_table.py
"""

from __future__ import annotations

from pathlib import Path

from hilnas.boards.board import load_board
from hilnas.hil.timing.microbenchmarks import markdown_table
from hilnas.hil.timing.suite import measure_suite

DOCUMENT = Path(__file__).parents[1] / "docs" / "timing.md"
BOARDS = ("nucleo-h743zi2", "nucleo-l4r5zi")


def main() -> None:
    """Replaces what stands between the two marks of each core."""
    for board in map(load_board, BOARDS):
        run = measure_suite(board, "emulator")
        begin, end = (f"<!-- micro-benchmarks of {board.core} {mark} -->\n" for mark in ("begin", "end"))
        before, rest = DOCUMENT.read_text().split(begin)
        DOCUMENT.write_text(before + begin + markdown_table(run.suite, run.cycles) + end + rest.split(end)[1])
        print(f"wrote {len(run.suite)} rows of {board.core} into {DOCUMENT}")


if __name__ == "__main__":
    main()

"""Runs the micro-benchmarks on the emulator and writes their table into docs/timing.md.

Example: python benchmarks/timing_table.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from hilnas.boards.board import load_board
from hilnas.hil.microbenchmarks import load_suite, markdown_table, model_cycles

DOCUMENT = Path(__file__).parents[1] / "docs" / "timing.md"
BEGIN, END = "<!-- micro-benchmarks begin -->\n", "<!-- micro-benchmarks end -->\n"


def main() -> None:
    """Replaces what stands between the two marks."""
    suite = load_suite()
    with tempfile.TemporaryDirectory() as folder:
        cycles = model_cycles(suite, load_board("nucleo-h743zi2"), Path(folder))
    text = DOCUMENT.read_text()
    before, rest = text.split(BEGIN)
    DOCUMENT.write_text(before + BEGIN + markdown_table(suite, cycles) + END + rest.split(END)[1])
    print(f"wrote {len(suite)} rows into {DOCUMENT}")


if __name__ == "__main__":
    main()

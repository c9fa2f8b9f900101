"""What an experiment returns: tables, figures and findings; written to a folder, shown on a terminal or printed as JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hilnas.files import write_atomically


@dataclass(frozen=True)
class Table:
    """Rows under named columns. `name` is its file's name, `title` what it shows; None in a cell is nothing to show."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Sequence[object], ...]

    def csv(self) -> str:
        """The table as a CSV file."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(self.rows)
        return text.getvalue()

    def markdown(self) -> str:
        """The table as Markdown, under its title."""
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return f"{self.title}\n\n" + "\n".join(
            "| " + " | ".join("" if cell is None else str(cell) for cell in line) + " |" for line in lines
        )


@dataclass(frozen=True)
class Report:
    """The outcome of an experiment. `document` holds its numbers for `--json`; `figures` PNG images by name."""

    title: str
    document: dict[str, Any]
    tables: tuple[Table, ...] = ()
    findings: tuple[str, ...] = ()
    figures: Mapping[str, bytes] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Writes `report.md`, `report.json`, and one file per table and figure.

        Raises:
            StoreError: the disk refused.
        """
        for table in self.tables:
            write_atomically(folder / f"{table.name}.csv", table.csv())
        for name, image in self.figures.items():
            write_atomically(folder / f"{name}.png", image)
        images = [f"![{name}]({name}.png)" for name in self.figures]
        findings = ["\n".join(f"- {finding}" for finding in self.findings)] if self.findings else []
        parts = [f"# {self.title}", *findings, *(table.markdown() for table in self.tables), *images]
        write_atomically(folder / "report.md", "\n\n".join(parts) + "\n")
        write_atomically(folder / "report.json", json.dumps(self.document, indent=2, allow_nan=False) + "\n")

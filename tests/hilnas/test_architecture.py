"""The folder layout is the architecture (docs/architecture.md): a folder uses only folders below it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAY_USE = {
    "hilnas": set[str](),
    "boards": {"hilnas"},
    "tflite": {"hilnas"},
    "nas": {"hilnas", "tflite"},
    "firmware": {"hilnas", "boards", "tflite"},
    "export": {"hilnas", "tflite", "nas"},
    "hil": {"hilnas", "boards", "tflite", "nas", "firmware", "export"},
    "experiments": {"hilnas", "boards", "tflite", "nas", "firmware", "export", "hil"},
    "cli": {"hilnas", "boards", "tflite", "nas", "firmware", "export", "hil", "experiments"},
}


def used(file: Path) -> Iterator[str]:
    """The folders whose modules a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            package, _, rest = name.partition(".")
            if package == "hilnas":
                folder = rest.split(".")[0]
                yield folder if folder in MAY_USE else "hilnas"


def test_every_folder_has_its_rule() -> None:
    assert {file.parent.name for file in ROOT.glob("*/__init__.py")} == set(MAY_USE)


@pytest.mark.parametrize("folder", MAY_USE)
def test_a_folder_uses_only_folders_below_it(folder: str) -> None:
    files = list((ROOT / folder).rglob("*.py"))
    assert files
    uses = {file.relative_to(ROOT): set(used(file)) - MAY_USE[folder] - {folder} for file in files}
    assert not {str(file): names for file, names in uses.items() if names}

"""What a user meets without the extras."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from hilnas.extras import EXTRAS

_PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def _without(package: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs hilnas where a package cannot be imported."""
    code = f"import sys; sys.modules[{package!r}] = None; from hilnas.cli.main import main; main()"
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("package", "arguments"), [("torch", ["train"]), ("sklearn", ["train"]), ("torch", ["loop"])])
def test_a_missing_package_is_named_with_the_command_that_brings_it(package: str, arguments: list[str], tmp_path: Path) -> None:
    result = _without(package, *arguments, "--out", str(tmp_path / "out"))
    assert result.returncode == 4, result.stderr
    assert f"error: the Python package {package} is not installed\nInstall it: pip install 'hilnas[nas]'\n" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_missing_module_of_no_extra_is_a_defect() -> None:
    result = _without("hilnas.nas.training", "train")
    assert "Traceback" in result.stderr
    assert "hilnas.nas.training" in result.stderr


def test_the_table_knows_every_optional_package() -> None:
    optional = tomllib.loads(_PROJECT.read_text())["project"]["optional-dependencies"]
    imported = importlib.metadata.packages_distributions()
    for extra, requirements in optional.items():
        for requirement in requirements if extra != "dev" else ():
            distribution = re.split("[<>=]", requirement)[0]
            names = {name for name, found in imported.items() if distribution in (one.lower().replace("_", "-") for one in found)} | {
                distribution
            }
            # What two extras bring is named after one of them.
            extras = {EXTRAS[name] for name in names & EXTRAS.keys()}
            assert extras == {extra} or distribution in " ".join(optional[extras.pop()]), distribution

"""The command as a user meets it: verbs, help, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from hilnas import errors
from hilnas.cli import main

HEAVY = ("torch", "tensorflow", "keras", "matplotlib", "numpy", "sklearn", "ray", "onnx", "unicorn", "pydantic")


def hilnas(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "hilnas.cli.main", *arguments], capture_output=True, text=True, check=False)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from hilnas.cli.main import verbs; verbs(['--help'], standalone_mode=False);"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("verb", main.VERBS)
def test_every_verb_has_help_with_an_example_and_json(verb: str) -> None:
    result = CliRunner().invoke(main.verbs, [verb, "--help"])
    assert result.exit_code == 0, result.output
    assert f"hilnas {verb}" in result.output.split("Example", 1)[1]
    assert "--json" in result.output or "Commands:" in result.output


def test_every_error_has_a_documented_exit_code() -> None:
    branches = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, errors.HilnasError)]
    for branch in branches:
        if branch is not errors.HilnasError:
            assert main.exit_code(branch("what was wrong")) in range(1, 8)


def test_an_unknown_verb_is_wrong_usage() -> None:
    result = hilnas("teleport")
    assert result.returncode == 2
    assert "teleport" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("mistyped", "meant"),
    [
        ("deplo", "deploy"),
        ("boards nucleo-h743zi", "nucleo-h743zi2"),
        ("measurements lst", "list"),
        ("predictors evalute", "evaluate"),
        ("experiment rum", "run"),
        ("experiment run reward-tabel", "reward-table"),
    ],
)
def test_a_mistyped_name_is_recognised(mistyped: str, meant: str) -> None:
    result = hilnas(*mistyped.split())
    assert result.returncode == 2
    assert f"Did you mean {meant}" in result.stderr


def test_doctor_finds_the_default_path() -> None:
    result = hilnas("doctor", "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert report["default_path_works"] is True
    tools = {tool["name"]: tool for tool in report["tools"]}
    assert tools["arm-none-eabi-gcc"]["version"]


def test_doctor_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    result = hilnas("doctor")
    assert result.returncode == 1
    assert "apt-get install --no-install-recommends gcc-arm-none-eabi" in result.stderr

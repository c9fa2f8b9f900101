"""What the doctor finds, tool by tool and target by target."""

from __future__ import annotations

from pathlib import Path

import pytest

from hilnas.hil.doctor import examine
from hilnas.hil.targets import TARGET_NAMES
from hilnas.hil.targets.renode import VARIABLE


def test_every_target_is_examined_and_the_default_one_works() -> None:
    found = examine()
    targets = {target.name: target for target in found.targets}
    assert tuple(targets) == TARGET_NAMES
    assert targets["emulator"].works and targets["qemu"].works
    assert found.missing == ()


def test_a_missing_tool_takes_its_targets_with_it_and_says_what_brings_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    found = examine()
    assert [tool.name for tool in found.missing] == ["arm-none-eabi-gcc"]
    tools = {tool.name: tool for tool in found.tools}
    for target in found.targets:
        assert not target.works
        assert target.install == tuple(tools[name].install for name in target.missing)
    assert {tool.name for tool in found.tools if tool.version is None} >= {"qemu-system-arm", "openocd", "st-flash", "renode"}
    assert all(tool.install for tool in found.tools)


def test_boards_need_one_flasher_not_all(monkeypatch: pytest.MonkeyPatch) -> None:
    serial = next(target for target in examine().targets if target.name == "serial")
    assert serial.works
    assert len(serial.tools) == 2


def test_renode_is_found_where_the_variable_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "my-renode"
    program.write_text("#!/bin/sh\necho Renode v1.16.1.12345\n")
    program.chmod(0o755)
    monkeypatch.setenv(VARIABLE, str(program))
    target = next(target for target in examine().targets if target.name == "renode")
    assert target.works
    assert "renode 1.16.1.12345" in target.tools

"""The verb flash: the board itself says that it runs the image; without a board the real tools say what to check."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from serial.tools.list_ports_common import ListPortInfo

from hilnas.boards.board import load_board
from hilnas.cli import main
from hilnas.errors import ConnectError, HilnasError, InputError, ProtocolError
from hilnas.firmware.image import FirmwareImage
from hilnas.hil import probes
from hilnas.hil.board_selection import BoardSelection
from hilnas.hil.flash import flash
from hilnas.hil.flashers.openocd import OpenOcd
from hilnas.hil.probes import attached_boards
from hilnas.hil.targets import create_target

sys.path.insert(0, str(Path(__file__).parent))
from virtual_boards import BOARD, probe_of, selection, virtual_board


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main.verbs, ["flash", *map(str, arguments)])


def test_the_board_says_that_it_runs_the_image(tiny: Any) -> None:
    image = tiny.build(BOARD)
    with virtual_board() as board:
        result = run(image.folder, "--probe", probe_of(board), "--json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["build_id"] == image.manifest.build_id
    assert document["attempts"] == []


def test_a_board_that_says_another_build_id_is_not_flashed(tiny: Any, tmp_path: Path) -> None:
    """The manifest is of one image, the ELF of another: what runs is not what was asked for."""
    wanted, other = tiny.build(BOARD), tiny.build(BOARD, build_id="aaaaaaaaaaaaaaaa")
    mixed = FirmwareImage(tmp_path, wanted.manifest)
    mixed.elf.write_bytes(other.elf.read_bytes())
    with virtual_board() as board, pytest.raises(ProtocolError, match="build is aaaaaaaaaaaaaaaa, the image's is 0123456789abcdef"):
        flash(mixed, load_board(BOARD), selection(board))


@pytest.mark.parametrize("flasher", ["openocd", "st-flash", "pyocd"])
def test_without_a_probe_the_real_tools_say_so(tiny: Any, flasher: str) -> None:
    if attached_boards():
        pytest.skip("a board is attached")
    result = run(tiny.build(BOARD).folder, "--flasher", flasher)
    assert isinstance(result.exception, HilnasError)
    assert main.exit_code(result.exception) == 5
    assert f"with {flasher}: no ST-LINK found" in result.exception.message
    assert "hilnas boards --attached" in result.exception.hint


def test_of_two_boards_none_is_flashed_unless_it_is_named(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes.list_ports, "comports", lambda: [st_link("/dev/ttyACM0", "FIRST"), st_link("/dev/ttyACM1", "SECOND")])
    monkeypatch.setattr(OpenOcd, "flash", lambda *_: pytest.fail("a board was guessed"))
    with pytest.raises(ConnectError, match=r"2 boards are attached: FIRST.*SECOND") as error:
        flash(tiny.build(BOARD), load_board(BOARD), BoardSelection())
    assert "--probe" in error.value.hint


def st_link(device: str, serial_number: str) -> ListPortInfo:
    info = ListPortInfo(device)
    info.vid, info.pid, info.serial_number, info.product = 0x0483, 0x374E, serial_number, "STLINK-V3"
    return info


OPENOCD = """#!{python}
import re, sys
from pathlib import Path
from hilnas.boards.board import load_board
from hilnas.hil.flashers.virtual import VirtualFlasher
elf = next(re.search("program (.*?) verify reset exit", argument)[1] for argument in sys.argv if argument.startswith("program "))
assert "adapter serial FIRST" in sys.argv
VirtualFlasher().flash(Path(elf), load_board("{board}"), "{probe}", 60.0)
print("** Verified OK **", file=sys.stderr)
"""


def test_a_board_is_found_flashed_by_a_program_and_read_over_its_port(tiny: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of the path to a real board but the board: an ST-LINK among the ports, `openocd` on the PATH, the port of that ST-LINK."""
    with virtual_board() as board:
        program = tmp_path / "openocd"
        program.write_text(OPENOCD.format(python=sys.executable, board=BOARD, probe=probe_of(board)))
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        monkeypatch.setattr(probes.list_ports, "comports", lambda: [st_link(str(board.port), "FIRST")])
        image = tiny.build(BOARD)
        assert run(image.folder).exit_code == 0
        result = create_target("serial", BoardSelection(flasher="openocd")).run(image, load_board(BOARD), tiny.inputs, take_exits=False)
    for inputs, inference in zip(tiny.inputs, result.inferences, strict=True):
        np.testing.assert_array_equal(inference.outputs[0], tiny.expected(inputs))
    assert (result.cycles_source, result.attempts) == ("measured", ())
    assert "board FIRST, flashed by openocd" in result.target_version


def test_an_image_of_another_board_is_refused(tiny: Any) -> None:
    with pytest.raises(InputError, match="for board nucleo-h743zi2, not nucleo-h7a3zi-q"):
        flash(tiny.build(BOARD), load_board("nucleo-h7a3zi-q"), BoardSelection())
    with pytest.raises(InputError, match="does not run on target serial"):
        flash(tiny.build("qemu-m7"), load_board("qemu-m7"), BoardSelection())


def test_attached_boards_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes.list_ports, "comports", lambda: [st_link("/dev/ttyACM1", "SECOND"), st_link("/dev/ttyACM0", "FIRST")])
    result = CliRunner().invoke(main.verbs, ["boards", "--attached", "--json"])
    listed = {probe["serial_number"]: probe["port"] for probe in json.loads(result.stdout)}
    assert listed.items() >= {("FIRST", "/dev/ttyACM0"), ("SECOND", "/dev/ttyACM1")}


def test_a_virtual_board_that_is_gone_cannot_be_flashed(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(ConnectError):
        flash(tiny.build(BOARD), load_board(BOARD), BoardSelection(probes=(f"virtual:{tmp_path / 'gone'}",)))

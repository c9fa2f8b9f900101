"""The flashers: the real tools without a probe, and programs in their place that say what the real ones say when something goes wrong.

What the stand-ins print: OpenOCD 0.12.0 and st-flash 1.7.0 by their own strings and their users' logs, pyOCD 0.46 by its sources,
STM32CubeProgrammer by its users' logs.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from hilnas.boards.board import board_names, load_board
from hilnas.errors import ConnectError, InputError, ToolMissingError
from hilnas.hil.flashers import TOOLS, choose_flasher
from hilnas.hil.flashers.cubeprogrammer import CubeProgrammer
from hilnas.hil.flashers.openocd import OpenOcd
from hilnas.hil.flashers.pyocd import PyOcd
from hilnas.hil.flashers.stflash import StFlash, flash_content
from hilnas.hil.flashers.tool import ATTEMPTS, Job, ToolFlasher
from hilnas.hil.probes import attached_boards

BOARD = load_board("nucleo-h743zi2")
BOARDS = tuple(name for name in board_names() if "serial" in load_board(name).targets)
PROBE = "004200253137511233333639"
LIMIT_S = 60.0
PROOF = {
    "openocd": "** Verified OK **",
    "st-flash": "2026-01-01T00:00:00 INFO common.c: Flash written and verified! jolly good!",
    "pyocd": "Erased 0 bytes (0 sectors), programmed 0 bytes (0 pages), identical 2048 bytes (2 pages) at 0.00 kB/s",
    "stm32cubeprogrammer": "Download verified successfully",
}
PROGRAM = {"openocd": "openocd", "st-flash": "st-flash", "pyocd": "pyocd", "stm32cubeprogrammer": "STM32_Programmer_CLI"}


class StandIns:
    """Programs on the PATH that say the given texts, one a run (the last one again and again), and note how they were called."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def make(self, tool: ToolFlasher, *says: tuple[str, int]) -> None:
        for index, (text, code) in enumerate(says):
            (self._folder / f"says{index}").write_text(text)
            (self._folder / f"code{index}").write_text(str(code))
        program = self._folder / PROGRAM[tool.name]
        program.write_text(f"""#!/bin/sh
cd {self._folder}
echo "$*" >> calls
run=$(($(wc -l < calls) - 1))
[ -e says$run ] || run={len(says) - 1}
cat says$run
exit $(cat code$run)
""")
        program.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        path = self._folder / "calls"
        return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIns:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    # The pyOCD of this environment would come before one on the PATH.
    monkeypatch.setattr(PyOcd, "program", lambda self: [str(tmp_path / "pyocd")])
    return StandIns(tmp_path)


@pytest.fixture
def elf(tiny: Any) -> Path:
    return tiny.build("nucleo-h743zi2").elf


@pytest.mark.parametrize("tool", [OpenOcd(), StFlash(), PyOcd()], ids=lambda tool: tool.name)
@pytest.mark.parametrize("probe", [None, PROBE])
def test_the_real_tool_without_a_probe_says_what_to_check(tool: ToolFlasher, probe: str | None, elf: Path) -> None:
    if attached_boards():
        pytest.skip("a board is attached")
    assert tool.version() is not None, f"missing: {tool.install}"
    with pytest.raises(ConnectError, match="no ST-LINK found") as error:
        tool.flash(elf, BOARD, probe, LIMIT_S)
    assert "hilnas boards --attached" in error.value.hint
    assert " times" not in error.value.message


@pytest.mark.parametrize("under_reset", [False, True])
@pytest.mark.parametrize("tool", [OpenOcd(), StFlash(), PyOcd()], ids=lambda tool: tool.name)
def test_the_real_tool_understands_every_command(tool: ToolFlasher, under_reset: bool, tiny: Any, tmp_path: Path) -> None:
    """Options, scripts and parts of every board: what a tool did not know would be said before it looks for a probe."""
    if attached_boards():
        pytest.skip("a board is attached")
    program = tool.program()
    assert program is not None, f"missing: {tool.install}"
    for board in map(load_board, BOARDS if tool.name == "openocd" else BOARDS[:1]):
        assert board.flashing is not None
        job = Job(tiny.build(board).elf, board, board.flashing, PROBE, under_reset, tmp_path)
        done = subprocess.run([*program, *map(str, tool.commands(job)[0])], capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        assert next(failure for failure in tool.failures if failure.pattern.search(said)).problem == "no ST-LINK found", said


OPENOCD_HEAD = "Open On-Chip Debugger 0.12.0\nInfo : clock speed 1800 kHz\n"
OPENOCD_TAIL = "in procedure 'program'\n** OpenOCD init failed **\nshutdown command invoked\n"
OPENOCD_PROBE = "Info : STLINK V3J10M3 (API v3) VID:PID 0483:374E\n"
FAILURES = [
    (OpenOcd(), "Error: libusb_open() failed with LIBUSB_ERROR_ACCESS\nError: open failed\n" + OPENOCD_TAIL, 1, "no permission", "udev"),
    (OpenOcd(), "Error: libusb_claim_interface() failed with LIBUSB_ERROR_BUSY\nError: open failed\n", 1, "in use by another", "fuser"),
    (
        OpenOcd(),
        OPENOCD_PROBE + "Info : Target voltage: 0.021436\nError: target voltage may be too low for reliable debugging\n"
        "Error: init mode failed (unable to connect to the target)\n" + OPENOCD_TAIL,
        1,
        "no supply voltage",
        "jumpers",
    ),
    (
        OpenOcd(),
        OPENOCD_PROBE + "Info : Target voltage: 3.284585\nError: init mode failed (unable to connect to the target)\n" + OPENOCD_TAIL,
        1,
        "does not answer its ST-LINK, 3 times",
        "reset button",
    ),
    (
        OpenOcd(),
        OPENOCD_PROBE + "** Programming Started **\nWarn : Cannot identify target as a STM32H7xx family.\nError: auto_probe failed\n"
        "** Programming Failed **\n",
        1,
        "not the board file's",
        "--board",
    ),
    (
        OpenOcd(),
        "** Programming Finished **\n** Verify Started **\nError: checksum mismatch\n** Verify Failed **\n",
        1,
        "does not hold what was written, 3 times",
        "erase the whole part",
    ),
    (
        OpenOcd(),
        "** Programming Started **\nError: failed erasing sectors 0 to 0\n** Programming Failed **\n",
        1,
        "cannot be erased or written",
        "option bytes",
    ),
    (OpenOcd(), OPENOCD_HEAD + "** Programming Finished **\n", 0, "does not say that it verified", "by hand"),
    (
        StFlash(),
        "WARN usb.c: Could not open USB device 0x0483:0x374e, access error.\nWARN usb.c: Couldn't find any ST-Link devices\n",
        1,
        "no permission",
        "udev",
    ),
    (StFlash(), "WARN usb.c: Stlink usb device found, but unable to claim (probably already in use?)\n", 1, "in use", "fuser"),
    (
        StFlash(),
        "Can not connect to target. Please use 'connect under reset' and try again\n",
        1,
        "does not answer.*3 times",
        "reset button",
    ),
    (StFlash(), "ERROR common.c: Verification of flash failed at offset: 1024\nstlink_fwrite_flash() == -1\n", 1, "does not hold", "erase"),
    (StFlash(), "ERROR flashloader.c: Target voltage (120 mV) too low for flash writes!\n", 1, "no supply voltage", "jumpers"),
    (StFlash(), "Could not find chip id!\n", 1, "not the board file's", "--board"),
    (
        PyOcd(),
        "0000900 C Target type stm32f746nghx not recognized. Use 'pyocd list --targets' to see currently available target types.\n",
        1,
        "does not know the part",
        "pyocd pack install",
    ),
    (
        PyOcd(),
        "0000400 W [Errno 13] Access denied (insufficient permissions) while trying to get the STLink USB device configuration "
        "(VID=0483 PID=374e). This can probably be remedied with a udev rule.\nNo connected debug probes\n",
        1,
        "no permission",
        "udev",
    ),
    (PyOcd(), "0000700 C USB Error: [Errno 16] Resource busy [__main__]\n", 1, "in use by another", "fuser"),
    (PyOcd(), "0000700 C STLink error (9): Get IDCODE error [__main__]\n", 1, "does not answer.*3 times", "reset button"),
    (PyOcd(), "Erased 131072 bytes (1 sector), programmed 2048 bytes (2 pages), identical 0 bytes\n", 0, "does not hold", "erase"),
    (CubeProgrammer(), "Error: No debug probe detected.\n", 1, "no ST-LINK found", "hilnas boards --attached"),
    (CubeProgrammer(), "Voltage     : 3.23V\nError: No STM32 target found!\n", 1, "does not answer.*3 times", "reset button"),
    (CubeProgrammer(), "Error: ST-LINK error (DEV_USB_COMM_ERR)\n", 1, "in use by another", "fuser"),
]


@pytest.mark.parametrize(("tool", "says", "code", "problem", "check"), FAILURES)
def test_a_failure_has_a_name_and_says_what_to_check(
    stand_ins: StandIns, elf: Path, tool: ToolFlasher, says: str, code: int, problem: str, check: str
) -> None:
    stand_ins.make(tool, (says, code))
    with pytest.raises(ConnectError, match=problem) as error:
        tool.flash(elf, BOARD, PROBE, LIMIT_S)
    assert check in error.value.hint
    assert PROBE in error.value.message


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.name)
def test_the_probe_that_was_named_is_the_one_that_is_used(stand_ins: StandIns, elf: Path, tool: ToolFlasher) -> None:
    stand_ins.make(tool, (PROOF[tool.name], 0))
    assert tool.flash(elf, BOARD, PROBE, LIMIT_S) == ()
    assert all(PROBE in call for call in stand_ins.calls)


@pytest.mark.parametrize(
    ("tool", "says", "under_reset"),
    [
        (OpenOcd(), "Error: init mode failed (unable to connect to the target)", "connect_assert_srst"),
        (StFlash(), "Can not connect to target. Please use 'connect under reset' and try again", "--connect-under-reset"),
        (PyOcd(), "0000700 C No ACK received [__main__]", "--connect under-reset"),
        (CubeProgrammer(), "Error: No STM32 target found!", "mode=UR"),
    ],
    ids=lambda value: value.name if isinstance(value, ToolFlasher) else "",
)
def test_a_first_connect_that_fails_is_tried_again_under_reset(
    stand_ins: StandIns, elf: Path, tool: ToolFlasher, says: str, under_reset: str
) -> None:
    stand_ins.make(tool, (says, 1), (PROOF[tool.name], 0))
    assert tool.flash(elf, BOARD, PROBE, LIMIT_S) == (f"{tool.name}: the part does not answer its ST-LINK",)
    assert under_reset not in stand_ins.calls[0]
    assert under_reset in stand_ins.calls[1]


def test_what_cannot_pass_is_not_tried_again(stand_ins: StandIns, elf: Path) -> None:
    stand_ins.make(StFlash(), ("WARN usb.c: Couldn't find any ST-Link devices", 255))
    with pytest.raises(ConnectError):
        StFlash().flash(elf, BOARD, None, LIMIT_S)
    assert len(stand_ins.calls) == 1


def test_attempts_end(stand_ins: StandIns, elf: Path) -> None:
    stand_ins.make(StFlash(), ("ERROR common.c: Verification of flash failed at offset: 0", 255))
    with pytest.raises(ConnectError, match=f"{ATTEMPTS} times"):
        StFlash().flash(elf, BOARD, None, LIMIT_S)
    assert len(stand_ins.calls) == ATTEMPTS


def test_a_tool_that_hangs_is_ended(stand_ins: StandIns, tmp_path: Path, elf: Path) -> None:
    program = tmp_path / "st-flash"
    program.write_text("#!/bin/sh\nexec sleep 1000\n")
    program.chmod(0o755)
    with pytest.raises(ConnectError, match="has not ended"):
        StFlash().flash(elf, BOARD, None, 1.0)


def test_a_tool_that_cannot_be_started_is_named(stand_ins: StandIns, tmp_path: Path, elf: Path) -> None:
    program = tmp_path / "st-flash"
    program.write_text("#!/nonexistent/interpreter\n")
    program.chmod(0o755)
    assert StFlash().version() is None
    with pytest.raises(ToolMissingError, match="st-flash cannot be started: No such file"):
        StFlash().flash(elf, BOARD, None, LIMIT_S)


def test_a_path_with_blanks_and_brackets_reaches_openocd_as_one_word(stand_ins: StandIns, tmp_path: Path, elf: Path) -> None:
    strange = tmp_path / "my [image] $x; {y}"
    strange.mkdir()
    moved = strange / "firmware.elf"
    moved.write_bytes(elf.read_bytes())
    with pytest.raises(ConnectError, match="no ST-LINK found"):
        OpenOcd().flash(moved, BOARD, 'a"b; exit', LIMIT_S)
    stand_ins.make(OpenOcd(), (PROOF["openocd"], 0))
    OpenOcd().flash(moved, BOARD, None, LIMIT_S)
    assert r"my\ \[image\]\ \$x\;\ \{y\}/firmware.elf" in stand_ins.calls[0]


@pytest.mark.parametrize(
    ("name", "register", "idcode", "ends_well"),
    [
        ("nucleo-h743zi2", 0x5C001000, 0x20036450, True),
        ("nucleo-h743zi2", 0x5C001000, 0x10036480, False),
        ("stm32f746g-disco", 0xE0042000, 0x10016449, True),
        ("nucleo-l4r5zi", 0xE0042000, 0x10016470, True),
        ("nucleo-l4r5zi", 0xE0042000, 0x10016461, False),
    ],
)
def test_openocd_writes_to_no_other_part(elf: Path, tmp_path: Path, name: str, register: int, idcode: int, ends_well: bool) -> None:
    """The very commands, in the real OpenOCD, with a memory that is made up: there is no probe to read it over."""
    board = load_board(name)
    assert board.flashing is not None
    (arguments,) = OpenOcd().commands(Job(elf, board, board.flashing, None, under_reset=False, folder=tmp_path))
    check = next(argument for argument in map(str, arguments) if "read_memory" in argument)
    made_up = f"proc read_memory {{address width count}} {{ if {{$address != {register}}} {{ error address }}; return {idcode:#x} }}"
    command = ["openocd", "-c", made_up, "-c", check, "-c", "echo written; shutdown"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == ends_well == ("written" in done.stderr)
    assert (
        any(failure.pattern.search(done.stderr) for failure in OpenOcd().failures if "not the board file's" in failure.problem) != ends_well
    )


def test_st_flash_gets_the_flash_as_the_elf_has_it(stand_ins: StandIns, tmp_path: Path, elf: Path) -> None:
    address, content = flash_content(elf, BOARD)
    stack_pointer, reset = (int.from_bytes(content[at : at + 4], "little") for at in (0, 4))
    memory = BOARD.memories[BOARD.placement.stack]
    assert address == BOARD.memories["flash"].base
    assert memory.base < stack_pointer <= memory.end
    assert address < reset < address + len(content)
    with pytest.raises(InputError, match="linked for another board"):
        flash_content(elf, load_board("qemu-m7"))


def test_a_tool_that_is_not_there_says_how_to_get_it(elf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError, match=r"apt-get install .*stlink-tools"):
        StFlash().flash(elf, BOARD, None, LIMIT_S)
    assert OpenOcd().version() is None


def test_the_first_that_is_installed_is_taken(stand_ins: StandIns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert BOARD.flashing is not None
    assert choose_flasher(None, BOARD, None).name == BOARD.flashing.flashers[0]
    stand_ins.make(StFlash(), ("v1.7.0", 0))
    monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + "/bin")
    monkeypatch.setattr(OpenOcd, "program", lambda self: None)
    assert choose_flasher(None, BOARD, None).name == "st-flash"
    assert choose_flasher("pyocd", BOARD, None).name == "pyocd"


def test_a_flasher_or_board_that_cannot_be_is_wrong_usage() -> None:
    with pytest.raises(InputError, match="openocd, st-flash, pyocd"):
        choose_flasher("jlink", BOARD, None)
    with pytest.raises(InputError, match="qemu-m7 cannot be flashed"):
        choose_flasher(None, load_board("qemu-m7"), None)
    with pytest.raises(InputError, match="cannot flash qemu-m7"):
        OpenOcd().flash(Path("x.elf"), load_board("qemu-m7"), None, LIMIT_S)

"""st-flash of stlink-tools: small, no configuration; takes no ELF."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from hilnas.boards.board import Board
from hilnas.errors import InputError
from hilnas.firmware.elf import read_elf
from hilnas.hil.flashers.failures import no_answer, no_permission, no_power, no_probe, not_verified, probe_busy, write_protected, wrong_part
from hilnas.hil.flashers.tool import Job, ToolFlasher

_ERASED = b"\xff"


class StFlash(ToolFlasher):
    """st-flash 1.7 or newer. It writes whatever part is there: the report that follows tells whether it was the board's."""

    name = "st-flash"
    install = "apt-get install --no-install-recommends stlink-tools"
    proof = r"Flash written and verified!"
    # From the strings of stlink-tools 1.7.0.
    failures = (
        no_permission(r"access error|LIBUSB_ERROR_ACCESS"),
        probe_busy(r"unable to claim|libusb_claim_interface\(\) failed|LIBUSB_ERROR_BUSY"),
        no_power(r"too low for flash writes|Failed to read Target voltage"),
        not_verified(r"Verification of flash failed"),
        no_answer(
            r"Can not connect to target|Failed to (connect to target|enter SWD mode|halt the core|read core_id)"
            r"|NRST is not connected|send_recv"
        ),
        wrong_part(r"Could not find chip id|[Uu]nknown chip id|Invalid flash type"),
        write_protected(
            r"write protected|Failed to (unlock flash|erase_flash_page)|Flash (programming|loader run) error|Flash unlock failed"
        ),
        no_probe(r"Couldn't find .*ST-Link devices|Failed to open USB device|Could not open stlink device"),
    )

    def program(self) -> list[str] | None:
        """See `ToolFlasher`."""
        path = shutil.which("st-flash")
        return None if path is None else [path]

    def commands(self, job: Job) -> Sequence[Sequence[str | Path]]:
        """See `ToolFlasher`."""
        address, content = flash_content(job.elf, job.board)
        binary = job.folder / "image.bin"
        binary.write_bytes(content)
        serial = [] if not job.probe else ["--serial", job.probe]
        under_reset = ["--connect-under-reset"] if job.under_reset else []
        return [["--reset", *under_reset, *serial, "write", binary, f"{address:#010x}"]]


def flash_content(elf: Path, board: Board) -> tuple[int, bytes]:
    """What an ELF puts into the board's flash: from which address, and the bytes; what lies between its parts is left erased.

    Raises:
        InputError: it puts nothing there, or something elsewhere.
    """
    memory = board.memories[board.placement.text]
    segments = sorted((segment for segment in read_elf(elf).segments if segment.data), key=lambda segment: segment.address)
    for segment in segments:
        if not memory.base <= segment.address <= segment.address + len(segment.data) <= memory.end:
            raise InputError(
                f"{elf} has {len(segment.data)} bytes at {segment.address:#010x}, outside of the flash of {board.name}",
                "Was it linked for another board?",
            )
    content = bytearray()
    for segment in segments:
        content += _ERASED * (segment.address - segments[0].address - len(content)) + segment.data
    return segments[0].address, bytes(content)

"""OpenOCD: flashes every board here; connects under reset."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from hilnas.hil.flashers.failures import no_answer, no_permission, no_power, no_probe, not_verified, probe_busy, write_protected, wrong_part
from hilnas.hil.flashers.tool import Job, ToolFlasher

# DBGMCU_IDCODE: RM0385 and RM0432; RM0433, RM0399 and RM0455.
_IDCODE_F7_L4, _IDCODE_H7 = 0xE0042000, 0x5C001000


class OpenOcd(ToolFlasher):
    """OpenOCD 0.12. The first attempt goes through the ST-LINK's own commands, which every ST-LINK has.

    An STM32H7 can only be reached while it is held in reset if the probe gives direct access to the debug port (`dapdirect`).
    """

    name = "openocd"
    install = "apt-get install --no-install-recommends openocd"
    proof = r"\*\* Verified OK \*\*"
    # From the strings of openocd 0.12.0 and from logs of its users.
    failures = (
        no_permission(r"LIBUSB_ERROR_ACCESS"),
        probe_busy(r"LIBUSB_ERROR_BUSY|claim interface failed"),
        no_power(r"target voltage may be too low|Target voltage: 0\."),
        no_answer(
            r"unable to connect to the target|Error connecting DP|target examination failed|Target not examined yet|timed out while waiting"
        ),
        wrong_part(r"the part is 0x|Cannot identify target as|UNEXPECTED idcode"),
        not_verified(r"\*\* Verify Failed \*\*|checksum mismatch|contents differ"),
        write_protected(r"failed erasing sectors|device protected|failed writing|\*\* Programming Failed \*\*"),
        no_probe(r"open failed"),
    )

    def program(self) -> list[str] | None:
        """See `ToolFlasher`."""
        path = shutil.which("openocd")
        return None if path is None else [path]

    def commands(self, job: Job) -> Sequence[Sequence[str | Path]]:
        """See `ToolFlasher`."""
        interface, transport = ("stlink-dap", "dapdirect_swd") if job.under_reset else ("stlink", "hla_swd")
        reset = "srst_only srst_nogate connect_assert_srst" if job.under_reset else "srst_only"
        serial = [] if not job.probe else ["-c", f"adapter serial {_quoted(job.probe)}"]
        return [
            [
                # No server: two boards may be flashed at once.
                *("-c", "gdb_port disabled; tcl_port disabled; telnet_port disabled"),
                *("-f", f"interface/{interface}.cfg", "-c", f"transport select {transport}", *serial),
                *("-f", job.flashing.openocd or "", "-c", f"reset_config {reset}", *_identified(job)),
                *("-c", f"program {_quoted(str(job.elf))} verify reset exit"),
            ]
        ]


def _identified(job: Job) -> list[str]:
    """Ends OpenOCD where another part than the board file's is found: one with another supply could not be reached afterwards."""
    if job.flashing.device_id is None:
        return []
    register = _IDCODE_H7 if job.board.startup.startswith("stm32h7") else _IDCODE_F7_L4
    wanted = f"{job.flashing.device_id:#x}"
    refusal = f'echo [format "the part is 0x%x, not {wanted}" $part]; shutdown error'
    check = f"set part [expr {{[read_memory {register:#x} 32 1] & 0xfff}}]; if {{$part != {wanted}}} {{ {refusal} }}"
    return ["-c", "init", "-c", check]


def _quoted(text: str) -> str:
    """One word of Tcl, whatever is in it."""
    return re.sub(r"([^\w./-])", r"\\\1", text)

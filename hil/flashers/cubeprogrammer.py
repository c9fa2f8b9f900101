"""STM32CubeProgrammer's command line: ST's own, installed from ST's site."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from hilnas.hil.flashers.failures import no_answer, no_power, no_probe, not_verified, probe_busy, write_protected
from hilnas.hil.flashers.tool import Job, ToolFlasher

_PLACES = ("~/STMicroelectronics/STM32Cube/STM32CubeProgrammer/bin", "/opt/st/stm32cubeprogrammer/bin")


class CubeProgrammer(ToolFlasher):
    """STM32_Programmer_CLI, on the PATH or where its installer puts it."""

    name = "stm32cubeprogrammer"
    install = "download STM32CubeProgrammer from st.com and put STM32_Programmer_CLI on the PATH"
    proof = r"Download verified successfully"
    # From UM2237 and from logs of its users: it could not be installed where this was written.
    failures = (
        probe_busy(r"DEV_USB_COMM_ERR|already in use"),
        no_probe(r"No debug probe detected|ST-LINK not found|DEV_NO_STLINK"),
        no_power(r"Voltage\s*: 0\.\d+V"),
        not_verified(r"Data mismatch found|[Dd]ownload verif\w+ failed"),
        write_protected(r"failed to (erase|download)|Failed to download"),
        no_answer(r"No STM32 target found|DEV_CONNECT_ERR|DEV_TARGET_CMD_ERR|Unable to get core ID"),
    )

    def program(self) -> list[str] | None:
        """See `ToolFlasher`."""
        places = (None, *(str(Path(place).expanduser()) for place in _PLACES))
        found = (shutil.which("STM32_Programmer_CLI", path=place) for place in places)
        return next(([path] for path in found if path is not None), None)

    def commands(self, job: Job) -> Sequence[Sequence[str | Path]]:
        """See `ToolFlasher`."""
        serial = [] if not job.probe else [f"sn={job.probe}"]
        mode = ["mode=UR", "reset=HWrst"] if job.under_reset else ["mode=NORMAL"]
        return [["-c", "port=SWD", *serial, *mode, "-w", job.elf, "-v", "-rst"]]

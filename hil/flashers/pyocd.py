"""pyOCD: from PyPI, on every system; knows the STM32H743 by itself, other parts from packs that it downloads."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from hilnas.extras import install_command
from hilnas.hil.flashers.failures import (
    no_answer,
    no_permission,
    no_probe,
    not_verified,
    probe_busy,
    unknown_to_tool,
    write_protected,
)
from hilnas.hil.flashers.tool import Job, ToolFlasher


class PyOcd(ToolFlasher):
    """pyOCD. It does not read back what it wrote, but it reads before it writes: a second run that writes nothing is the proof."""

    name = "pyocd"
    install = install_command("pyocd")
    proof = r"programmed 0 bytes"
    # From the sources of pyOCD 0.46.
    failures = (
        no_permission(r"[Aa]ccess denied|insufficient permissions|\[Errno 13\]"),
        probe_busy(r"[Rr]esource busy|\[Errno 16\]"),
        no_probe(r"No connected debug probe|No available debug probes"),
        unknown_to_tool(
            r"Target type \S+ not recognized",
            "Install its pack, which needs a network: `pyocd pack install` and the type that the board file's `flashing.pyocd` names.",
        ),
        not_verified(r"programmed [1-9]\d* bytes"),
        write_protected(r"flash (init|uninit|erase|program).*(timed out|fail)"),
        no_answer(
            r"No ACK|AP error|DP error|Get IDCODE error|STLink error|Memory transfer fault|timed out|[Tt]imeout|No cores were discovered"
        ),
    )

    def program(self) -> list[str] | None:
        """See `ToolFlasher`: the one of this environment, or else one on the PATH."""
        if importlib.util.find_spec("pyocd") is not None:
            return [sys.executable, "-m", "pyocd"]
        path = shutil.which("pyocd")
        return None if path is None else [path]

    def version(self) -> str | None:
        """See `Flasher`; that of this environment is known without starting it."""
        return importlib.metadata.version("pyocd") if importlib.util.find_spec("pyocd") is not None else super().version()

    def commands(self, job: Job) -> Sequence[Sequence[str | Path]]:
        """See `ToolFlasher`."""
        serial = [] if not job.probe else ["--uid", f"stlink:{job.probe}"]
        mode = ["--connect", "under-reset"] if job.under_reset else []
        target = ["--target", job.flashing.pyocd or ""]
        load: list[str | Path] = ["load", "--no-wait", "--no-config", "--verbose", *serial, *target, *mode, "--format", "elf", job.elf]
        return [load, load]

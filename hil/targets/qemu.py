"""The target `qemu`: QEMU's mps2-an500, a Cortex-M7 with faults but without timing. Its UART is a TCP connection."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

from hilnas.boards.board import Board
from hilnas.errors import ConnectError, TargetError, ToolMissingError
from hilnas.firmware.elf import read_elf
from hilnas.firmware.image import FirmwareImage
from hilnas.hil.child_process import die_with_parent
from hilnas.hil.session import Patience, Session
from hilnas.hil.target import TargetRun, Tensor
from hilnas.hil.targets.qemu_counts import InstructionCounts, counting_plugin
from hilnas.hil.transport import SerialTransport
from hilnas.progress import progress

PROGRAM = "qemu-system-arm"
_STOP_S = 5.0


def _program() -> str:
    path = shutil.which(PROGRAM)
    if path is None:
        raise ToolMissingError(f"the target qemu needs {PROGRAM}", "Install it: apt-get install -y --no-install-recommends qemu-system-arm")
    return path


@contextmanager
def _qemu(elf: Path, log: IO[bytes], options: Sequence[str]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A QEMU that runs `elf`, and the TCP port of its UART. QEMU inherits the listening socket: no port can be taken in between."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        port = listener.getsockname()[1]
        descriptor = listener.fileno()
        command = [_program(), "-M", "mps2-an500", "-display", "none", "-monitor", "none", "-icount", "shift=0"]
        command += [
            "-chardev",
            f"socket,id=uart,fd={descriptor},server=on,wait=on",
            "-serial",
            "chardev:uart",
            "-kernel",
            str(elf),
            *options,
        ]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[descriptor], preexec_fn=die_with_parent()
        )
    try:
        yield process, port
    finally:
        process.kill()
        process.wait(_STOP_S)


class QemuTarget:
    """Runs images of the board qemu-m7 on QEMU. It knows no cycles; it counts instructions where QEMU takes the plugin.

    `counts` are those of the last run.
    """

    name = "qemu"

    def __init__(self, patience: Patience | None = None) -> None:
        self._patience = patience or Patience(reply_s=10.0, run_s=600.0)
        self.counts: InstructionCounts | None = None

    def run(self, image: FirmwareImage, board: Board, inputs: Sequence[tuple[Tensor, ...]], take_exits: bool) -> TargetRun:
        """See `Target`."""
        with (
            tempfile.TemporaryFile() as log,
            self._counting(image, board) as options,
            _qemu(image.elf, log, options) as (process, port),
            progress("running on QEMU", len(inputs)) as advance,
        ):
            try:
                with SerialTransport(f"socket://127.0.0.1:{port}", board.uart.baud_rate) as transport:
                    session = Session(transport, image, self._patience)
                    session.connect()
                    inferences = []
                    for tensors in inputs:
                        before = self.counts.between_marks if self.counts else 0
                        inference = session.infer(tensors, take_exits)
                        instructions = self.counts.between_marks - before if self.counts else None
                        unknown = tuple(None for _ in inference.layer_cycles)
                        inferences.append(replace(inference, cycles=None, layer_cycles=unknown, instructions=instructions))
                        advance(1)
            except (ConnectError, TargetError) as error:
                if process.poll() is None:
                    raise
                log.seek(0)
                said = log.read().decode(errors="replace").strip().splitlines()
                raise ConnectError(
                    f"QEMU ended with code {process.returncode}: {' '.join(said[-3:])}", "Run it by hand to see why."
                ) from error
            return TargetRun(tuple(inferences), session.stack_bytes, None, _version(), tuple(session.attempts))

    @contextmanager
    def _counting(self, image: FirmwareImage, board: Board) -> Iterator[tuple[str, ...]]:
        """QEMU's options that make it count; none if it cannot."""
        self.counts = None
        plugin = counting_plugin(_program())
        if plugin is None:
            yield ()
            return
        with tempfile.TemporaryDirectory(prefix="hilnas-") as folder:
            self.counts = InstructionCounts(plugin, read_elf(image.elf), board.memories[board.placement.text], Path(folder))
            yield self.counts.options


def _version() -> str:
    output = subprocess.run([_program(), "--version"], capture_output=True, text=True, check=False, timeout=60).stdout
    match = re.search(r"version (\S+)", output)
    return f"QEMU {match[1]}" if match else "QEMU"

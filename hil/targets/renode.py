"""The target `renode`: Renode's STM32H743, headless. Its time is instructions: it knows no cycles."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from string import Template
from typing import IO

from hilnas.boards.board import BOARDS_FOLDER, Board
from hilnas.errors import BoardError, ConnectError, TargetError, ToolMissingError
from hilnas.firmware.image import FirmwareImage
from hilnas.hil.child_process import die_with_parent
from hilnas.hil.session import Patience, Session
from hilnas.hil.target import Inference, TargetRun, Tensor
from hilnas.hil.targets.renode_monitor import Monitor
from hilnas.hil.transport import SerialTransport
from hilnas.progress import progress

VARIABLE = "HILNAS_RENODE"
INSTALL = (
    "mkdir -p ~/renode && curl -L https://github.com/renode/renode/releases/download/v1.16.1/renode-1.16.1.linux-portable-dotnet.tar.gz"
    f" | tar xz -C ~/renode --strip-components=1 && export {VARIABLE}=~/renode/renode"
)
_START_S = 120.0
_COMMAND_S = 600.0
_STOP_S = 5.0
_END_S = 2.0
"""How long an end takes that has begun."""
_SLICE = 'emulation RunFor "0.001"'
"""How far one look at the UART lets time go on: half a million instructions."""
_DELIVERY_S = 0.01
"""How long bytes take at most from Renode's UART to here; later ones are found at the next look."""
_UARTS = {0x40011000: "usart1", 0x40004800: "usart3"}


def program() -> str | None:
    """Where Renode is: what HILNAS_RENODE names, or else `renode` on the PATH; None if it is not installed."""
    return shutil.which(os.environ.get(VARIABLE) or "renode")


def script(board: Board, elf: Path, port: int) -> list[str]:
    """The commands that set Renode up as `board` with its UART at a TCP port.

    Raises:
        BoardError: Renode cannot be that board.
    """
    template = BOARDS_FOLDER / "renode" / f"{board.startup}.resc.in"
    uart = _UARTS.get(board.uart.base)
    if not template.exists() or uart is None or board.clock_hz % 1_000_000:
        raise BoardError(f"Renode cannot be {board.name}", "It has the STM32H743 with USART1 or USART3 and a clock of whole MHz.")
    text = Template(template.read_text()).substitute(
        board=board.name, clock_hz=board.clock_hz, mips=board.clock_hz // 1_000_000, port=port, uart=uart, elf=elf
    )
    return [line for line in text.splitlines() if not line.startswith("#")]


class RenodeTransport:
    """The UART of a machine in Renode: reading lets its time go on until it says something."""

    def __init__(self, monitor: Monitor, uart: SerialTransport) -> None:
        self._monitor = monitor
        self._uart = uart

    def read(self, timeout_s: float) -> bytes:
        """See `Transport`.

        Raises:
            TargetError: the connection broke, or Renode refused to go on.
        """
        give_up = time.monotonic() + timeout_s
        while not (data := self._uart.read(_DELIVERY_S)) and time.monotonic() < give_up:
            self._monitor.execute(_SLICE)
        return data

    def write(self, data: bytes) -> None:
        """See `Transport`."""
        self._uart.write(data)


class RenodeTarget:
    """Runs images on Renode. The firmware's cycle counter counts instructions there."""

    name = "renode"

    def __init__(self, patience: Patience | None = None) -> None:
        self._patience = patience or Patience(reply_s=60.0, run_s=600.0)

    def run(self, image: FirmwareImage, board: Board, inputs: Sequence[tuple[Tensor, ...]], take_exits: bool) -> TargetRun:
        """See `Target`."""
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hilnas-")))
            log = stack.enter_context((folder / "log").open("w+b"))
            # A name without blanks, whatever the image's folder is called: Renode's commands are split at them.
            elf = Path(shutil.copyfile(image.elf, folder / "firmware.elf"))
            port = _free_port()
            commands = script(board, elf, port)
            process, monitor = stack.enter_context(_renode(log))
            advance = stack.enter_context(progress("running on Renode", len(inputs)))
            try:
                for command in commands:
                    monitor.execute(command)
                uart = stack.enter_context(SerialTransport(f"socket://127.0.0.1:{port}", board.uart.baud_rate))
                session = Session(RenodeTransport(monitor, uart), image, self._patience)
                session.connect()
                inferences = []
                for tensors in inputs:
                    inferences.append(_infer(monitor, session, tensors, take_exits))
                    advance(1)
            except (ConnectError, TargetError) as error:
                raise _explained(error, process, log) from error
            return TargetRun(tuple(inferences), session.stack_bytes, None, monitor.version, tuple(session.attempts))


def _infer(monitor: Monitor, session: Session, tensors: tuple[Tensor, ...], take_exits: bool) -> Inference:
    before = monitor.number("cpu ExecutedInstructions")
    inference = session.infer(tensors, take_exits)
    executed = monitor.number("cpu ExecutedInstructions") - before
    if not 0 < (inference.cycles or 0) <= executed:
        raise TargetError(
            f"the firmware counted {inference.cycles} instructions where Renode executed {executed}", "Is it Renode 1.16 or newer?"
        )
    unknown = tuple(None for _ in inference.layer_cycles)
    return replace(inference, cycles=None, instructions=inference.cycles, layer_cycles=unknown, layer_instructions=inference.layer_cycles)


@contextmanager
def _renode(log: IO[bytes]) -> Iterator[tuple[subprocess.Popen[bytes], Monitor]]:
    """A Renode without windows, and its monitor."""
    path = program()
    if path is None:
        named = os.environ.get(VARIABLE)
        raise ToolMissingError(
            f"{VARIABLE} names {named}, which is no program" if named else "the target renode needs Renode", f"Install it: {INSTALL}"
        )
    port = _free_port()
    command = [path, "--disable-xwt", "--plain", "--hide-log", "-P", str(port)]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, preexec_fn=die_with_parent()
    )
    try:
        give_up = time.monotonic() + _START_S
        try:
            monitor = Monitor(port, give_up, _COMMAND_S)
        except (ConnectError, TargetError) as error:
            raise _explained(error, process, log) from error
        with monitor:
            yield process, monitor
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(_STOP_S)


def _explained(error: ConnectError | TargetError, process: subprocess.Popen[bytes], log: IO[bytes]) -> ConnectError | TargetError:
    """The error itself, or what Renode said at its end if that is what is behind it."""
    try:
        process.wait(_END_S)  # its connections close before it has ended
    except subprocess.TimeoutExpired:
        return error
    log.seek(0)
    said = log.read().decode(errors="replace").strip().splitlines()
    return ConnectError(
        f"Renode ended with code {process.returncode}: {' '.join(line.strip() for line in said[-3:]) or 'it said nothing'}",
        "Start it by hand to see why.",
    )


def _free_port() -> int:
    """A TCP port that nobody listens at; Renode can only be told a number."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port

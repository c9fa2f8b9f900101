"""A place of a labgrid farm as a bench. A process of its own holds it, in the Python that has labgrid: see place_holder.py."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import re
import select
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hilnas.boards.board import Board
from hilnas.errors import ConnectError, InputError, ToolMissingError
from hilnas.hil.flashers.openocd import OpenOcd
from hilnas.hil.flashers.tool import Job
from hilnas.hil.flashers.virtual import VirtualFlasher
from hilnas.hil.measurement import CYCLES_MEASURED, CYCLES_MODELLED

ANSWER_S = 120.0
"""What anything that is asked of a place may take: acquiring it, flashing it."""
RELEASE_S = 60.0
VIRTUAL_CLASS = "HilnasVirtualBoard"
"""The class of a resource that is the probe of a virtual board, exported beside its serial port: its one parameter is `probe`."""

# What the holder replaces by the path on the exporter's host.
_REMOTE_IMAGE = Path("/hilnas/image.elf")
_HOLDER = Path(__file__).with_name("place_holder.py")
_CLIENT = "labgrid-client"

_log = logging.getLogger(__name__)


def labgrid_python() -> Path | None:
    """The Python that has labgrid: this one, or that of the labgrid-client which is installed; None if there is none."""
    if importlib.util.find_spec("labgrid") is not None:
        return Path(sys.executable)
    client = shutil.which(_CLIENT, path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    if client is None:
        return None
    python = Path(client).resolve().with_name("python3")
    return python if python.exists() else None


class FarmPlace:
    """A place of a labgrid coordinator. Holding it is what the process does that is running while it is held."""

    def __init__(self, place: str, coordinator: str) -> None:
        self.name = place
        self.cycles_source = CYCLES_MEASURED
        self._coordinator = coordinator
        self._process: subprocess.Popen[str] | None = None
        self._holder = "somebody else"
        self._resources: list[dict[str, Any]] = []
        self._under_reset = False

    def try_acquire(self) -> bool:
        """See `Bench`.

        Raises:
            ToolMissingError: labgrid is not installed.
            ConnectError: the coordinator does not answer or refuses.
        """
        python = labgrid_python()
        if python is None:
            raise ToolMissingError("the target farm needs labgrid", "Install it: pipx install labgrid, or pip install 'hilnas[farm]'")
        command = [str(python), str(_HOLDER), self._coordinator, self.name]
        # A session of its own: whatever ends this process, the holder lives on to release the place.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
        )
        answer = self._answer()
        if "resources" in answer:
            self._resources = answer["resources"]
            self.cycles_source = CYCLES_MODELLED if self._parameters(VIRTUAL_CLASS) else CYCLES_MEASURED
            return True
        self.release()
        self._holder = answer.get("holder", self._holder)
        if "holder" in answer:
            return False
        raise ConnectError(
            f"place {self.name} of the coordinator {self._coordinator}: {answer.get('error', 'no answer')}",
            "Check --coordinator and `labgrid-client places`.",
        )

    def release(self) -> None:
        """See `Bench`."""
        if self._process is not None:
            try:
                self._process.communicate(timeout=RELEASE_S)
            except subprocess.TimeoutExpired:
                # It goes on trying: to kill it would leave the place taken.
                _log.warning("place %s is not released after %g s", self.name, RELEASE_S)
            self._process = None

    def holder(self) -> str:
        """See `Bench`."""
        return self._holder

    def flash(self, elf: Path, board: Board) -> tuple[str, ...]:
        """See `Bench`. A real board is flashed by OpenOCD on its own host."""
        virtual = self._parameters(VIRTUAL_CLASS)
        if virtual:
            return VirtualFlasher().flash(elf, board, str(virtual["probe"]), ANSWER_S)
        if board.flashing is None or board.flashing.openocd is None:
            raise InputError(f"a farm cannot flash {board.name}", "Its board file names no script of OpenOCD; see docs/boards.md.")
        tool = OpenOcd()
        (arguments,) = tool.commands(Job(_REMOTE_IMAGE, board, board.flashing, None, self._under_reset, elf.parent))
        answer = self._ask({"elf": str(elf.absolute()), "arguments": [str(argument) for argument in arguments]})
        said = str(answer.get("said", ""))
        if "error" not in answer and re.search(tool.proof, said):
            return ()
        failure = next((failure for failure in tool.failures if failure.pattern.search(said)), None)
        self._under_reset = failure is not None and failure.can_pass
        problem = failure.problem if failure else answer.get("error", "OpenOCD does not say that it verified the flash")
        by_hand = f"Try it by hand: {_CLIENT} -x {self._coordinator} -p {self.name} bootstrap {elf}"
        raise ConnectError(f"flashing place {self.name} with openocd: {problem}", failure.check if failure else by_hand)

    def port(self) -> str:
        """See `Bench`."""
        serial = self._parameters("NetworkSerialPort")
        if not serial:
            raise ConnectError(f"place {self.name} has no serial port", f"Give it one: {_CLIENT} -p {self.name} add-match ...")
        address = f"{serial['host']}:{serial['port']}"
        # Nobody needs RTS and DTR, and not every server answers when they are set.
        return f"socket://{address}" if serial.get("protocol") == "raw" else f"rfc2217://{address}?ign_set_control"

    def version(self) -> str:
        """See `Bench`."""
        return f"place {self.name} of the labgrid coordinator {self._coordinator}"

    def _parameters(self, kind: str) -> dict[str, Any]:
        return next((dict(resource["parameters"]) for resource in self._resources if resource["class"] == kind), {})

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None and self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], ANSWER_S)[0]:
            return {"error": f"no answer for {ANSWER_S:g} s"}
        answer: dict[str, Any] = json.loads(self._process.stdout.readline() or "{}")
        return answer

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process is not None and self._process.stdin is not None
        try:
            print(json.dumps(request), file=self._process.stdin, flush=True)
        except BrokenPipeError:
            return {"error": "the process that holds it has ended"}
        return self._answer() or {"error": "the process that holds it has ended"}

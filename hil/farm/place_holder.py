"""Holds a place of a labgrid farm for as long as its standard input is open; a program of its own.

It runs in the Python that has labgrid, which need not be that of hilnas, and outlives a parent that is killed: then its input ends,
and the place is released all the same. It says and gets JSON lines: first the place's resources, or who has it, or an error; then
an answer to each image that it is asked to flash.

    python place_holder.py HOST:PORT PLACE
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
from typing import Any

import grpc
from labgrid import Target
from labgrid.remote.client import ClientSession, Error, start_session
from labgrid.remote.generated import labgrid_coordinator_pb2 as messages
from labgrid.resource.remote import RemotePlace, RemotePlaceManager
from labgrid.util.helper import processwrapper
from labgrid.util.managedfile import ManagedFile

IMAGE = "/hilnas/image.elf"
"""What the parent writes where the ELF's path on the exporter's host must stand."""

_APPEAR_S = 20.0
"""How long the exporter may take to open a serial port to the network."""
_LOOK_S = 0.1
# labgrid prints what its tools say: that must not come between the answers.
_ANSWERS = os.dup(1)
os.dup2(2, 1)


def say(**answer: Any) -> None:
    """Tells the parent; one that is gone is no reason to stop."""
    with contextlib.suppress(BrokenPipeError):
        os.write(_ANSWERS, json.dumps(answer).encode() + b"\n")


def hold(session: ClientSession, name: str) -> None:
    """Acquires the place, serves the parent, and releases it.

    Raises:
        Error: there is no such place, or what it names is not exported.
        grpc.aio.AioRpcError: the coordinator refuses.
    """
    run = session.loop.run_until_complete
    place = session.get_place(name)
    if place.acquired:
        say(holder=place.acquired)
        return
    session.check_matches(place)
    run(acquire(session, place.name))
    try:
        say(resources=[{"class": entry.cls, "parameters": entry.args} for entry in run(resources(session, name))])
        for line in sys.stdin:
            say(**flash(session, name, **json.loads(line)))
    finally:
        run(release(session, place.name))


async def acquire(session: ClientSession, name: str) -> None:
    """Acquires a place, and waits until the session knows what is in it."""
    await session.stub.AcquirePlace(messages.AcquirePlaceRequest(placename=name))
    await session.sync_with_coordinator()


async def release(session: ClientSession, name: str) -> None:
    """Releases a place."""
    await session.stub.ReleasePlace(messages.ReleasePlaceRequest(placename=name))


async def resources(session: ClientSession, name: str) -> list[Any]:
    """The resources of the place, once its serial ports have a port on the network."""
    for _ in range(round(_APPEAR_S / _LOOK_S)):
        found = list(session.get_target_resources(session.get_place(name)).values())
        if all(entry.args.get("port") for entry in found if entry.cls == "NetworkSerialPort"):
            return found
        await asyncio.sleep(_LOOK_S)
    raise Error(f"a serial port of place {name} does not appear on the network: does the exporter have ser2net?")


def flash(session: ClientSession, name: str, elf: str, arguments: list[str]) -> dict[str, str]:
    """Runs OpenOCD on the exporter's host with these arguments, where `IMAGE` stands for the ELF. What it said, or what went wrong."""
    try:
        manager = RemotePlaceManager.get()
        manager.session, manager.loop = session, session.loop
        target = Target(name)
        RemotePlace(target, name=name)
        probe = target.get_resource("NetworkUSBDebugger")
        image = ManagedFile(elf, probe)
        image.sync_to_resource()
        path = re.sub(r"([^\w./-])", r"\\\1", image.get_remote_path())
        command = ["openocd", "-c", f'adapter usb location "{probe.path}"', *(part.replace(IMAGE, path) for part in arguments)]
        return {"said": processwrapper.check_output(probe.wrap_command(command)).decode(errors="replace")}
    except subprocess.CalledProcessError as error:
        return {"said": (error.output or b"").decode(errors="replace"), "error": f"it ended with exit code {error.returncode}"}
    except Exception as error:  # noqa: BLE001 - whatever labgrid and its drivers raise, the parent tells the user
        return {"said": "", "error": f"{type(error).__name__}: {error}"}


def main() -> None:
    """Entry point."""
    # Ctrl-C is for the parent, which then closes the input.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Whoever ends this process itself gets the place released, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    logging.basicConfig(stream=sys.stderr, level=logging.ERROR)
    coordinator, name = sys.argv[1:]
    try:
        session = start_session(coordinator)
        try:
            hold(session, name)
        finally:
            session.loop.run_until_complete(session.stop())
            session.loop.run_until_complete(session.close())
    except grpc.aio.AioRpcError as error:
        say(error=error.details())
    except Error as error:
        say(error=" ".join(map(str, error.args)))


if __name__ == "__main__":
    main()

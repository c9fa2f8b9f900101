"""Which boards a user means: by port, by debug probe, or by place in a farm."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from hilnas.errors import InputError
from hilnas.hil.bench import Persistence
from hilnas.hil.flashers.virtual import PREFIX, is_virtual
from hilnas.hil.probes import AUTO, attached_boards, choose_port, choose_probe
from hilnas.hil.virtual_board.control import PORT_NAME


@dataclass(frozen=True)
class BoardSelection:
    """Boards for the targets `serial` (`ports`, `probes`, `flasher`) and `farm` (`places`, `coordinator`).

    The n-th port belongs to the n-th probe; a port that is missing or `auto` is that of the probe. `aside`: see `Fleet`.
    """

    ports: tuple[str, ...] = ()
    probes: tuple[str, ...] = ()
    flasher: str | None = None
    places: tuple[str, ...] = ()
    coordinator: str | None = None
    persistence: Persistence = field(default_factory=Persistence)
    aside: Path | None = None

    @property
    def count(self) -> int:
        """How many boards are named."""
        return max(len(self.ports), len(self.probes), len(self.places))

    def attached(self) -> list[tuple[str, str | None]]:
        """Port and probe of each board.

        Raises:
            InputError: there are more ports than probes, or one is named twice.
            ConnectError: nothing is named, and not exactly one board is attached.
        """
        if not self.probes and len(self.ports) <= 1:
            return [_only(self.ports[0] if self.ports else AUTO)]
        if len(self.ports) > len(self.probes):
            raise InputError(
                f"{len(self.ports)} ports are named and {len(self.probes)} probes",
                "Give --probe for each board; its --port may be left out.",
            )
        named = [name for name in (*self.ports, *self.probes) if name != AUTO]
        doubled = sorted({name for name in named if named.count(name) > 1})
        if doubled:
            raise InputError(f"{', '.join(doubled)} is named twice", "Name each board once.")
        ports = self.ports + (AUTO,) * (len(self.probes) - len(self.ports))
        return [(_port_of(probe) if port == AUTO else port, probe) for port, probe in zip(ports, self.probes, strict=True)]


def _port_of(probe: str) -> str:
    """A virtual board's port lies beside its probe; that of a real one is looked up when it is opened: it may move."""
    return str(Path(probe.removeprefix(PREFIX)).with_name(PORT_NAME)) if is_virtual(probe) else AUTO


def _only(port: str) -> tuple[str, str | None]:
    """The board of a port, or the only one that is attached."""
    attached = attached_boards()
    if port == AUTO:
        choose_port(AUTO, None)
    else:
        device = Path(port).resolve()
        owner = next((probe for probe in attached if probe.port is not None and Path(probe.port).resolve() == device), None)
        if owner is not None:
            return port, owner.serial_number
    chosen = choose_probe(None, attached)
    return port, None if chosen is None else chosen.serial_number

"""The target `farm`: boards at other hosts, as places of a labgrid coordinator."""

from __future__ import annotations

import os
from collections.abc import Sequence

from hilnas.boards.board import Board
from hilnas.errors import InputError
from hilnas.firmware.image import FirmwareImage
from hilnas.hil.bench import Bench
from hilnas.hil.board_selection import BoardSelection
from hilnas.hil.farm.place import FarmPlace
from hilnas.hil.fleet import Fleet
from hilnas.hil.target import TargetRun, Tensor

DEFAULT_COORDINATOR = "127.0.0.1:20408"


class FarmTarget:
    """Runs images on the boards of a farm: on whichever of the selected places is free and in order."""

    name = "farm"

    def __init__(self, selection: BoardSelection) -> None:
        if not selection.places:
            raise InputError("the target farm needs a place", "Name one with --place; `labgrid-client places` lists them.")
        coordinator = selection.coordinator or os.environ.get("LG_COORDINATOR", DEFAULT_COORDINATOR)
        benches: list[Bench] = [FarmPlace(place, coordinator) for place in selection.places]
        self._fleet = Fleet(benches, selection.persistence, selection.aside)

    def run(self, image: FirmwareImage, board: Board, inputs: Sequence[tuple[Tensor, ...]], take_exits: bool) -> TargetRun:
        """See `Target`."""
        return self._fleet.run(image, board, inputs, take_exits)

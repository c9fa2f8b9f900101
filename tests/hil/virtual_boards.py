"""Virtual boards for tests, each served by a thread of the test's process, in folders short enough for sockets."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hilnas.boards.board import Board, load_board
from hilnas.hil.bench import Persistence
from hilnas.hil.board_selection import BoardSelection
from hilnas.hil.session import Patience
from hilnas.hil.virtual_board.board import VirtualBoard
from hilnas.hil.virtual_board.faults import FIRST_LAYERS, Fault, FaultPlan

BOARD = "nucleo-h743zi2"
PATIENCE = Patience(reply_s=2.0, settle_s=0.05, run_s=2.0, attempts=4)
PERSISTENCE = Persistence(pause_s=0.0, patience=PATIENCE)


@contextmanager
def virtual_board(
    faults: Sequence[Fault] = (), seed: int = 0, board: Board | None = None, folder: Path | None = None, layers: int = FIRST_LAYERS
) -> Iterator[VirtualBoard]:
    """A virtual board that is being served."""
    with (
        tempfile.TemporaryDirectory(prefix="vb-") as scratch,
        VirtualBoard(board or load_board(BOARD), folder or Path(scratch), FaultPlan(faults, seed, layers)) as served,
    ):
        thread = threading.Thread(target=served.serve)
        thread.start()
        try:
            yield served
        finally:
            served.stop()
            thread.join()


def probe_of(board: VirtualBoard) -> str:
    """The name of a virtual board's probe."""
    return f"virtual:{board.probe}"


def selection(*boards: VirtualBoard, persistence: Persistence = PERSISTENCE, aside: Path | None = None) -> BoardSelection:
    """These boards, for the target serial."""
    return BoardSelection(probes=tuple(map(probe_of, boards)), persistence=persistence, aside=aside)

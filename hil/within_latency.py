"""The smallest memory plan of a model whose latency stays within a limit, found by building and timing.

Streaming rows trades time for memory. What it adds is known as an estimate of instructions only, so every plan that is tried is built and
timed, by one inference of the longest path, and the next one is chosen from what was measured.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hilnas.boards.board import Board
from hilnas.errors import BudgetError, InputError
from hilnas.firmware.build import build_image
from hilnas.firmware.image import FirmwareImage
from hilnas.firmware.plan import PlanRequest
from hilnas.hil.target import Target
from hilnas.hil.verify import verification_inputs
from hilnas.limits import show_limit
from hilnas.quantities import milliseconds

_TRIALS = 5
"""Plans between the fastest and the smallest that are built at most."""
_MOST = 1.0
"""The largest share of the instructions that is added: as many again."""
_CAUTION = 0.98
"""The share of what the measurements allow that is tried next."""


@dataclass(frozen=True)
class Trial:
    """A plan, the share of instructions that it adds, its arenas, and what it was measured to take."""

    request: PlanRequest
    added_share: float
    arena_bytes: int
    latency_s: float


def smallest_within_latency(model: Path, board: Board, target: Target, limit_s: float) -> PlanRequest:
    """The request for the smallest plan found that takes at most `limit_s`.

    Raises:
        BudgetError: the fastest plan takes longer; says how long.
        InputError: the target cannot tell time.
        HilnasError: whatever building or running raises.
    """

    def measured(added_share: float) -> Trial:
        request = PlanRequest(added_share)
        with tempfile.TemporaryDirectory(prefix="hilnas-") as folder:
            image = build_image(model, board, Path(folder) / "image", request)
            return Trial(request, image.manifest.added_share, image.manifest.arena_bytes, _latency(image, board, target))

    return _search(measured, limit_s).request


def _search(measured: Callable[[float], Trial], limit_s: float) -> Trial:
    fastest = measured(0.0)
    if fastest.latency_s > limit_s:
        raise BudgetError(
            f"no memory plan takes less than {show_limit('latency', limit_s)}; the fastest takes {milliseconds(fastest.latency_s)} "
            f"and {fastest.arena_bytes} bytes",
            "Allow that much, or take a smaller model.",
        )
    slow, fast = measured(_MOST), fastest
    if slow.latency_s <= limit_s:
        return min(slow, fast, key=lambda trial: trial.arena_bytes)
    for _ in range(_TRIALS):
        # As if latency grew in proportion to what is added.
        part = _CAUTION * (limit_s - fast.latency_s) / (slow.latency_s - fast.latency_s)
        trial = measured(fast.added_share + part * (slow.added_share - fast.added_share))
        if trial.latency_s > limit_s:
            slow = trial
        elif trial.arena_bytes < fast.arena_bytes:
            fast = trial
        else:
            return fast
    return fast


def _latency(image: FirmwareImage, board: Board, target: Target) -> float:
    (inference,) = target.run(image, board, verification_inputs(image.manifest, 0, 1), take_exits=False).inferences
    if inference.cycles is None:
        raise InputError(f"target {target.name} cannot tell latency", "Take the emulator or a board.")
    return inference.cycles / board.clock_hz

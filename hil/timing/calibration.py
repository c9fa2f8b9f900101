"""Fits what the timing model does not know from sources to cycles that a user measured on real boards.

Only parameters marked `fitted` move, by whole cycles within their bounds. The loss grows linearly with large errors (soft L1 of
the logarithm of modelled over measured), so that one wrong measurement does not pull the fit; among equal fits the one nearest
to the present values wins. Each point is also predicted by a fit without it (leave one out).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hilnas.boards.board import Board, BusTiming, load_board
from hilnas.boards.core import Core, load_core
from hilnas.errors import InputError
from hilnas.files import read_input, write_atomically
from hilnas.hil.timing.timed_run import RunOptions, TimedRun, run_elf
from hilnas.progress import progress

ERROR_SCALE = 0.03
"""Relative error from which the loss turns from quadratic to linear: about what repeated measurements differ by."""
_NEARNESS = 1e-6
_STEPS = (1, -1, 2, -2, 4, -4)

Values = tuple[int, ...]


class Point(BaseModel):
    """Measured cycles of one interval of an ELF on a board: between two calls of `mark`, or until `stop` or its end."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    elf: Path
    board: str
    cycles: float = Field(gt=0)
    mark: str | None = None
    interval: int = Field(default=0, ge=0)
    stop: str | None = None


@dataclass(frozen=True)
class Knob:
    """A fitted parameter: of the core, or of a board's memory (`board.memory.field`)."""

    name: str
    value: int
    low: int
    high: int


@dataclass(frozen=True)
class Calibration:
    """A fit: the knobs with their values before and after, and relative errors of each point before, after and left out."""

    points: tuple[Point, ...]
    knobs: tuple[Knob, ...]
    values: Values
    errors_before: tuple[float, ...]
    errors_after: tuple[float, ...]
    errors_left_out: tuple[float, ...]


def load_points(path: Path) -> tuple[Point, ...]:
    """Reads measurements from a YAML file: a list `points`; paths of ELFs count from the file's folder.

    Raises:
        InputError: unreadable, or not such a list.
    """
    try:
        document = yaml.safe_load(read_input(path))
        points = tuple(Point.model_validate(item) for item in document["points"])
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        where = f", line {place.line + 1}: {getattr(error, 'problem', '')}" if place else ""
        raise InputError(f"{path} is not valid YAML{where}", "See docs/timing.md for an example.") from error
    except (KeyError, TypeError) as error:
        raise InputError(f"{path} has no list of points", "See docs/timing.md for what the file holds.") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise InputError(f"{path}: {problems}", "See docs/timing.md for what the file holds.") from error
    if not points:
        raise InputError(f"{path} has no points", "Give at least one measurement.")
    return tuple(point.model_copy(update={"elf": path.parent / point.elf}) for point in points)


def fitted_knobs(core: Core, boards: Mapping[str, Board]) -> tuple[Knob, ...]:
    """All parameters that are marked fitted."""
    knobs = [Knob(name, item.value, *item.bounds) for name, item in core.parameters.items() if item.bounds is not None]
    for board_name, board in boards.items():
        for memory_name, memory in board.memories.items():
            if isinstance(memory.timing, BusTiming):
                knobs += [
                    Knob(f"{board_name}.{memory_name}.{field}", getattr(memory.timing, field), *bounds)
                    for field, bounds in memory.timing.fitted.items()
                ]
    return tuple(knobs)


def apply(core: Core, boards: Mapping[str, Board], knobs: Sequence[Knob], values: Values) -> tuple[Core, dict[str, Board]]:
    """The core and the boards with the knobs set."""
    parameters, changed = dict(core.parameters), dict(boards)
    for knob, value in zip(knobs, values, strict=True):
        if knob.name in parameters:
            parameters[knob.name] = parameters[knob.name].model_copy(update={"value": value})
            continue
        board_name, memory_name, field = knob.name.rsplit(".", 2)
        board = changed[board_name]
        memory = board.memories[memory_name]
        assert isinstance(memory.timing, BusTiming)
        memory = memory.model_copy(update={"timing": memory.timing.model_copy(update={field: value})})
        changed[board_name] = board.model_copy(update={"memories": {**board.memories, memory_name: memory}})
    return core.model_copy(update={"parameters": parameters}), changed


class _Model:
    """Modelled cycles of all points for given values; every run is made once."""

    def __init__(
        self, points: Sequence[Point], core: Core, boards: Mapping[str, Board], knobs: Sequence[Knob], advance: Callable[[int], None]
    ) -> None:
        self._points, self._core, self._boards, self._knobs, self._advance = points, core, boards, knobs, advance
        self._known: dict[Values, tuple[float, ...]] = {}

    def errors(self, values: Values) -> tuple[float, ...]:
        """Logarithm of modelled over measured, by point."""
        if values not in self._known:
            core, boards = apply(self._core, self._boards, self._knobs, values)
            runs: dict[tuple[Path, str, str | None, str | None], TimedRun] = {}
            for point in self._points:
                key = (point.elf, point.board, point.mark, point.stop)
                if key not in runs:
                    runs[key] = run_elf(point.elf, boards[point.board], RunOptions(point.mark, point.stop), lambda text: None, core)
            modelled = (_cycles(point, runs[point.elf, point.board, point.mark, point.stop]) for point in self._points)
            self._known[values] = tuple(math.log(cycles / point.cycles) for cycles, point in zip(modelled, self._points, strict=True))
            self._advance(1)
        return self._known[values]

    def loss(self, values: Values, left_out: int | None) -> float:
        """Mean soft L1 of the errors, and what keeps the fit near to where it started."""
        errors = [error for index, error in enumerate(self.errors(values)) if index != left_out]
        misfit = sum(math.sqrt(1 + (error / ERROR_SCALE) ** 2) - 1 for error in errors) / max(1, len(errors))
        moved = sum(((value - knob.value) / (knob.high - knob.low)) ** 2 for knob, value in zip(self._knobs, values, strict=True))
        return misfit + _NEARNESS * moved

    def with_effect(self, start: Values) -> tuple[int, ...]:
        """The knobs that matter to some point: one that changes nothing from one bound to the other need not be searched."""

        def at(index: int, value: int) -> tuple[float, ...]:
            return self.errors((*start[:index], value, *start[index + 1 :]))

        return tuple(
            index for index, knob in enumerate(self._knobs) if not at(index, knob.low) == self.errors(start) == at(index, knob.high)
        )

    def fit(self, start: Values, searched: Sequence[int], left_out: int | None = None) -> Values:
        """Coordinate descent over whole cycles: the best step of each searched knob in turn, as long as there is one that improves."""
        best, improves = (self.loss(start, left_out), start), True
        while improves:
            improves = False
            for index in searched:
                knob, here = self._knobs[index], best[1]
                values = [here[index] + step for step in _STEPS if knob.low <= here[index] + step <= knob.high]
                steps = [(*here[:index], value, *here[index + 1 :]) for value in values]
                step = min(((self.loss(step, left_out), step) for step in steps), default=best)
                if step[0] < best[0]:
                    best, improves = step, True
        return best[1]


def calibrate(points: Sequence[Point], core: Core, boards: Mapping[str, Board], knobs: Sequence[Knob]) -> Calibration:
    """Fits the knobs to the points.

    Raises:
        InputError: an ELF does not have the interval that a point names.
        TargetError: an ELF does not run.
    """
    with progress("runs of all points") as advance:
        model = _Model(points, core, boards, knobs, advance)
        start = tuple(knob.value for knob in knobs)
        searched = model.with_effect(start)
        values = model.fit(start, searched)
        each = range(len(points)) if len(points) > 1 else ()
        left_out = tuple(model.errors(model.fit(values, searched, index))[index] for index in each)
        return Calibration(
            tuple(points),
            tuple(knobs),
            values,
            tuple(map(math.expm1, model.errors(start))),
            tuple(map(math.expm1, model.errors(values))),
            tuple(map(math.expm1, left_out)),
        )


def load_declarations(points: Sequence[Point], core: str | None) -> tuple[Core, dict[str, Board]]:
    """The boards of the points and their core.

    Raises:
        BoardError: one cannot be read.
        InputError: the boards have different cores.
    """
    boards = {point.board: load_board(point.board) for point in points}
    names = sorted({board.core for board in boards.values()})
    if len(names) > 1:
        raise InputError(f"the points are of different cores: {', '.join(names)}", "Calibrate one core at a time.")
    return load_core(core or names[0]), boards


def write_calibrated(calibration: Calibration, core: Core, boards: Mapping[str, Board], folder: Path) -> tuple[Path, ...]:
    """Writes the core and the boards with the fitted values as new files into a folder; returns their paths.

    Raises:
        InputError: one of them is there already.
        StoreError: the folder cannot be written.
    """
    core, boards = apply(core, boards, calibration.knobs, calibration.values)
    documents = {folder / f"{core.name}.yaml": core.model_dump(mode="json", exclude_none=True)}
    documents |= {folder / f"{board.name}.yaml": board.model_dump(mode="json", exclude_none=True) for board in boards.values()}
    for path in documents:
        if path.exists():
            raise InputError(f"{path} is there already", "Name another folder: a calibration overwrites nothing.")
    for path, document in documents.items():
        write_atomically(path, yaml.safe_dump(document, sort_keys=False, width=120))
    return tuple(documents)


def _cycles(point: Point, run: TimedRun) -> float:
    if point.mark is None:
        return float(run.cycles)
    if point.interval >= len(run.intervals):
        raise InputError(
            f"{point.elf} has {len(run.intervals)} intervals between calls of {point.mark}, not {point.interval + 1}",
            "Intervals count from 0.",
        )
    return float(run.intervals[point.interval].cycles)

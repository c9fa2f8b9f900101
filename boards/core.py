"""Cores as declarations: the parameters of a core's timing model, each with its source. One YAML a core, in `boards/cores`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from hilnas.boards.declaration import Declaration, is_path, names_in, read_declaration
from hilnas.errors import BoardError

CORES_FOLDER = Path(__file__).parent / "cores"
FITTED = "fitted"


class Parameter(Declaration):
    """A number of the model and where it comes from: a source, or the word `fitted` with the bounds of what is physical."""

    value: int = Field(ge=0)
    source: str = Field(min_length=1)
    bounds: tuple[int, int] | None = None

    @model_validator(mode="after")
    def _is_bounded(self) -> Parameter:
        if (self.source == FITTED) != (self.bounds is not None):
            raise ValueError("a fitted parameter needs bounds, and only a fitted one has them")
        if self.bounds is not None and not self.bounds[0] <= self.value <= self.bounds[1]:
            raise ValueError(f"{self.value} is outside of its bounds {self.bounds[0]} to {self.bounds[1]}")
        return self


class Latencies(Declaration):
    """Cycles from the issue of what produces a value to the issue of its reader, by how the reader uses it; 0: the same cycle."""

    source: str = Field(min_length=1)
    cycles: dict[str, int]


class Core(Declaration):
    """A core's timing: its parameters by name and its latencies by kind of result. docs/timing.md says what each means."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    description: str
    parameters: dict[str, Parameter]
    latencies: dict[str, Latencies]


def load_core(name_or_path: str) -> Core:
    """Loads a core by name, or a user's own by the path of its YAML.

    Raises:
        BoardError: unknown name, unreadable file, unknown key, a value outside of its bounds.
    """
    if is_path(name_or_path):
        return read_declaration(Path(name_or_path), Core, "core", "docs/timing.md")
    if name_or_path not in names_in(CORES_FOLDER):
        known = f"Known: {', '.join(names_in(CORES_FOLDER))}; or give the path of a .yaml file."
        raise BoardError(f"no timing model of core {name_or_path!r}", known)
    return read_declaration(CORES_FOLDER / f"{name_or_path}.yaml", Core, "core", "docs/timing.md")

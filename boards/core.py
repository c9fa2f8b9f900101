"""Cores as declarations: the parameters of a core's timing model, each with its source. One YAML a core, in `boards/cores`."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hilnas.errors import BoardError

CORES_FOLDER = Path(__file__).parent / "cores"
FITTED = "fitted"


class _Declaration(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Parameter(_Declaration):
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


class Latencies(_Declaration):
    """Cycles from the issue of what produces a value to the issue of its reader, by how the reader uses it; 0: the same cycle."""

    source: str = Field(min_length=1)
    cycles: dict[str, int]


class Core(_Declaration):
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
    is_path = name_or_path.endswith((".yaml", ".yml"))
    path = Path(name_or_path) if is_path else CORES_FOLDER / f"{name_or_path}.yaml"
    known = sorted(file.stem for file in CORES_FOLDER.glob("*.yaml"))
    if not is_path and name_or_path not in known:
        raise BoardError(f"no timing model of core {name_or_path!r}", f"Known: {', '.join(known)}; or give the path of a .yaml file.")
    try:
        return Core.model_validate(yaml.safe_load(path.read_text()))
    except OSError as error:
        raise BoardError(f"cannot read core file {path}: {error.strerror}", "Check the path.") from error
    except UnicodeDecodeError as error:
        raise BoardError(f"{path} is not a text file", "A core is a YAML file; see docs/timing.md.") from error
    except yaml.YAMLError as error:
        raise BoardError(f"{path} is not valid YAML: {error}", "See docs/timing.md for what a core file holds.") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'core'}: {item['msg']}" for item in error.errors())
        raise BoardError(f"{path}: {problems}", "See docs/timing.md for what a core file holds.") from error

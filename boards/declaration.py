"""What is declared in YAML files of its own, boards and cores: validated when read."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from hilnas.errors import BoardError

D = TypeVar("D", bound="Declaration")


class Declaration(BaseModel):
    """A part of such a file; a key that it does not have is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def is_path(name_or_path: str) -> bool:
    """Whether it is the path of a user's own file, not the name of one that comes with hilnas."""
    return name_or_path.endswith((".yaml", ".yml"))


def names_in(folder: Path) -> tuple[str, ...]:
    """Names of the files that come with hilnas."""
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def read_declaration(path: Path, kind: type[D], what: str, page: str) -> D:
    """Reads a file of that kind; `what` it is called, and the page of the documentation that says what it holds, are for errors.

    Raises:
        BoardError: unreadable file, unknown key, a value that is not allowed.
    """
    holds = f"See {page} for what a {what} file holds."
    try:
        return kind.model_validate(yaml.safe_load(path.read_text()))
    except OSError as error:
        raise BoardError(f"cannot read {what} file {path}: {error.strerror}", "Check the path.") from error
    except UnicodeDecodeError as error:
        raise BoardError(f"{path} is not a text file", f"A {what} is a YAML file; see {page}.") from error
    except yaml.YAMLError as error:
        raise BoardError(f"{path} is not valid YAML: {error}", holds) from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc'])) or what}: {item['msg']}" for item in error.errors())
        raise BoardError(f"{path}: {problems}", holds) from error

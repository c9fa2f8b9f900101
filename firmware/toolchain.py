"""Compilers: where they are, how they are called, and a cache of what they made."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from hilnas.errors import BuildError, StoreError, ToolMissingError

KERNELS_FOLDER = Path(__file__).parent / "kernels"
RUNTIME_FOLDER = Path(__file__).parent / "runtime"
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Werror")
_SHOWN_LINES = 12


@dataclass(frozen=True)
class Toolchain:
    """A C compiler driver and the package that has it."""

    compiler: str
    package: str

    @property
    def version(self) -> str:
        """The first line that the compiler says of itself.

        Raises:
            ToolMissingError: it is not installed.
        """
        return _version(self.compiler, self.package)

    def run(self, arguments: Sequence[str | Path]) -> str:
        """Runs the compiler and returns what it wrote on stdout.

        Raises:
            ToolMissingError: it is not installed.
            BuildError: it failed; the message has the first lines of what it said.
        """
        return run_tool([self.compiler, *arguments], self.package)


ARM = Toolchain("arm-none-eabi-gcc", "gcc-arm-none-eabi")
HOST = Toolchain("gcc", "gcc")


def run_tool(command: Sequence[str | Path], package: str) -> str:
    """Runs a program of the toolchain; see `Toolchain.run`."""
    try:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, errors="replace", check=False)
    except FileNotFoundError as error:
        raise ToolMissingError(f"{command[0]} is not installed", f"Install it: apt-get install {package}") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        shown = "\n".join(lines[:_SHOWN_LINES] + (["..."] if len(lines) > _SHOWN_LINES else []))
        raise BuildError(f"{command[0]} failed with exit code {done.returncode}:\n{shown}")
    return done.stdout


@cache
def _version(compiler: str, package: str) -> str:
    return run_tool([compiler, "--version"], package).splitlines()[0]


def cache_folder() -> Path:
    """Where compiled objects are kept between builds: `hilnas` in XDG_CACHE_HOME or ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "hilnas"


def compile_cached(toolchain: Toolchain, source: Path, flags: Sequence[str], includes: Sequence[Path]) -> Path:
    """The object file of `source`, compiled once for this compiler, these flags and this content of source and headers.

    `includes` are the include folders; every header in them counts as content.

    Raises:
        ToolMissingError: the compiler is not installed.
        BuildError: it failed.
        StoreError: the cache cannot be written.
    """
    digest = hashlib.sha256("\0".join((toolchain.version, *flags)).encode())
    for path in (source, *(header for folder in includes for header in sorted(folder.glob("*.h")))):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    target = cache_folder() / "objects" / f"{source.stem}-{digest.hexdigest()[:32]}.o"
    if target.exists():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            made = Path(folder) / "made.o"
            toolchain.run([*flags, *(f"-I{include}" for include in includes), "-c", source, "-o", made])
            os.replace(made, target)
    except OSError as error:
        raise StoreError(f"cannot write the cache {target.parent}: {error.strerror}", "Free some space or set XDG_CACHE_HOME.") from error
    return target


def compile_kernels(toolchain: Toolchain, kernels: Iterable[tuple[str, Sequence[str]]], flags: Sequence[str]) -> list[Path]:
    """The object files of files of kernels/, each with what it is compiled for (NAME=VALUE); see `compile_cached`."""
    return [
        compile_cached(toolchain, KERNELS_FOLDER / source, (*flags, *(f"-D{define}" for define in defines)), (KERNELS_FOLDER,))
        for source, defines in kernels
    ]

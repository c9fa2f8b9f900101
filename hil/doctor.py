"""What is installed, what is missing, and the one command that brings it: tool by tool, and target by target."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hilnas import __version__
from hilnas.extras import install_command
from hilnas.hil.farm.place import labgrid_python
from hilnas.hil.flashers import TOOLS as FLASHERS
from hilnas.hil.targets import TARGET_NAMES, renode

_COMPILER = "arm-none-eabi-gcc"


@dataclass(frozen=True)
class Finding:
    """A tool: what it is for, its version or None, how to get it, and whether the default path needs it."""

    name: str
    purpose: str
    version: str | None
    install: str
    required: bool


@dataclass(frozen=True)
class TargetFinding:
    """A target: what it runs with, and what it lacks; `install` has a command for each missing tool."""

    name: str
    tools: tuple[str, ...]
    missing: tuple[str, ...]
    install: tuple[str, ...]

    @property
    def works(self) -> bool:
        """Whether images can be built for it and run there; for boards, whether the tools are there."""
        return not self.missing


@dataclass(frozen=True)
class Examination:
    """Every tool that some path of hilnas uses, and every target."""

    tools: tuple[Finding, ...]
    targets: tuple[TargetFinding, ...]

    @property
    def missing(self) -> tuple[Finding, ...]:
        """What the default path lacks."""
        return tuple(tool for tool in self.tools if tool.required and tool.version is None)


@dataclass(frozen=True)
class _Tool:
    name: str
    purpose: str
    probe: Callable[[], str | None]
    install: str


def _said_version(path: str | None, *arguments: str) -> str | None:
    """The first version number that a program prints; None if it cannot be started."""
    if path is None:
        return None
    try:
        result = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.search(r"\d+(\.\d+)+", result.stdout + result.stderr)
    return version.group() if version else "present"


def _program(name: str) -> Callable[[], str | None]:
    return lambda: _said_version(shutil.which(name), "--version")


def _package(distribution: str, module: str) -> Callable[[], str | None]:
    """A probe that looks a Python package up without importing it."""
    return lambda: None if importlib.util.find_spec(module) is None else importlib.metadata.version(distribution)


def _native_library() -> str | None:
    library = next(iter(sorted((Path(__file__).parent / "emulator").glob("*.so"))), None)
    return __version__ if library else None


def _labgrid() -> str | None:
    python = labgrid_python()
    return None if python is None else _said_version(str(python), "-c", "import importlib.metadata as m; print(m.version('labgrid'))")


def _apt(package: str) -> str:
    return f"apt-get install --no-install-recommends {package}"


_TOOLS = (
    _Tool(_COMPILER, "builds firmware", _program(_COMPILER), _apt("gcc-arm-none-eabi libnewlib-arm-none-eabi")),
    _Tool("unicorn", "target emulator: the processor", _package("unicorn", "unicorn"), "pip install unicorn"),
    _Tool("native library", "target emulator: counting and timing", _native_library, "pip install -e ."),
    _Tool("ai-edge-litert", "reads models, reference kernels", _package("ai-edge-litert", "ai_edge_litert"), "pip install ai-edge-litert"),
    _Tool("gcc", "target host", _program("gcc"), _apt("gcc libc6-dev")),
    _Tool("torch", "training, predictors", _package("torch", "torch"), install_command("torch")),
    _Tool("tensorflow", "export to int8 .tflite", _package("tensorflow", "tensorflow"), install_command("tensorflow")),
    _Tool("onnxruntime", "verifies exported .onnx", _package("onnxruntime", "onnxruntime"), install_command("onnxruntime")),
    _Tool("ray", "searches and training on many hosts", _package("ray", "ray"), install_command("ray")),
    _Tool("qemu-system-arm", "target qemu", _program("qemu-system-arm"), _apt("qemu-system-arm")),
    _Tool("renode", "target renode", lambda: _said_version(renode.program(), "--version"), renode.INSTALL),
    *(_Tool(flasher.name, "target serial: flashes boards", flasher.version, flasher.install) for flasher in FLASHERS),
    _Tool("labgrid", "target farm", _labgrid, "pipx install labgrid"),
)
_DEFAULT = frozenset({_COMPILER, "unicorn", "native library", "ai-edge-litert"})
"""What `hilnas deploy` cannot do without."""
_NEEDS: dict[str, tuple[str, ...]] = {
    "emulator": ("unicorn", "native library"),
    "qemu": ("qemu-system-arm",),
    "renode": ("renode",),
    "serial": (),
    "farm": ("labgrid",),
    "host": ("gcc",),
}
"""What each target needs beside the compiler; `serial` needs any one of the flashers."""


def examine() -> Examination:
    """Looks for every tool that some path of hilnas uses."""
    tools = {tool.name: Finding(tool.name, tool.purpose, tool.probe(), tool.install, tool.name in _DEFAULT) for tool in _TOOLS}
    return Examination(tuple(tools.values()), tuple(_examine_target(name, tools) for name in TARGET_NAMES))


def _examine_target(name: str, tools: dict[str, Finding]) -> TargetFinding:
    needed = [tools[tool] for tool in (_COMPILER, *_NEEDS[name])]
    if name == "serial":
        flashers = [tools[flasher.name] for flasher in FLASHERS]
        needed.append(next((flasher for flasher in flashers if flasher.version), flashers[0]))
    missing = [tool for tool in needed if tool.version is None]
    return TargetFinding(
        name,
        tuple(f"{tool.name} {tool.version}" for tool in needed if tool.version is not None),
        tuple(tool.name for tool in missing),
        tuple(tool.install for tool in missing),
    )

"""What is installed, what is missing, and the one command that brings it."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Finding:
    """One tool: what it is for, its version or None, how to get it, and whether the default path needs it."""

    name: str
    purpose: str
    version: str | None
    install: str
    required: bool


@dataclass(frozen=True)
class _Tool:
    name: str
    purpose: str
    probe: Callable[[], str | None]
    install: str
    required: bool = False


def _program(*command: str) -> Callable[[], str | None]:
    """A probe that runs `command` and takes the first version number that it prints."""

    def probe() -> str | None:
        path = shutil.which(command[0])
        if path is None:
            return None
        try:
            result = subprocess.run([path, *command[1:]], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        version = re.search(r"\d+(\.\d+)+", result.stdout + result.stderr)
        return version.group() if version else "present"

    return probe


def _package(distribution: str, module: str) -> Callable[[], str | None]:
    """A probe that looks a Python package up without importing it."""

    def probe() -> str | None:
        if importlib.util.find_spec(module) is None:
            return None
        return importlib.metadata.version(distribution)

    return probe


def _native_library() -> str | None:
    library = next(iter(sorted((Path(__file__).parent / "emulator").glob("*.so"))), None)
    return library.name if library else None


def _apt(package: str) -> str:
    return f"apt-get install --no-install-recommends {package}"


_TOOLS = (
    _Tool(
        "arm-none-eabi-gcc",
        "builds firmware",
        _program("arm-none-eabi-gcc", "--version"),
        _apt("gcc-arm-none-eabi libnewlib-arm-none-eabi"),
        required=True,
    ),
    _Tool("unicorn", "target emulator: the processor", _package("unicorn", "unicorn"), "pip install unicorn", required=True),
    _Tool("native library", "target emulator: counting and timing", _native_library, "pip install -e .", required=True),
    _Tool(
        "ai-edge-litert",
        "reads models, reference kernels",
        _package("ai-edge-litert", "ai_edge_litert"),
        "pip install ai-edge-litert",
        required=True,
    ),
    _Tool("gcc", "host builds", _program("gcc", "--version"), _apt("gcc libc6-dev")),
    _Tool("torch", "training, predictors", _package("torch", "torch"), "pip install 'hilnas[nas]'"),
    _Tool("tensorflow", "export to int8 .tflite", _package("tensorflow", "tensorflow"), "pip install 'hilnas[export]'"),
    _Tool("onnxruntime", "verifies exported .onnx", _package("onnxruntime", "onnxruntime"), "pip install 'hilnas[export]'"),
    _Tool("ray", "searches and training on many hosts", _package("ray", "ray"), "pip install 'hilnas[distributed]'"),
    _Tool("qemu-system-arm", "target qemu", _program("qemu-system-arm", "--version"), _apt("qemu-system-arm")),
    _Tool("renode", "target renode", _program("renode", "--version"), "see https://renode.io; put `renode` on the PATH"),
    _Tool("openocd", "flashes boards", _program("openocd", "--version"), _apt("openocd")),
    _Tool("st-flash", "flashes boards", _program("st-flash", "--version"), _apt("stlink-tools")),
    _Tool("pyocd", "flashes boards", _program("pyocd", "--version"), "pip install pyocd"),
)


def examine() -> tuple[Finding, ...]:
    """Looks for every tool that some path of hilnas uses."""
    return tuple(Finding(tool.name, tool.purpose, tool.probe(), tool.install, tool.required) for tool in _TOOLS)

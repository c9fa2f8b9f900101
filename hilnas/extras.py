"""The packages that come with an extra of hilnas, and what to say when one is missing."""

from __future__ import annotations

from hilnas.errors import ToolMissingError

EXTRAS = {
    "gymnasium": "nas",
    "pymoo": "nas",
    "sb3_contrib": "nas",
    "scipy": "nas",
    "sklearn": "nas",
    "stable_baselines3": "nas",
    "tensorboard": "nas",
    "torch": "nas",
    "keras": "export",
    "onnx": "export",
    "onnxruntime": "export",
    "onnxscript": "export",
    "tensorflow": "export",
    "pyocd": "boards",
    "ray": "distributed",
    "labgrid": "farm",
}
"""The extra that brings each package, by the name it is imported by."""


def install_command(package: str) -> str:
    """The command that installs a package of `EXTRAS`."""
    return f"pip install 'hilnas[{EXTRAS[package]}]'"


def missing_package(error: ModuleNotFoundError) -> ToolMissingError | None:
    """What to tell the user about an import that failed; None if the module is of no extra: then it is a defect."""
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        return None
    return ToolMissingError(f"the Python package {package} is not installed", f"Install it: {install_command(package)}")

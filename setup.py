"""Builds the native libraries: the emulator's, and QEMU's plugin. Everything else is in pyproject.toml."""

from pathlib import Path

import unicorn
from setuptools import Extension, setup

EMULATOR = Path("hil/emulator")

# A plain shared library, loaded with ctypes after Unicorn's own, which it calls: no symbol of Python in it.
setup(
    ext_modules=[
        Extension(
            "hilnas.hil.emulator._native",
            sources=sorted(str(path) for folder in (EMULATOR, EMULATOR / "timing") for path in folder.glob("*.c")),
            depends=sorted(str(path) for folder in (EMULATOR, EMULATOR / "timing") for path in folder.glob("*.h")),
            include_dirs=[str(Path(unicorn.__file__).parent / "include"), str(EMULATOR)],
            extra_compile_args=["-std=c11", "-O2", "-Wall", "-Wextra"],
        ),
        # QEMU loads it and has the functions that it calls.
        Extension(
            "hilnas.hil.targets._qemu_count",
            sources=["hil/targets/qemu_count.c"],
            extra_compile_args=["-std=c11", "-O2", "-Wall", "-Wextra"],
        ),
    ]
)

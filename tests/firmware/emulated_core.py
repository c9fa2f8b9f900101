"""Runs a compiled model on a bare emulated Cortex-M7: no board, no start-up code, one call."""

from __future__ import annotations

import struct
import subprocess
import tempfile
from functools import cached_property
from pathlib import Path

import numpy as np
import unicorn as uc
from numpy.typing import NDArray
from unicorn import arm_const as arm

from hilnas.boards.board import InstructionCache
from hilnas.boards.core import load_core
from hilnas.firmware.assembly.scheduler import schedule_for
from hilnas.firmware.compile import CompiledModel, compile_model
from hilnas.firmware.toolchain import ARM, KERNELS_FOLDER, RUNTIME_FOLDER, compile_cached, compile_kernels

_CODE, _RAM, _STACK = 0x0800_0000, 0x2000_0000, 0x2400_0000
_SIZE = 0x40_0000
_CORE = ("-mcpu=cortex-m7", "-mthumb", "-mfpu=fpv5-d16", "-mfloat-abi=hard")
_FLAGS = (*_CORE, "-std=gnu11", "-O2", "-ffunction-sections", "-fno-tree-loop-distribute-patterns")
_SCRIPT = f"SECTIONS {{ . = {_CODE:#x}; .text : {{ *(.text*) *(.rodata*) }} . = {_RAM:#x}; .data : {{ *(.data*) *(.bss*) *(.arena*) }} }}"
_SAVED = (arm.UC_ARM_REG_R4, arm.UC_ARM_REG_R5, arm.UC_ARM_REG_R6, arm.UC_ARM_REG_R7)
_SAVED += (arm.UC_ARM_REG_R8, arm.UC_ARM_REG_R9, arm.UC_ARM_REG_R10, arm.UC_ARM_REG_R11)


class EmulatedModel:
    """A .tflite file compiled for a core with the DSP extension, instructions in the order for `core`. `extra` is C that is compiled behind
    the model's own."""

    def __init__(self, content: bytes, extra: str = "", cache: InstructionCache | None = None, core: str = "cortex-m7") -> None:
        schedule = schedule_for(load_core(core))
        self.compiled: CompiledModel = compile_model(content, "model", {"ram": 2**20}, {"ram": ".arena"}, cache=cache, schedule=schedule)
        with tempfile.TemporaryDirectory(prefix="hilnas-") as name:
            folder = Path(name)
            self.compiled.write(folder)
            sources = [folder / source for source in self.compiled.sources]
            (folder / "model.c").write_text(self.compiled.source + extra)
            (folder / "link.ld").write_text(_SCRIPT)
            includes = (KERNELS_FOLDER, RUNTIME_FOLDER)
            objects = compile_kernels(ARM, self.compiled.kernels, _FLAGS)
            objects.append(compile_cached(ARM, RUNTIME_FOLDER / "memory.c", _FLAGS, includes))
            link = ["-nostdlib", "-nostartfiles", f"-Wl,-T,{folder / 'link.ld'}", "-Wl,--entry=hilnas_run", "-lgcc"]
            ARM.run([*_FLAGS, *(f"-I{include}" for include in includes), *sources, *objects, *link, "-o", folder / "model.elf"])
            self._load(folder / "model.elf")

    def _load(self, elf: Path) -> None:
        symbols = subprocess.run(["arm-none-eabi-nm", elf], capture_output=True, text=True, check=True).stdout
        self.symbols = {fields[2]: int(fields[0], 16) for fields in map(str.split, symbols.splitlines()) if len(fields) == 3}
        text = elf.with_suffix(".bin")
        subprocess.run(["arm-none-eabi-objcopy", "-O", "binary", "-j", ".text", elf, text], check=True)
        self._core = uc.Uc(uc.UC_ARCH_ARM, uc.UC_MODE_THUMB)
        self._core.ctl_set_cpu_model(arm.UC_CPU_ARM_CORTEX_M7)
        for base in (_CODE, _RAM, _STACK):
            self._core.mem_map(base, _SIZE)
        self._core.reg_write(arm.UC_ARM_REG_FPEXC, 1 << 30)
        self._core.mem_write(_CODE, text.read_bytes())

    @cached_property
    def _edges(self) -> dict[str, list[tuple[int, int]]]:
        counts = {"inputs": len(self.compiled.program.graph.inputs), "outputs": len(self.compiled.program.graph.outputs)}
        edges = {}
        for name, count in counts.items():
            table = self._core.mem_read(self.symbols[f"hilnas_{name}"], 8 * count)
            edges[name] = list(struct.iter_unpack("<II", bytes(table)))
        return edges

    def run(self, *inputs: NDArray[np.int8], function: str = "hilnas_run") -> tuple[NDArray[np.int8], ...]:
        """Outputs of one call of `function`, which finds the inputs in their places. Callee-saved registers must survive."""
        for (address, size), values in zip(self._edges["inputs"], inputs, strict=True):
            assert values.nbytes == size
            self._core.mem_write(address, values.tobytes())
        back = _CODE + _SIZE - 16
        self._core.mem_write(back, b"\x00\xbf\x00\xbf")
        for value, register in enumerate(_SAVED):
            self._core.reg_write(register, 0x1234_0000 + value)
        self._core.reg_write(arm.UC_ARM_REG_R0, 0)
        self._core.reg_write(arm.UC_ARM_REG_LR, back | 1)
        self._core.reg_write(arm.UC_ARM_REG_SP, _STACK + _SIZE // 2)
        self._core.emu_start(self.symbols[function] | 1, back)
        assert self._core.reg_read(arm.UC_ARM_REG_SP) == _STACK + _SIZE // 2
        assert [self._core.reg_read(register) for register in _SAVED] == [0x1234_0000 + value for value in range(8)]
        return tuple(np.frombuffer(bytes(self._core.mem_read(address, size)), np.int8) for address, size in self._edges["outputs"])

"""The same ELF on QEMU and on the emulator: equal instruction counts, per function and per inference, however they are run."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from hilnas.boards.board import load_board
from hilnas.firmware.build import build_image
from hilnas.firmware.elf import read_elf
from hilnas.firmware.image import FirmwareImage
from hilnas.hil.emulator.entry import find_start
from hilnas.hil.emulator.machine import Machine
from hilnas.hil.session import Patience, Session
from hilnas.hil.target import Tensor
from hilnas.hil.targets.emulator import EmulatorTarget, MachineTransport
from hilnas.hil.targets.qemu import PROGRAM, QemuTarget
from hilnas.hil.targets.qemu_counts import InstructionCounts, counting_plugin
from hilnas.hil.timing.model import TimingMode, TimingModel
from hilnas.hil.verify import verification_inputs

BOARD = load_board("qemu-m7")
_MEMORIES = {name: memory.model_copy(update={"timing": "zero-wait"}) for name, memory in BOARD.memories.items()}
TIMED_BOARD = BOARD.model_copy(update={"memories": _MEMORIES})
"""With memories that a timing model takes, for it says how often each block ran."""
SAMPLE = "mlperf_tiny/kws_dscnn_int8.tflite"
OTHERS = (
    "mlperf_tiny/ic_resnet8_int8.tflite",
    "mlperf_tiny/str_ww_ref_model.tflite",
    "mlperf_tiny/vww_96_int8.tflite",
    "tflm/hello_world_int8.tflite",
    "tflm/keyword_scrambled_8bit.tflite",
    "tflm/micro_speech_quantized.tflite",
    "tflm/person_detect.tflite",
    "tinyengine/mcunet-vww1.tflite",
)
# What depends on the host or the clock: polls of the UART; how many digits the reported cycles have; the sizes of the caches; and
# how far the firmware has got, behind the last byte that the host waits for, when the host looks.
NOT_COMPARED = {
    "uart_get",
    "uart_put",
    "put",
    "line_put_number",
    "crc32_update",
    "core_start_caches",
    "for_each_data_line",
    "line_end",
    "line_receive",
    "report_loop",
}


WIDE_PREFIX = 0x1D
"""An instruction has 32 bits if its first five are these or more (Armv7-M Architecture Reference Manual, A5.1)."""


def hosted_programs() -> ModuleType:
    path = Path(__file__).with_name("timing") / "programs.py"
    specification = importlib.util.spec_from_file_location("hosted_programs", path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def on_emulator(image: FirmwareImage, inputs: tuple[Tensor, ...], slice_instructions: int = 20_000_000) -> dict[int, int]:
    """How often each instruction ran, from reset to the end of one inference."""
    with Machine(BOARD, read_elf(image.elf)) as machine, TimingModel(TIMED_BOARD, mode=TimingMode.FAST) as model:
        machine.set_timing(model.machine_timing())
        session = Session(MachineTransport(machine, slice_instructions), image, Patience(reply_s=600.0, run_s=600.0, attempts=1))
        session.connect()
        session.infer(inputs, take_exits=False)
        return executions(machine, model)


def executions(machine: Machine, model: TimingModel) -> dict[int, int]:
    """How often each instruction ran, from how often each block did."""
    counts: Counter[int] = Counter()
    model.finish()
    for block in model.profile():
        at = block.address
        for _ in range(block.instructions // block.executions):
            counts[at] += block.executions
            at += 4 if machine.read_memory(at, 2)[1] >> 3 >= WIDE_PREFIX else 2
    return dict(counts)


def compared(counted: dict[int, int], image: FirmwareImage) -> dict[str, int]:
    """Instructions that ran in each function."""
    elf, counts = read_elf(image.elf), Counter[str]()
    for address, count in without_host(counted, image).items():
        counts[elf.function_at(address)] += count
    return dict(counts)


def without_host(counted: dict[int, int], image: FirmwareImage) -> dict[int, int]:
    elf = read_elf(image.elf)
    return {address: count for address, count in counted.items() if elf.function_at(address) not in NOT_COMPARED}


def check_model(path: Path, folder: Path) -> None:
    """The counts of QEMU and of the emulator, per function and between the marks of the layers."""
    image = build_image(path, BOARD, folder)
    inputs = verification_inputs(image.manifest, 0)[-1]
    target = QemuTarget()
    inference = target.run(image, BOARD, [inputs], take_exits=False).inferences[0]
    assert target.counts is not None and target.counts.elsewhere == 0
    on_qemu = compared(target.counts.executions(), image)
    assert "hilnas_run" in on_qemu
    assert on_qemu == compared(on_emulator(image, inputs), image)
    assert inference.instructions == EmulatorTarget().run(image, BOARD, [inputs], take_exits=False).inferences[0].instructions
    assert inference.instructions > 1000


def test_a_model_takes_the_same_instructions_on_qemu(data_folder: Path, tmp_path: Path) -> None:
    check_model(data_folder / "tflite" / SAMPLE, tmp_path)


@pytest.mark.acceptance
@pytest.mark.parametrize("model", OTHERS)
def test_every_model_takes_the_same_instructions_on_qemu(data_folder: Path, tmp_path: Path, model: str) -> None:
    check_model(data_folder / "tflite" / model, tmp_path)


@pytest.mark.acceptance
def test_counts_do_not_depend_on_the_load_of_the_host(data_folder: Path, tmp_path: Path) -> None:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        check_model(data_folder / "tflite" / SAMPLE, tmp_path)
    finally:
        for process in busy:
            process.kill()
            process.wait()


# Much of a C library, and what compilers make of it: soft and hard floating point, tables of jumps, recursion, long jumps.
LIBRARY = r"""
#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int by_value(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
static uint64_t ackermann(uint64_t m, uint64_t n) {
    return m == 0 ? n + 1 : n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}
static int chosen(unsigned n, int x) {
    switch (n % 8) {
    case 0: return x * 3; case 1: return x / 7; case 2: return x % 11; case 3: return abs(x);
    case 4: return x << 3; case 5: return (int)sqrtf((float)abs(x)); case 6: return -x; default: return x ^ 0x55;
    }
}
static char text[4096];
int main(void) {
    static int values[300];
    static jmp_buf back;
    uint32_t state = 1;
    volatile int turns = 0;
    for (int i = 0; i < 300; i++) { state = state * 1664525 + 1013904223; values[i] = chosen(state >> 16, (int)state >> 8); }
    qsort(values, 300, sizeof values[0], by_value);
    char *end = text;
    for (int i = 0; i < 300; i += 10)
        end += sprintf(end, "%d %.6g %lld|", values[i], exp(sin((double)values[i])), (long long)values[i] * values[i] / (i + 1));
    if (setjmp(back) < 3) { turns = turns + 1; longjmp(back, turns); }
    end += sprintf(end, "%d %g %lu\n", turns, strtod("-1.25e-3", NULL), (unsigned long)ackermann(2, 9));
    char *copy = malloc(sizeof text);
    memmove(copy, text, sizeof text);
    register int operation __asm("r0") = 4;
    register const char *argument __asm("r1") = copy;
    __asm volatile("bkpt 0xab" : "+r"(operation) : "r"(argument) : "memory");
    return 3;
}
"""


def test_a_whole_program_takes_the_same_instructions_at_every_address(tmp_path: Path) -> None:
    """From reset to its exit, with no host in between: nothing is left out."""
    programs = hosted_programs()
    path = programs.compile_hosted(LIBRARY, tmp_path, flash=BOARD.memories["flash"].base, ram=BOARD.memories["ram"].base)
    elf, plugin, folder = read_elf(path), counting_plugin(PROGRAM), tmp_path / "with, comma"
    folder.mkdir()
    assert plugin is not None
    counts = InstructionCounts(plugin, elf, BOARD.memories["flash"], folder)
    command = [PROGRAM, "-M", "mps2-an500", "-display", "none", "-monitor", "none", "-serial", "null", "-icount", "shift=0"]
    command += ["-semihosting-config", "enable=on,target=native", "-kernel", str(path), *counts.options]
    on_qemu = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
    with Machine(BOARD, elf) as machine, TimingModel(TIMED_BOARD, mode=TimingMode.FAST) as model:
        machine.set_timing(model.machine_timing())
        machine.start_any(find_start(elf, BOARD))
        stop = machine.run(100_000_000)
        assert (stop.exit_code, machine.receive_console()) == (on_qemu.returncode, on_qemu.stdout + on_qemu.stderr)
        assert executions(machine, model) == counts.executions()
        assert stop.instructions == sum(counts.executions().values()) > 100_000


@pytest.mark.parametrize("mode", [TimingMode.FULL, TimingMode.FAST])
def test_the_path_is_the_same_whatever_the_model_looks_at(tiny: Any, mode: TimingMode) -> None:
    """Its hooks run before each block, and before each instruction."""
    board = load_board("nucleo-h743zi2")
    elf = read_elf(tiny.build(board).elf)
    with Machine(board, elf) as machine, TimingModel(board, mode=mode) as model, Machine(board, elf) as bare:
        machine.set_timing(model.machine_timing())
        path, expected = ([(stop.pc, stop.instructions) for stop in (one.run(97) for _ in range(500))] for one in (machine, bare))
    assert path == expected
    assert len({pc for pc, _ in path}) > 10


def test_every_address_counts_the_same_however_the_run_is_cut(tiny: Any) -> None:
    image = tiny.build(BOARD)
    whole = without_host(on_emulator(image, tiny.inputs[0]), image)
    for slice_instructions in (1, 97, 12_345):
        assert without_host(on_emulator(image, tiny.inputs[0], slice_instructions), image) == whole


def test_each_inference_of_a_series_has_its_own_count(tiny: Any) -> None:
    """IT blocks, a loop, and a load from a device in the middle of a block, which QEMU leaves and repeats."""
    code = """uint32_t n = 0, x; for (int i = 0; i < 100 + arena[0]; i++) {
        __asm volatile("cmp %2, #50\\n itte lt\\n ldrlt %1, [%3]\\n addlt %0, %0, #1\\n addge %0, %0, #2\\n ldr %1, [%3]\\n"
                       : "+r"(n), "=&r"(x) : "r"(i), "r"(0xE000ED00u) : "cc"); }"""
    image = tiny.build(BOARD, code)
    inputs = [tuple(np.full_like(tensor, value) for tensor in tiny.inputs[0]) for value in (3, 90)]
    counts = [
        [inference.instructions for inference in target.run(image, BOARD, inputs, take_exits=False).inferences]
        for target in (QemuTarget(), EmulatorTarget())
    ]
    assert counts[0] == counts[1]
    assert counts[0][1] - counts[0][0] >= (90 - 3) * 7


def test_a_qemu_without_the_plugin_claims_no_count(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hilnas.hil.targets.qemu.counting_plugin", lambda program: None)
    target = QemuTarget()
    run = target.run(tiny.build(BOARD), BOARD, tiny.inputs[:1], take_exits=False)
    assert (run.inferences[0].instructions, target.counts) == (None, None)


@pytest.mark.parametrize(("version", "takes"), [("5.2.0", False), ("7.2.22", True), ("8.2.2", True), ("10.0.2", False)])
def test_the_plugin_is_for_qemu_6_to_8(tmp_path: Path, version: str, takes: bool) -> None:
    program = tmp_path / PROGRAM
    program.write_text(f"#!/bin/sh\necho 'QEMU emulator version {version}'\necho '-plugin FILE'\n")
    program.chmod(0o755)
    assert (counting_plugin(str(program)) is not None) == takes


def test_code_outside_of_the_counted_memory_is_one_sum(tiny: Any, tmp_path: Path) -> None:
    """A count that is not attributed is not lost."""
    image = tiny.build(BOARD)
    plugin = counting_plugin(PROGRAM)
    assert plugin is not None
    nowhere = BOARD.memories["ram"]
    counts = InstructionCounts(plugin, read_elf(image.elf), nowhere, tmp_path)
    command = [PROGRAM, "-M", "mps2-an500", "-display", "none", "-monitor", "none", "-serial", "null", "-icount", "shift=0"]
    process = subprocess.Popen([*command, "-kernel", str(image.elf), *counts.options], stdin=subprocess.DEVNULL)
    try:
        while counts.elsewhere < 10_000:
            assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    assert counts.executions() == {}

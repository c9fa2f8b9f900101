"""The target qemu: a real Cortex-M7 with faults, the same answers as the emulator, and no process left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hilnas.boards.board import load_board
from hilnas.errors import ConnectError, TargetError, TargetTimeoutError, ToolMissingError
from hilnas.hil.session import Patience
from hilnas.hil.targets.emulator import EmulatorTarget
from hilnas.hil.targets.qemu import PROGRAM, QemuTarget

BOARD = "qemu-m7"


def children() -> set[int]:
    """QEMU processes that this process has started and not reaped."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, name, _, parent = re.match(r"(\d+) \((.*)\) (\S) (\d+)", stat.read_text(), re.DOTALL).groups()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        if int(parent) == os.getpid() and name == PROGRAM[:15]:
            found.add(int(pid))
    return found


def run(tiny: Any, second_layer: str = "", target: QemuTarget | None = None) -> Any:
    return (target or QemuTarget()).run(tiny.build(BOARD, second_layer), load_board(BOARD), tiny.inputs, take_exits=False)


def test_it_computes_what_the_emulator_computes_and_claims_no_time(tiny: Any) -> None:
    result = run(tiny)
    emulated = EmulatorTarget().run(tiny.build(BOARD), load_board(BOARD), tiny.inputs, take_exits=False)
    for inputs, on_qemu, on_emulator in zip(tiny.inputs, result.inferences, emulated.inferences, strict=True):
        np.testing.assert_array_equal(on_qemu.outputs[0], tiny.expected(inputs))
        np.testing.assert_array_equal(on_qemu.outputs[0], on_emulator.outputs[0])
        assert (on_qemu.cycles, on_qemu.layer_cycles) == (None, (None, None))
        assert on_qemu.instructions == on_emulator.instructions
    assert result.stack_bytes == emulated.stack_bytes
    assert result.cycles_source is None
    assert result.target_version.startswith("QEMU ")
    assert children() == set()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            '__asm volatile("udf #0");',
            r"UsageFault in hilnas_run at 0x[0-9a-f]{8}, in layer 1 \(plus_one, ADD\): an undefined instruction \(PC=",
        ),
        ("*(volatile uint32_t *)0x30000000u = 1;", r"BusFault in hilnas_run.*no memory is, address 0x30000000 .*BFAR=0x30000000"),
        ("*(volatile uint32_t *)0x70000000u = 1;", r"MemManage in hilnas_run.*the MPU forbids, address 0x70000000"),
        ("((void (*)(void))0x20100000u)();", r"UsageFault.*without the Thumb bit"),
        (
            'volatile uint8_t *low; __asm volatile("mov %0, sp" : "=r"(low)); for (int i = 0; i < 99999; i++) { *--low = 1; }',
            r"MemManage in hilnas_run.*the MPU forbids, address 0x2000001f",
        ),
    ],
)
def test_a_fault_is_a_sentence(tiny: Any, code: str, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        run(tiny, code)
    assert children() == set()


def test_a_fault_during_start_up_is_reported(tiny: Any) -> None:
    """The arena is where no memory is: filling it with zeroes faults, before the report begins."""
    board = load_board(BOARD)
    nowhere = board.memories["ram"].model_copy(update={"base": 0x30000000})
    placement = board.placement.model_copy(update={"arena": ("nowhere",)})
    wrong = board.model_copy(update={"memories": board.memories | {"nowhere": nowhere}, "placement": placement})
    with pytest.raises(TargetError, match=r"BusFault in memset.*no memory is, address 0x30000000"):
        QemuTarget().run(tiny.build(wrong), wrong, tiny.inputs, take_exits=False)


def test_a_fault_with_the_stack_used_up_is_still_reported(tiny: Any) -> None:
    code = 'extern uint32_t __stack_bottom[]; __asm volatile("mov sp, %0\\n push {r0-r7}" :: "r"(__stack_bottom + 10));'
    with pytest.raises(
        TargetError, match=r"with a \w+ where the stack no longer tells, in layer 1.*the stack in memory that the MPU forbids"
    ):
        run(tiny, code)


def test_a_hang_names_the_layer(tiny: Any) -> None:
    with pytest.raises(TargetTimeoutError, match=r"hangs: in layer 1 \(plus_one, ADD\)"):
        run(tiny, "for (;;) { }", QemuTarget(Patience(reply_s=10.0, run_s=1.0)))
    assert children() == set()


def test_missing_qemu_says_how_to_get_it(tiny: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    image = tiny.build(BOARD)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolMissingError, match=r"apt-get install .*qemu-system-arm"):
        QemuTarget().run(image, load_board(BOARD), tiny.inputs, take_exits=False)


def test_a_qemu_that_dies_says_what_it_said(tmp_path: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = tmp_path / "plugin.so"
    plugin.write_bytes(b"not a library")
    monkeypatch.setattr("hilnas.hil.targets.qemu.counting_plugin", lambda program: plugin)
    with pytest.raises(ConnectError, match=r"QEMU ended with code 1: .*plugin\.so"):
        QemuTarget(Patience(reply_s=2.0, attempts=1)).run(tiny.build(BOARD), load_board(BOARD), tiny.inputs, take_exits=False)
    assert children() == set()


def test_two_at_once_do_not_meet(tiny: Any) -> None:
    tiny.build(BOARD)
    results: list[Any] = []
    threads = [threading.Thread(target=lambda: results.append(run(tiny))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        for inputs, inference in zip(tiny.inputs, result.inferences, strict=True):
            np.testing.assert_array_equal(inference.outputs[0], tiny.expected(inputs))
    assert len(results) == 2


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_qemu_ends_with_the_process_that_started_it(tiny: Any, how: signal.Signals) -> None:
    """A child runs a hanging firmware; the pipe that its QEMU inherits is closed once that is gone, too."""
    image = tiny.build(BOARD, "for (;;) { }")
    script = f"""
import os, pathlib, sys
import numpy as np
import hilnas.hil.targets.qemu as qemu
from hilnas.boards.board import load_board
from hilnas.firmware.image import FirmwareImage
start = qemu.subprocess.Popen
def start_and_tell(command, **options):
    if "pass_fds" not in options:  # it only asks QEMU for its version
        return start(command, **options)
    process = start(command, **(options | {{"pass_fds": [*options["pass_fds"], {{pipe}}]}}))
    print("started", flush=True)
    return process
qemu.subprocess.Popen = start_and_tell
image = FirmwareImage.load(pathlib.Path({str(image.folder)!r}))
qemu.QemuTarget().run(image, load_board({BOARD!r}), [(np.zeros((1, 600), np.int8),)], False)
"""
    reading, writing = os.pipe()
    child = subprocess.Popen(
        [sys.executable, "-c", script.replace("{pipe}", str(writing))],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        pass_fds=[writing],
    )
    os.close(writing)
    assert child.stdout is not None
    assert child.stdout.readline() == b"started\n"
    child.send_signal(how)
    with child.stdout:
        assert child.wait(60) != 0
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b""

"""The emulator: the board's own ELF from reset, counted exactly, and an error with a name for whatever the machine is not."""

from __future__ import annotations

import signal
import threading
from typing import Any

import numpy as np
import pytest

from hilnas.boards.board import board_names, load_board
from hilnas.errors import BoardError, InputError, TargetError, TargetTimeoutError
from hilnas.firmware.elf import read_elf
from hilnas.hil.emulator.machine import Machine
from hilnas.hil.emulator.native import StopReason
from hilnas.hil.session import Patience, Session
from hilnas.hil.targets.emulator import LAYER_MARK, EmulatorTarget, MachineTransport
from hilnas.hil.timing.model import TimingMode

BOARD = "nucleo-h743zi2"


def run(tiny: Any, second_layer: str = "", board: str = BOARD, target: EmulatorTarget | None = None) -> Any:
    target = target or EmulatorTarget()
    return target.run(tiny.build(board, second_layer), load_board(board), tiny.inputs, take_exits=False)


@pytest.mark.parametrize("board", [name for name in board_names() if "emulator" in load_board(name).targets])
def test_every_board_starts_and_computes(tiny: Any, board: str) -> None:
    result = run(tiny, board=board)
    for inputs, inference in zip(tiny.inputs, result.inferences, strict=True):
        np.testing.assert_array_equal(inference.outputs[0], tiny.expected(inputs))
    assert result.attempts == ()
    assert 0 < result.stack_bytes < load_board(board).stack_bytes


@pytest.mark.parametrize("board", [name for name in board_names() if load_board(name).startup != "mps2-an500"])
def test_start_up_brings_every_part_to_its_clock(tiny: Any, board: str) -> None:
    with Machine(load_board(board), read_elf(tiny.build(board).elf)) as machine:
        reset_hz = machine.clock_hz
        assert machine.run(10_000_000).reason is StopReason.IDLE
        assert machine.clock_hz == load_board(board).clock_hz != reset_hz


def test_counts_do_not_depend_on_how_often_it_is_stopped(tiny: Any) -> None:
    reference = run(tiny)
    for slice_instructions in (1, 7, 1000, 123_457):
        assert repr(run(tiny, target=EmulatorTarget(slice_instructions))) == repr(reference)


def test_instructions_are_those_of_the_assembly(tiny: Any) -> None:
    """A loop whose instructions can be counted by hand, unaligned and with both widths: 3 + 1000 x 5, with an IT block."""
    loop = """uint32_t a = 0; __asm volatile(
        "movw r2, #1000\\n" "movs %0, #0\\n"
        "1: subs r2, r2, #1\\n" "add.w %0, %0, #1\\n" "ite ne\\n" "addne %0, %0, #1\\n" "addeq %0, %0, #2\\n" "bne 1b\\n"
        : "=&r"(a) : : "r2", "cc");"""
    with_loop = run(tiny, loop).inferences[0].layer_instructions[1]
    without = run(tiny, 'uint32_t a = 0; __asm volatile("movs %0, #0\\n" : "=&r"(a) : : "r2", "cc");').inferences[0].layer_instructions[1]
    assert with_loop - without == 1 + 1000 * 6


@pytest.mark.parametrize("timing", TimingMode)
def test_a_load_in_an_it_block_does_not_disturb_what_follows(tiny: Any, timing: TimingMode) -> None:
    """From memory and from a peripheral: the emulation library once lost the next instruction."""
    code = """uint32_t n = 0, x; static volatile uint32_t word = 5;
        for (int i = 0; i < 100; i++) {
            volatile uint32_t *place = i % 2 ? &word : (volatile uint32_t *)0xE000ED00u;
            __asm volatile("cmp %2, #50\\n itte lt\\n ldrlt %1, [%3]\\n addlt %0, %0, #1\\n addge %0, %0, #2\\n add %0, %0, #10\\n"
                           : "+r"(n), "=&r"(x) : "r"(i), "r"(place) : "cc");
        }
        if (n != 50 * 11 + 50 * 12) { __asm volatile("udf #0"); }"""
    run(tiny, code, target=EmulatorTarget(timing=timing))


def test_layers_add_up_and_a_longer_layer_costs_more(tiny: Any) -> None:
    first = run(tiny).inferences[0]
    longer = run(tiny, 'for (int i = 0; i < 5000; i++) { __asm volatile("nop"); }').inferences[0]
    assert sum(first.layer_instructions) == first.instructions
    assert 0 <= first.cycles - sum(first.layer_cycles) < 300  # the few instructions around the layers, from cold caches
    assert longer.layer_instructions[1] - first.layer_instructions[1] >= 5000
    assert longer.layer_cycles[1] > first.layer_cycles[1]
    assert longer.layer_instructions[0] == first.layer_instructions[0]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("*(volatile uint32_t *)0x70000000u;", "read 4 bytes at 0x70000000 in hilnas_run"),
        ("*(volatile uint8_t *)0x08000000u = 1;", "wrote 1 bytes at 0x08000000 in hilnas_run"),
        ("*(volatile uint32_t *)0x40008400u = 1;", "wrote 4 bytes at 0x40008400 in hilnas_run"),
        ("*(volatile uint32_t *)0x40011000u = 1;", "0x40011000 in hilnas_run.*clock of that peripheral is off"),
        ('__asm volatile("udf #1");', "an undefined instruction in hilnas_run at"),
        ('__asm volatile("svc #1");', "SVC in hilnas_run"),
        ("((void (*)(void))0x70000001u)();", "read . bytes at 0x70000000"),
    ],
)
def test_what_the_machine_is_not_has_a_name(tiny: Any, code: str, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        run(tiny, code)


def test_a_stack_overflow_does_not_go_unseen(tiny: Any) -> None:
    code = 'volatile uint8_t *low; __asm volatile("mov %0, sp" : "=r"(low)); for (int i = 0; i < 10000; i++) { *--low = 1; }'
    with pytest.raises(TargetError, match=r"wrote 1 bytes at 0x1fffffff in hilnas_run"):
        run(tiny, code)


def test_the_stack_is_measured(tiny: Any) -> None:
    code = "volatile uint8_t block[1000]; for (int i = 0; i < 1000; i++) { block[i] = 1; }"
    assert 1000 <= run(tiny, code).stack_bytes <= 1000 + run(tiny).stack_bytes


def test_a_hang_names_the_layer(tiny: Any) -> None:
    with pytest.raises(TargetTimeoutError, match=r"in layer 1 \(plus_one, ADD\)"):
        run(tiny, "for (;;) { }", target=EmulatorTarget(slice_instructions=100_000, limit_s=0.5))


@pytest.mark.parametrize("hang", ["for (;;) { }", '__asm volatile("1: wfi\\n b 1b");'])
def test_a_hang_ends_also_where_the_machine_stops_at_every_layer(tiny: Any, hang: str) -> None:
    image = tiny.build(BOARD, hang)
    marks: list[str] = []
    with Machine(load_board(BOARD), read_elf(image.elf)) as machine:
        machine.stop_at(LAYER_MARK)
        transport = MachineTransport(machine, 100_000, at_symbol=lambda: marks.append("layer"))
        session = Session(transport, image, Patience(reply_s=0.5, run_s=0.5, attempts=1))
        session.connect()
        with pytest.raises(TargetTimeoutError, match=r"in layer 1 \(plus_one, ADD\)"):
            session.infer(tiny.inputs[0], take_exits=False)
    assert len(marks) == 2


def test_more_functions_than_it_can_watch_are_refused(tiny: Any) -> None:
    with Machine(load_board(BOARD), read_elf(tiny.build(BOARD).elf)) as machine:
        for watch in (machine.stop_at, machine.mark_calls):
            with pytest.raises(InputError, match="hilnas_run is one too many"):
                for _ in range(1000):
                    watch("hilnas_run")


def test_a_board_without_a_vector_table_cannot_start(tiny: Any) -> None:
    """The core would start from what an earlier image left there."""
    board = load_board(BOARD)
    with Machine(board, read_elf(tiny.build(BOARD).elf)) as machine:
        elsewhere = board.memories["flash"].model_copy(update={"base": 0x0900_0000})
        machine.board = board.model_copy(update={"memories": board.memories | {board.placement.text: elsewhere}})
        with pytest.raises(TargetError, match="vector table at 0x09000000"):
            machine.reset()


def test_a_ready_bit_that_never_comes_is_named(tiny: Any) -> None:
    """A board whose regulator is wired otherwise than its file says cannot be told from here; a clock out of reach can."""
    board = load_board(BOARD).model_copy(update={"clock_hz": 2_000_000_000})
    image = tiny.build(board)
    with pytest.raises(TargetError, match=r"waited in vain for RCC_CR\.PLL1RDY"):
        EmulatorTarget().run(image, board, tiny.inputs, take_exits=False)


def test_a_clock_that_is_not_the_boards_is_noticed(tiny: Any) -> None:
    board = load_board(BOARD)
    slower = board.model_copy(update={"clock_hz": 240_000_000})
    with pytest.raises(BoardError, match=r"480000000 Hz.*240000000 Hz"):
        EmulatorTarget().run(tiny.build(board), slower, tiny.inputs, take_exits=False)


def test_an_elf_of_another_board_is_refused(tiny: Any) -> None:
    board = load_board("nucleo-h743zi2")
    small = {name: memory for name, memory in board.memories.items() if name != "flash"}
    small["flash"] = board.memories["flash"].model_copy(update={"base": 0x09000000})
    with pytest.raises(InputError, match="linked for another board"):
        Machine(board.model_copy(update={"memories": small}), read_elf(tiny.build(board).elf))


def test_ctrl_c_ends_a_long_run(tiny: Any) -> None:
    """The signal arrives while native code runs; the machine is looked at between slices."""
    endless = "for (;;) { }"
    tiny.build(BOARD, endless)  # before: it would interrupt the compiler
    timer = threading.Timer(0.5, signal.raise_signal, [signal.SIGINT])
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        run(tiny, endless, target=EmulatorTarget(slice_instructions=1_000_000, limit_s=60.0))
    timer.join()

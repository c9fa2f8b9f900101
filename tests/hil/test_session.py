"""The conversation with the firmware over a bad line: a result is right, or there is an error with a name."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hilnas.boards.board import load_board
from hilnas.errors import InputError, ProtocolError, TargetError, TargetTimeoutError
from hilnas.firmware.elf import read_elf
from hilnas.firmware.protocol import decode, encode
from hilnas.hil.emulator.machine import Machine
from hilnas.hil.session import Patience, Session
from hilnas.hil.targets.emulator import MachineTransport

BOARD = "nucleo-h743zi2"
PATIENCE = Patience(reply_s=10.0, settle_s=10.0, run_s=10.0, attempts=20)
"""On an idle machine nothing is waited for: reading returns at once."""

Damage = Callable[[bytes], bytes]


class BadLine:
    """A transport that damages what goes through it."""

    def __init__(self, transport: MachineTransport, to_host: Damage, to_device: Damage) -> None:
        self._transport, self._to_host, self._to_device = transport, to_host, to_device

    def read(self, timeout_s: float) -> bytes:
        """A piece that is lost entirely is not silence: what follows it is read."""
        while data := self._transport.read(timeout_s):
            if damaged := self._to_host(data):
                return damaged
        return b""

    def write(self, data: bytes) -> None:
        self._transport.write(self._to_device(data))


def clean(data: bytes) -> bytes:
    return data


def noise(generator: random.Random, rate: float) -> Damage:
    """Changes, loses, doubles and adds bytes."""

    def damage(data: bytes) -> bytes:
        out = bytearray()
        for byte in data:
            kind = generator.random() / rate
            if kind > 1:
                out.append(byte)
            elif kind > 0.7:
                out.append(generator.randrange(256))
            elif kind > 0.4:
                out += bytes([byte, byte])
            elif kind > 0.2:
                out += bytes([generator.randrange(256), byte])
        return bytes(out)

    return damage


def open_session(
    machine: Machine, image: Any, to_host: Damage = clean, to_device: Damage = clean, patience: Patience = PATIENCE
) -> Session:
    return Session(BadLine(MachineTransport(machine, 1_000_000), to_host, to_device), image, patience)


def machine_of(image: Any) -> Machine:
    return Machine(load_board(image.manifest.board), read_elf(image.elf))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**32), st.sampled_from([0.0003, 0.001, 0.003, 0.01]), st.booleans(), st.booleans())
def test_noise_never_gives_a_wrong_result(tiny: Any, seed: int, rate: float, hits_host: bool, hits_device: bool) -> None:
    image = tiny.build(BOARD)
    damage = noise(random.Random(seed), rate)
    with machine_of(image) as machine:
        session = open_session(machine, image, damage if hits_host else clean, damage if hits_device else clean)
        try:
            session.connect()
            for inputs in tiny.inputs:
                inference = session.infer(inputs, take_exits=False)
                np.testing.assert_array_equal(inference.outputs[0], tiny.expected(inputs))
                assert None not in inference.layer_cycles
        except (ProtocolError, TargetTimeoutError):
            assert hits_host or hits_device


def test_moderate_noise_is_overcome_and_recorded(tiny: Any) -> None:
    image = tiny.build(BOARD)
    damage = noise(random.Random(3), 0.001)
    with machine_of(image) as machine:
        session = open_session(machine, image, damage, damage)
        session.connect()
        for inputs in tiny.inputs:
            np.testing.assert_array_equal(session.infer(inputs, take_exits=False).outputs[0], tiny.expected(inputs))
        assert session.attempts


def test_a_clean_line_needs_no_second_attempt(tiny: Any) -> None:
    image = tiny.build(BOARD)
    with machine_of(image) as machine:
        session = open_session(machine, image)
        session.connect()
        session.infer(tiny.inputs[0], take_exits=False)
        assert session.attempts == []


class DropOnce:
    """Loses the first line of a kind."""

    def __init__(self, kind: bytes) -> None:
        self._kind, self.dropped = kind, False

    def __call__(self, data: bytes) -> bytes:
        lines = data.splitlines(keepends=True)
        kept = []
        for line in lines:
            if not self.dropped and b" " + self._kind + b" " in line:
                self.dropped = True
            else:
                kept.append(line)
        return b"".join(kept)


@pytest.mark.parametrize("kind", [b"ack", b"layer", b"done", b"data"])
def test_any_lost_reply_is_asked_for_again_and_the_model_does_not_run_twice(tiny: Any, kind: bytes) -> None:
    image = tiny.build(BOARD)
    drop = DropOnce(kind)
    with machine_of(image) as machine:
        machine.mark_calls("hilnas_run")
        session = open_session(machine, image, to_host=drop)
        session.connect()
        inference = session.infer(tiny.inputs[0], take_exits=False)
        np.testing.assert_array_equal(inference.outputs[0], tiny.expected(tiny.inputs[0]))
        assert drop.dropped
        assert session.attempts
        assert len(machine.take_marks()) == 1


@pytest.mark.parametrize("kind", [b"hello", b"input", b"run", b"output"])
def test_any_lost_command_is_sent_again(tiny: Any, kind: bytes) -> None:
    image = tiny.build(BOARD)
    drop = DropOnce(kind)
    with machine_of(image) as machine:
        session = open_session(machine, image, to_device=drop)
        session.connect()
        np.testing.assert_array_equal(session.infer(tiny.inputs[0], take_exits=False).outputs[0], tiny.expected(tiny.inputs[0]))
        assert drop.dropped


class ForgeOnce:
    """Gives the first data line other bytes and a CRC that fits them: the one in a few billion that noise would make."""

    def __init__(self) -> None:
        self.forged = False

    def __call__(self, data: bytes) -> bytes:
        lines = []
        for line in data.splitlines(keepends=True):
            parsed = decode(line.rstrip())
            if parsed is not None and parsed.kind == "data" and not self.forged:
                self.forged = True
                content = bytes(byte ^ 1 for byte in parsed.data("data"))
                line = encode("data", seq=parsed.number("seq"), index=0, offset=parsed.number("offset"), data=content)
            lines.append(line)
        return b"".join(lines)


def test_outputs_are_checked_as_a_whole(tiny: Any) -> None:
    image = tiny.build(BOARD)
    forge = ForgeOnce()
    with machine_of(image) as machine:
        session = open_session(machine, image, to_host=forge)
        session.connect()
        np.testing.assert_array_equal(session.infer(tiny.inputs[0], take_exits=False).outputs[0], tiny.expected(tiny.inputs[0]))
        assert forge.forged
        assert session.attempts == ["output: arrived damaged, asked again"]


def test_stale_firmware_is_named(tiny: Any) -> None:
    flashed = tiny.build(BOARD, build_id="aaaaaaaaaaaaaaaa")
    wanted = tiny.build(BOARD)
    with machine_of(flashed) as machine, pytest.raises(ProtocolError, match="build is aaaaaaaaaaaaaaaa, the image's is 0123456789abcdef"):
        open_session(machine, wanted).connect()


def test_silence_is_a_time_out(tiny: Any) -> None:
    image = tiny.build(BOARD)
    with machine_of(image) as machine, pytest.raises(TargetTimeoutError, match="'hello'"):
        open_session(machine, image, to_host=lambda data: b"").connect()


def test_a_reset_midway_is_named(tiny: Any) -> None:
    """The firmware resets itself in a layer, by the core's own register."""
    image = tiny.build(BOARD, "if (runs == 2) { *(volatile uint32_t *)0xE000ED0Cu = 0x05FA0004u; for (;;) { } }")
    with machine_of(image) as machine:
        session = open_session(machine, image)
        session.connect()
        session.infer(tiny.inputs[0], take_exits=False)
        with pytest.raises(ProtocolError, match=r"reset itself, in layer 1 \(plus_one, ADD\)"):
            session.infer(tiny.inputs[1], take_exits=False)


@pytest.mark.parametrize("place", ["-1", "-32", "sizeof arena", "sizeof arena + 31"])
def test_writing_outside_an_arena_is_named(tiny: Any, place: str) -> None:
    """The first and the last byte of both guards."""
    image = tiny.build(BOARD, f"((volatile int8_t *)arena)[(int)({place})] = 1;")
    with machine_of(image) as machine:
        session = open_session(machine, image)
        session.connect()
        with pytest.raises(TargetError, match="outside its arenas"):
            session.infer(tiny.inputs[0], take_exits=False)


def test_a_reset_between_inferences_is_named(tiny: Any) -> None:
    image = tiny.build(BOARD)
    with machine_of(image) as machine:
        session = open_session(machine, image)
        session.connect()
        session.infer(tiny.inputs[0], take_exits=False)
        machine.reset()
        with pytest.raises(ProtocolError, match="reset itself, between inferences"):
            session.infer(tiny.inputs[1], take_exits=False)


def test_an_unseen_reset_does_not_give_a_result_of_old_input(tiny: Any) -> None:
    """The hello of the reset is lost: the firmware refuses to run on an input that is not the one announced."""
    image = tiny.build(BOARD)
    with machine_of(image) as machine:
        open_session(machine, image).connect()
        transport = MachineTransport(machine, 1_000_000)
        transport.write(encode("input", seq=900, index=0, offset=0, data=b"\1\2\3"))
        assert b"ack" in transport.read(1.0)
        machine.reset()
        transport.read(1.0)
        transport.write(encode("run", seq=901, flags=0, crc=1))
        assert b"reason=input-crc" in transport.read(1.0)


def test_a_reset_whose_hello_is_lost_is_seen_by_the_count_of_inferences(tiny: Any) -> None:
    image = tiny.build(BOARD)
    with machine_of(image) as machine:
        session = open_session(machine, image, to_host=lambda data: b"" if b" hello seq=0 " in data else data)
        session.connect()
        session.infer(tiny.inputs[0], take_exits=False)
        machine.reset()
        with pytest.raises(ProtocolError, match="reset itself unseen: it counts 1 inferences, and ran 2"):
            session.infer(tiny.inputs[1], take_exits=False)


def test_what_one_reply_lost_the_next_one_brings(tiny: Any) -> None:
    """Of the two layer lines each reply brings only one."""
    image = tiny.build(BOARD)
    lost = itertools.cycle([b" index=0 ", b" index=1 "])

    def lose(data: bytes) -> bytes:
        kept = data.splitlines(keepends=True)
        if any(b" layer " in line for line in kept):
            gone = next(lost)
            kept = [line for line in kept if b" layer " not in line or gone not in line]
        return b"".join(kept)

    with machine_of(image) as machine:
        session = open_session(machine, image, to_host=lose)
        session.connect()
        assert None not in session.infer(tiny.inputs[0], take_exits=False).layer_cycles
        assert len(session.attempts) == 1


class Babble:
    """A line that never stops to say random bytes, half of which look like the start of a layer."""

    def __init__(self) -> None:
        self._random = random.Random(5)

    def read(self, timeout_s: float) -> bytes:
        return self._random.randbytes(64)

    def write(self, data: bytes) -> None:
        pass


def test_a_babbling_line_is_a_time_out(tiny: Any) -> None:
    image = tiny.build(BOARD)
    with pytest.raises(TargetTimeoutError, match="'hello'"):
        Session(Babble(), image, Patience(reply_s=0.05, settle_s=0.05, run_s=0.1, attempts=2)).connect()


def test_a_second_host_does_not_get_the_result_of_the_first(tiny: Any) -> None:
    """Both count from 1: the hello of the second makes the firmware forget the run of the first."""
    image = tiny.build(BOARD)
    with machine_of(image) as machine:
        for inputs in tiny.inputs[:2]:
            session = open_session(machine, image)
            session.connect()
            np.testing.assert_array_equal(session.infer(inputs, take_exits=False).outputs[0], tiny.expected(inputs))


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        (encode("input", seq=1, index=1, offset=0, data=b"x"), b"outside-input"),
        (encode("input", seq=1, index=0, offset=600, data=b"x"), b"outside-input"),
        (encode("input", seq=1, index=0, offset=2**32 - 1, data=b"xx"), b"outside-input"),
        (encode("input", seq=1, index=0, offset=0), b"outside-input"),
        (encode("output", seq=1, index=0, offset=600, size=1), b"outside-output"),
        (encode("output", seq=1, index=0, offset=2**32 - 1, size=2), b"outside-output"),
        (encode("output", seq=1, index=7, offset=0, size=1), b"outside-output"),
        (encode("run", seq=1, flags=0), b"incomplete-run"),
        (encode("erase", seq=1), b"unknown-command"),
        (encode("hello"), b"nak"),
        (encode("hello", seq=0), b"nak"),
        (b"x" * 5000 + b"\r\n", b"nak"),
        (b"HN1 hello seq=1*00000000\r\n", b"nak"),
    ],
)
def test_the_firmware_refuses_what_makes_no_sense(tiny: Any, command: bytes, reply: bytes) -> None:
    image = tiny.build(BOARD)
    with machine_of(image) as machine:
        transport = MachineTransport(machine, 1_000_000)
        assert b"hello seq=0" in transport.read(1.0)
        transport.write(command)
        assert reply in transport.read(1.0)


def test_inputs_of_another_type_are_refused(tiny: Any) -> None:
    image = tiny.build(BOARD)
    with machine_of(image) as machine:
        session = open_session(machine, image)
        session.connect()
        with pytest.raises(InputError, match="input is int8"):
            session.infer((tiny.inputs[0][0].astype(np.int16),), take_exits=False)
        with pytest.raises(InputError, match="1 inputs, got 2"):
            session.infer((tiny.inputs[0][0], tiny.inputs[0][0]), take_exits=False)


def test_a_line_that_only_ever_brings_damage_ends(tiny: Any) -> None:
    image = tiny.build(BOARD)
    with machine_of(image) as machine, pytest.raises(TargetError, match="'hello'"):
        open_session(machine, image, to_device=lambda data: data.swapcase()).connect()

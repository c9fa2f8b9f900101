"""The host's side of the report protocol, over any transport: connects, checks whom it talks to, runs inferences."""

from __future__ import annotations

import time
import zlib
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hilnas.errors import InputError, ProtocolError, TargetError, TargetTimeoutError
from hilnas.firmware.elf import read_elf
from hilnas.firmware.image import FirmwareImage, TensorInfo
from hilnas.firmware.protocol import CHUNK_BYTES, Damaged, Decoder, Line, Tick, encode
from hilnas.hil.fault import fault_error
from hilnas.hil.target import Inference, Tensor
from hilnas.hil.transport import Transport

_TAKE_EXITS = 1
_TICKS = 128
_RESET_HINT = "Check its power supply; a watchdog may be on."


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds, and how often to ask again.

    `reply_s` is for a reply that comes at once, `settle_s` for what follows damaged bytes, `run_s` for one layer of an inference.
    """

    reply_s: float = 1.0
    settle_s: float = 0.05
    run_s: float = 60.0
    attempts: int = 8


class Session:
    """A conversation with the firmware of `image`. `attempts` says what had to be asked again, `stack_bytes` the peak so far."""

    def __init__(self, transport: Transport, image: FirmwareImage, patience: Patience | None = None) -> None:
        self._transport = transport
        self._image = image
        self._manifest = image.manifest
        self._patience = patience or Patience()
        self._decoder = Decoder()
        self._events: deque[Line | Damaged | Tick] = deque()
        self._sequence = 0
        self._is_connected = False
        self._runs = 0
        self._layer: int | None = None
        self._layer_began = 0.0
        self._layer_cycles: dict[int, int] = {}
        self.attempts: list[str] = []
        self.stack_bytes: int | None = None

    def connect(self) -> None:
        """Says hello and checks that the answer is that of the image.

        Raises:
            TargetTimeoutError: no answer.
            ProtocolError: another firmware answers.
            TargetError: the firmware's start-up failed.
        """
        hello = self._ask("hello", "hello")
        manifest = self._manifest
        expected = {
            "build": manifest.build_id,
            "board": manifest.board,
            "inputs": f"{len(manifest.inputs):x}",
            "outputs": f"{len(manifest.outputs):x}",
            "layers": f"{len(manifest.layers):x}",
            "exits": f"{len(manifest.exit_thresholds):x}",
        }
        for key, value in expected.items():
            if hello.values.get(key) != value:
                raise ProtocolError(
                    f"the target runs another firmware: its {key} is {hello.values.get(key)}, the image's is {value}",
                    "Flash the image again.",
                )
        self._is_connected = True

    def infer(self, inputs: Sequence[Tensor], take_exits: bool) -> Inference:
        """Runs one inference. The instructions of the result are None; its cycles are what the firmware's counter said.

        Raises:
            InputError: the inputs are not the model's.
            TargetTimeoutError: the firmware hangs; the message names the layer.
            ProtocolError: the conversation broke: the target reset itself, or lines stay damaged.
            TargetError: the processor faulted.
        """
        contents = _contents(self._manifest.inputs, inputs)
        done = self._run(contents, _TAKE_EXITS if take_exits else 0)
        self._runs += 1
        if done.number("runs") != self._runs:
            raise ProtocolError(
                f"the target reset itself unseen: it counts {done.number('runs')} inferences, and ran {self._runs}", _RESET_HINT
            )
        exit_taken, exits = done.number("exit"), len(self._manifest.exit_thresholds)
        if exit_taken > exits:
            raise ProtocolError(f"the firmware took exit {exit_taken} of {exits}")
        written = exit_taken + 1 if exit_taken < exits else len(self._manifest.outputs)
        layers = range(len(self._manifest.layers))
        layer_cycles = tuple(self._layer_cycles.get(index) for index in layers)
        outputs = self._outputs(written, done.number("crc"))
        self.stack_bytes = max(self.stack_bytes or 0, done.number("stack"))
        return Inference(
            outputs=(*outputs, *(None for _ in self._manifest.outputs[written:])),
            exit_taken=exit_taken,
            cycles=done.number("cycles"),
            instructions=None,
            layer_cycles=layer_cycles,
            layer_instructions=tuple(None for _ in layers),
        )

    def _run(self, contents: Sequence[bytes], flags: int) -> Line:
        """Sends the inputs and runs; again from the start if what arrived there has another CRC."""
        crc = zlib.crc32(b"".join(contents))
        for _ in range(self._patience.attempts):
            for index, content in enumerate(contents):
                for offset in range(0, len(content), CHUNK_BYTES):
                    self._expect("input", "ack", index=index, offset=offset, data=content[offset : offset + CHUNK_BYTES])
            self._layer = None
            reply = self._ask("run", "done", flags=flags, crc=crc)
            self._layer = None
            if reply.kind == "done":
                return reply
            if reply.values.get("reason") != "input-crc":
                raise self._refused("run", reply)
            self.attempts.append("run: the input arrived damaged, sent again")
        raise ProtocolError("the input does not reach the target undamaged", "Check the cable and lower the baud rate.")

    def _outputs(self, count: int, crc: int) -> list[Tensor]:
        for _ in range(self._patience.attempts):
            contents = [self._output(index) for index in range(count)]
            if zlib.crc32(b"".join(contents)) == crc:
                return [
                    np.frombuffer(content, dtype=info.dtype).reshape(info.shape)
                    for content, info in zip(contents, self._manifest.outputs, strict=False)
                ]
            self.attempts.append("output: arrived damaged, asked again")
        raise ProtocolError("the outputs do not arrive as the target says it wrote them", "Check the cable and lower the baud rate.")

    def _output(self, index: int) -> bytes:
        size = self._manifest.outputs[index].size_bytes
        content = bytearray()
        while len(content) < size:
            wanted = min(CHUNK_BYTES, size - len(content))
            data = self._expect("output", "data", index=index, offset=len(content), size=wanted).data("data")
            if len(data) != wanted:
                raise ProtocolError(f"asked for {wanted} bytes of output {index}, got {len(data)}")
            content += data
        return bytes(content)

    def _expect(self, command: str, reply: str, **values: int | str | bytes) -> Line:
        line = self._ask(command, reply, **values)
        if line.kind == "error":
            raise self._refused(command, line)
        return line

    def _refused(self, command: str, line: Line) -> TargetError:
        if line.values.get("reason") == "arena-overrun":
            return TargetError(
                f"the firmware of {self._image.manifest.model} has written outside its arenas",
                "This is a defect of the engine: please report it with the model.",
            )
        return ProtocolError(f"the target refuses {command!r}: {line.values.get('reason')}", "Is the image the one that was flashed?")

    def _ask(self, command: str, reply: str, **values: int | str | bytes) -> Line:
        """Sends a command until its reply, or an error line with its number, comes back undamaged."""
        self._sequence += 1
        # What one reply lost of its lines the next one may bring: the firmware answers a repeated command from memory.
        self._layer_cycles = {}
        line = encode(command, seq=self._sequence, **values)
        tries = 0
        while tries < self._patience.attempts:
            is_last_call = self._is_overdue()
            self._transport.write(line)
            answer = self._await(reply)
            if answer is not None:
                return answer
            if is_last_call:
                raise TargetTimeoutError(
                    f"the target hangs: {self._place()}, silent for {self._patience.run_s:g} s", "Is the layer that slow?"
                )
            tries += not self._is_running()
            self.attempts.append(f"{command} {self._sequence}: no undamaged reply, sent again")
        raise TargetTimeoutError(
            f"the target does not answer {command!r}, {self._place()}, after {self._patience.attempts} attempts",
            "Check power and connection, and that the firmware is flashed.",
        )

    def _await(self, reply: str) -> Line | None:
        """The reply; None if it stays away or is damaged, so that the command must be sent again.

        Lines come only while no layer runs: after a damaged one the firmware waits for the host. A layer has its own time to run in.
        """
        give_up = time.monotonic() + min(self._patience.reply_s, self._patience.run_s)
        while (event := self._next_event(give_up)) is not None:
            now = time.monotonic()
            if isinstance(event, Tick):
                if reply == "done" and self._note_layer(event.index):
                    self._layer_began = now
                    give_up = now + (self._patience.run_s if self._is_running() else self._patience.reply_s)
            elif isinstance(event, Damaged):
                give_up = min(give_up, now + (self._patience.reply_s if self._is_running() else self._patience.settle_s))
            elif event.kind == "nak":
                return None
            else:
                self._check_unasked(event)
                if event.values.get("seq") != f"{self._sequence:x}":
                    continue
                if event.kind == "layer":
                    self._layer_cycles[event.number("index")] = event.number("cycles")
                elif event.kind == "error":
                    return event
                elif event.kind == reply:
                    is_whole = reply != "done" or len(self._layer_cycles) == event.number("layers")
                    return event if is_whole else None
        return None

    def _next_event(self, give_up: float) -> Line | Damaged | Tick | None:
        while not self._events:
            left = give_up - time.monotonic()
            data = self._transport.read(left) if left > 0 else b""
            if not data:
                return None
            self._events.extend(self._decoder.feed(data))
        return self._events.popleft()

    def _check_unasked(self, line: Line) -> None:
        """Raises for what ends every conversation: a fault, a start-up step that failed, a reset."""
        if line.kind == "fault":
            raise fault_error(line, read_elf(self._image.elf), self._place())
        if line.kind == "error" and line.values.get("reason") == "never-ready":
            raise TargetError(
                f"start-up of {self._manifest.board} waited in vain for {line.values.get('register')}",
                "Check the board's supply and clock, and `supply` in its board file.",
            )
        if line.kind == "hello" and line.values.get("seq") == "0" and self._is_connected:
            raise ProtocolError(f"the target reset itself, {self._place()}", _RESET_HINT)

    def _note_layer(self, index: int) -> bool:
        """Whether a tick is that of a layer behind the last one noted, or of the end; any other is noise. Ticks count modulo 128."""
        start = 0 if self._layer is None else self._layer + 1
        layer = start + (index - start) % _TICKS
        if layer > len(self._manifest.layers):
            return False
        self._layer = layer
        return True

    def _is_running(self) -> bool:
        return self._layer is not None and self._layer < len(self._manifest.layers)

    def _is_overdue(self) -> bool:
        """Whether the layer that runs has had its time. The end may have been lost: ask once more."""
        return self._is_running() and time.monotonic() >= self._layer_began + self._patience.run_s

    def _place(self) -> str:
        if self._layer is None:
            return "between inferences"
        if not self._is_running():
            return "after the last layer"
        layer = self._manifest.layers[self._layer]
        return f"in layer {self._layer} ({layer.name}, {layer.op})"


def _contents(infos: Sequence[TensorInfo], inputs: Sequence[Tensor]) -> list[bytes]:
    if len(infos) != len(inputs):
        raise InputError(f"the model has {len(infos)} inputs, got {len(inputs)}")
    for info, values in zip(infos, inputs, strict=True):
        if values.dtype != np.dtype(info.dtype) or values.nbytes != info.size_bytes:
            raise InputError(f"input {info.name} is {info.dtype} {info.shape}, got {values.dtype} {values.shape}")
    return [np.ascontiguousarray(values).tobytes() for values in inputs]

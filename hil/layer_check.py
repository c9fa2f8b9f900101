"""Whether a program computes what the reference kernels compute, tensor by tensor: the first layer that differs is named.

A fused layer is compared at its output, rows that stream through a chain as they are written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from hilnas.boards.board import Board
from hilnas.errors import CheckFailedError, InputError
from hilnas.files import read_input
from hilnas.firmware.build import compile_for_board
from hilnas.firmware.compile import CompiledModel
from hilnas.firmware.elf import read_elf
from hilnas.firmware.host import HostModel, build_host
from hilnas.firmware.image import MODEL_COPY, FirmwareImage
from hilnas.firmware.written import Written, written_by_mark
from hilnas.hil.emulator.machine import Machine
from hilnas.hil.session import Patience, Session
from hilnas.hil.target import Tensor
from hilnas.hil.targets.emulator import LAYER_MARK, SLICE_INSTRUCTIONS, MachineTransport
from hilnas.hil.verify import verification_inputs
from hilnas.progress import progress
from hilnas.tflite.reference import ReferenceModel

LIMIT_S = 600.0
"""What one layer may take on the emulator, in seconds of the host."""

ReadArena = Callable[[str, int, int], bytes]
"""Bytes of a memory's arena: its name, offset, how many."""


@dataclass
class LayerCheck:
    """Compares what a program writes with a reference that has just run on the same inputs."""

    compiled: CompiledModel
    reference: ReferenceModel
    tensors: set[int] = field(default_factory=set)
    """Those that were compared."""
    difference: str | None = None
    """The first place where layers differ, in words."""

    def __post_init__(self) -> None:
        self._writes = written_by_mark(self.compiled.program, self.compiled.plan)
        self._marks = 0

    def begin(self) -> None:
        """Another run begins."""
        self._marks = 0

    def at_mark(self, read: ReadArena) -> None:
        """The program has called the mark."""
        writes = self._writes[self._marks]
        self._marks += 1
        for written in writes:
            if self.difference is None:
                self._compare(written, read(written.memory, written.offset, written.size_bytes))

    def finish(self) -> None:
        """The run has ended.

        Raises:
            CheckFailedError: it has not called the mark as often as its plan says.
        """
        if self._marks != len(self._writes):
            raise CheckFailedError(f"{self.compiled.name} began {self._marks} parts of layers, its plan has {len(self._writes)}")

    def _compare(self, written: Written, found: bytes) -> None:
        graph = self.compiled.program.graph
        tensor = graph.tensors[written.tensor]
        if not self.reference.has(written.tensor, tensor.dtype, tensor.elements):
            return
        self.tensors.add(written.tensor)
        expected = np.ascontiguousarray(self.reference.tensor(written.tensor)).view(np.uint8).ravel()
        wanted = expected[written.first_byte : written.first_byte + written.size_bytes]
        different = np.flatnonzero(np.frombuffer(found, np.uint8) != wanted)
        if different.size:
            layer = self.compiled.program.layers[written.layer]
            first = (written.first_byte + int(different[0])) // np.dtype(tensor.dtype).itemsize
            place = ", ".join(str(int(at)) for at in np.unravel_index(first, tensor.shape))
            self.difference = (
                f"layer {written.layer} ({layer.operator.op} {layer.name}) differs first at [{place}] of its output of "
                f"{'x'.join(map(str, tensor.shape))}; all layers before it agree"
            )


def check_layers(image: FirmwareImage, board: Board, target: str, reference: ReferenceModel, seed: int) -> LayerCheck:
    """Compares every tensor of an image on the lowest and on a random input: on this computer in portable C, or the firmware on the
    emulator.

    Raises:
        InputError: the target is another one.
        TargetError: the firmware failed.
        CheckFailedError: it does not run as planned.
    """
    sets = verification_inputs(image.manifest, seed)
    inputs, content = (sets[0], sets[-1]), read_input(image.folder / MODEL_COPY)
    if target == "host":
        return check_layers_on_host(build_host(content, image.manifest.model), reference, inputs)
    if target == "emulator":
        compiled = compile_for_board(content, image.manifest.model, board, image.manifest.plan_request)
        return check_layers_on_emulator(compiled, image, board, reference, inputs)
    raise InputError(f"layers cannot be compared on target {target}", "Take --target host or --target emulator.")


def check_layers_on_host(model: HostModel, reference: ReferenceModel, inputs: Sequence[tuple[Tensor, ...]]) -> LayerCheck:
    """Compares every tensor of the program in portable C on this computer.

    Raises:
        CheckFailedError: the program does not run as planned.
    """
    check = LayerCheck(model.compiled, reference)
    for tensors in inputs:
        reference.run(*tensors)
        check.begin()
        model.run(*tensors, at_mark=lambda: check.at_mark(model.read_arena))
        check.finish()
    return check


def check_layers_on_emulator(
    compiled: CompiledModel, image: FirmwareImage, board: Board, reference: ReferenceModel, inputs: Sequence[tuple[Tensor, ...]]
) -> LayerCheck:
    """Compares every tensor of the firmware on the emulated board; `compiled` is what the image was built from.

    Raises:
        TargetError: the firmware failed.
        CheckFailedError: it does not run as planned.
    """
    check = LayerCheck(compiled, reference)
    elf = read_elf(image.elf)
    with Machine(board, elf) as machine, progress("comparing layers", len(inputs)) as advance:
        machine.stop_at(LAYER_MARK)
        arenas = {memory: elf.address_of(f"arena_{memory}") for memory in compiled.plan.arenas}

        def read(memory: str, offset: int, size: int) -> bytes:
            return machine.read_memory(arenas[memory] + offset, size)

        transport = MachineTransport(machine, SLICE_INSTRUCTIONS, at_symbol=lambda: check.at_mark(read))
        session = Session(transport, image, Patience(reply_s=LIMIT_S, run_s=LIMIT_S, attempts=1))
        session.connect()
        for tensors in inputs:
            reference.run(*tensors)
            check.begin()
            session.infer(tensors, take_exits=False)
            check.finish()
            advance(1)
    return check

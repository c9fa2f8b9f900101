"""The target `host`: the model in portable C on this computer. Fast, and bit by bit what a board computes; it knows no cycles."""

from __future__ import annotations

from collections.abc import Sequence

from hilnas.boards.board import Board
from hilnas.files import read_input
from hilnas.firmware.host import build_host
from hilnas.firmware.image import MODEL_COPY, FirmwareImage
from hilnas.firmware.toolchain import HOST
from hilnas.hil.target import Inference, TargetRun, Tensor
from hilnas.progress import progress


class HostTarget:
    """Runs what an image was made from."""

    name = "host"

    def run(self, image: FirmwareImage, board: Board, inputs: Sequence[tuple[Tensor, ...]], take_exits: bool) -> TargetRun:
        """See `Target`."""
        model = build_host(read_input(image.folder / MODEL_COPY), image.manifest.model)
        exits, layers = len(image.manifest.exit_thresholds), len(image.manifest.layers)
        inferences = []
        with progress("running on this computer", len(inputs)) as advance:
            for tensors in inputs:
                outputs, taken = model.run(*tensors, take_exits=take_exits)
                written = [output if taken >= exits or index <= taken else None for index, output in enumerate(outputs)]
                inferences.append(Inference(tuple(written), taken, None, None, (None,) * layers, (None,) * layers))
                advance(1)
        return TargetRun(tuple(inferences), None, None, HOST.version)

"""A built firmware image: an ELF and the manifest that says everything about it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from hilnas.errors import InputError
from hilnas.files import MANIFEST_NAME, read_input, sha256, write_atomically
from hilnas.firmware.plan import PlanRequest

ELF_NAME = "firmware.elf"
MODEL_COPY = "model.tflite"
"""What the image was made from."""


@dataclass(frozen=True)
class TensorInfo:
    """An input or output of the model as the firmware sees it: the edges behind QUANTIZE and DEQUANTIZE are int8."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int
    size_bytes: int


@dataclass(frozen=True)
class LayerInfo:
    """A layer in execution order; `exit` is the exit (0-based) that is decided after it, or None."""

    name: str
    op: str
    macs: int
    exit: int | None = None


@dataclass(frozen=True)
class Allocation:
    """A buffer of the memory plan: where it lives and from which layer to which (inclusive). `kind`: a whole tensor, a ring of some of
    a tensor's rows, or scratch memory of kernels."""

    name: str
    memory: str
    offset: int
    size_bytes: int
    first_layer: int
    last_layer: int
    kind: Literal["tensor", "rows", "scratch"]


@dataclass(frozen=True)
class LibraryNeeds:
    """What the model needs in another project, in bytes: flash with weights and code, RAM with arenas and data, and the stack of a call
    of hilnas_infer, computed, without interrupts.

    `overhead_bytes` is the flash beyond weights and numbers of channels: code, parameters and other tables.
    """

    flash_bytes: int
    overhead_bytes: int
    ram_bytes: int
    stack_bytes: int


@dataclass(frozen=True)
class Manifest:
    """What an image is made of and made by. Sizes in bytes as the design defines them.

    `stack_bytes` is what the firmware needs of the stack, computed; `channel_bytes` are the numbers that every channel has beside
    `weight_bytes`, its bias and its scale. `library` is what the model alone needs. A `stateful` model remembers: what an inference
    gives depends on those before it. `plan_request` says which memory plan was wanted; no arenas are smaller than `lower_bound_bytes`
    when layers run in these segments, and than `least_bound_bytes` in any that were allowed; `added_share` is what streaming adds to the
    instructions, by estimate.
    """

    model: str
    model_sha256: str
    board: str
    build_id: str
    engine_version: str
    compiler: str
    flags: tuple[str, ...]
    flash_bytes: int
    sram_bytes: int
    arena_bytes: int
    weight_bytes: int
    channel_bytes: int
    code_bytes: int
    stack_bytes: int
    library: LibraryNeeds
    macs: int
    sections: dict[str, int]
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    layers: tuple[LayerInfo, ...]
    exit_thresholds: tuple[float, ...]
    stateful: bool
    plan_request: PlanRequest
    lower_bound_bytes: int
    least_bound_bytes: int
    added_share: float
    memory_plan: tuple[Allocation, ...]


@dataclass(frozen=True)
class FirmwareImage:
    """An ELF with its manifest, in one folder."""

    folder: Path
    manifest: Manifest

    @property
    def elf(self) -> Path:
        """The ELF file."""
        return self.folder / ELF_NAME

    def save(self) -> None:
        """Writes the manifest beside the ELF.

        Raises:
            StoreError: the disk refused.
        """
        write_atomically(self.folder / MANIFEST_NAME, json.dumps(asdict(self.manifest), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> FirmwareImage:
        """Reads an image that `save` wrote.

        Raises:
            InputError: the folder has no manifest or the manifest is not one.
        """
        path = folder / MANIFEST_NAME
        try:
            return cls(folder, TypeAdapter(Manifest).validate_json(read_input(path)))
        except ValidationError as error:
            first = error.errors()[0]
            what = f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"
            raise InputError(f"{path} is not a manifest of this version: {what}", "Build the image again with `hilnas build`.") from error

    def model_content(self, model: Path) -> bytes:
        """The bytes of the file that the image was built from.

        Raises:
            InputError: unreadable, or another file.
        """
        content = read_input(model)
        if sha256(content) != self.manifest.model_sha256:
            raise InputError(
                f"{model} is not the model that the image in {self.folder} was built from ({self.manifest.model}, "
                f"SHA-256 {self.manifest.model_sha256[:16]})",
                "Give that one as --model, or build the image again from this one.",
            )
        return content

    def require_board(self, name: str) -> None:
        """Refuses to go on with an image for another board.

        Raises:
            InputError: it is for another one.
        """
        if self.manifest.board != name:
            raise InputError(f"the image in {self.folder} is for board {self.manifest.board}, not {name}", "Build it again for this board.")

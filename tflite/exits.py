"""Early exits in a .tflite file: which outputs are exits, in which order, and when each is taken.

The file's metadata entry `hilnas.exits` is JSON: `{"exits": [{"output": "exit_0", "threshold": 0.25}, ...]}`, thresholds in
nats, in execution order; `output` is a name of the file's signature. A file without the entry has no exits.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import flatbuffers
import numpy as np
from numpy.typing import ArrayLike, NDArray

from hilnas.errors import ModelError
from hilnas.exit_rule import first_exit

METADATA_NAME = "hilnas.exits"
FINAL_OUTPUT = "logits"
_FILE_IDENTIFIER = b"TFL3"
_HINT = "Export the network again with `hilnas export`."


@dataclass(frozen=True)
class Exits:
    """The early exits of a model in execution order: output names by signature, and entropy thresholds in nats."""

    names: tuple[str, ...] = ()
    thresholds: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.names) != len(self.thresholds) or len(set(self.names)) != len(self.names):
            raise ModelError(f"{METADATA_NAME}: every exit needs one threshold and a name of its own", _HINT)
        if not all(isfinite(threshold) and threshold > 0 for threshold in self.thresholds):
            raise ModelError(f"{METADATA_NAME}: thresholds are positive numbers of nats, got {self.thresholds}", _HINT)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def output_names(self) -> tuple[str, ...]:
        """The signature's names of all outputs in the order in which the model produces them: the exits, then the logits."""
        return (*self.names, FINAL_OUTPUT)

    def taken(self, outputs: Sequence[ArrayLike]) -> NDArray[np.int64]:
        """Which exit each of N inputs leaves by, shape (N,): 0 .. E - 1, or E for the final output.

        `outputs` are the dequantised logits (N, classes) of the exits and, last, the final output.
        """
        if not self.names:
            return np.zeros(len(np.asarray(outputs[-1])), dtype=np.int64)
        return first_exit(outputs[:-1], self.thresholds)


def named_exits(thresholds: Sequence[float]) -> Exits:
    """Exits with the names that hilnas exports: exit_0, exit_1 ..."""
    return Exits(tuple(f"exit_{index}" for index in range(len(thresholds))), tuple(thresholds))


def exits_to_json(exits: Exits) -> str:
    """The metadata entry of `exits`."""
    entries = [{"output": name, "threshold": threshold} for name, threshold in zip(exits.names, exits.thresholds, strict=True)]
    return json.dumps({"exits": entries})


def exits_from_json(text: bytes | str) -> Exits:
    """Reads a metadata entry.

    Raises:
        ModelError: it is not JSON of the documented form.
    """
    try:
        entries = json.loads(text)["exits"]
        return Exits(tuple(str(entry["output"]) for entry in entries), tuple(float(entry["threshold"]) for entry in entries))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(f"metadata {METADATA_NAME} cannot be read: {error!r}", _HINT) from error


def read_exits(content: bytes) -> Exits:
    """The exits that a .tflite file declares; none if it has no such metadata.

    Raises:
        ModelError: not a .tflite file, or its metadata is damaged.
    """
    from ai_edge_litert import schema_py_generated as schema

    if content[4:8] != _FILE_IDENTIFIER:
        raise ModelError("not a .tflite file: the identifier TFL3 is missing", "Give an int8 TensorFlow Lite model.")
    try:
        model = schema.Model.GetRootAs(content, 0)
        # A damaged length must not become a loop of billions: every entry takes four bytes.
        count = min(model.MetadataLength(), len(content) // 4)
        for entry in (model.Metadata(index) for index in range(count)):
            if entry is not None and entry.Name() == METADATA_NAME.encode():
                buffer = model.Buffers(entry.Buffer())
                data = b"" if buffer is None or buffer.DataIsNone() else buffer.DataAsNumpy().tobytes()
                return exits_from_json(data)
    except (struct.error, IndexError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ModelError("the metadata of the model cannot be read", "The file is damaged: take a whole copy.") from error
    return Exits()


def write_exits(content: bytes, exits: Exits) -> bytes:
    """The .tflite file `content` with `exits` in its metadata, in place of what was there."""
    from ai_edge_litert import schema_py_generated as schema

    model: Any = schema.ModelT.InitFromPackedBuf(content, 0)
    model.metadata = [entry for entry in model.metadata or [] if _name(entry) != METADATA_NAME]
    if len(exits):
        buffer, entry = schema.BufferT(), schema.MetadataT()
        buffer.data = np.frombuffer(exits_to_json(exits).encode(), dtype=np.uint8)
        entry.name, entry.buffer = METADATA_NAME, len(model.buffers)
        model.buffers.append(buffer)
        model.metadata.append(entry)
    builder = flatbuffers.Builder(len(content) + 4096)
    builder.Finish(model.Pack(builder), file_identifier=_FILE_IDENTIFIER)
    return bytes(builder.Output())


def _name(entry: Any) -> str:
    name = entry.name
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)

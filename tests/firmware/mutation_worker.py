"""Runs files one after the other through the engine or through the reference kernels, in a process that may die of it.

Arguments: `engine` or `reference`, a folder, the number of the first file. For each file one line of JSON: its number, `outcome` (`runs`,
`refused`, or `crash` for an exception that is none of hilnas), `detail`: the digest of all outputs, or what was said.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OPENBLAS_NUM_THREADS"] = "1"
SECONDS = 30
"""For one file; the process dies of more."""

BYTES = {"engine": 10**9, "reference": 4 * 10**9}
RUNS = 4


def digest(edges: list[tuple[str, tuple[int, ...]]], run: Callable[..., tuple[Any, ...]]) -> str:
    """Of the outputs for some inputs of these types and shapes."""
    import numpy as np

    from hilnas.errors import InputError

    if not all(np.issubdtype(dtype, np.integer) for dtype, _ in edges):
        raise InputError("an input is not of whole numbers: there is nothing to compare byte by byte")
    rng, found = np.random.default_rng(1), hashlib.sha256()
    for _ in range(RUNS):
        values = []
        for dtype, shape in edges:
            limits = np.iinfo(dtype)
            values.append(rng.integers(limits.min, limits.max, shape, np.int64, endpoint=True).astype(dtype))
        for output in run(*values):
            found.update(np.ascontiguousarray(output).tobytes())
    return found.hexdigest()


class Engine:
    """Files that give the same C give the same outputs, so they are compiled once."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}

    def __call__(self, content: bytes) -> str:
        from hilnas.firmware.compile import compile_model
        from hilnas.firmware.host import build_host
        from hilnas.firmware.lowering import KernelSet

        text = compile_model(content, "file", {"host": 2**28}, {"host": ".arena.host"}, KernelSet.PORTABLE).source
        source = text.split("\n", 1)[1]
        if source not in self.known:
            model = build_host(content)
            graph = model.compiled.program.graph
            edges = [(graph.tensors[index].dtype, graph.tensors[index].shape) for index in graph.inputs]
            self.known[source] = digest(edges, lambda *values: model.run(*values)[0])
        return self.known[source]


def by_reference(content: bytes) -> str:
    from hilnas.tflite.reference import ReferenceModel

    model = ReferenceModel(content)
    return digest([(edge.dtype.name, edge.shape) for edge in model.inputs], model.run)


def main() -> None:
    from hilnas.errors import HilnasError

    kind, folder, first = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_AS, (BYTES[kind], BYTES[kind]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    run = Engine() if kind == "engine" else by_reference
    for path in sorted(folder.glob("*.tflite"))[first:]:
        signal.alarm(SECONDS)
        try:
            outcome, detail = "runs", run(path.read_bytes())
        except HilnasError as error:
            outcome, detail = "refused", error.message
        except Exception as error:  # noqa: BLE001 - whatever it is, it is reported as a crash
            outcome, detail = "crash", f"{type(error).__name__}: {error}"
        print(json.dumps({"number": int(path.stem), "outcome": outcome, "detail": detail}), flush=True)


if __name__ == "__main__":
    main()

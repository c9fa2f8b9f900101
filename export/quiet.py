"""Keeps what TensorFlow and its converter print to themselves, unless they fail."""

from __future__ import annotations

import io
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[Callable[[], str]]:
    """Collects everything that native code writes to the process's standard error while the block runs.

    The yielded function returns what was collected. Python's own sys.stderr goes on to the user: progress stays visible.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for name in ("tensorflow", "absl", "torch.onnx"):
        logging.getLogger(name).setLevel(logging.ERROR)
    python_stderr, terminal = sys.stderr, os.dup(2)
    with tempfile.TemporaryFile() as log, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        python_stderr.flush()
        sys.stderr = io.TextIOWrapper(os.fdopen(os.dup(terminal), "wb", 0), write_through=True)
        os.dup2(log.fileno(), 2)

        def collected() -> str:
            log.seek(0)
            return log.read().decode(errors="replace")

        try:
            yield collected
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
            sys.stderr.close()
            sys.stderr = python_stderr

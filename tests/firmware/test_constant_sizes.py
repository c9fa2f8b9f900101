"""What a layer is said to keep in flash is what its C takes there, by the compiler's own count: sizes of structs and of tables."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hilnas.boards.board import load_board
from hilnas.firmware.build import core_flags
from hilnas.firmware.codegen import EXIT_BYTES
from hilnas.firmware.compile import CompiledModel, compile_model
from hilnas.firmware.lowering import KernelSet
from hilnas.firmware.toolchain import ARM, KERNELS_FOLDER, RUNTIME_FOLDER

sys.path.insert(0, str(Path(__file__).parent))
from operator_cases import CASES, models
from test_exits import model_with_exits

FLAGS = (*core_flags(load_board("nucleo-h743zi2")), f"-I{KERNELS_FOLDER}", f"-I{RUNTIME_FOLDER}", "-fsyntax-only")
SAMPLE, MOST = 4, 16
_UNHURRIED = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example)


def assertions(compiled: CompiledModel) -> Iterator[str]:
    """C that compiles where the sizes of `Kernel` are those of the constants."""
    for index, layer in enumerate(compiled.program.layers):
        name, constants = f"layer_{index}", layer.constants(compiled.program.graph, layer.operator)
        symbols = [name, *(f"{name}_{table.name}" for table in constants.tables)]
        yield asserted(symbols, layer.kernel.constant_bytes, f"{layer.operator.op} by {layer.kernel.function}")
        if f"{name}_channels" in symbols:
            yield asserted([f"{name}_channels"], layer.kernel.channel_bytes, f"channels of {layer.operator.op} by {layer.kernel.function}")
        if layer.exit is not None:
            yield asserted([f"exit_{layer.exit}", f"exit_{layer.exit}_exponentials"], EXIT_BYTES, "exit")


def asserted(symbols: list[str], size_bytes: int, what: str) -> str:
    return f'_Static_assert({" + ".join(f"sizeof {symbol}" for symbol in symbols)} == {size_bytes}, "{what}");\n'


def check(content: bytes, kernel_set: KernelSet) -> None:
    compiled = compile_model(content, "model", {"ram": 2**20}, {"ram": ".arena"}, kernel_set)
    with tempfile.TemporaryDirectory(prefix="hilnas-") as name:
        folder = Path(name)
        compiled.write(folder)
        (folder / "model.c").write_text(compiled.source + "".join(assertions(compiled)))
        ARM.run([*FLAGS, f"-I{folder}", folder / "model.c"])


@pytest.mark.parametrize("kind", CASES)
def test_constants_take_the_bytes_that_are_counted_for_them(kind: str) -> None:
    @settings(max_examples=SAMPLE, deadline=None, suppress_health_check=_UNHURRIED)
    @given(models((kind,), MOST), st.sampled_from(KernelSet))
    def sample(content: bytes, kernel_set: KernelSet) -> None:
        check(content, kernel_set)

    sample()


def test_exits_take_the_bytes_that_are_counted_for_them() -> None:
    check(model_with_exits(1, (0.4, 0.7, 1.0), 0.1), KernelSet.ASSEMBLY)

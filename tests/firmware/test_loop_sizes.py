"""The size of a kernel's loop follows from the target's instruction cache."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hilnas.boards.board import InstructionCache, load_board
from hilnas.firmware.assembly.convolve import Dot
from hilnas.firmware.assembly.depthwise import Depthwise
from hilnas.firmware.assembly.depthwise_layout import Extent
from hilnas.firmware.assembly.emitter import PREAMBLE, as_given
from hilnas.firmware.compile import CompiledModel, compile_model
from hilnas.firmware.kernel import AssemblyRoutine
from hilnas.firmware.toolchain import ARM

sys.path.insert(0, str(Path(__file__).parent))
from convolution_cases import DEPTHWISE, POINTWISE, WINDOWED, Layer, convolution

LAYERS = [case.values[0] for case in (*POINTWISE, *WINDOWED, *DEPTHWISE)]
CACHES = [InstructionCache(lines, 32) for lines in (4, 8, 12, 16, 20, 24, 32, 48, 64, 96, 128)]
CORTEX_M7 = ["nucleo-h743zi2", "nucleo-h7a3zi-q", "stm32h747i-disco", "stm32f746g-disco"]


def compiled(layer: Layer, cache: InstructionCache | None) -> CompiledModel:
    return compile_model(convolution(layer), "model", {"ram": 2**20}, {"ram": ".arena"}, cache=cache)


def loop_bytes(model: CompiledModel) -> tuple[int, ...]:
    return model.program.layers[0].kernel.loop_bytes


def test_the_caches_of_every_cortex_m7_hold_the_quickest_code() -> None:
    caches = {load_board(board).instruction_cache for board in CORTEX_M7}
    assert len(caches) > 1
    for layer in LAYERS:
        assert len({compiled(layer, cache).assembly for cache in (*caches, None)}) == 1


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_a_loop_is_the_largest_that_the_cache_holds(layer: Layer) -> None:
    """Among all that are chosen for some cache; the smallest where none is held."""
    sizes = [loop_bytes(compiled(layer, cache)) for cache in (*CACHES, None)]
    for cache, chosen in zip(CACHES, sizes, strict=False):
        held = [size for size in sizes if cache.holds(size)]
        assert sum(chosen) == (max(map(sum, held)) if held else min(map(sum, sizes)))


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_1_kb_holds_the_loop_of_every_kernel(layer: Layer) -> None:
    cache = load_board("nucleo-l4r5zi").instruction_cache
    assert cache is not None and cache.holds(loop_bytes(compiled(layer, cache)))


def addresses(routines: tuple[AssemblyRoutine, ...], folder: Path) -> dict[str, int]:
    """Where the labels of assembled routines are, those included that no other file sees."""
    source, target = folder / "kernels.S", folder / "kernels.o"
    source.write_text("\n".join((PREAMBLE, *(routine.text(as_given) for routine in routines))))
    ARM.run(["-mcpu=cortex-m7", "-mfpu=fpv5-d16", "-mfloat-abi=hard", "-Wa,--keep-locals", "-c", source, "-o", target])
    lines = subprocess.run(["arm-none-eabi-nm", target], capture_output=True, text=True, check=True).stdout.splitlines()
    return {fields[2]: int(fields[0], 16) & ~1 for fields in map(str.split, lines) if len(fields) == 3}


def dots() -> Iterator[Dot]:
    for pixels in range(1, 5):
        yield from (Dot(pixels, None, longest_round=longest) for longest in (32, 8, 4))
        yield from (Dot(pixels, 96), Dot(pixels, 96, 14))


@pytest.mark.parametrize("dot", list(dots()), ids=lambda dot: dot.symbol)
def test_the_loop_of_a_dot_product_is_as_long_as_stated(dot: Dot, tmp_path: Path) -> None:
    at = addresses((dot,), tmp_path)
    group, *forms = (at[f".L{dot.symbol}_{label}"] for label in ("group", "form_0", "form_1", "form_2"))
    assert dot.loop_bytes == (forms[0] - group, max(forms[1] - forms[0], forms[2] - forms[1]))


@pytest.mark.parametrize("extent", Extent)
@pytest.mark.parametrize(("size", "taps", "stride"), [(5, 3, 1), (20, 3, 1), (24, 3, 2), (10, 5, 1), (20, 7, 1)])
def test_the_loop_of_depthwise_code_is_no_longer_than_stated(size: int, taps: int, stride: int, extent: Extent, tmp_path: Path) -> None:
    """Its end counts to that of a channel, which is short, and every instruction as a wide one."""
    kernel = Depthwise((taps, taps), stride, (taps // 2, taps // 2), (size * stride, size * stride), (size, size), extent)
    at = addresses((kernel, *kernel.finishes), tmp_path)
    labels = {label: at[f".L{kernel.symbol}_{label}"] for label in ("channel", "entries")}
    start = labels["channel"] if kernel.whole else at[f".L{kernel.symbol}_row"]
    stated, *ends = kernel.loop_bytes
    assert 0.95 * stated - 3 <= labels["entries"] - start <= stated
    for finish, end in zip(kernel.finishes[:-1], ends, strict=True):
        assert end - 4 <= at[finish.entry(1)] - at[finish.entry(0)] <= end

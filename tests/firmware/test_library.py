"""The library folder of an image in other people's projects: it compiles without a warning, computes the same, and needs what it says."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hilnas.boards.board import load_board
from hilnas.firmware.build import build_image, core_flags
from hilnas.firmware.compile import compile_model
from hilnas.firmware.elf import read_sections
from hilnas.firmware.image import FirmwareImage
from hilnas.firmware.lowering import KernelSet
from hilnas.firmware.stack_need import stack_need
from hilnas.firmware.toolchain import ARM
from hilnas.hil.targets.emulator import EmulatorTarget
from hilnas.hil.timing.model import TimingMode
from hilnas.hil.timing.timed_run import RunOptions, run_elf
from hilnas.hil.verify import verification_inputs
from hilnas.tflite.reference import ReferenceModel

sys.path.insert(0, str(Path(__file__).parent))
from test_assembly_kernels import Layer, convolution
from test_exits import model_with_exits
from tflite_builder import ModelBuilder

FOREIGN = Path(__file__).parent / "foreign"
BOARD = load_board("nucleo-h743zi2")
STRICT = ("-Wall", "-Wextra", "-Wconversion", "-Wpedantic", "-Werror")
LAYERS = {"convolution": Layer((6, 10, 16), (3, 3), filters=8), "depthwise convolution": Layer((9, 40, 8), (3, 3))}


@pytest.fixture(scope="module", params=LAYERS)
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, FirmwareImage]:
    folder = tmp_path_factory.mktemp("library")
    model = folder / "model.tflite"
    model.write_bytes(convolution(LAYERS[request.param]))
    return model, build_image(model, BOARD, folder / "image")


def with_make(library: Path, out: Path) -> Path:
    subprocess.run(["make", "-s", "-C", FOREIGN, f"LIBRARY={library}", f"OUT={out}"], check=True, capture_output=True)
    return out / "firmware.elf"


def with_cmake(library: Path, out: Path) -> Path:
    options = [f"-DLIBRARY={library}", f"-DCMAKE_TOOLCHAIN_FILE={FOREIGN / 'toolchain.cmake'}"]
    subprocess.run(["cmake", "-S", FOREIGN, "-B", out, *options], check=True, capture_output=True)
    subprocess.run(["cmake", "--build", out], check=True, capture_output=True)
    return out / "firmware.elf"


@pytest.mark.parametrize("build", [with_make, with_cmake])
def test_in_a_foreign_project_it_computes_what_the_reference_does(image: tuple[Path, FirmwareImage], build, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    if build is with_cmake and shutil.which("cmake") is None:
        pytest.skip("cmake is not installed: apt-get install cmake")
    model, firmware = image
    said = bytearray()
    elf = build(firmware.folder / "library", tmp_path)
    run = run_elf(elf, BOARD, RunOptions(None, None, TimingMode.OFF, False, 60.0), said.extend)
    assert run.exit_code == 0
    reference = ReferenceModel.load(model)
    shape = reference.inputs[0].shape
    values = (np.arange(np.prod(shape)) * 37 % 256 - 128).astype(np.int8).reshape(shape)
    expected = "0: " + " ".join(map(str, reference.run(values)[0].ravel()))
    assert said.decode().split("\n") == [expected, expected, ""]


def test_the_header_says_what_it_needs(image: tuple[Path, FirmwareImage]) -> None:
    _, firmware = image
    needs = firmware.manifest.library
    text = (firmware.folder / "library" / "hilnas_model.h").read_text()
    assert f"{needs.flash_bytes} bytes" in text
    assert f"{needs.ram_bytes} bytes" in text
    assert f"{needs.stack_bytes} bytes" in text
    assert needs.flash_bytes > firmware.manifest.weight_bytes + firmware.manifest.channel_bytes
    assert firmware.manifest.arena_bytes <= needs.ram_bytes < firmware.manifest.arena_bytes + 32


def test_what_a_foreign_project_gains_is_what_the_header_says(image: tuple[Path, FirmwareImage], tmp_path: Path) -> None:
    """Sections of the library's objects that hilnas_infer uses, linked with nothing else."""
    _, firmware = image
    library = firmware.folder / "library"
    objects = []
    for source in [*library.glob("*.c"), *library.glob("*.S")]:
        objects.append(tmp_path / f"{source.name}.o")
        level = "-Os" if source.name == "model.c" else "-O2"
        ARM.run([*core_flags(BOARD), level, f"-I{library}", "-c", source, "-o", objects[-1]])
    elf = tmp_path / "library.elf"
    ARM.run([*core_flags(BOARD), *objects, "-nostartfiles", "-nostdlib", "-Wl,--gc-sections,-e,hilnas_infer", "-lc", "-lgcc", "-o", elf])
    sections = read_sections(elf)
    assert sum(section.size_bytes for section in sections if not section.loaded) == firmware.manifest.library.ram_bytes
    flash = sum(section.size_bytes for section in sections if section.loaded)
    # newlib's memcpy is larger than the one that is counted.
    assert abs(flash - firmware.manifest.library.flash_bytes) < 400


@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m3", "cortex-m33", "cortex-m7"])
@pytest.mark.parametrize("content", [pytest.param(convolution(layer), id=name) for name, layer in LAYERS.items()])
def test_portable_c_compiles_for_cores_without_dsp(core: str, content: bytes, tmp_path: Path) -> None:
    from hilnas.firmware.library import write_library

    compiled = compile_model(content, "model", {"ram": 2**20}, {"ram": ".bss.arena"}, KernelSet.PORTABLE)
    write_library(compiled, tmp_path)
    for source in tmp_path.glob("*.c"):
        ARM.run([f"-mcpu={core}", "-mthumb", "-O2", *STRICT, f"-I{tmp_path}", "-c", source, "-o", tmp_path / f"{source.name}.o"])


def test_the_generated_c_has_no_warning_in_c_and_its_header_none_in_cpp(image: tuple[Path, FirmwareImage], tmp_path: Path) -> None:
    _, firmware = image
    library = firmware.folder / "library"
    for source in library.glob("*.c"):
        ARM.run([*core_flags(BOARD), "-Wall", "-Wextra", "-Wconversion", "-Werror", f"-I{library}", "-c", source, "-o", tmp_path / "x.o"])
    (tmp_path / "user.cpp").write_text('#include "hilnas_model.h"\nint run(int8_t *x) { return (int)hilnas_infer(x, x); }\n')
    strict = ("-mcpu=cortex-m7", "-mthumb", "-Wall", "-Wextra", "-Wconversion", "-Werror")
    ARM.run([*strict, f"-I{library}", "-c", tmp_path / "user.cpp", "-o", tmp_path / "user.o"])


def test_several_outputs_and_exits_have_names(tmp_path: Path) -> None:
    content = model_with_exits(4, (0.5, 1.0), 0.1)
    compiled = compile_model(content, "model", {"ram": 2**20}, {"ram": ".bss.arena"}, KernelSet.PORTABLE)
    compiled.write(tmp_path)
    header = (tmp_path / "hilnas_model.h").read_text()
    assert "hilnas_infer(const int8_t *input, int8_t *exit_0, int8_t *exit_1, int8_t *logits);" in header
    assert "in nats: 0.5, 1. */" in header


def test_several_inputs_are_numbered(tmp_path: Path) -> None:
    builder = ModelBuilder()
    first, second, out = (builder.tensor((1, 8), scale=0.1, zero_point=3) for _ in range(3))
    builder.operator("ADD", [first, second], [out], fusedActivationFunction=0)
    compiled = compile_model(builder.build([first, second], [out]), "model", {"ram": 2**20}, {"ram": ".bss.arena"})
    compiled.write(tmp_path)
    text = (tmp_path / "hilnas_model.h").read_text()
    assert "uint32_t hilnas_infer(const int8_t *input_0, const int8_t *input_1, int8_t *output);" in text


def test_the_stack_that_is_computed_is_what_the_firmware_takes(image: tuple[Path, FirmwareImage]) -> None:
    _, firmware = image
    inputs = verification_inputs(firmware.manifest, 0, 2)
    measured = EmulatorTarget(timing=TimingMode.OFF).run(firmware, BOARD, inputs, take_exits=False).stack_bytes
    assert measured is not None
    assert measured <= firmware.manifest.stack_bytes <= measured + 64


def test_the_stack_of_calls_adds_up(tmp_path: Path) -> None:
    """A chain of three with 200 bytes in the middle, beside a shallower one."""
    source = tmp_path / "calls.c"
    source.write_text("""
        __attribute__((noinline)) int leaf(int a) { __asm volatile("push {r4-r11, lr}\\n pop {r4-r11, lr}"); return a; }
        __attribute__((noinline)) int middle(int a) { volatile char room[200]; room[a] = 1; return leaf(a) + room[0]; }
        int entry(int a) { return a ? middle(a) + 1 : leaf(a) + 1; }
    """)
    ARM.run([*core_flags(BOARD), "-Os", source, "-nostdlib", "-nostartfiles", "-Wl,-e,entry", "-o", tmp_path / "calls.elf"])
    need = stack_need(tmp_path / "calls.elf", "entry", ())
    assert 36 + 200 <= need <= 36 + 200 + 48
    assert stack_need(tmp_path / "calls.elf", "leaf", ()) == 36


def test_a_stack_without_bound_is_refused(tmp_path: Path) -> None:
    from hilnas.errors import BuildError

    source = tmp_path / "circle.c"
    source.write_text("int odd(int); __attribute__((noinline)) int even(int a) { return a ? odd(a - 1) * 2 : 1; }\n"
                      "__attribute__((noinline)) int odd(int a) { return a ? even(a - 1) * 3 : 0; }\n")  # fmt: skip
    ARM.run([*core_flags(BOARD), "-O1", source, "-nostdlib", "-nostartfiles", "-Wl,-e,even", "-o", tmp_path / "circle.elf"])
    with pytest.raises(BuildError, match="even -> odd -> even"):
        stack_need(tmp_path / "circle.elf", "even", ())

"""From a .tflite to a measurement: bit-exact on both targets, exits and accuracy on a data set, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hilnas.boards.board import load_board
from hilnas.errors import CheckFailedError, DoesNotFitError, InputError, ModelError
from hilnas.firmware.image import FirmwareImage, TensorInfo
from hilnas.hil.measure import deploy, measure
from hilnas.hil.measurement import Measurement
from hilnas.hil.samples import Samples
from hilnas.hil.target import TargetRun
from hilnas.hil.targets import create_target
from hilnas.hil.targets.emulator import EmulatorTarget
from hilnas.hil.targets.qemu import QemuTarget
from hilnas.hil.verify import first_difference, verification_inputs
from hilnas.tflite.reference import ReferenceModel

MODELS = {
    "ic": "mlperf_tiny/ic_resnet8_int8.tflite",
    "kws": "mlperf_tiny/kws_dscnn_int8.tflite",
    "vww": "mlperf_tiny/vww_96_int8.tflite",
    "mcunet": "tinyengine/mcunet-vww1.tflite",
}
BOARD = "nucleo-h743zi2"


def deployed(data_folder: Path, out: Path, model: str, board: str = BOARD, target: Any = None) -> Measurement:
    return deploy(data_folder / "tflite" / MODELS[model], load_board(board), target or EmulatorTarget(), out)


@pytest.mark.data
def test_deploy_on_the_emulator_is_bit_exact_and_complete(data_folder: Path, tmp_path: Path) -> None:
    measurement = deployed(data_folder, tmp_path / "image", "kws")
    assert measurement.bit_exact
    assert measurement.cycles is not None and measurement.instructions is not None and measurement.stack_bytes is not None
    assert measurement.latency_s == measurement.cycles / 480_000_000
    assert measurement.instructions > measurement.macs / 4
    assert sum(layer.macs for layer in measurement.layers) == measurement.macs
    assert sum(layer.instructions or 0 for layer in measurement.layers) == measurement.instructions
    assert sum(layer.cycles or 0 for layer in measurement.layers) == pytest.approx(measurement.cycles, rel=1e-3)
    assert measurement.arena_bytes <= measurement.sram_bytes
    assert measurement.attempts == ()
    assert FirmwareImage.load(tmp_path / "image").manifest.build_id == measurement.build_id


@pytest.mark.data
def test_both_targets_give_the_same_digest(data_folder: Path, tmp_path: Path) -> None:
    on_qemu = deployed(data_folder, tmp_path / "qemu", "kws", "qemu-m7", QemuTarget())
    on_emulator = deployed(data_folder, tmp_path / "emulator", "kws")
    assert on_qemu.bit_exact and on_emulator.bit_exact
    assert on_qemu.output_digest == on_emulator.output_digest
    assert (on_qemu.cycles, on_qemu.cycles_source, on_qemu.latency_s) == (None, None, None)


@pytest.mark.data
def test_two_runs_and_any_slices_give_the_same_measurement(data_folder: Path, tmp_path: Path) -> None:
    first = deployed(data_folder, tmp_path / "image", "kws")
    image, board = FirmwareImage.load(tmp_path / "image"), load_board(BOARD)
    for target in (EmulatorTarget(), EmulatorTarget(slice_instructions=9_973)):
        again = measure(image, board, target)
        assert (again.instructions, again.cycles, again.layers) == (first.instructions, first.cycles, first.layers)
        assert again.output_digest == first.output_digest


@pytest.mark.data
@pytest.mark.acceptance
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("board", ["nucleo-h7a3zi-q", "stm32h747i-disco", "stm32f746g-disco", "nucleo-l4r5zi", "qemu-m7"])
def test_every_model_gives_one_digest_everywhere(data_folder: Path, tmp_path: Path, model: str, board: str) -> None:
    reference = deployed(data_folder, tmp_path / "reference", model)
    measurement = deployed(data_folder, tmp_path / "other", model, board, create_target("qemu" if board == "qemu-m7" else "emulator"))
    assert reference.bit_exact and measurement.bit_exact
    assert measurement.output_digest == reference.output_digest


@pytest.mark.data
def test_a_cortex_m4_computes_the_same_bits_in_cycles_of_its_own(data_folder: Path, tmp_path: Path) -> None:
    measurement = deployed(data_folder, tmp_path / "image", "kws", "nucleo-l4r5zi")
    reference = deployed(data_folder, tmp_path / "reference", "kws")
    assert measurement.bit_exact and measurement.output_digest == reference.output_digest
    assert measurement.cycles is not None and reference.cycles is not None
    assert measurement.cycles > 1.5 * reference.cycles
    again = measure(FirmwareImage.load(tmp_path / "image"), load_board("nucleo-l4r5zi"), EmulatorTarget())
    assert again.layers == measurement.layers


def test_measuring_the_tiny_firmware(tiny: Any) -> None:
    measurement = measure(tiny.build(BOARD), load_board(BOARD), EmulatorTarget(), seed=5)
    assert measurement.bit_exact is None
    assert [layer.name for layer in measurement.layers] == ["half", "plus_one"]
    assert measurement.provenance["seed"] == 5
    other = measure(tiny.build(BOARD), load_board(BOARD), EmulatorTarget(), seed=6)
    assert other.output_digest != measurement.output_digest


def test_a_data_set_gives_accuracy_and_expected_latency(tiny: Any) -> None:
    samples = np.zeros((4, 600), np.float32)
    samples[np.arange(4), [3, 1, 4, 1]] = 100
    data = Samples("spikes", samples, np.array([3, 1, 4, 0]))
    exits = measure(tiny.build(BOARD), load_board(BOARD), EmulatorTarget(), data=data).exits
    assert exits is not None
    assert exits.counts == (4,)
    assert exits.accuracy == 0.75
    assert exits.cycles_to_exit[0] is not None and exits.expected_latency_s is not None
    assert exits.expected_latency_s == pytest.approx(exits.cycles_to_exit[0] / 480e6, rel=1e-3)


def test_data_sets_come_from_npz(tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    np.savez(path, x=np.ones((2, 3)), y=np.array([0, 1]))
    data = Samples.load(path)
    assert data.name == "some" and data.labels is not None and len(data.values) == 2
    np.savez(path, z=np.ones(2))
    with pytest.raises(InputError, match=r"some\.npz"):
        Samples.load(path)
    path.write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(InputError, match=r"some\.npz"):
        Samples.load(path)
    np.savez(path, x=np.array([{}], dtype=object))
    with pytest.raises(InputError, match=r"some\.npz"):
        Samples.load(path)
    with pytest.raises(InputError, match=r"none\.npz"):
        Samples.load(tmp_path / "none.npz")


def test_samples_become_inputs(tiny: Any) -> None:
    info = tiny.build(BOARD).manifest.inputs[0]
    pixels = np.arange(600, dtype=np.uint8).reshape(1, 20, 30)
    np.testing.assert_array_equal(Samples("pixels", pixels).inputs(info)[0][0].ravel(), pixels.ravel().astype(int) - 128)
    own = pixels.view(np.int8)
    np.testing.assert_array_equal(Samples("own", own).inputs(info)[0][0].ravel(), own.ravel())
    real = np.linspace(-140, 140, 600, dtype=np.float32).reshape(1, 600)
    np.testing.assert_array_equal(Samples("real", real).inputs(info)[0][0], np.clip(np.rint(real), -128, 127))
    with pytest.raises(InputError, match="int64"):
        Samples("wide", pixels.astype(np.int64)).inputs(info)
    with pytest.raises(InputError, match="shape"):
        Samples("small", pixels[:, :10]).inputs(info)


@pytest.mark.parametrize("content", [b"", b"junk", b"PK\x03\x04 not really"])
def test_what_is_no_data_set_is_said_in_our_words(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not an \\.npz") as caught:
        Samples.load(path)
    assert "np.savez" in caught.value.hint and "pickle" not in str(caught.value)
    array = tmp_path / "x.npy"
    np.save(array, np.zeros((2, 3)))
    with pytest.raises(InputError, match="one array"):
        Samples.load(array)
    np.savez(path, x=np.zeros((2, 3)), y=np.array([0.5, 1.0]))
    with pytest.raises(InputError, match="float64"):
        Samples.load(path)


PIXELS = TensorInfo("image", (1, 8, 4, 3), "int8", 1.0, -128, 96)
UNIT = TensorInfo("image", (1, 8, 4, 3), "int8", 1 / 255, -128, 96)


def test_real_numbers_in_another_range_than_the_input_are_refused() -> None:
    unit = np.random.default_rng(1).random((5, 8, 4, 3), np.float32)
    for info, good, bad in ((PIXELS, unit * 255, unit), (UNIT, unit, unit * 255)):
        assert len(Samples("good", good).inputs(info)) == 5
        for values in (bad, good.astype(np.float64), np.where(good > good.mean(), np.float32(np.nan), good)):
            with pytest.raises(InputError, match="x of bad") as caught:
                Samples("bad", values).inputs(info)
            assert "float32" in caught.value.hint and ("255" if info is PIXELS else "0 to 1") in caught.value.hint


def test_the_axes_of_images_keep_their_order() -> None:
    images = np.zeros((2, 8, 4, 3), np.int8)
    assert Samples("flat", images.reshape(2, -1)).inputs(PIXELS)[0][0].shape == (1, 8, 4, 3)
    with pytest.raises(InputError, match="shape") as caught:
        Samples("channels first", images.transpose(0, 3, 1, 2)).inputs(PIXELS)
    assert "(N, 8, 4, 3)" in caught.value.hint


@pytest.mark.parametrize("wrong", [-1, 600])
def test_a_class_that_the_model_does_not_have_is_refused(tiny: Any, wrong: int) -> None:
    data = Samples("classes", np.zeros((2, 600), np.int8), np.array([0, wrong]))
    with pytest.raises(InputError, match=f"class {wrong}"):
        measure(tiny.build(BOARD), load_board(BOARD), EmulatorTarget(), data=data)


def test_verification_inputs_are_extreme_random_and_seeded(tiny: Any) -> None:
    manifest = tiny.build(BOARD).manifest
    inputs = [tensors[0] for tensors in verification_inputs(manifest, seed=1)]
    assert len(inputs) >= 8
    assert any((values == -128).all() for values in inputs)
    assert any((values == 127).all() for values in inputs)
    assert sum(len(np.unique(values)) > 100 for values in inputs) >= 4
    again = [tensors[0] for tensors in verification_inputs(manifest, seed=1)]
    other = [tensors[0] for tensors in verification_inputs(manifest, seed=2)]
    assert all(np.array_equal(one, two) for one, two in zip(inputs, again, strict=True))
    assert not all(np.array_equal(one, two) for one, two in zip(inputs, other, strict=True))


def test_the_first_difference_is_named(tiny: Any) -> None:
    manifest = tiny.build(BOARD).manifest
    expected = [(np.zeros((1, 600), np.int8),)] * 2
    got = [(np.zeros((1, 600), np.int8),), (np.zeros((1, 600), np.int8),)]
    assert first_difference(manifest, expected, got) is None
    got[1][0][0, 17] = 5
    got[1][0][0, 99] = 5
    difference = first_difference(manifest, expected, got)
    assert difference is not None
    assert "output output of inference 1 differs first at index 17: 5, the reference has 0 (2 of 600" in difference
    assert "not written" in (first_difference(manifest, expected[:1], [(None,)]) or "")


class WrongByte:
    """A target that gets one byte wrong."""

    name = "emulator"

    def run(self, *arguments: Any, **options: Any) -> TargetRun:
        run = EmulatorTarget().run(*arguments, **options)
        outputs = run.inferences[3].outputs[0]
        assert outputs is not None
        changed = outputs.copy()
        changed.flat[2] ^= 1
        inferences = list(run.inferences)
        inferences[3] = replace(inferences[3], outputs=(changed,))
        return replace(run, inferences=tuple(inferences))


@pytest.mark.data
def test_one_wrong_bit_is_not_bit_exact(data_folder: Path, tmp_path: Path) -> None:
    measurement = deployed(data_folder, tmp_path / "image", "kws", target=WrongByte())
    assert measurement.bit_exact is False
    assert "inference 3 differs first at index 2" in str(measurement.first_difference)


@pytest.mark.data
def test_another_models_reference_is_refused(data_folder: Path, tiny: Any) -> None:
    reference = ReferenceModel.load(data_folder / "tflite" / MODELS["kws"])
    with pytest.raises(CheckFailedError, match="input"):
        measure(tiny.build(BOARD), load_board(BOARD), EmulatorTarget(), reference)


def test_board_and_target_must_fit(tiny: Any) -> None:
    image = tiny.build(BOARD)
    with pytest.raises(InputError, match="is for board nucleo-h743zi2, not qemu-m7"):
        measure(image, load_board("qemu-m7"), QemuTarget())
    with pytest.raises(InputError, match=r"does not run on target qemu"):
        measure(image, load_board(BOARD), QemuTarget())
    with pytest.raises(InputError, match=r"unknown target 'oven'"):
        create_target("oven")


@pytest.mark.data
def test_a_model_that_does_not_fit_leaves_nothing_behind(data_folder: Path, tmp_path: Path) -> None:
    board = load_board(BOARD)
    memories = {
        name: memory.model_copy(update={"size": 16_384}) if memory.kind == "ram" else memory for name, memory in board.memories.items()
    }
    with pytest.raises(DoesNotFitError, match="bytes"):
        deploy(data_folder / "tflite" / MODELS["vww"], board.model_copy(update={"memories": memories}), EmulatorTarget(), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"TFL3", bytes(1000)])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError):
        deploy(path, load_board(BOARD), EmulatorTarget(), tmp_path / "out")
    assert [entry.name for entry in tmp_path.iterdir()] == ["bad.tflite"]

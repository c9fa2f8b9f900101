"""The reference interpreter on files of others."""

import sys
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from hilnas.errors import InputError, ModelError
from hilnas.tflite.reference import ReferenceModel

sys.path.insert(0, str(Path(__file__).parents[1] / "firmware"))
from tflite_builder import ModelBuilder

MODELS = (
    "mlperf_tiny/ic_resnet8_int8",
    "mlperf_tiny/kws_dscnn_int8",
    "mlperf_tiny/str_ww_ref_model",
    "tflm/hello_world_int8",
    "tflm/micro_speech_quantized",
    "tflm/person_detect",
    "tinyengine/mcunet-vww1",
)


@pytest.fixture(scope="module")
def models(data_folder):
    return data_folder / "tflite"


def random_inputs(model: ReferenceModel, seed: int = 0):
    rng = np.random.default_rng(seed)
    limits = (np.iinfo(edge.dtype) for edge in model.inputs)
    return [rng.integers(limit.min, limit.max + 1, edge.shape).astype(edge.dtype) for edge, limit in zip(model.inputs, limits, strict=True)]


@pytest.mark.parametrize("name", MODELS)
def test_published_models_run_with_int8_edges(models, name):
    model = ReferenceModel.load(models / f"{name}.tflite")
    outputs = model.run(*random_inputs(model))
    assert all(edge.dtype == np.int8 for edge in (*model.inputs, *model.outputs))
    assert [output.shape for output in outputs] == [edge.shape for edge in model.outputs]
    assert np.array_equal(outputs[0], model.run(*random_inputs(model))[0])


def test_float_edges_are_the_int8_tensors_behind_them(models):
    """mcunet-vww1 has float32 edges: what we give and get in int8 is what a user gives and gets in float."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    path = models / "tinyengine/mcunet-vww1.tflite"
    model = ReferenceModel.load(path)
    image = random_inputs(model)[0]
    plain = Interpreter(model_path=str(path), experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    plain.allocate_tensors()
    entry, result = plain.get_input_details()[0], plain.get_output_details()[0]
    assert entry["dtype"] is np.float32
    plain.set_tensor(entry["index"], model.inputs[0].dequantise(image).astype(np.float32))
    plain.invoke()
    np.testing.assert_allclose(model.dequantise(model.run(image))[0], plain.get_tensor(result["index"]), rtol=1e-6)


def test_every_input_value_passes_a_float_edge_exactly(models):
    model = ReferenceModel.load(models / "tinyengine/mcunet-vww1.tflite")
    edge = model.inputs[0]
    image = np.resize(np.arange(-128, 128, dtype=np.int8), edge.shape)
    model.run(image)
    assert np.array_equal(model.tensor(edge.tensor), image)


def test_a_batch_is_the_single_runs(models):
    model = ReferenceModel.load(models / "mlperf_tiny/kws_dscnn_int8.tflite")
    batch = np.concatenate([random_inputs(model, seed)[0] for seed in range(3)])
    outputs = model.run_batch(batch)[0]
    assert outputs.shape == (3, 12)
    assert all(np.array_equal(outputs[i : i + 1], model.run(batch[i : i + 1])[0]) for i in range(3))


def test_quantising_what_was_dequantised_gives_it_back(models):
    for edge in ReferenceModel.load(models / "mlperf_tiny/ic_resnet8_int8.tflite").outputs:
        values = np.arange(-128, 128).astype(np.int8)
        assert np.array_equal(edge.quantise(edge.dequantise(values)), values)
        assert edge.quantise(np.array([1e9, -1e9])).tolist() == [127, -128]


def test_tensors_of_another_kind_are_refused(models):
    model = ReferenceModel.load(models / "mlperf_tiny/kws_dscnn_int8.tflite")
    image = random_inputs(model)[0]
    for wrong in ((), (image, image), (image.astype(np.float32),), (image[:, 1:],)):
        with pytest.raises(InputError):
            model.run(*wrong)


def test_damaged_files_are_refused(models):
    content = (models / "mlperf_tiny/kws_dscnn_int8.tflite").read_bytes()
    for damaged in (b"", content[:100], content[: len(content) // 2], b"\0" * 1000, np.random.default_rng(0).bytes(5000)):
        with pytest.raises(ModelError):
            ReferenceModel(damaged)


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError):
        ReferenceModel.load(tmp_path / "none.tflite")


def averages(dimension: int) -> bytes:
    """A fully connected layer whose bias names a quantised dimension, and the mean of the image, which is one number."""
    builder = ModelBuilder()
    image, row = builder.tensor((1, 2, 2, 3), scale=0.1, zero_point=20), builder.tensor((1, 3), scale=0.1)
    mean, out = builder.tensor((), scale=0.05, zero_point=-7), builder.tensor((1, 2), scale=0.1)
    builder.operator("MEAN", [image, builder.constant([0, 1, 2, 3])], [mean], keepDims=False)
    filters = builder.tensor((2, 3), scale=0.01, data=np.arange(6).reshape(2, 3))
    bias = builder.tensor((2,), "int32", scale=0.001, data=np.array([100, -200]), axis=dimension)
    builder.operator("FULLY_CONNECTED", [row, filters, bias], [out])
    return builder.build([image, row], [mean, out])


@pytest.mark.parametrize("dimension", [1, 7, -1])
def test_a_quantised_dimension_that_is_not_there_changes_nothing_else(dimension):
    """The interpreter takes no such file: that one number gives way, and every other tensor keeps its quantisation."""
    right, wrong = ReferenceModel(averages(0)), ReferenceModel(averages(dimension))
    for seed in range(3):
        values = random_inputs(right, seed)
        for one, other in zip(right.run(*values), wrong.run(*values), strict=True):
            np.testing.assert_array_equal(one, other)


def packed(model: schema.ModelT) -> bytes:
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def test_what_the_interpreter_notices_only_later_is_an_error_of_the_model():
    """A name that is no text and an input that is no tensor, when it is asked for them; a constant whose values are gone, when it runs."""
    content = averages(0)
    with pytest.raises(ModelError, match="refuses the model"):
        ReferenceModel(content.replace(b"t3\0", b"\xff\xff\0"))
    absent, hollow = (schema.ModelT.InitFromPackedBuf(content, 0) for _ in range(2))
    absent.subgraphs[0].inputs = np.array([-1, 1], np.int32)
    with pytest.raises(ModelError, match="refuses the model"):
        ReferenceModel(packed(absent))
    hollow.buffers[hollow.subgraphs[0].tensors[4].buffer].data = None
    model = ReferenceModel(packed(hollow), "hollow.tflite")
    with pytest.raises(ModelError, match=r"refuses hollow\.tflite"):
        model.run(*random_inputs(model))

"""Int8 TensorFlow Lite files: the mirror of a torch module, quantised by TensorFlow's converter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from hilnas.errors import BuildError
from hilnas.export.mirror import Mirror
from hilnas.export.quiet import quiet
from hilnas.tflite.exits import named_exits, write_exits


def to_int8_tflite(module: nn.Module, calibration: NDArray[np.float32], thresholds: Sequence[float]) -> bytes:
    """The module as an int8 .tflite: int8 in and out, weights per channel, outputs exit_0 .. exit_n and logits by signature.

    `calibration` (N, H, W, C) are the images that ranges are taken from. `thresholds` has one entropy in nats for every output
    but the last. The same module and images give the same bytes.

    Raises:
        InputError: the module has layers that cannot be exported.
        BuildError: the converter failed.
    """
    mirror = Mirror(module)
    with quiet() as log:
        import tensorflow as tf

        names = named_exits(thresholds).output_names
        specification = tf.TensorSpec((1, *calibration.shape[1:]), tf.float32, name="image")
        holder = tf.Module()
        holder.infer = tf.function(lambda image: dict(zip(names, mirror(image), strict=True)), input_signature=[specification])
        function = holder.infer.get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function], holder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[None]] for image in calibration)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        try:
            content: bytes = converter.convert()
        except (tf.errors.OpError, ValueError, RuntimeError, _converter_error()) as error:
            raise BuildError(f"TensorFlow's converter failed: {error}\n{log()[-2000:]}", "Report it with the network.") from error
    return write_exits(content, named_exits(thresholds))


def _converter_error() -> Any:
    from tensorflow.lite.python.convert import ConverterError

    return ConverterError

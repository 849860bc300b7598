"""Warm-up requests: TensorFlow Serving sends them to a version before real ones, which then do not wait for the first trace.

Format: a TFRecord file of `PredictionLog` at `assets.extra/tf_serving_warmup_requests`, at most 1,000 of them
(https://www.tensorflow.org/tfx/serving/saved_model_warmup).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfl.export.golden import golden_images

FILE = "tf_serving_warmup_requests"
_BATCHES = (1, 8)


def write_warmup(folder: Path, *, name: str, size: tuple[int, int]) -> Path:
    """Writes the requests into `assets.extra`: JPEG, PNG and both in one batch, and pixels.

    Args:
        folder: `assets.extra` of a version; exists.
        name: What the requests call the model.
        size: (height, width) of the signature `pixels`.

    Returns:
        The file.
    """
    with tf.io.TFRecordWriter(str(folder / FILE)) as writer:
        for log in _logs(name, size):
            writer.write(log.SerializeToString())
    return folder / FILE


def _logs(name: str, size: tuple[int, int]) -> Iterator[Any]:
    images = golden_images()
    jpeg, png = images["jpeg-rgb-large.jpg"], images["png-rgb-wide.png"]
    for contents in ([jpeg], [png], [jpeg, png] * (_BATCHES[-1] // 2)):
        yield _log(name, "serving_default", {"image_bytes": tf.make_tensor_proto(contents, tf.string)})
    for count in _BATCHES:
        yield _log(name, "pixels", {"pixels": _grey(count, size)})


def _grey(count: int, size: tuple[int, int]) -> Any:
    """A tensor all of one value, which a TensorProto keeps as one number."""
    proto = tf.make_tensor_proto(0.0, tf.float32, (count, *size, 3))
    proto.ClearField("tensor_content")
    del proto.float_val[:]
    proto.float_val.append(127.0)
    return proto


def _log(name: str, signature: str, inputs: dict[str, Any]) -> Any:
    from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

    request = predict_pb2.PredictRequest(model_spec=model_pb2.ModelSpec(name=name, signature_name=signature))
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(value)
    return prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))

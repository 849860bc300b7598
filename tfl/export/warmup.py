"""Warm-up requests: TensorFlow Serving sends them to a version before real ones, which then do not wait for the first trace.

Format: a TFRecord file of `PredictionLog` at `assets.extra/tf_serving_warmup_requests`, at most 1,000 of them
(https://www.tensorflow.org/tfx/serving/saved_model_warmup).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfl.export.shipment import Shipment

FILE = "tf_serving_warmup_requests"
_BATCHES = (1, 8)


def write_warmup(folder: Path, shipment: Shipment, *, name: str) -> Path:
    """Writes the requests into `assets.extra`: contents one by one and in one batch, and tensors.

    Args:
        folder: `assets.extra` of a version; exists.
        shipment: What was exported.
        name: What the requests call the model.

    Returns:
        The file.
    """
    with tf.io.TFRecordWriter(str(folder / FILE)) as writer:
        for log in _logs(shipment, name):
            writer.write(log.SerializeToString())
    return folder / FILE


def _logs(shipment: Shipment, name: str) -> Iterator[Any]:
    golden, shipping, modality = shipment.shipping.golden(), shipment.shipping, shipment.modality
    contents = [golden[one] for one in shipping.warm_up]
    for some in ([contents[0]], [contents[1]], contents * (_BATCHES[-1] // 2)):
        yield _log(name, "serving_default", {modality.content_input: tf.make_tensor_proto(some, tf.string)})
    for count in _BATCHES:
        tensors = {one: _constant((count, *spec.shape), spec.dtype) for one, spec in modality.spec().items()}
        yield _log(name, shipping.tensor_signature, tensors)


def _constant(shape: tuple[int | None, ...], dtype: str) -> Any:
    """A tensor all of one value, which a TensorProto keeps as one number."""
    kind = tf.as_dtype(dtype)
    proto = tf.make_tensor_proto(0, kind, shape)
    proto.ClearField("tensor_content")
    values = proto.float_val if kind.is_floating else proto.int_val
    del values[:]
    values.append(127.0 if kind.is_floating else 1)
    return proto


def _log(name: str, signature: str, inputs: dict[str, Any]) -> Any:
    from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

    request = predict_pb2.PredictRequest(model_spec=model_pb2.ModelSpec(name=name, signature_name=signature))
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(value)
    return prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))

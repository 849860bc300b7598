"""LiteRT (`.tflite`): float32, float16 weights, and int8 whose ranges come from training images. One image at a time.

Keras writes it (`model.export(format="litert")`). In int8, all from the pooled features on stays float32: the head, the
probabilities and what confidence adds. `benchmarks/parity.py` measures both ways; quantised, a probability is one of 256 steps,
and which classes are in the prediction set changes for many images.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from tfl.errors import ExportError
from tfl.export.half import in_half
from tfl.export.shipment import Shipment
from tfl.export.trial import Trial
from tfl.model.head import POOL

if TYPE_CHECKING:
    from numpy.typing import NDArray

REPRESENTATIVE = 200
"""Training images that the ranges of int8 come from."""
TRIED = 64
"""Of these, and beside the golden images, those on which the weights that stay float32 are chosen."""
_FLOAT_FROM = re.compile(rf"(^|/){POOL}(_\d+)?(/|$)")


def file_of(quantized: str) -> str:
    """The name of the file with such weights.

    Example:

    >>> from tfl.export.litert import file_of
    >>> file_of("float16")
    'model_float16.tflite'
    """
    return f"model_{quantized}.tflite"


def fill_litert(shipment: Shipment, folder: Path, *, weights: str) -> tuple[str, ...]:
    """Writes the file with such weights and returns its name.

    Args:
        shipment: What is written.
        folder: Where.
        weights: One of `tfl.export.kinds.QUANTIZED`.

    Raises:
        ExportError: The network has an operation that LiteRT lacks, or int8 has no images to look at.
    """
    writers = {"float32": _write_float32, "float16": _write_float16, "int8": _write_int8}
    try:
        writers[weights](shipment, folder / file_of(weights))
    except (ExportError, OSError):
        raise
    except Exception as error:  # the converter raises its own kinds, by what it lacks
        raise ExportError(f"This model cannot be written as LiteRT {weights}: {_first_lines(error)}") from error
    return (file_of(weights),)


def _write_float32(shipment: Shipment, file: Path) -> None:
    _export(shipment, file, {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]})


def _write_float16(shipment: Shipment, file: Path) -> None:
    _write_float32(shipment, file)
    file.write_bytes(in_half(file.read_bytes(), _images_to_try(shipment)))


def _images_to_try(shipment: Shipment) -> NDArray[np.uint8]:
    """The golden images and some training images: what weights are chosen on. The test split is not among them."""
    golden = np.concatenate([pixels for _, pixels in Trial.of(shipment.data).pixels()]).astype(np.uint8)
    return golden if shipment.representative is None else np.concatenate([golden, shipment.representative[:TRIED]])


def _write_int8(shipment: Shipment, file: Path, *, float_tail: bool = True) -> None:
    """Calibrated first, then quantised, so that a part can be named that is left as it is.

    Keras' exporter does both in one step and quantises all; `QuantizationDebugger` takes the same two steps as here.
    """
    from tensorflow.lite.python.convert import mlir_quantize

    images = shipment.representative
    if images is None or not len(images):
        raise ExportError(
            "LiteRT int8 needs images of the run's training data, and there are none.",
            fix="Put the data back, name where it is with --data SOURCE, or leave it out: --quantize float32 --quantize float16",
        )

    def look_at() -> Iterator[list[np.ndarray]]:
        for image in images:
            yield [np.asarray(image, np.float32)[None]]

    _export(
        shipment,
        file,
        {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS_INT8, tf.lite.OpsSet.TFLITE_BUILTINS]},
        optimizations=[tf.lite.Optimize.DEFAULT],
        representative_dataset=look_at,
        _experimental_calibrate_only=True,
    )
    calibrated = file.read_bytes()
    file.write_bytes(mlir_quantize(calibrated, denylisted_nodes=_tail(calibrated) if float_tail else None))


def _tail(calibrated: bytes) -> list[str]:
    """The outputs of every operation from the pooled features on; none where the model has no head of tfl's.

    Operations are in order, and all that the head reads runs through one tensor.
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=calibrated)
    names = {tensor["index"]: tensor["name"] for tensor in interpreter.get_tensor_details()}
    made = [names[output] for operation in interpreter._get_ops_details() for output in operation["outputs"] if output in names]
    starts = [at for at, name in enumerate(made) if any(map(_FLOAT_FROM.search, name.split(";")))]
    return made[starts[0] :] if starts else []


def _export(shipment: Shipment, file: Path, target_spec: dict[str, Any], **options: Any) -> None:
    height, width = shipment.data.settled_size
    pixels = keras.InputSpec(shape=(1, height, width, 3), dtype="float32", name="pixels")
    shipment.answer.export(file, format="litert", verbose=False, input_signature=[pixels], target_spec=target_spec, **options)


def _first_lines(error: Exception) -> str:
    return " ".join(str(error).strip().splitlines()[:3])[:500] or type(error).__name__

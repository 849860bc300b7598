"""LiteRT (`.tflite`): float32, float16 weights, and int8 whose ranges come from training images. One image at a time.

Keras writes it (`model.export(format="litert")`). What float16 or int8 would change too much stays float32: see `tfl.export.half`
and `tfl.export.int8`; `benchmarks/parity.py` measures what that comes to.
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
from tfl.export.int8 import in_int8, quantise
from tfl.export.shipment import PROBABILITIES, Shipment
from tfl.export.trial import Trial

if TYPE_CHECKING:
    from numpy.typing import NDArray

REPRESENTATIVE = 200
"""Training images that the ranges of int8 come from."""
TRIED = 64
"""Of these, and beside the golden images, those on which the weights that stay float32 are chosen."""


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
        raise ExportError(f"This model cannot be written as LiteRT {weights}: {_reason(error)}") from error
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
    """Calibrated first, then quantised, so that parts can be named that are left as they are.

    Keras' exporter does both in one step and quantises all; `QuantizationDebugger` takes the same two steps as here.
    """
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
    if not float_tail:
        file.write_bytes(quantise(calibrated, []))
        return
    tried = images[:TRIED]
    expected = np.concatenate([shipment.answer(image[None].astype(np.float32))[PROBABILITIES] for image in tried])
    file.write_bytes(in_int8(calibrated, tried, expected))


def _export(shipment: Shipment, file: Path, target_spec: dict[str, Any], **options: Any) -> None:
    height, width = shipment.data.settled_size
    pixels = keras.InputSpec(shape=(1, height, width, 3), dtype="float32", name="pixels")
    shipment.answer.export(file, format="litert", verbose=False, input_signature=[pixels], target_spec=target_spec, **options)


def _reason(error: Exception) -> str:
    """The operations that LiteRT lacks, where that is why; otherwise how the converter's message begins."""
    if missing := sorted(set(re.findall(r"'tf\.(\w+)' op is neither", str(error)))):
        return f"LiteRT has no operation {', '.join(missing)}"
    return " ".join(str(error).strip().splitlines()[:3])[:500] or type(error).__name__

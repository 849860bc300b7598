"""LiteRT (`.tflite`): float32, float16 weights, and int8 whose ranges come from training examples. One example at a time.

Keras writes it (`model.export(format="litert")`). What float16 or int8 would change too much stays float32: see `tfl.export.half`
and `tfl.export.int8`; `benchmarks/parity.py` measures what that comes to.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfl.backbones.inputs import count_of, joined, rows_of
from tfl.errors import ExportError
from tfl.export.half import in_half
from tfl.export.int8 import in_int8, quantise
from tfl.export.shipment import Shipment
from tfl.export.trial import as_taken, decoder

if TYPE_CHECKING:
    from tfl.modalities.base import Tensors

REPRESENTATIVE = 200
"""Training examples that the ranges of int8 come from."""
TRIED = 64
"""Of these, and next to the golden contents, those on which the weights that stay float32 are chosen."""


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
        ExportError: The network has an operation that LiteRT lacks, or int8 has no examples to look at.
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
    file.write_bytes(
        in_half(file.read_bytes(), _tensors_to_try(shipment), outputs=shipment.task.compared_outputs, numbers=shipment.of_numbers)
    )


def _tensors_to_try(shipment: Shipment) -> Tensors:
    """Those of the golden contents and of some training examples, on which weights are chosen; none is of the test split."""
    golden = decoder(shipment.modality)(list(shipment.shipping.golden().values()))
    if shipment.representative is None:
        return golden
    return joined([golden, as_taken(rows_of(shipment.representative, slice(TRIED)), shipment.modality)])


def _write_int8(shipment: Shipment, file: Path, *, float_tail: bool = True) -> None:
    """Calibrated first, then quantised, so that parts can be named that are left as they are.

    Keras' exporter does both in one step and quantises all; `QuantizationDebugger` takes the same two steps as here.
    """
    stored = shipment.representative
    if stored is None or not count_of(stored):
        raise ExportError(
            f"LiteRT int8 needs {shipment.modality.nouns} of the run's training data, and there are none.",
            fix="Put the data back, name where it is with --data SOURCE, or leave it out: --quantize float32 --quantize float16",
        )
    tensors = as_taken(stored, shipment.modality)

    def look_at() -> Iterator[Any]:
        for at in range(count_of(tensors)):
            one = rows_of(tensors, slice(at, at + 1))
            yield one if isinstance(one, dict) else [one]

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
    tried = rows_of(tensors, slice(TRIED))
    singly = [shipment.answer(rows_of(tried, slice(at, at + 1))) for at in range(count_of(tried))]
    expected = np.concatenate([np.concatenate([one[name] for name in shipment.task.compared_outputs], axis=1) for one in singly])
    file.write_bytes(in_int8(calibrated, tried, expected, outputs=shipment.task.compared_outputs, numbers=shipment.of_numbers))


def _export(shipment: Shipment, file: Path, target_spec: dict[str, Any], **options: Any) -> None:
    signature = shipment.input_signature(batch=1)
    shipment.answer.export(file, format="litert", verbose=False, input_signature=signature, target_spec=target_spec, **options)


def _reason(error: Exception) -> str:
    """The operations that LiteRT lacks, where that is why; otherwise how the converter's message begins."""
    if missing := sorted(set(re.findall(r"'tf\.(\w+)' op is neither", str(error)))):
        return f"LiteRT has no operation {', '.join(missing)}"
    return " ".join(str(error).strip().splitlines()[:3])[:500] or type(error).__name__

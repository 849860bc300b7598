"""ONNX, by Keras and tf2onnx: any number of examples at a time, outputs by name."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import keras

from tfl.errors import ExportError
from tfl.export.shipment import Shipment

FILE = "model.onnx"


def fill_onnx(shipment: Shipment, folder: Path) -> tuple[str, ...]:
    """Writes `model.onnx` and returns its name.

    Raises:
        ExportError: The network has an operation that ONNX lacks.
    """
    import onnx

    with _quietly(), _constants(shipment.answer):
        try:
            shipment.answer.export(folder / FILE, format="onnx", verbose=False, input_signature=shipment.input_signature())
            onnx.checker.check_model(str(folder / FILE))
        except OSError:
            raise
        except Exception as error:  # tf2onnx raises a dozen kinds, by what it lacks
            raise ExportError(f"This model cannot be written as ONNX: {' '.join(str(error).split())[:500]}") from error
    return (FILE,)


@contextlib.contextmanager
def _constants(model: keras.Model) -> Iterator[None]:
    """With the mean and variance of each `Normalization` as constants: tf2onnx takes tensors outside of the graph for inputs."""
    layers = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Normalization)]
    before = [(layer.mean, layer.variance) for layer in layers]
    try:
        for layer, (mean, variance) in zip(layers, before, strict=True):
            layer.mean, layer.variance = keras.ops.convert_to_numpy(mean), keras.ops.convert_to_numpy(variance)
        yield
    finally:
        for layer, (mean, variance) in zip(layers, before, strict=True):
            layer.mean, layer.variance = mean, variance


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Without what tf2onnx tells on its way."""
    loggers = [logging.getLogger(name) for name in ("tf2onnx", "tf2onnx.tfonnx", "tf2onnx.optimizer", "tf2onnx.tf_loader")]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)

"""A SavedModel that needs TensorFlow and nothing else: bytes in, label out, the labels inside the graph.

    <folder>/saved_model/1/
        saved_model.pb, variables/     the graph: decode, resize, preprocess, network, labels
        assets/labels.txt              a class a line, in the order of the probabilities
        assets.extra/tfl.json          image size, fit, class names, and where the model came from

The signature `serving_default` takes `image_bytes`, the content of image files, so that TensorFlow Serving's REST
`{"b64": …}` works; `pixels` takes float32 RGB in 0..255 at the network's size. Both give `label`, `probabilities` and
`labels`. Format: https://www.tensorflow.org/guide/saved_model
"""

from __future__ import annotations

import errno
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tfl import __version__
from tfl.data.pipeline import preprocess_batch
from tfl.errors import ExportError
from tfl.recipe import Data
from tfl.storage import finite, write_folder_atomically

VERSION = "1"
ABOUT_FILE = Path("assets.extra") / "tfl.json"
LABELS_FILE = "labels.txt"


class ServedModel(tf.Module):
    """A Keras model with its decoding before it and its labels behind it, as plain TensorFlow functions.

    Args:
        model: From pixels, `(batch, height, width, 3)` float32 in 0..255, to probabilities `(batch, classes)`.
        class_names: One a column of the probabilities.
        data: Says the image size and the fit.
        labels_file: Becomes an asset of the SavedModel; its content is one label a line.
    """

    def __init__(self, model: keras.Model, *, class_names: Sequence[str], data: Data, labels_file: Path | None = None) -> None:
        super().__init__(name="tfl")
        # Only the variables are tracked, not the Keras objects: the SavedModel must not ask for Keras when it is loaded.
        self.weights = [variable.value for variable in model.variables]
        if labels_file is not None:
            self.labels_file = tf.saved_model.Asset(str(labels_file))
        height, width = data.image_size
        names = [name.encode() for name in class_names]

        def answer(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
            probabilities = tf.cast(model(pixels, training=False), tf.float32)
            labels = tf.constant(names)
            return {
                "label": tf.gather(labels, tf.argmax(probabilities, axis=-1)),
                "probabilities": probabilities,
                "labels": tf.broadcast_to(labels, tf.shape(probabilities)),
            }

        def from_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
            return answer(preprocess_batch(image_bytes, data.image_size, data.fit))

        bytes_spec = tf.TensorSpec([None], tf.string, name="image_bytes")
        pixels_spec = tf.TensorSpec([None, height, width, 3], tf.float32, name="pixels")
        self.from_bytes = tf.function(from_bytes, input_signature=[bytes_spec], autograph=False)
        self.from_pixels = tf.function(answer, input_signature=[pixels_spec], autograph=False)


def export_saved_model(
    model: keras.Model, *, class_names: Sequence[str], data: Data, folder: Path, metadata: Mapping[str, Any] | None = None
) -> Path:
    """Writes `folder/saved_model/1`, whole or not at all.

    Args:
        model: From pixels in 0..255 to probabilities, its last axis in the order of `class_names`.
        class_names: The labels, which travel inside.
        data: The recipe's data: image size and fit become part of the graph.
        folder: The export folder; an older version 1 in it is replaced.
        metadata: Plain values kept beside the graph, in `assets.extra/tfl.json`.

    Returns:
        The folder of the version, which `tf.saved_model.load` takes.

    Raises:
        ExportError: The model does not fit the labels or the image size, or TensorFlow could not write it.
        StorageError: The disk is full, read-only or not permitted.
    """
    _check_fits(model, class_names, data)
    target = Path(folder) / "saved_model" / VERSION
    about = {
        "format": 1,
        "tfl": __version__,
        "class_names": list(class_names),
        "image_size": list(data.image_size),
        "fit": data.fit,
        **(metadata or {}),
    }

    def fill(scratch: Path) -> None:
        with tempfile.TemporaryDirectory() as elsewhere:
            labels = Path(elsewhere) / LABELS_FILE
            labels.write_text("".join(f"{name}\n" for name in class_names), encoding="utf-8")
            _save(ServedModel(model, class_names=class_names, data=data, labels_file=labels), scratch)
        (scratch / ABOUT_FILE).parent.mkdir()
        (scratch / ABOUT_FILE).write_text(json.dumps(finite(about), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    return write_folder_atomically(target, fill)


def _save(served: ServedModel, folder: Path) -> None:
    signatures = {
        "serving_default": served.from_bytes.get_concrete_function(),
        "pixels": served.from_pixels.get_concrete_function(),
    }
    try:
        tf.saved_model.save(served, str(folder), signatures=signatures)
    except tf.errors.ResourceExhaustedError as error:  # TensorFlow's word for a full disk
        raise OSError(errno.ENOSPC, str(error), str(folder)) from error
    except (tf.errors.OpError, ValueError, AssertionError) as error:
        raise ExportError(
            f"TensorFlow could not write this model as a SavedModel: {error}",
            fix="A layer that runs Python code cannot be exported; use layers made of TensorFlow operations.",
        ) from error


def _check_fits(model: keras.Model, class_names: Sequence[str], data: Data) -> None:
    if len(set(class_names)) < len(class_names):
        raise ExportError("Two classes share a name.", received=list(class_names))
    outputs = model.output_shape[-1]
    if outputs != len(class_names):
        raise ExportError(
            "The model has another number of outputs than there are labels.",
            received=f"{outputs} outputs",
            allowed=f"{len(class_names)} labels",
        )
    sides = model.input_shape[1:3]
    if any(side not in (None, given) for side, given in zip(sides, data.image_size, strict=True)):
        raise ExportError("The model takes another image size.", received=data.image_size, allowed=str(sides))

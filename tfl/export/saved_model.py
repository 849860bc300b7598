"""A SavedModel that needs TensorFlow and nothing else: bytes in, label out, the labels inside the graph.

    <folder>/saved_model/1/
        saved_model.pb, variables/     the graph: decode, resize, preprocess, network, labels
        assets/labels.txt              one class per line, in the order of the probabilities
        assets.extra/tfl.json          image size, fit, class names, and where the model came from
        assets.extra/tf_serving_warmup_requests
        README.md

The signature `serving_default` takes `image_bytes`, the content of image files, so that TensorFlow Serving's REST
`{"b64": …}` works; `pixels` takes float32 RGB in 0..255 at the network's size. Both give `label`, `probabilities` and
`labels`, and what confidence adds. Format: https://www.tensorflow.org/guide/saved_model
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tfl.errors import ExportError
from tfl.export.kinds import LABELS_FILE, README_FILE
from tfl.export.readme import readme
from tfl.export.shipment import PROBABILITIES, Shipment, prepare
from tfl.export.warmup import write_warmup
from tfl.modalities.image.resize import preprocess_batch
from tfl.recipe import Data
from tfl.storage import write_folder_atomically

VERSION = 1
ABOUT_FILE = Path("assets.extra") / "tfl.json"


class ServedModel(tf.Module):
    """A Keras model with its decoding before it and its labels behind it, as plain TensorFlow functions.

    Args:
        shipment: The model in float32 with its outputs, its labels, and how images are read.
        labels_file: Becomes an asset of the SavedModel; its content is one label a line.
    """

    def __init__(self, shipment: Shipment, *, labels_file: Path | None = None) -> None:
        super().__init__(name="tfl")
        model, data = shipment.answer, shipment.data
        # Only the variables are tracked, not the Keras objects: the SavedModel must not ask for Keras when it is loaded.
        self.weights = [variable.value for variable in model.variables]
        if labels_file is not None:
            self.labels_file = tf.saved_model.Asset(str(labels_file))
        height, width = data.settled_size
        names = [name.encode() for name in shipment.class_names]

        def answer(pixels: tf.Tensor) -> dict[str, tf.Tensor]:
            outputs = model(pixels, training=False)
            probabilities, labels = outputs[PROBABILITIES], tf.constant(names)
            return {
                **outputs,
                "label": tf.gather(labels, tf.argmax(probabilities, axis=-1)),
                "labels": tf.broadcast_to(labels, tf.shape(probabilities)),
            }

        def from_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
            return answer(preprocess_batch(image_bytes, data.settled_size, data.fit, data.bits))

        bytes_spec = tf.TensorSpec([None], tf.string, name="image_bytes")
        pixels_spec = tf.TensorSpec([None, height, width, 3], tf.float32, name="pixels")
        self.from_bytes = tf.function(from_bytes, input_signature=[bytes_spec], autograph=False)
        self.from_pixels = tf.function(answer, input_signature=[pixels_spec], autograph=False)


def export_saved_model(
    model: keras.Model,
    *,
    class_names: Sequence[str],
    data: Data,
    folder: Path,
    metadata: Mapping[str, Any] | None = None,
    version: int = VERSION,
) -> Path:
    """Writes `folder/saved_model/<version>`, whole or not at all: `write_export` without confidence and certificate.

    Args:
        model: From pixels in 0..255 to probabilities, its last axis in the order of `class_names`.
        class_names: The labels, which travel inside.
        data: The recipe's data: image size and fit become part of the graph.
        folder: The export folder; the same version in it is replaced.
        metadata: Plain values kept beside the graph, in `assets.extra/tfl.json`.
        version: A number; TensorFlow Serving takes the highest.

    Returns:
        The folder of the version, which `tf.saved_model.load` takes.

    Raises:
        ExportError: The model does not fit the labels or the image size, or TensorFlow could not write it.
        StorageError: The disk is full, read-only or not permitted.
    """
    shipment = prepare(model, class_names=class_names, data=data, metadata=metadata)
    return write_folder_atomically(version_folder(folder, version), lambda scratch: fill_saved_model(shipment, scratch))


def version_folder(folder: Path, version: int) -> Path:
    """Where a version lies below an export folder.

    Raises:
        ExportError: It is no number that TensorFlow Serving takes.
    """
    if not 1 <= version < 2**63:
        raise ExportError("A version is a whole number.", received=version, allowed="1 or more")
    return Path(folder) / "saved_model" / str(version)


def next_version(folder: Path) -> int:
    """The number after the highest that is there; 1 where there is none."""
    versions = [int(entry.name) for entry in (Path(folder) / "saved_model").glob("[0-9]*") if entry.name.isdecimal()]
    return max(versions, default=0) + 1


def fill_saved_model(shipment: Shipment, folder: Path) -> None:
    """Writes a version into `folder`, which exists and is empty.

    Raises:
        ExportError: TensorFlow could not write it.
    """
    with tempfile.TemporaryDirectory() as elsewhere:
        labels = Path(elsewhere) / LABELS_FILE
        labels.write_text(shipment.labels_text, encoding="utf-8")
        _save(ServedModel(shipment, labels_file=labels), folder)
    (folder / ABOUT_FILE).parent.mkdir()
    (folder / ABOUT_FILE).write_text(shipment.about_text(), encoding="utf-8")
    write_warmup(folder / "assets.extra", name=str(shipment.about.get("recipe", "model")), size=shipment.data.settled_size)
    (folder / README_FILE).write_text(readme("saved_model", shipment), encoding="utf-8")


def open_saved_model(folder: Path) -> Callable[..., Any]:
    """The signature `serving_default` of a version's folder.

    Raises:
        ExportError: It cannot be loaded.
    """
    try:
        loaded = tf.saved_model.load(str(folder))
        served = loaded.signatures["serving_default"]
    except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
        raise ExportError(f"{folder} cannot be loaded: {error}") from error
    served.loaded = loaded  # a signature alone lets its variables go
    return served


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

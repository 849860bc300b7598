"""A SavedModel that needs TensorFlow and nothing else: contents in, answers out, the labels inside the graph.

    <folder>/saved_model/1/
        saved_model.pb, variables/     the graph: decode, preprocess, network, labels
        assets/labels.txt              one label per line, in the order of the task's output
        assets.extra/tfl.json          what decides the tensors, the labels, and where the model came from
        assets.extra/tf_serving_warmup_requests
        README.md

The signature `serving_default` takes contents by the modality's name for them, such as `image_bytes`, `audio_bytes` or `text`,
so that TensorFlow Serving's REST `{"b64": …}` works, and texts as they are. A second signature takes the tensors by name:
`spectrogram`, or `tokens` with `token_ids`, `padding_mask` and `segment_ids`, and so on. Both give the task's output
(`probabilities` or `values`), `labels` (the name of each of its columns), for several classes `label`, and what confidence adds.
Several targets have an output each, called as they are, and a class among them `TARGET_label`.
Format: https://www.tensorflow.org/guide/saved_model
"""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tfl.backbones.inputs import structured
from tfl.errors import ExportError
from tfl.export.kinds import LABELS_FILE, README_FILE
from tfl.export.operations import ABOUT_FILE, import_operations
from tfl.export.readme import readme
from tfl.export.shipment import Shipment, prepare
from tfl.export.warmup import write_warmup
from tfl.modalities.base import Modality
from tfl.storage import write_folder_atomically
from tfl.tasks.base import Task
from tfl.tasks.heads import Heads

VERSION = 1


class ServedModel(tf.Module):
    """A Keras model with its decoding before it and its labels behind it, as plain TensorFlow functions.

    Args:
        shipment: The model in float32 with its outputs, its labels, and how contents are read.
        labels_file: Becomes an asset of the SavedModel; its content is one label per line.
    """

    def __init__(self, shipment: Shipment, *, labels_file: Path | None = None) -> None:
        super().__init__(name="tfl")
        model, modality, task = shipment.answer, shipment.modality, shipment.task
        # Only the variables are tracked, not the Keras objects: the SavedModel must not ask for Keras when it is loaded.
        self.weights = [variable.value for variable in model.variables]
        self.resources = trackables(modality.resources())
        if labels_file is not None:
            self.labels_file = tf.saved_model.Asset(str(labels_file))
        names = [name.encode() for name in shipment.class_names]
        of_class = (
            {f"{part.target}_label": part for part in task if part.task.name == "classify"} if isinstance(task, Heads) else {}
        )

        def from_tensors(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
            outputs = model(structured(dict(zip(specs, tensors, strict=True))), training=False)
            labels, main = tf.constant(names), outputs[shipment.task.main_outputs[0]]
            label = {"label": tf.gather(labels, tf.argmax(main, axis=-1))} if task.name == "classify" else {}
            label |= {
                name: tf.gather(tf.constant(part.names), tf.argmax(outputs[part.target], axis=-1))
                for name, part in of_class.items()
            }
            return {**outputs, **label, "labels": tf.broadcast_to(labels, (tf.shape(main)[0], len(names)))}

        def from_contents(contents: tf.Tensor) -> dict[str, tf.Tensor]:
            found = modality.encode(contents)
            answer: dict[str, tf.Tensor] = self.from_tensors(*([found[name] for name in specs] if len(specs) > 1 else [found]))
            return answer

        content = tf.TensorSpec([None], tf.string, name=modality.content_input)
        specs = {name: tf.TensorSpec([None, *spec.shape], spec.dtype, name=name) for name, spec in modality.spec().items()}
        self.from_tensors = _traced(from_tensors, list(specs.values()))
        self.from_contents = _traced(from_contents, [content])


def _traced(function: Callable[..., Any], signature: list[tf.TensorSpec]) -> Any:
    """A graph, traced here once: `tf.saved_model.save` traces a `tf.function` anew."""
    return tf.function(function, input_signature=signature, autograph=False).get_concrete_function()


def trackables(resources: Sequence[Any]) -> list[Any]:
    """The tables and files inside some objects, such as the vocabulary of a tokenizer, for a SavedModel to hold on to.

    The objects themselves are not held: those of Keras would ask for Keras when the SavedModel is loaded.
    """
    found: list[Any] = []
    for resource in resources:
        inside = [value for value in vars(resource).values() if _is_resource(value)]
        found += inside or [resource]
    return found


def _is_resource(value: Any) -> bool:
    from tensorflow.python.trackable.resource import CapturableResource

    return isinstance(value, CapturableResource | tf.Module)


def export_saved_model(
    model: keras.Model,
    *,
    class_names: Sequence[str],
    modality: Modality,
    folder: Path,
    task: Task | None = None,
    metadata: Mapping[str, Any] | None = None,
    version: int = VERSION,
) -> Path:
    """Writes `folder/saved_model/<version>`, whole or not at all: `write_export` without confidence and certificate.

    Args:
        model: From the tensors of the modality to the task's output, its last axis in the order of `class_names`.
        class_names: The labels, which are part of the graph.
        modality: How contents become tensors, which is part of the graph.
        folder: The export folder; the same version in it is replaced.
        task: What is predicted. Defaults to one of several classes.
        metadata: Plain values kept next to the graph, in `assets.extra/tfl.json`.
        version: A number; TensorFlow Serving takes the highest.

    Returns:
        The folder of the version, which `tf.saved_model.load` takes.

    Raises:
        ExportError: The model does not fit the labels or the modality, or TensorFlow could not write it.
        StorageError: The disk is full, read-only or not permitted.
    """
    shipment = prepare(model, class_names=class_names, modality=modality, task=task, metadata=metadata)
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
        ExportError: TensorFlow could not write it, or contents cannot be decoded in a graph.
    """
    if not shipment.modality.in_graph:
        raise ExportError(
            f"{shipment.modality.nouns.capitalize()} cannot be decoded inside a SavedModel.",
            fix="Export a format that takes tensors: --format keras, onnx, litert or openvino",
        )
    with tempfile.TemporaryDirectory() as elsewhere:
        labels = Path(elsewhere) / LABELS_FILE
        labels.write_text(shipment.labels_text, encoding="utf-8")
        _save(ServedModel(shipment, labels_file=labels), shipment, folder)
    (folder / ABOUT_FILE).parent.mkdir()
    (folder / ABOUT_FILE).write_text(shipment.about_text(), encoding="utf-8")
    write_warmup(folder / "assets.extra", shipment, name=str(shipment.about.get("recipe", "model")))
    (folder / README_FILE).write_text(readme("saved_model", shipment), encoding="utf-8")


def open_saved_model(folder: Path) -> Any:
    """The signature `serving_default` of a version's folder.

    Raises:
        ExportError: It cannot be loaded.
    """
    import_operations(folder)
    try:
        loaded = tf.saved_model.load(str(folder))
        served = loaded.signatures["serving_default"]
    except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
        raise ExportError(f"{folder} cannot be loaded: {error}") from error
    served.loaded = loaded  # a signature alone lets its variables go
    return served


def _save(served: ServedModel, shipment: Shipment, folder: Path) -> None:
    signatures = {
        "serving_default": served.from_contents,
        shipment.shipping.tensor_signature: served.from_tensors,
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

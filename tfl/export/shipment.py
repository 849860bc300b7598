"""What every format is written from: the model in float32 with all its outputs, their names, and how contents are read."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from tfl import __version__
from tfl.errors import ExportError, TflError
from tfl.export.answer import build_answer
from tfl.modalities.shipping import Shipping, shipping_of
from tfl.model.policies import policy_of, under_policy
from tfl.recipe import OF_NUMBERS
from tfl.storage import finite
from tfl.tasks.base import Task, task_of
from tfl.tasks.heads import Heads

if TYPE_CHECKING:
    from tfl.evaluate.confidence import Confidence
    from tfl.modalities.base import Modality, Tensors

_CONFIDENCE = ("in_distribution", "out_of_distribution_threshold")


@dataclass(frozen=True, kw_only=True)
class Shipment:
    """A model that is about to be exported.

    Args:
        answer: From the tensors of the modality to a dictionary of outputs; computes in float32.
        class_names: The name of each column of the task's output.
        modality: How contents become tensors.
        task: What is predicted.
        about: What `tfl.json` says next to the model.
        representative: Tensors of training examples as they are stored, for the ranges of int8; None where there are none.
    """

    answer: keras.Model
    class_names: tuple[str, ...]
    modality: Modality
    task: Task
    about: Mapping[str, Any]
    representative: Tensors | None = None

    @functools.cached_property
    def shipping(self) -> Shipping:
        """What exports need of the modality."""
        return shipping_of(self.modality)

    @property
    def of_numbers(self) -> tuple[bool, ...]:
        """Of each column of these outputs, whether it is a number."""
        if isinstance(self.task, Heads):
            return tuple(part.task.name in OF_NUMBERS for part in self.task for _ in part.names)
        return (self.task.name in OF_NUMBERS,)

    @property
    def outputs(self) -> dict[str, str]:
        """The dtype of each output, by name."""
        return {name: str(tensor.dtype) for name, tensor in self.answer.output.items()}

    @property
    def labels_text(self) -> str:
        """`labels.txt`: one name per line, in the order of the task's output."""
        return "".join(f"{name}\n" for name in self.class_names)

    def input_signature(self, *, batch: int | None = None) -> list[Any]:
        """The inputs of the model as Keras' exporters take them.

        Args:
            batch: Integer, examples at a time. None leaves it open.
        """
        specs = {
            name: keras.InputSpec(shape=(batch, *spec.shape), dtype=spec.dtype, name=name)
            for name, spec in self.modality.spec().items()
        }
        return [specs if len(specs) > 1 else next(iter(specs.values()))]

    def about_text(self, **more: Any) -> str:
        """`tfl.json`: what it is, where it came from, and `more`."""
        return json.dumps(finite({**self.about, **more}), indent=2, ensure_ascii=False) + "\n"


def prepare(
    model: keras.Model,
    *,
    class_names: Sequence[str],
    modality: Modality,
    task: Task | None = None,
    metadata: Mapping[str, Any] | None = None,
    confidence: Confidence | None = None,
    representative: Tensors | None = None,
) -> Shipment:
    """Makes a model ready to be written: rebuilt in float32 where it computes in less, with what `confidence` adds.

    Args:
        model: From the tensors of the modality to the task's output, its last axis in the order of `class_names`.
        class_names: The name of each output; they travel with the model.
        modality: How contents become tensors.
        task: What is predicted. Defaults to one of several classes.
        metadata: Plain values kept next to the model, in `tfl.json`.
        confidence: Calibration and what belongs to it; None leaves these outputs out.
        representative: Tensors of training examples for int8, as they are stored.

    Raises:
        ExportError: The model does not fit the names or the modality, or cannot be built again.
    """
    task = task_of("classify") if task is None else task
    check_fits(model, class_names, modality, columns=task.output_width(len(class_names)))
    trained_in = policy_of(model)
    answer = build_answer(in_float32(model), confidence, modality=modality, task=task)
    about = {
        "format": 1,
        "tfl": __version__,
        "modality": modality.kind,
        "task": task.name,
        "class_names": list(class_names),
        **({"targets": task.kinds} if isinstance(task, Heads) else {}),
        **shipping_of(modality).about(),
        "trained_in": trained_in,
        "outputs": {name: str(tensor.dtype) for name, tensor in answer.output.items()},
        **({} if confidence is None else {"confidence": _about_confidence(confidence)}),
        **(metadata or {}),
    }
    names = tuple(class_names)
    return Shipment(answer=answer, class_names=names, modality=modality, task=task, about=about, representative=representative)


def _about_confidence(confidence: Confidence) -> dict[str, Any]:
    return {**confidence.values, **{name: getattr(confidence, name) for name in _CONFIDENCE}}


def in_float32(model: keras.Model) -> keras.Model:
    """The model itself where it computes in float32, else a copy of it that does, with the same weights.

    A mixed policy keeps its weights in float32 and rounds while it computes. Few runtimes have its types, and none rounds
    like another, so exports compute in float32.

    Raises:
        ExportError: A layer cannot be built again.
    """
    if policy_of(model) == "float32":
        return model
    try:
        return under_policy(model, "float32")
    except TflError as error:
        raise ExportError(f"The model computes in {policy_of(model)} and cannot be exported in float32: {error}") from error


def with_representative(shipment: Shipment, tensors: Tensors) -> Shipment:
    """The same shipment with tensors for int8."""
    return dataclasses.replace(shipment, representative=tensors)


def check_fits(
    model: keras.Model,
    class_names: Sequence[str],
    modality: Modality,
    *,
    columns: int | None = None,
    exactly: bool = False,
) -> None:
    """Raises unless the model takes such tensors and has an output for each name.

    Args:
        model: The model.
        class_names: The name of each output.
        modality: What its tensors are.
        columns: The size of the output's last axis. Defaults to the number of names.
        exactly: Whether a size that the model leaves open is another one. Sequences may have any length.

    Raises:
        ExportError: It does not.
    """
    if len(set(class_names)) < len(class_names):
        raise ExportError("Two classes share a name.", received=list(class_names))
    outputs = model.output_shape[-1]
    if outputs != (columns or len(class_names)):
        raise ExportError(
            "The model has another number of outputs than there are labels.",
            received=f"{outputs} outputs",
            allowed=f"{columns or len(class_names)} for {len(class_names)} labels",
        )
    specs = modality.spec()
    taken = {tensor.name: tensor.shape[1:] for tensor in model.inputs}
    if len(specs) == 1 and len(taken) == 1:
        taken = dict(zip(specs, taken.values(), strict=True))
    if set(taken) != set(specs):
        raise ExportError("The model takes other inputs.", received=", ".join(specs), allowed=", ".join(taken))
    for name, spec in specs.items():
        sides = taken[name]
        if len(sides) != len(spec.shape) or any(
            ((exactly and len(sides) > 1) or None not in (side, given)) and side != given
            for side, given in zip(sides, spec.shape, strict=True)
        ):
            raise ExportError(
                f"The model takes another {modality.noun} size.", received=f"{name} {spec.shape}", allowed=str(sides)
            )


def read_about(folder: Path) -> dict[str, Any]:
    """What an export says of itself, from its `tfl.json`.

    Args:
        folder: Of a format, or of a version of a SavedModel.

    Raises:
        ExportError: It is missing or damaged.
    """
    for file in (folder / "tfl.json", folder / "assets.extra" / "tfl.json"):
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, RecursionError) as error:
            raise ExportError(f"{file} is damaged: {error}.") from error
        if isinstance(document, dict):
            return document
    raise ExportError(f"{folder} is not an export of tfl: it has no tfl.json.", fix="Write it again with: tfl export RUN")

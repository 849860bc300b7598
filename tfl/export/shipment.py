"""What every format is written from: the model in float32 with all that it answers, its labels, and how its images are read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from tfl import __version__
from tfl.errors import ExportError, TflError
from tfl.export.answer import build_answer
from tfl.model.policies import policy_of, under_policy
from tfl.recipe import Data
from tfl.storage import finite

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tfl.evaluate.confidence import Confidence

PROBABILITIES = "probabilities"
_CONFIDENCE = ("in_distribution", "out_of_distribution_threshold")


@dataclass(frozen=True, kw_only=True)
class Shipment:
    """A model that is about to leave.

    Args:
        answer: From pixels, `(batch, height, width, 3)` float32 in 0..255, to a dictionary of outputs; computes in float32.
        class_names: One a column of `probabilities`.
        data: Image size and fit.
        about: What `tfl.json` says beside the model.
        representative: Training images `(n, height, width, 3)`, uint8, for the ranges of int8; None where there are none.
    """

    answer: keras.Model
    class_names: tuple[str, ...]
    data: Data
    about: Mapping[str, Any]
    representative: NDArray[Any] | None = None

    @property
    def outputs(self) -> dict[str, str]:
        """The dtype of each output, by name."""
        return {name: str(tensor.dtype) for name, tensor in self.answer.output.items()}

    @property
    def labels_text(self) -> str:
        """`labels.txt`: one class per line, in the order of the probabilities."""
        return "".join(f"{name}\n" for name in self.class_names)

    def about_text(self, **more: Any) -> str:
        """`tfl.json`: what it is, where it came from, and `more`."""
        return json.dumps(finite({**self.about, **more}), indent=2, ensure_ascii=False) + "\n"


def prepare(
    model: keras.Model,
    *,
    class_names: Sequence[str],
    data: Data,
    metadata: Mapping[str, Any] | None = None,
    confidence: Confidence | None = None,
    representative: NDArray[Any] | None = None,
) -> Shipment:
    """Makes a model ready to be written: rebuilt in float32 where it computes in less, with what `confidence` adds.

    Args:
        model: From pixels in 0..255 to probabilities, its last axis in the order of `class_names`.
        class_names: The labels, which travel with it.
        data: The recipe's data: image size and fit.
        metadata: Plain values kept beside the model, in `tfl.json`.
        confidence: Calibration and what belongs to it; None leaves these outputs out.
        representative: Training images for int8, `(n, height, width, 3)` uint8.

    Raises:
        ExportError: The model does not fit the labels or the image size, or cannot be built again.
    """
    check_fits(model, class_names, data)
    trained_in = policy_of(model)
    answer = build_answer(in_float32(model), confidence)
    about = {
        "format": 1,
        "tfl": __version__,
        "class_names": list(class_names),
        "image_size": list(data.settled_size),
        "fit": data.fit,
        **({} if data.bits is None else {"bits": data.bits}),
        "trained_in": trained_in,
        "outputs": {name: str(tensor.dtype) for name, tensor in answer.output.items()},
        **({} if confidence is None else {"confidence": _about_confidence(confidence)}),
        **(metadata or {}),
    }
    return Shipment(answer=answer, class_names=tuple(class_names), data=data, about=about, representative=representative)


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


def with_representative(shipment: Shipment, images: NDArray[Any]) -> Shipment:
    """The same shipment with images for int8."""
    return dataclasses.replace(shipment, representative=images)


def check_fits(model: keras.Model, class_names: Sequence[str], data: Data) -> None:
    """Raises unless the model takes such images and has a column for each label.

    Raises:
        ExportError: It does not.
    """
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
    if any(side not in (None, given) for side, given in zip(sides, data.settled_size, strict=True)):
        raise ExportError("The model takes another image size.", received=data.settled_size, allowed=str(sides))


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

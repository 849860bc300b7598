"""One pass over images through frozen networks, into the store: what `features` of a recipe asks for."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tfl.data.bundle import Bundle
from tfl.data.pipeline import make_dataset
from tfl.errors import DataError
from tfl.features.chunks import BATCH
from tfl.features.identity import DECODE, graph_hash, weights_hash
from tfl.features.store import Features, Progress, Space, missing_rows, space_of, stored_features
from tfl.recipe import Stage

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

    import tfl


def extract(
    models: Sequence[keras.Model],
    bundle: Bundle,
    part: str | NDArray[Any],
    *,
    features: tfl.Features,
    stage: Stage | None = None,
    view: int = 0,
    console: Console | None = None,
    progress: Progress | None = None,
) -> list[Features]:
    """What each of the models makes of the images, from the store; what is missing is computed for all in one pass.

    Args:
        models: Each from pixels 0..255 to one tensor, in inference mode; they may share layers.
        bundle: The data.
        part: `train`, `val` or `test`, or indices into `bundle.examples`.
        features: Engine and dtype.
        stage: Its augmentation is drawn before the pass; None, or a stage without one, takes the images as they are.
        view: Which augmented copy, from 0.
        console: Where to say which engine was chosen and what was found damaged.
        progress: Told after each batch how many of the images are there.

    Returns:
        One for each model, `(n, ...)` in the order of the indices, in the storage dtype.

    Raises:
        RecipeError: A feature is too large for float16.
        StorageError: The store cannot be written, or its budget is too small.
    """
    return Extraction(models, bundle, part, features=features, stage=stage, view=view, console=console).run(progress)[0]


class Extraction:
    """The features of some models for some images: what they are called in the store, and the pass that makes them.

    Args: As of `extract`.
    """

    def __init__(
        self,
        models: Sequence[keras.Model],
        bundle: Bundle,
        part: str | NDArray[Any],
        *,
        features: tfl.Features,
        stage: Stage | None = None,
        view: int = 0,
        console: Console | None = None,
    ) -> None:
        self.models, self.bundle, self.settings, self.console = list(models), bundle, features, console
        self.indices = bundle.indices(part) if isinstance(part, str) else np.asarray(part, np.int64)
        self.augment, self.view = (None if stage is None else stage.augment), view
        self.mixes = self.augment is not None and (self.augment.mixup > 0 or self.augment.cutmix > 0)
        self.engine_name = _engine_name(self.models)
        prints = [bundle.fingerprints[int(index)] for index in self.indices]
        plain = self.augment is None
        self.rows = prints if plain else [f"{p}:{int(i)}" for p, i in zip(prints, self.indices, strict=True)]
        self.spaces = self._spaces()

    def missing(self) -> int:
        """How many images have to go through the models still."""
        counts = [missing_rows(space, self.rows, dtype=dtype) for space, dtype in zip(self.spaces, self._dtypes(), strict=True)]
        return max(counts)

    def run(self, progress: Progress | None = None) -> tuple[list[Features], NDArray[np.float32]]:
        """The features by model, and the labels `(n, classes)`: one-hot, or mixed where the augmentation mixes images."""
        found = stored_features(
            self.spaces, self.rows, self._compute, dtypes=self._dtypes(), progress=progress, say=_sayer(self.console)
        )
        return found[: len(self.models)], found[-1].read_all() if self.mixes else self._one_hot(self.indices)

    def _dtypes(self) -> list[str]:
        return [*[str(self.settings.dtype)] * len(self.models), *["float32"] * self.mixes]

    def _spaces(self) -> list[Space]:
        data, known = self.bundle.data, dict[int, bytes]()
        common = {"decode": DECODE, "image_size": list(data.image_size), "fit": data.fit, **self._drawn()}
        about: dict[str, Any] = {"source": data.source, "image_size": list(data.image_size), "engine": self.engine_name}
        if self.augment is not None:
            about["view"] = self.view
        spaces = [
            space_of(
                about={"network": model.name, "cut": _output_name(model), **about, "dtype": self.settings.dtype},
                network=graph_hash(model),
                weights=weights_hash(model, known),
                engine=self.engine_name,
                dtype=self.settings.dtype,
                **common,
            )
            for model in self.models
        ]
        if self.mixes:
            labels = hashlib.sha256(np.asarray(self.bundle.examples.labels, np.int64)[self.indices].tobytes()).hexdigest()
            classes = self.bundle.class_count
            spaces.append(space_of(about={"network": "mixed labels", **about}, labels=labels, classes=classes, **common))
        return spaces

    def _drawn(self) -> dict[str, Any]:
        """What decides an augmented copy, beside the image and its index; a mixed one is of all images that take part."""
        if self.augment is None:
            return {}
        drawn = {"augment": dataclasses.asdict(self.augment), "seed": self.bundle.seed, "view": self.view}
        if self.mixes:
            taking_part = json.dumps([(int(i), self.bundle.fingerprints[int(i)]) for i in self.indices])
            drawn["mixed"] = hashlib.sha256(taking_part.encode()).hexdigest()
        return drawn

    def _compute(self, positions: NDArray[np.int64]) -> Iterator[Sequence[NDArray[Any]]]:
        engine: Callable[[NDArray[Any]], list[NDArray[Any]]] = _KerasEngine(_joint(self.models))
        for images, labels in self._batches(self.indices[positions]):
            made = engine(images)
            yield [*made, labels] if self.mixes else made

    def _batches(self, indices: NDArray[np.int64]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Batches of (images float32 0..255, labels) at `indices`, in that order."""
        pixels = self.bundle.pixels
        if self.augment is None and pixels is not None:
            for start in range(0, len(indices), BATCH):
                some = indices[start : start + BATCH]
                yield pixels[some].astype(np.float32), self._one_hot(some)
            return
        dataset = make_dataset(
            self.bundle.examples,
            indices,
            data=self.bundle.data,
            batch_size=BATCH,
            augment=self.augment,
            augment_seed=self.bundle.seed,
            view=self.view,
            mix_among=self.indices,
            pixels=pixels,
        )
        yield from dataset.as_numpy_iterator()

    def _one_hot(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        return np.eye(self.bundle.class_count, dtype=np.float32)[np.asarray(self.bundle.examples.labels)[indices]]


class _KerasEngine:
    def __init__(self, prefix: keras.Model) -> None:
        self._prefix = prefix

    def __call__(self, images: NDArray[Any]) -> list[NDArray[Any]]:
        made = self._prefix.predict_on_batch(images)
        outputs = made if isinstance(made, list | tuple) else [made]
        return [np.asarray(keras.ops.convert_to_numpy(output), np.float32) for output in outputs]


def _engine_name(models: Sequence[keras.Model]) -> str:
    policies = {layer.dtype_policy.name for model in models for layer in model.layers} - {"float32"}
    return "keras " + ("+".join(sorted(policies)) or "float32")


def _joint(models: Sequence[keras.Model]) -> keras.Model:
    """One model with an output for each of the models; what they share is computed once."""
    first = models[0]
    if any(len(model.inputs) != 1 for model in models):
        raise DataError("A model for features takes one input, the pixels.", received=[len(model.inputs) for model in models])
    outputs = [model.outputs[0] if model.inputs[0] is first.inputs[0] else model(first.inputs[0]) for model in models]
    return first if len(models) == 1 else keras.Model(first.inputs[0], outputs)


def _output_name(model: keras.Model) -> str:
    return str(model.outputs[0]._keras_history.operation.name)


def _sayer(console: Console | None) -> Callable[[str], None] | None:
    return None if console is None else lambda sentence: console.print(sentence, highlight=False, markup=False)

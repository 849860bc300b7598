"""One pass over images through frozen networks, into the store: what `features` of a recipe asks for."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tfl.backbones.weight_hash import weights_hash
from tfl.data.bundle import Bundle
from tfl.data.pipeline import make_dataset
from tfl.errors import DataError
from tfl.features.chunks import BATCH, value_dtype
from tfl.features.engines import Chosen, Engine, KerasEngine, choose_engine, earlier_engine
from tfl.features.identity import DECODE, graph_hash
from tfl.features.openvino_engine import openvino_version
from tfl.features.store import Features, Progress, Space, missing_rows, space_of, stored_features
from tfl.model.policies import policy_of
from tfl.recipe import Augment, Stage

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
    extractor = Extractor(models, bundle, features=features, console=console)
    return extractor.run(part, augment=None if stage is None else stage.augment, view=view, progress=progress)[0]


class Extractor:
    """Some frozen models over some images. Hashes the models and sets up the engine at first use; they must not change after.

    Args: As of `extract`, and `known`, the name of the engine that earlier features of the same work were made with.
    """

    def __init__(
        self,
        models: Sequence[keras.Model],
        bundle: Bundle,
        *,
        features: tfl.Features,
        known: str | None = None,
        console: Console | None = None,
    ) -> None:
        if any(len(model.inputs) != 1 or len(model.outputs) != 1 for model in models):
            raise DataError("A model for features goes from one input, the pixels, to one output.")
        self.models, self.bundle, self.settings, self.console = list(models), bundle, features, console
        self._known = None if features.engine == "keras" else known
        self._chosen: Chosen | None = None

    def run(
        self, part: str | NDArray[Any], *, augment: Augment | None = None, view: int = 0, progress: Progress | None = None
    ) -> tuple[list[Features], NDArray[np.float32]]:
        """The features by model, and the labels `(n, classes)`: one-hot, or mixed where the augmentation mixes images."""
        images = _Images(self.bundle, part, augment, view)
        if self._chosen is None and self._missing(images):
            self.engine()  # which may be another than the one that was the fastest earlier
        (spaces, dtypes), name = self._spaces(images), self.engine_name

        def compute(positions: NDArray[np.int64]) -> Iterator[Sequence[NDArray[Any]]]:
            engine = self.engine()
            if engine.name != name:
                raise DataError(f"Features of {name} vanished, and {engine.name} makes others.", fix="Start again.")
            for pixels, labels in images.batches(images.indices[positions]):
                yield [*engine(pixels), labels] if images.mixes else engine(pixels)

        found = stored_features(spaces, images.rows, compute, dtypes=dtypes, progress=progress, say=_sayer(self.console))
        labels = found[-1].read_all() if images.mixes else one_hot(self.bundle, images.indices)
        return found[: len(self.models)], labels

    def missing(self, part: str | NDArray[Any], *, augment: Augment | None = None, view: int = 0) -> int:
        """How many of the images `run` would have to compute."""
        return self._missing(_Images(self.bundle, part, augment, view))

    def _missing(self, images: _Images) -> int:
        return max(missing_rows(space, images.rows, dtype=dtype) for space, dtype in zip(*self._spaces(images), strict=True))

    def row_bytes(self, number: int) -> int:
        """What the features of one image by the model of that number take."""
        shape = self.models[number].output_shape[1:]
        return math.prod(side or 1 for side in shape) * value_dtype(str(self.settings.dtype)).itemsize

    def seconds_per_image(self) -> tuple[float, float]:
        """What the engine takes for an image, and what Keras does, which is what runs where features are not stored.

        As it was measured when the engine was chosen, else on the second of two runs of the first training images.
        """
        engine, keras_name = self.engine(), f"keras {policy_of(self._joint)}"
        rates = {} if self._chosen is None else self._chosen.rates
        own = 1 / rates[engine.name] if engine.name in rates else self._timed(engine)
        if engine.name == keras_name:
            return own, own
        return own, 1 / rates[keras_name] if keras_name in rates else self._timed(KerasEngine(self._joint))

    def _timed(self, engine: Engine) -> float:
        pixels = self._first_pixels()
        engine(pixels)
        began = time.perf_counter()
        engine(pixels)
        return (time.perf_counter() - began) / len(pixels)

    @property
    def engine_name(self) -> str:
        """What runs the models, or would: the engine that was chosen, here or earlier."""
        earlier = self._known or earlier_engine(self.settings.engine, self._joint)
        return earlier if self._chosen is None and earlier is not None else self.engine().name

    def engine(self) -> Engine:
        """What runs the models on a batch of pixels; chosen at first use."""
        if self._chosen is None:
            requested, console = self.settings.engine, self.console
            self._chosen = choose_engine(requested, self._joint, self._first_pixels(), known=self._known, console=console)
        return self._chosen.engine

    def _first_pixels(self) -> NDArray[Any]:
        images = _Images(self.bundle, "train", None, 0)
        return next(images.batches(images.indices[:BATCH]))[0]

    @functools.cached_property
    def _joint(self) -> keras.Model:
        return joint_model(self.models)

    @functools.cached_property
    def _networks(self) -> list[dict[str, str]]:
        known: dict[int, bytes] = {}
        return [{"network": graph_hash(model), "weights": weights_hash(model, known)} for model in self.models]

    def _spaces(self, images: _Images) -> tuple[list[Space], list[str]]:
        dtype, engine = str(self.settings.dtype), self.engine_name
        version = openvino_version() if engine.startswith("openvino") else None
        spaces = [
            space_of(
                about={
                    "network": model.name,
                    "cut": _output_name(model),
                    **images.about,
                    "engine": engine,
                    "dtype": dtype,
                },
                engine=[engine, version],
                dtype=dtype,
                **network,
                **images.decides,
            )
            for model, network in zip(self.models, self._networks, strict=True)
        ]
        if not images.mixes:
            return spaces, [dtype] * len(spaces)
        labels = space_of(about={"network": "mixed labels", **images.about, "dtype": "float32"}, **images.decides_labels)
        return [*spaces, labels], [*[dtype] * len(spaces), "float32"]


class _Images:
    """Some images as a pass reads them: their row ids in the store, and everything that decides their pixels."""

    def __init__(self, bundle: Bundle, part: str | NDArray[Any], augment: Augment | None, view: int) -> None:
        self.bundle, self.augment, self.view = bundle, augment, view
        self.indices = bundle.indices(part) if isinstance(part, str) else np.asarray(part, np.int64)
        self.mixes = augment is not None and (augment.mixup > 0 or augment.cutmix > 0)
        prints = [bundle.fingerprints[int(index)] for index in self.indices]
        self.rows = prints
        self.about: dict[str, Any] = {"source": bundle.data.source, "image_size": list(bundle.data.settled_size)}
        self.decides: dict[str, Any] = {
            "decode": DECODE,
            "image_size": list(bundle.data.settled_size),
            "fit": bundle.data.fit,
        }
        if bundle.data.bits is not None:
            self.decides["bits"] = bundle.data.bits
        if augment is not None:  # what happens to an image is drawn by its index
            self.rows = [f"{print_}:{int(index)}" for print_, index in zip(prints, self.indices, strict=True)]
            self.about["view"] = view
            self.decides |= {"augment": dataclasses.asdict(augment), "seed": bundle.seed, "view": view}
        if self.mixes:  # and a mixed one is of two
            self.decides["mixed"] = _hash(self.rows)

    @property
    def decides_labels(self) -> dict[str, Any]:
        """Everything that decides a mixed label."""
        labels = np.asarray(self.bundle.examples.labels)[self.indices].tolist()
        return {"labels": _hash(labels), "classes": self.bundle.class_count, **self.decides}

    def batches(self, indices: NDArray[np.int64]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Batches of (images float32 0..255, labels) at `indices`, in that order."""
        bundle = self.bundle
        if self.augment is None and bundle.pixels is not None:
            for start in range(0, len(indices), BATCH):
                some = indices[start : start + BATCH]
                yield bundle.pixels[some].astype(np.float32), one_hot(bundle, some)
            return
        dataset = make_dataset(
            bundle.examples,
            indices,
            data=bundle.data,
            batch_size=BATCH,
            augment=self.augment,
            augment_seed=bundle.seed,
            view=self.view,
            mix_among=self.indices,
            pixels=bundle.pixels,
        )
        yield from dataset.as_numpy_iterator()


def one_hot(bundle: Bundle, indices: NDArray[np.int64]) -> NDArray[np.float32]:
    """The labels at `indices`, `(n, classes)`."""
    return np.eye(bundle.class_count, dtype=np.float32)[np.asarray(bundle.examples.labels)[indices]]


def joint_model(models: Sequence[keras.Model]) -> keras.Model:
    """One model with an output for each of the models; what they share is computed once."""
    first = models[0]
    outputs = [model.outputs[0] if model.inputs[0] is first.inputs[0] else model(first.inputs[0]) for model in models]
    return first if len(models) == 1 else keras.Model(first.inputs[0], outputs)


def _output_name(model: keras.Model) -> str:
    return str(model.outputs[0]._keras_history.operation.name)


def _hash(values: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _sayer(console: Console | None) -> Callable[[str], None] | None:
    return None if console is None else lambda sentence: console.print(sentence, highlight=False, markup=False)

"""One pass over examples through frozen networks, into the store: what `features` of a recipe asks for."""

from __future__ import annotations

import copy
import dataclasses
import functools
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tfl.backbones.inputs import inputs_of
from tfl.backbones.weight_hash import weights_hash
from tfl.data.bundle import Bundle
from tfl.errors import DataError
from tfl.features.chunks import BATCH, encode, value_dtype
from tfl.features.engines import Chosen, Engine, KerasEngine, choose_engine, earlier_engine
from tfl.features.identity import graph_hash
from tfl.features.openvino_engine import openvino_version
from tfl.features.store import Features, Progress, Space, missing_rows, space_of, stored_features
from tfl.modalities.base import MASK
from tfl.model.policies import policy_of
from tfl.recipe import Stage

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

    import tfl

Made = Features | dict[str, Features]
"""What a model made of some examples: rows of its output, or of each of its outputs by name where there are several."""


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
) -> list[Made]:
    """What each of the models makes of the examples, from the store; what is missing is computed for all in one pass.

    Args:
        models: Each from the inputs of the network to one tensor, or to a dictionary of tensors, in inference mode; they may
            share layers.
        bundle: The data.
        part: `train`, `val` or `test`, or indices into `bundle.examples`.
        features: Engine and dtype.
        stage: Its augmentation is drawn before the pass; None, or a stage without one, takes the examples as they are.
        view: Which augmented copy, from 0.
        console: Where to say which engine was chosen and what was found damaged.
        progress: Called after each batch with how many of the examples are there.

    Returns:
        One for each model, `(n, ...)` in the order of the indices, in the storage dtype.

    Raises:
        RecipeError: A feature is too large for float16.
        StorageError: The store cannot be written, or its budget is too small.
    """
    extractor = Extractor(models, bundle, features=features, console=console)
    return extractor.run(part, augment=None if stage is None else stage.augment, view=view, progress=progress)[0]


class Extractor:
    """Some frozen models over some examples. Hashes the models and sets up the engine at first use; they must not change after.

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
        self.models, self.bundle, self.settings, self.console = list(models), bundle, features, console
        self._known = None if features.engine == "keras" else known
        self._chosen: Chosen | None = None

    def run(
        self, part: str | NDArray[Any], *, augment: Any = None, view: int = 0, progress: Progress | None = None
    ) -> tuple[list[Made], NDArray[np.float32]]:
        """The features by model, and the targets `(n, width)`, mixed where the augmentation mixes examples."""
        rows = _Rows(self.bundle, part, augment, view)
        if self._chosen is None and self._missing(rows):
            self.engine()  # which may be another than the one that was the fastest earlier
        (spaces, dtypes), name = self._spaces(rows), self.engine_name

        def compute(positions: NDArray[np.int64]) -> Iterator[Sequence[NDArray[Any]]]:
            engine = self.engine()
            if engine.name != name:
                raise DataError(f"Features of {name} vanished, and {engine.name} makes others.", fix="Start again.")
            for tensors, targets in rows.batches(rows.indices[positions]):
                made = _with_full_rows(engine(tensors), self._row_shapes)
                yield [*made, targets] if rows.mixes else made

        say = _sayer(self.console)
        found = stored_features(spaces, rows.ids, compute, dtypes=dtypes, order=rows.by_length, progress=progress, say=say)
        targets = found[-1].read_all() if rows.mixes else rows.targets
        return self._by_model(found), targets

    def over(self, bundle: Bundle) -> Extractor:
        """The same models, hashed once and on the engine that was chosen, over other examples of the same modality."""
        other = copy.copy(self)
        other.bundle = bundle
        return other

    def compute(self, part: str | NDArray[Any]) -> list[NDArray[Any]]:
        """What each output of the models makes of the examples, `(n, ...)` in the storage dtype, past the store.

        For few examples, or for more than the store has room for.
        """
        rows, engine, dtype = _Rows(self.bundle, part, None, 0), self.engine(), str(self.settings.dtype)
        order = rows.by_length(np.arange(len(rows.indices)))
        made = [_with_full_rows(engine(tensors), self._row_shapes) for tensors, _ in rows.batches(rows.indices[order])]
        back = np.argsort(order, kind="stable")
        return [encode(np.concatenate([batch[at] for batch in made])[back], dtype) for at in range(len(self._row_shapes))]

    @property
    def identity(self) -> list[dict[str, str]]:
        """For each output of the models the hashes of its network and of its weights, and what runs it, or would."""
        return [{**network, "engine": self.engine_name} for _, network in self._networks]

    def _by_model(self, found: Sequence[Features]) -> list[Made]:
        made: list[Made] = []
        at = 0
        for model in self.models:
            names = output_names(model)
            some = found[at : at + len(names)]
            made.append(some[0] if len(names) == 1 else dict(zip(names, some, strict=True)))
            at += len(names)
        return made

    def missing(self, part: str | NDArray[Any], *, augment: Any = None, view: int = 0) -> int:
        """How many of the examples `run` would have to compute."""
        return self._missing(_Rows(self.bundle, part, augment, view))

    def _missing(self, rows: _Rows) -> int:
        return max(missing_rows(space, rows.ids, dtype=dtype) for space, dtype in zip(*self._spaces(rows), strict=True))

    def row_bytes(self, number: int) -> int:
        """What the features of one example by the model of that number take."""
        shapes = [shape for model in self.models[number : number + 1] for shape in _shapes_of(model, self.bundle)]
        return sum(math.prod(shape) for shape in shapes) * value_dtype(str(self.settings.dtype)).itemsize

    def seconds_per_example(self) -> tuple[float, float]:
        """What the engine takes for an example, and what Keras does, which is what runs where features are not stored.

        As it was measured when the engine was chosen, else on the second of two runs of the first training examples.
        """
        engine, keras_name = self.engine(), f"keras {policy_of(self._joint)}"
        rates = {} if self._chosen is None else self._chosen.rates
        own = 1 / rates[engine.name] if engine.name in rates else self._timed(engine)
        if engine.name == keras_name:
            return own, own
        return own, 1 / rates[keras_name] if keras_name in rates else self._timed(KerasEngine(self._joint))

    def _timed(self, engine: Engine) -> float:
        tensors, count = self._first_batch()
        engine(tensors)
        began = time.perf_counter()
        engine(tensors)
        return (time.perf_counter() - began) / count

    @property
    def engine_name(self) -> str:
        """What runs the models, or would: the engine that was chosen, here or earlier."""
        earlier = self._known or earlier_engine(self.settings.engine, self._joint)
        return earlier if self._chosen is None and earlier is not None else self.engine().name

    def engine(self) -> Engine:
        """What runs the models on a batch of tensors; chosen at first use."""
        if self._chosen is None:
            requested, console = self.settings.engine, self.console
            self._chosen = choose_engine(requested, self._joint, self._first_batch()[0], known=self._known, console=console)
        return self._chosen.engine

    def _first_batch(self) -> tuple[Any, int]:
        rows = _Rows(self.bundle, "train", None, 0)
        tensors, targets = next(rows.batches(rows.indices[:BATCH]))
        return tensors, len(targets)

    @functools.cached_property
    def _joint(self) -> keras.Model:
        return joint_model(self.models)

    @functools.cached_property
    def _row_shapes(self) -> list[tuple[int, ...]]:
        return [shape for model in self.models for shape in _shapes_of(model, self.bundle)]

    @functools.cached_property
    def _networks(self) -> list[tuple[keras.Model, dict[str, str]]]:
        """A network with one output for each array that is stored, and what decides it."""
        known: dict[int, bytes] = {}
        alone = [one for model in self.models for one in _single_outputs(model)]
        return [(one, {"network": graph_hash(one), "weights": weights_hash(one, known)}) for one in alone]

    def _spaces(self, rows: _Rows) -> tuple[list[Space], list[str]]:
        dtype, engine = str(self.settings.dtype), self.engine_name
        version = openvino_version() if engine.startswith("openvino") else None
        spaces = [
            space_of(
                about={
                    "network": model.name,
                    "cut": _output_name(model),
                    **rows.about,
                    "engine": engine,
                    "dtype": dtype,
                },
                engine=[engine, version],
                dtype=dtype,
                **network,
                **rows.decides,
            )
            for model, network in self._networks
        ]
        if not rows.mixes:
            return spaces, [dtype] * len(spaces)
        labels = space_of(about={"network": "mixed labels", **rows.about, "dtype": "float32"}, **rows.decides_labels)
        return [*spaces, labels], [*[dtype] * len(spaces), "float32"]


class _Rows:
    """Some examples as a pass reads them: their row ids in the store, and everything that decides their tensors."""

    def __init__(self, bundle: Bundle, part: str | NDArray[Any], augment: Any, view: int) -> None:
        self.bundle, self.augment, self.view = bundle, augment, view
        self.indices = bundle.indices(part) if isinstance(part, str) else np.asarray(part, np.int64)
        self.mixes = augment is not None and augment.mixes
        prints = [bundle.fingerprints[int(index)] for index in self.indices]
        self.ids = prints
        self.about: dict[str, Any] = {"source": bundle.data.source, **bundle.modality.about()}
        self.decides: dict[str, Any] = dict(bundle.modality.identity())
        if augment is not None:  # what happens to an example is drawn by its index
            self.ids = [f"{print_}:{int(index)}" for print_, index in zip(prints, self.indices, strict=True)]
            self.about["view"] = view
            self.decides |= {"augment": dataclasses.asdict(augment), "seed": bundle.seed, "view": view}
        if self.mixes:  # and a mixed one is of two
            self.decides["mixed"] = _hash(self.ids)

    @property
    def targets(self) -> NDArray[np.float32]:
        """The targets of the examples, moved as the augmentation moves them."""
        bundle, own = self.bundle, self.bundle.targets[self.indices]
        if self.augment is None:
            return own
        return bundle.modality.augmented_targets(self.augment, own, self.indices, seed=bundle.seed, view=self.view)

    @property
    def decides_labels(self) -> dict[str, Any]:
        """Everything that decides a mixed label."""
        examples = self.bundle.examples
        labels = np.asarray(examples.labels)[self.indices] if examples.targets is None else self.bundle.targets[self.indices]
        return {"labels": _hash(labels.tolist()), "classes": self.bundle.class_count, **self.decides}

    def by_length(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Positions with examples of similar length next to each other, so that a batch holds little padding."""
        lengths = _lengths(self.bundle, self.indices[positions])
        return positions if lengths is None else positions[np.argsort(-lengths, kind="stable")]

    def batches(self, indices: NDArray[np.int64]) -> Iterator[tuple[Any, NDArray[Any]]]:
        """Batches of (tensors, targets) at `indices`, in that order."""
        bundle = self.bundle
        if self.augment is None and bundle.cached is not None:
            specs = bundle.cached.specs
            for start in range(0, len(indices), BATCH):
                some = indices[start : start + BATCH]
                yield _trimmed(_as_dtypes(bundle.cached[some], specs)), bundle.targets[some]
            return
        dataset = bundle.dataset(
            indices,
            batch_size=BATCH,
            augment=self.augment,
            augment_seed=bundle.seed,
            view=self.view,
            mix_among=self.indices,
        )
        yield from dataset.as_numpy_iterator()


def _as_dtypes(tensors: Any, specs: Mapping[str, Any]) -> Any:
    if isinstance(tensors, dict):
        return {name: values.astype(specs[name].dtype) for name, values in tensors.items()}
    return tensors.astype(next(iter(specs.values())).dtype)


LENGTH_STEP = 8
"""Sequences of a batch are cut to a multiple of so many positions: few different shapes, little padding."""


def _lengths(bundle: Bundle, indices: NDArray[np.int64]) -> NDArray[np.int64] | None:
    if bundle.cached is None or MASK not in bundle.cached.columns:
        return None
    return np.asarray(bundle.cached.columns[MASK][indices].astype(bool).sum(axis=1))


def _trimmed(tensors: Any) -> Any:
    """A batch of sequences without the positions that are padding in every one."""
    if not isinstance(tensors, dict) or MASK not in tensors:
        return tensors
    used = int(np.max(tensors[MASK].astype(bool).sum(axis=1), initial=1))
    length = min(-(-used // LENGTH_STEP) * LENGTH_STEP, tensors[MASK].shape[1])
    return {name: values[:, :length] if values.ndim > 1 else values for name, values in tensors.items()}


def _with_full_rows(arrays: Sequence[NDArray[Any]], shapes: Sequence[tuple[int, ...]]) -> list[NDArray[Any]]:
    """Rows of one shape: sequences that were trimmed are filled up with zeros."""
    full = []
    for array, shape in zip(arrays, shapes, strict=True):
        if array.shape[1:] != shape:
            array = np.pad(array, [(0, 0), *((0, side - own) for side, own in zip(shape, array.shape[1:], strict=True))])
        full.append(array)
    return full


def _shapes_of(model: keras.Model, bundle: Bundle) -> list[tuple[int, ...]]:
    """The shape of a row of each output; an open side is the length of the sequences."""
    sides = [spec.shape[0] for name, spec in bundle.modality.spec().items() if name == MASK]
    open_side = sides[0] if sides else 1
    return [tuple(int(side or open_side or 1) for side in output.shape[1:]) for output in model.outputs]


def output_names(model: keras.Model) -> list[str]:
    """The names of a model's outputs, in their order; one name where it has one output."""
    return sorted(model.output) if isinstance(model.output, dict) else ["features"]


def _single_outputs(model: keras.Model) -> list[keras.Model]:
    if len(model.outputs) == 1:
        return [model]
    return [keras.Model(inputs_of(model), output, name=model.name) for output in model.outputs]


def joint_model(models: Sequence[keras.Model]) -> keras.Model:
    """One model with all outputs of the models; what they share is computed once."""
    first = models[0]
    if len(models) == 1:
        return first
    outputs: list[Any] = []
    for model in models:
        same = all(one is other for one, other in zip(model.inputs, first.inputs, strict=True))
        outputs += model.outputs if same else keras.tree.flatten(model(inputs_of(first)))
    return keras.Model(inputs_of(first), outputs)


def _output_name(model: keras.Model) -> str:
    return str(model.outputs[0]._keras_history.operation.name)


def _hash(values: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _sayer(console: Console | None) -> Callable[[str], None] | None:
    return None if console is None else lambda sentence: console.print(sentence, highlight=False, markup=False)

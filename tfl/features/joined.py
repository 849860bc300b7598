"""Frozen features of several inputs: each input is a pass of its own, into the space of the store that it has alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tfl.backbones.inputs import inputs_of
from tfl.data.bundle import Bundle
from tfl.features.chunks import value_dtype
from tfl.features.cut import JoinedPrefix, cut_branches, features_name, inputs_next_to, tensor_at
from tfl.features.extract import Extractor, Made
from tfl.features.store import Features, Progress
from tfl.model.assemble import Assembled
from tfl.model.head import POOL

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

    import tfl

_BATCH = 256


def extractor_of(models: Sequence[keras.Model | JoinedPrefix], bundle: Bundle, **options: Any) -> Any:
    """The `Extractor` of some prefixes, or the `JoinedExtractor` where they are those of several inputs.

    Args:
        models: All of one kind.
        bundle: The data.
        options: Further arguments of `Extractor`.
    """
    joined = [one for one in models if isinstance(one, JoinedPrefix)]
    return JoinedExtractor(joined, bundle, **options) if joined else Extractor(models, bundle, **options)


class Scattered:
    """Features of the examples that have an input, as rows of all examples: zeros stand for the others.

    Args:
        rows: Of those that have it, in order; None where none has.
        there: `(n,)`, which have it.
        row_shape: Shape of a row.
        dtype: NumPy dtype of the rows.
    """

    def __init__(self, rows: Any, there: NDArray[np.bool_], row_shape: tuple[int, ...], dtype: Any) -> None:
        self._rows, self._there, self.dtype = rows, there, np.dtype(dtype)
        self._places = np.cumsum(there) - 1
        self.shape = (len(there), *row_shape)

    def __len__(self) -> int:
        return len(self._there)

    @property
    def nbytes(self) -> int:
        """What all rows would take in memory."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __getitem__(self, rows: Any) -> NDArray[Any]:
        """The rows at these positions."""
        there = self._there[rows]
        made = np.zeros((len(there), *self.shape[1:]), self.dtype)
        if there.any():
            made[there] = self._rows[self._places[rows][there]]
        return made

    def read_all(self) -> NDArray[Any]:
        """Every row, in memory."""
        return self[:]


class JoinedExtractor:
    """The frozen networks of several inputs over some examples: an `Extractor` for each input, over those that have it.

    Args: As of `Extractor`, with a `JoinedPrefix` in the place of each model.
    """

    def __init__(
        self,
        models: Sequence[JoinedPrefix],
        bundle: Bundle,
        *,
        features: tfl.Features,
        known: str | None = None,
        console: Console | None = None,
    ) -> None:
        self.models, self.bundle, self.settings, self.console = list(models), bundle, features, console
        modality: Any = bundle.modality
        engines = dict(one.split(": ", 1) for one in known.split(", ")) if known else {}
        self._rows: dict[str, NDArray[np.int64]] = {}
        self._own: dict[str, Extractor] = {}
        for name in dict.fromkeys(name for one in models for name in one.models):
            own, self._rows[name] = bundle.of_input(name, modality.parts[name])
            prefixes = [one.models[name] for one in models if name in one.models]
            self._own[name] = Extractor(prefixes, own, features=features, known=engines.get(name), console=console)

    def run(
        self, part: str | NDArray[Any], *, augment: Any = None, view: int = 0, progress: Progress | None = None
    ) -> tuple[list[Made], NDArray[np.float32]]:
        """The features by prefix, each a dictionary by the names of the suffix's inputs, and the targets."""
        indices = self._indices(part)
        made: list[dict[str, Any]] = [{} for _ in self.models]
        for number, (name, own) in enumerate(self._own.items()):
            there, places = self._places(name, indices)
            step = _share_of(progress, number, len(self._own), len(indices), len(places))
            mine = [by_name for by_name, one in zip(made, self.models, strict=True) if name in one.models]
            found = own.run(places, progress=step)[0] if len(places) else [None] * len(mine)
            for rows, by_name, shape in zip(found, mine, own._row_shapes, strict=True):
                by_name[features_name(name)] = self._filled(rows, there, shape)
        return made, self.bundle.targets[indices]  # type: ignore[return-value]

    def _filled(self, rows: Any, there: NDArray[np.bool_], shape: tuple[int, ...]) -> Any:
        return rows if isinstance(rows, Features) and there.all() else Scattered(rows, there, shape, value_dtype(self._dtype))

    @property
    def _dtype(self) -> str:
        return str(self.settings.dtype)

    def _indices(self, part: str | NDArray[Any]) -> NDArray[np.int64]:
        return self.bundle.indices(part) if isinstance(part, str) else np.asarray(part, np.int64)

    def _places(self, name: str, indices: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Which of the examples have the input, and where these are among all that have it."""
        places = np.full(len(self.bundle.examples), -1, np.int64)
        places[self._rows[name]] = np.arange(len(self._rows[name]))
        found = places[indices]
        return found >= 0, found[found >= 0]

    def missing(self, part: str | NDArray[Any], *, augment: Any = None, view: int = 0) -> int:
        """How many of the examples `run` would have to compute, for the input that lacks most."""
        indices = self._indices(part)
        return max(own.missing(self._places(name, indices)[1]) for name, own in self._own.items())

    def row_bytes(self, number: int) -> int:
        """What the features of one example by the prefix of that number take."""
        before = self.models[:number]
        return sum(self._own[name].row_bytes(sum(name in one.models for one in before)) for name in self.models[number].models)

    def seconds_per_example(self) -> tuple[float, float]:
        """What the engines take for an example, and what Keras does."""
        own, keras_ = zip(*(one.seconds_per_example() for one in self._own.values()), strict=True)
        return sum(own), sum(keras_)

    @property
    def engine_name(self) -> str:
        """What runs the network of each input, or would."""
        return ", ".join(f"{name}: {own.engine_name}" for name, own in self._own.items())

    def engine(self) -> JoinedExtractor:
        """Itself, once every engine is chosen: `name` says which."""
        for own in self._own.values():
            own.engine()
        return self

    @property
    def name(self) -> str:
        """See `engine_name`."""
        return self.engine_name


def joined_vectors(
    assembled: Assembled, bundle: Bundle, part: str | NDArray[Any], *, features: tfl.Features, console: Console | None = None
) -> NDArray[np.float32]:
    """What the layer `POOL` gives for some examples, from stored features of the frozen networks: `(n, width)`.

    Args:
        assembled: The network.
        bundle: The data.
        part: `train`, `val` or `test`, or indices into `bundle.examples`.
        features: Engine and dtype.
        console: Where messages of the store are shown; None shows nothing.
    """
    prefix, suffix = cut_branches(assembled, {name: len(blocks) for name, blocks in assembled.groups().items()})
    extractor = JoinedExtractor([prefix], bundle, features=features, console=console)
    (made,), _ = extractor.run(part)
    return joined_from(suffix, made, bundle, extractor._indices(part), names=inputs_next_to(prefix, suffix))


def joined_from(
    suffix: keras.Model, features: Any, bundle: Bundle, indices: NDArray[np.int64], *, names: Sequence[str]
) -> NDArray[np.float32]:
    """What the layer `POOL` gives from features at a cut, and from the inputs `names` that are needed next to them."""
    above, parts = keras.Model(inputs_of(suffix), tensor_at(suffix, POOL)), []
    for start in range(0, len(indices), _BATCH):
        places = np.arange(start, min(start + _BATCH, len(indices)))
        batch = {name: np.asarray(array[places], np.float32) for name, array in features.items()}
        parts.append(above.predict_on_batch(batch | bundle.input_values(names, indices[places])))
    return np.concatenate(parts).astype(np.float32)


def _share_of(progress: Progress | None, number: int, inputs: int, count: int, own: int) -> Progress | None:
    """The progress of one input's pass as that of all passes together."""
    if progress is None:
        return None
    return lambda done: progress(int(count * (number + done / max(own, 1)) / inputs))

"""The contents that a model and its exports are compared on: the golden ones, and the whole test split where it is at hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfl.backbones.inputs import joined
from tfl.data.cached import CachedTensors
from tfl.data.pipeline import as_stored
from tfl.modalities.base import Modality, Tensors
from tfl.modalities.shipping import shipping_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from tfl.data.bundle import Bundle
    from tfl.data.examples import Examples

BATCH = 16
GOLDEN, TEST = "golden", "test"
Batch = tuple[slice, list[bytes]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """Contents in order, the golden ones first.

    Attributes:
        names: What each is called.
        golden: How many golden ones there are.
        targets: `(n, width)` float32, of the task; NaN for golden contents, which have none.
        read: The content at a position, converted where the decode graph does not read its format.
        modality: How they are decoded.
        kept: The tensors of each, decoded once, or None where there is no room.
    """

    names: tuple[str, ...]
    golden: int
    targets: NDArray[np.float32]
    read: Callable[[int], bytes]
    modality: Modality
    kept: CachedTensors | None = None

    @classmethod
    def of(
        cls,
        modality: Modality,
        *,
        examples: Examples | None = None,
        targets: NDArray[np.float32] | None = None,
        indices: ArrayLike = (),
        cached: CachedTensors | None = None,
    ) -> Trial:
        """The golden contents, then those of `examples` at `indices`, each decoded as in training.

        Args:
            modality: How they are decoded.
            examples, targets, indices: The test split; None leaves the golden contents alone. `targets` of all examples default
                to one-hot labels.
            cached: The tensors of all of `examples`, where they are at hand.

        Example:

        >>> import tfl
        >>> from tfl.export.trial import Trial
        >>> from tfl.modalities.base import modality_of_data
        >>> trial = Trial.of(modality_of_data(tfl.Data("unused", image_size=(8, 8))))
        >>> trial.count("test"), next(trial.tensors())[1].shape
        (0, (16, 8, 8, 3))
        """
        golden, chosen = list(shipping_of(modality).golden().items()), np.asarray(indices, np.int64)
        if examples is None:
            chosen = chosen[:0]

        def read(at: int) -> bytes:
            if at < len(golden) or examples is None:
                return golden[at][1]
            return modality.readable(examples.bytes_of(int(chosen[at - len(golden)])))

        names = [name for name, _ in golden]
        rows = np.zeros((0, 1), np.float32)
        if examples is not None:
            names += [examples.name_of(int(index)) for index in chosen]
            rows = _targets_of(examples)[chosen] if targets is None else targets[chosen]
        unknown = np.full((len(golden), rows.shape[1]), np.nan, np.float32)
        trial = cls(names=tuple(names), golden=len(golden), targets=np.concatenate([unknown, rows]), read=read, modality=modality)
        return trial._decoded(None if cached is None else cached.take(chosen), len(golden))

    @classmethod
    def of_bundle(cls, bundle: Bundle) -> Trial:
        """The golden contents and the test split of a bundle."""
        return cls.of(
            bundle.modality,
            examples=bundle.examples,
            targets=bundle.targets,
            indices=bundle.indices("test"),
            cached=bundle.cached,
        )

    def __len__(self) -> int:
        return len(self.names)

    def part(self, name: str) -> NDArray[np.bool_]:
        """`(n,)`, which contents belong to `golden` or `test`."""
        return (np.arange(len(self)) < self.golden) == (name == GOLDEN)

    def count(self, name: str) -> int:
        """How many contents `golden` or `test` has."""
        return int(self.part(name).sum())

    def contents(self, batch: int = BATCH) -> Iterator[Batch]:
        """Every content, as an exported decoder reads it."""
        for start in range(0, len(self), batch):
            places = slice(start, min(start + batch, len(self)))
            yield places, [self.read(at) for at in range(places.start, places.stop)]

    def tensors(self, batch: int = BATCH) -> Iterator[tuple[slice, Tensors]]:
        """Every content as tfl decodes it: an array of the network's input, or a dictionary of arrays."""
        if self.kept is None:
            decode = decoder(self.modality)
            for places, contents in self.contents(batch):
                yield places, decode(contents)
            return
        for start in range(0, len(self), batch):
            places = slice(start, min(start + batch, len(self)))
            yield places, as_taken(self.kept[places], self.modality)

    def _decoded(self, given: CachedTensors | None, golden: int) -> Trial:
        """The same with every content decoded, those after the golden ones taken from `given` where they are there."""
        kept, decode = CachedTensors.of(len(self), self.modality.spec()), decoder(self.modality)
        if kept is None:
            return self
        to_decode = len(self) if given is None else golden
        for start in range(0, to_decode, BATCH):
            contents = [self.read(at) for at in range(start, min(start + BATCH, to_decode))]
            for at, row in enumerate(_rows(decode(contents)), start=start):
                kept.write(at, row)
        if given is not None:
            for at in range(golden, len(self)):
                kept.write(at, next(_rows(given[[at - golden]])))
        return dataclasses.replace(self, kept=kept)


def tensors_of(examples: Examples, indices: ArrayLike, *, modality: Modality, at_most: int, seed: int = 0) -> Tensors:
    """The tensors of some examples as they are stored, drawn by the seed: what int8 looks at.

    Args:
        examples, indices: Which; the training examples of a run.
        modality: How they are decoded.
        at_most: Integer, so many.
        seed: Decides which.
    """
    drawn = np.random.default_rng(seed).permutation(np.asarray(indices, np.int64))[:at_most]
    found, decode = [], decoder(modality)
    for start in range(0, len(drawn), BATCH):
        contents = [modality.readable(examples.bytes_of(int(index))) for index in drawn[start : start + BATCH]]
        found.append(_arrays(as_stored(decode(contents), modality.spec())))
    return joined(found) if found else _arrays(as_stored(decode([]), modality.spec()))


def decoder(modality: Modality) -> Callable[[Sequence[bytes]], Tensors]:
    """tfl's decoding of a batch of contents as one graph, to arrays."""
    signature = [tf.TensorSpec([None], tf.string)]
    encode = tf.function(modality.encode, input_signature=signature, autograph=False)
    return lambda contents: _arrays(encode(tf.constant(list(contents), tf.string)))


def as_taken(stored: Tensors, modality: Modality) -> Tensors:
    """Stored arrays in the dtypes that the network takes."""
    specs = modality.spec()
    if isinstance(stored, dict):
        return {name: stored[name].astype(spec.dtype) for name, spec in specs.items()}
    (spec,) = specs.values()
    return stored.astype(spec.dtype)


def _targets_of(examples: Examples) -> NDArray[np.float32]:
    return np.eye(len(examples.class_names), dtype=np.float32)[np.asarray(examples.labels)]


def _arrays(tensors: Tensors) -> Any:
    if isinstance(tensors, dict):
        return {name: np.asarray(tensor) for name, tensor in tensors.items()}
    return np.asarray(tensors)


def _rows(tensors: Tensors) -> Iterator[Any]:
    if not isinstance(tensors, dict):
        yield from tensors
        return
    for values in zip(*tensors.values(), strict=True):
        yield dict(zip(tensors, values, strict=True))

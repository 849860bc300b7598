"""The files that a model and its exports are compared on: the golden images, and the whole test split where it is at hand."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfl.data.cached import Cached, CachedTensors
from tfl.export.golden import golden_images
from tfl.modalities.image.convert import readable_by_graph
from tfl.modalities.image.resize import preprocess_batch
from tfl.recipe import Data

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from tfl.data.examples import Examples

BATCH = 16
GOLDEN, TEST = "golden", "test"
Batch = tuple[slice, list[bytes]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Trial:
    """Files in order, the golden ones first.

    Attributes:
        names: What each is called.
        labels: `(n,)` int32; -1 for a golden image, which has none.
        read: The content of the file at a position, converted where the decode graph does not read its format.
        data: How they are decoded.
        kept: Each decoded once, or None where there is no room.
    """

    names: tuple[str, ...]
    labels: NDArray[np.int32]
    read: Callable[[int], bytes]
    data: Data
    kept: Cached | None = None

    @classmethod
    def of(
        cls, data: Data, *, examples: Examples | None = None, indices: ArrayLike = (), cached: CachedTensors | None = None
    ) -> Trial:
        """The golden images, then those of `examples` at `indices`, each decoded as in training.

        Args:
            data: Image size and fit.
            examples, indices: The test split; None leaves the golden images alone.
            cached: The tensors of all of `examples`, where they are at hand.

        Example:

        >>> import tfl
        >>> from tfl.export.trial import Trial
        >>> trial = Trial.of(tfl.Data("unused", image_size=(8, 8)))
        >>> trial.count("test"), next(trial.pixels())[1].shape
        (0, (16, 8, 8, 3))
        """
        golden, chosen = list(golden_images().items()), np.asarray(indices, np.int64)
        if examples is None:
            chosen = chosen[:0]

        def read(at: int) -> bytes:
            if at < len(golden) or examples is None:
                return golden[at][1]
            return readable_by_graph(examples.bytes_of(int(chosen[at - len(golden)])))

        names = [name for name, _ in golden]
        labels = np.full(len(golden), -1, np.int32)
        if examples is not None:
            names += [examples.name_of(int(index)) for index in chosen]
            labels = np.concatenate([labels, examples.labels[chosen]])
        trial = cls(names=tuple(names), labels=labels, read=read, data=data)
        return trial._decoded(None if cached is None else cached.take(chosen).alone, len(golden))

    def __len__(self) -> int:
        return len(self.names)

    def part(self, name: str) -> NDArray[np.bool_]:
        """`(n,)`, which files belong to `golden` or `test`."""
        return (self.labels < 0) == (name == GOLDEN)

    def count(self, name: str) -> int:
        """How many files `golden` or `test` has."""
        return int(self.part(name).sum())

    def contents(self, batch: int = BATCH) -> Iterator[Batch]:
        """Every file, as an exported decoder reads it."""
        for start in range(0, len(self), batch):
            places = slice(start, min(start + batch, len(self)))
            yield places, [self.read(at) for at in range(places.start, places.stop)]

    def pixels(self, batch: int = BATCH) -> Iterator[tuple[slice, NDArray[np.float32]]]:
        """Every file as tfl decodes it: `(batch, height, width, 3)` float32 in 0..255, whole numbers."""
        if self.kept is None:
            for places, contents in self.contents(batch):
                yield places, _decode(contents, self.data)
            return
        for start in range(0, len(self), batch):
            places = slice(start, min(start + batch, len(self)))
            yield places, self.kept[places].astype(np.float32)

    def _decoded(self, given: Cached | None, golden: int) -> Trial:
        """The same with every file decoded, those after the golden ones taken from `given` where they are there."""
        kept = Cached.of(len(self), (*self.data.settled_size, 3))
        if kept is None:
            return self
        to_decode = len(self) if given is None else golden
        for start in range(0, to_decode, BATCH):
            contents = [self.read(at) for at in range(start, min(start + BATCH, to_decode))]
            for at, image in enumerate(_decode(contents, self.data), start=start):
                kept.write(at, image.astype(np.uint8))
        if given is not None:
            for at in range(golden, len(self)):
                kept.write(at, given[[at - golden]][0])
        return dataclasses.replace(self, kept=kept)


def images_of(examples: Examples, indices: ArrayLike, *, data: Data, at_most: int, seed: int = 0) -> NDArray[np.uint8]:
    """Some images `(n, height, width, 3)` as tfl decodes them, drawn by the seed: what int8 looks at.

    Args:
        examples, indices: Which; the training images of a run.
        data: Image size and fit.
        at_most: So many.
        seed: Decides which.
    """
    drawn = np.random.default_rng(seed).permutation(np.asarray(indices, np.int64))[:at_most]
    images: list[Any] = []
    for start in range(0, len(drawn), BATCH):
        contents = [readable_by_graph(examples.bytes_of(int(index))) for index in drawn[start : start + BATCH]]
        images.append(_decode(contents, data).astype(np.uint8))
    return np.concatenate(images) if images else np.zeros((0, *data.settled_size, 3), np.uint8)


def _decode(contents: Sequence[bytes], data: Data) -> NDArray[np.float32]:
    return np.asarray(_decoder(data.settled_size, data.fit, data.bits)(tf.constant(list(contents), tf.string)), np.float32)


@functools.lru_cache(maxsize=4)
def _decoder(size: tuple[int, int], fit: Any, bits: int | None) -> Callable[[tf.Tensor], tf.Tensor]:
    """tfl's decoding as one graph, traced once a process."""
    signature = [tf.TensorSpec([None], tf.string)]
    return tf.function(lambda contents: preprocess_batch(contents, size, fit, bits), input_signature=signature, autograph=False)

"""Where a stage's batches come from: the frozen prefix's outputs, computed once, or the pixels where nothing is frozen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import tensorflow as tf

from tfl.data.bundle import Bundle, derived_seed
from tfl.data.pipeline import cache_pixels, make_dataset, shuffled, untuned
from tfl.features.cost import Decision, Pass, decide
from tfl.features.extract import Extractor
from tfl.features.store import Features
from tfl.recipe import Stage

if TYPE_CHECKING:
    from numpy.typing import NDArray

HOLD_BYTES = 2**26
"""Features up to this size are held in memory, in the storage dtype. Larger ones are read block by block: the memory that a
stage takes does not grow with the number of images."""
BLOCK_BYTES = 2**24
"""What is read from the store at once, ahead of the steps that use it; at least one batch."""


@dataclass(frozen=True)
class MemoryEpoch:
    """One pass over arrays in memory.

    Args:
        features: `(n, ...)` tensor, in the dtype they are stored in.
        labels: `(n, classes)` float32 tensor.
        order: int32 `(n,)`, the order to take them in.
    """

    features: tf.Tensor
    labels: tf.Tensor
    order: NDArray[np.int32]


@dataclass(frozen=True)
class StreamEpoch:
    """One pass over a dataset of (inputs, one-hot labels) batches."""

    dataset: tf.data.Dataset


@dataclass(frozen=True)
class BlockEpoch:
    """One pass over a dataset of (features, labels) blocks, each of several batches: `n` is a multiple of the batch size."""

    dataset: tf.data.Dataset


Epoch = MemoryEpoch | StreamEpoch | BlockEpoch


class Batches(Protocol):
    """What a stage trains and validates on."""

    feature_seconds: float
    dtype: str

    def train(self, epoch: int) -> Epoch:
        """The training batches of an epoch, counted from 1."""

    def validation(self) -> Epoch:
        """The validation batches, in the order of the split."""

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The training images of an epoch as indices into the examples, in the order of its batches."""


def epoch_order(count: int, *, seed: int, stage_name: str, epoch: int) -> NDArray[np.int32]:
    """The order of an epoch's examples: a function of the seed, the stage and the epoch alone.

    Example:

    >>> sorted(epoch_order(4, seed=0, stage_name="head", epoch=1).tolist())
    [0, 1, 2, 3]
    """
    return np.random.default_rng(derived_seed(seed, stage_name, epoch, "order")).permutation(count).astype(np.int32)


class PixelBatches:
    """Batches of images, decoded once where the disk has room for them. Augmentation is drawn anew in every epoch."""

    dtype = "float32"

    def __init__(self, bundle: Bundle, stage: Stage) -> None:
        self.bundle, self.stage = bundle, stage
        self.feature_seconds = 0.0
        self._pixels = bundle.pixels if bundle.pixels is not None else cache_pixels(bundle.examples, data=bundle.data)
        self._validation = self._dataset("val")

    def train(self, epoch: int) -> StreamEpoch:
        """The training images, shuffled and augmented by the seed, the stage and the epoch."""
        seed = derived_seed(self.bundle.seed, self.stage.name, "order")
        augment_seed = derived_seed(self.bundle.seed, self.stage.name, "augment")
        options = {"augment": self.stage.augment, "augment_seed": augment_seed, "view": epoch - 1}
        return StreamEpoch(self._dataset("train", shuffle_seed=seed, epoch=epoch, **options))

    def validation(self) -> StreamEpoch:
        """The validation images, never augmented."""
        return StreamEpoch(self._validation)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The training images as indices into the examples, in the epoch's order."""
        seed = derived_seed(self.bundle.seed, self.stage.name, "order")
        return shuffled(self.bundle.indices("train"), seed=seed, epoch=epoch)

    def _dataset(self, part: str, **options: Any) -> tf.data.Dataset:
        bundle = self.bundle
        return make_dataset(
            bundle.examples,
            bundle.indices(part),
            data=bundle.data,
            batch_size=self.stage.batch_size,
            pixels=self._pixels,
            **options,
        )


class FeatureBatches:
    """Batches of the frozen prefix's outputs, from the store. A view of the training images is computed when it is first due.

    Epoch `e`, counted from 0, takes view `e % views` of the augmented images: augmentation comes before the store.

    Args:
        bundle: The data.
        stage: The stage.
        prefix: The frozen network, from pixels to the cut, over the bundle.
        after_images: Told how many images of a pass the prefix has done, and of how many.
    """

    def __init__(
        self, bundle: Bundle, stage: Stage, prefix: Extractor, *, after_images: Callable[[int, int], None] | None = None
    ) -> None:
        self.bundle, self.stage, self.prefix, self.after_images = bundle, stage, prefix, after_images
        self.feature_seconds = 0.0
        self.dtype = str(prefix.settings.dtype)
        self.views = views_of(stage)
        self._hold_views = prefix.row_bytes(0) * len(bundle.indices("train")) * self.views <= HOLD_BYTES
        self._held: dict[tuple[str, int], tuple[Any, Any]] = {}

    def train(self, epoch: int) -> Epoch:
        """The training features of the epoch's view, shuffled by the seed, the stage and the epoch."""
        features, labels = self._features("train", (epoch - 1) % self.views)
        order = epoch_order(len(labels), seed=self.bundle.seed, stage_name=self.stage.name, epoch=epoch)
        return self._epoch(features, labels, order)

    def validation(self) -> Epoch:
        """The validation features, in the order of the split."""
        features, labels = self._features("val", 0)
        return self._epoch(features, labels, np.arange(len(labels), dtype=np.int32))

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The training images as indices into the examples, in the epoch's order."""
        indices = self.bundle.indices("train")
        return indices[epoch_order(len(indices), seed=self.bundle.seed, stage_name=self.stage.name, epoch=epoch)]

    def _epoch(self, features: Any, labels: Any, order: NDArray[np.int32]) -> Epoch:
        if isinstance(features, tf.Tensor):
            return MemoryEpoch(features, labels, order)
        return BlockEpoch(_blocks(features, labels, order, self.stage.batch_size))

    def _features(self, part: str, view: int) -> tuple[Any, Any]:
        if (part, view) in self._held:
            return self._held[part, view]
        if part == "train" and not self._hold_views:
            self._held = {key: value for key, value in self._held.items() if key[0] != "train"}
        began = time.perf_counter()
        self._held[part, view] = self._from_store(part, view)
        self.feature_seconds += time.perf_counter() - began
        return self._held[part, view]

    def _from_store(self, part: str, view: int) -> tuple[Any, Any]:
        after, count = self.after_images, len(self.bundle.indices(part))
        (features,), labels = self.prefix.run(
            part,
            augment=self.stage.augment if part == "train" else None,
            view=view,
            progress=None if after is None else lambda done: after(done, count),
        )
        if features.nbytes > HOLD_BYTES:
            return features, labels
        return _on_cpu(features.read_all()), _on_cpu(labels)


def views_of(stage: Stage) -> int:
    """How many copies of each training image a stage stores features of."""
    return stage.views if stage.augment is not None else 1


def storing(prefix: Extractor, stage: Stage) -> Decision:
    """Whether the stage stores what its frozen prefix makes, by the recipe's `features.store` and what that costs."""
    train, validation = (len(prefix.bundle.indices(part)) for part in ("train", "val"))
    row_bytes, views = prefix.row_bytes(0), views_of(stage)
    held = row_bytes * max(train * views, validation) <= HOLD_BYTES
    work = Pass(row_bytes=row_bytes, train=train, validation=validation, epochs=stage.epochs, views=views, held=held)

    def missing() -> int:
        copies = range(min(views, stage.epochs))
        return sum(prefix.missing("train", augment=stage.augment, view=view) for view in copies) + prefix.missing("val")

    return decide(prefix.settings.store, work, missing=missing, image_seconds=prefix.seconds_per_image)


def _on_cpu(array: Any) -> tf.Tensor:
    with tf.device("CPU:0"):
        return tf.constant(array)


def _blocks(features: Features, labels: NDArray[np.float32], order: NDArray[np.int32], batch_size: int) -> tf.data.Dataset:
    """Blocks of whole batches in the given order, read from the store while the block before is in use."""
    batches = max(1, BLOCK_BYTES * len(features) // (features.nbytes * batch_size))

    def read() -> Iterator[tuple[Any, Any]]:
        for start in range(0, len(order), batches * batch_size):
            rows = order[start : start + batches * batch_size]
            yield features[rows], labels[rows]

    signature = (tf.TensorSpec((None, *features.shape[1:]), features.dtype), tf.TensorSpec((None, labels.shape[1]), tf.float32))
    return untuned(tf.data.Dataset.from_generator(read, output_signature=signature).prefetch(1))

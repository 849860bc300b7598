"""Where a stage's batches come from: the frozen prefix's outputs, computed once, or the inputs where nothing is frozen."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import tensorflow as tf

from tfl.backbones.inputs import structured
from tfl.data.bundle import Bundle, derived_seed
from tfl.data.pipeline import cache_tensors, shuffled, untuned
from tfl.features.cost import Decision, Pass, decide
from tfl.features.cut import FEATURES
from tfl.features.extract import Extractor
from tfl.recipe import Stage

if TYPE_CHECKING:
    from numpy.typing import NDArray

HOLD_BYTES = 2**26
"""Features up to this size are held in memory, in the storage dtype. Larger ones are read block by block: the memory that a
stage takes does not grow with the number of examples."""
BLOCK_BYTES = 2**24
"""What is read from the store at once, ahead of the steps that use it; at least one batch."""


@dataclass(frozen=True)
class MemoryEpoch:
    """One pass over arrays in memory.

    Args:
        features: `(n, ...)` tensor in the dtype it is stored in, or a dictionary of these by the name of the suffix's input.
        targets: `(n, width)` float32 tensor.
        order: int32 `(n,)`, the order to take them in.
    """

    features: Any
    targets: tf.Tensor
    order: NDArray[np.int32]


@dataclass(frozen=True)
class StreamEpoch:
    """One pass over a dataset of (inputs, targets) batches."""

    dataset: tf.data.Dataset


@dataclass(frozen=True)
class BlockEpoch:
    """One pass over a dataset of (features, targets) blocks, each of several batches: `n` is a multiple of the batch size."""

    dataset: tf.data.Dataset


Epoch = MemoryEpoch | StreamEpoch | BlockEpoch


class Batches(Protocol):
    """What a stage trains and validates on."""

    feature_seconds: float
    dtype: str
    inputs: tuple[str, ...]

    def train(self, epoch: int) -> Epoch:
        """The training batches of an epoch, counted from 1."""

    def validation(self) -> Epoch:
        """The validation batches, in the order of the split."""

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The training examples of an epoch as indices into the examples, in the order of its batches."""


def epoch_order(count: int, *, seed: int, stage_name: str, epoch: int) -> NDArray[np.int32]:
    """The order of an epoch's examples: a function of the seed, the stage and the epoch alone.

    Example:

    >>> sorted(epoch_order(4, seed=0, stage_name="head", epoch=1).tolist())
    [0, 1, 2, 3]
    """
    return np.random.default_rng(derived_seed(seed, stage_name, epoch, "order")).permutation(count).astype(np.int32)


class InputBatches:
    """Batches of the network's inputs, decoded once where the disk has room. Augmentation is drawn anew in every epoch."""

    dtype = "float32"
    inputs: tuple[str, ...] = ()

    def __init__(self, bundle: Bundle, stage: Stage) -> None:
        self.bundle, self.stage = bundle, stage
        self.feature_seconds = 0.0
        cached = bundle.cached if bundle.cached is not None else cache_tensors(bundle.examples, modality=bundle.modality)
        self._cached = cached
        self._validation = self._dataset("val") if len(bundle.indices("val")) else None

    def train(self, epoch: int) -> StreamEpoch:
        """The training examples, shuffled and augmented by the seed, the stage and the epoch."""
        seed = derived_seed(self.bundle.seed, self.stage.name, "order")
        augment_seed = derived_seed(self.bundle.seed, self.stage.name, "augment")
        options = {"augment": self.stage.augment, "augment_seed": augment_seed, "view": epoch - 1}
        return StreamEpoch(self._dataset("train", shuffle_seed=seed, epoch=epoch, **options))

    def validation(self) -> StreamEpoch:
        """The validation examples, never augmented."""
        return StreamEpoch(self._validation)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The training examples as indices into the examples, in the epoch's order."""
        seed = derived_seed(self.bundle.seed, self.stage.name, "order")
        return shuffled(self.bundle.indices("train"), seed=seed, epoch=epoch)

    def _dataset(self, part: str, **options: Any) -> tf.data.Dataset:
        size = self.stage.batch_size
        return self.bundle.dataset(self.bundle.indices(part), batch_size=size, cached=self._cached, **options)


class FeatureBatches:
    """Batches of the frozen prefix's outputs, from the store. A view of the training examples is computed when it is first due.

    Epoch `e`, counted from 0, takes view `e % views` of the augmented examples: augmentation comes before the store.

    Args:
        bundle: The data.
        stage: The stage.
        prefix: The frozen network, from the inputs to the cut, over the bundle.
        inputs: Names of the network's inputs that the suffix needs next to the features.
        after_examples: Called with how many examples of a pass the prefix has done, and of how many.
    """

    def __init__(
        self,
        bundle: Bundle,
        stage: Stage,
        prefix: Extractor,
        *,
        inputs: Sequence[str] = (),
        after_examples: Callable[[int, int], None] | None = None,
    ) -> None:
        self.bundle, self.stage, self.prefix, self.inputs = bundle, stage, prefix, tuple(inputs)
        self.after_examples = after_examples
        self.feature_seconds = 0.0
        self.dtype = str(prefix.settings.dtype)
        self.views = views_of(stage)
        self._hold_views = prefix.row_bytes(0) * len(bundle.indices("train")) * self.views <= HOLD_BYTES
        self._held: dict[tuple[str, int], tuple[Any, Any]] = {}

    def train(self, epoch: int) -> Epoch:
        """The training features of the epoch's view, shuffled by the seed, the stage and the epoch."""
        features, targets = self._features("train", (epoch - 1) % self.views)
        order = epoch_order(len(targets), seed=self.bundle.seed, stage_name=self.stage.name, epoch=epoch)
        return self._epoch(features, targets, order)

    def validation(self) -> Epoch:
        """The validation features, in the order of the split."""
        features, targets = self._features("val", 0)
        return self._epoch(features, targets, np.arange(len(targets), dtype=np.int32))

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The training examples as indices into the examples, in the epoch's order."""
        indices = self.bundle.indices("train")
        return indices[epoch_order(len(indices), seed=self.bundle.seed, stage_name=self.stage.name, epoch=epoch)]

    def _epoch(self, features: Any, targets: Any, order: NDArray[np.int32]) -> Epoch:
        if isinstance(targets, tf.Tensor):
            return MemoryEpoch(features, targets, order)
        return BlockEpoch(_blocks(features, targets, order, self.stage.batch_size))

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
        after, count = self.after_examples, len(self.bundle.indices(part))
        (features,), targets = self.prefix.run(
            part,
            augment=self.stage.augment if part == "train" else None,
            view=view,
            progress=None if after is None else lambda done: after(done, count),
        )
        arrays = features if isinstance(features, dict) else {FEATURES: features}
        rows: Any = structured({**arrays, **self._inputs_of(part)})
        if sum(array.nbytes for array in arrays.values()) > HOLD_BYTES:
            return rows, targets
        held = {name: _on_cpu(array[:]) for name, array in rows.items()} if isinstance(rows, dict) else _on_cpu(rows[:])
        return held, _on_cpu(targets)

    def _inputs_of(self, part: str) -> dict[str, NDArray[Any]]:
        """The network's own inputs that the suffix needs, of the split."""
        return self.bundle.input_values(self.inputs, self.bundle.indices(part)) if self.inputs else {}


def views_of(stage: Stage) -> int:
    """How many copies of each training example a stage stores features of."""
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

    return decide(
        prefix.settings.store, work, noun=prefix.bundle.modality.noun, missing=missing, example_seconds=prefix.seconds_per_example
    )


def _on_cpu(array: Any) -> tf.Tensor:
    with tf.device("CPU:0"):
        return tf.constant(array)


def _blocks(features: Any, targets: NDArray[np.float32], order: NDArray[np.int32], batch_size: int) -> tf.data.Dataset:
    """Blocks of whole batches in the given order, read from the store while the block before is in use."""
    arrays = features if isinstance(features, dict) else {FEATURES: features}
    row_bytes = sum(array.nbytes for array in arrays.values()) / len(targets)
    batches = max(1, int(BLOCK_BYTES / (row_bytes * batch_size)))

    def read() -> Iterator[tuple[Any, Any]]:
        for start in range(0, len(order), batches * batch_size):
            rows = order[start : start + batches * batch_size]
            yield structured({name: array[rows] for name, array in arrays.items()}), targets[rows]

    specs = structured({name: tf.TensorSpec((None, *array.shape[1:]), array.dtype) for name, array in arrays.items()})
    signature = (specs, tf.TensorSpec((None, targets.shape[1]), tf.float32))
    return untuned(tf.data.Dataset.from_generator(read, output_signature=signature).prefetch(1))

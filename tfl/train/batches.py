"""Where a stage's batches come from: the frozen prefix's outputs, computed once, or the pixels where nothing is frozen."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from tfl.data.bundle import Bundle, derived_seed
from tfl.data.pipeline import cache_pixels, make_dataset
from tfl.features.cache import cached_features, feature_key
from tfl.recipe import Stage
from tfl.storage import cache_home

if TYPE_CHECKING:
    from numpy.typing import NDArray

MEMORY_BYTES = 2**30
"""Features up to this size are held in memory; larger ones are read from the memory-mapped file, batch by batch."""
DISK_BYTES = 16 * 2**30
"""Features beyond this size, or beyond half of the free disk, are not stored: the prefix runs in every epoch."""
PREFIX_BATCH = 32
DECODE = f"tfl 1, tensorflow {tf.__version__}, keras {keras.__version__}"
"""The way from bytes to features; raise the number when `tfl.data.pipeline` makes other pixels of the same bytes."""


@dataclass(frozen=True)
class MemoryEpoch:
    """One pass over arrays in memory.

    Args:
        features: `(n, ...)` tensor.
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


Epoch = MemoryEpoch | StreamEpoch


class Batches(Protocol):
    """What a stage trains and validates on."""

    feature_seconds: float

    def train(self, epoch: int) -> Epoch:
        """The training batches of an epoch, counted from 1."""

    def validation(self) -> Epoch:
        """The validation batches, in the order of the split."""


def epoch_order(count: int, *, seed: int, stage_name: str, epoch: int) -> NDArray[np.int32]:
    """The order of an epoch's examples: a function of the seed, the stage and the epoch alone.

    Example:

    >>> sorted(epoch_order(4, seed=0, stage_name="head", epoch=1).tolist())
    [0, 1, 2, 3]
    """
    return np.random.default_rng(derived_seed(seed, stage_name, epoch, "order")).permutation(count).astype(np.int32)


def feature_bytes(prefix: keras.Model, images: int) -> int:
    """What the prefix's outputs of so many images take."""
    return images * 4 * math.prod(side or 1 for side in prefix.output_shape[1:])


def store_limit_bytes() -> int:
    """The most that features may take in the store now."""
    place = cache_home()
    while not place.exists():
        place = place.parent
    return min(DISK_BYTES, shutil.disk_usage(place).free // 2)


class PixelBatches:
    """Batches of images, decoded once where they fit into memory. Augmentation is drawn anew in every epoch."""

    def __init__(self, bundle: Bundle, stage: Stage) -> None:
        self.bundle, self.stage = bundle, stage
        self.feature_seconds = 0.0
        pixels = bundle.pixels if bundle.pixels is not None else cache_pixels(bundle.examples, data=bundle.data)
        self._pixels = None if pixels is None else _on_cpu(pixels)
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
        prefix: From pixels to the cut; frozen.
        after_images: Told how many images of a pass the prefix has done, and of how many.
    """

    def __init__(
        self, bundle: Bundle, stage: Stage, prefix: keras.Model, *, after_images: Callable[[int, int], None] | None = None
    ) -> None:
        self.bundle, self.stage, self.prefix, self.after_images = bundle, stage, prefix, after_images
        self.feature_seconds = 0.0
        self.views = stage.views if stage.augment is not None else 1
        self._decides = {
            "decode": DECODE,
            "weights": weights_hash(prefix),
            "network": graph_hash(prefix),
            "dtype": sorted({layer.dtype_policy.name for layer in prefix.layers}),
            "image_size": list(bundle.data.image_size),
            "fit": bundle.data.fit,
        }
        training = feature_bytes(prefix, len(bundle.indices("train")))
        self._hold_views = training * self.views <= MEMORY_BYTES
        self._fits = training <= MEMORY_BYTES
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

    def _epoch(self, features: Any, labels: Any, order: NDArray[np.int32]) -> Epoch:
        if isinstance(features, tf.Tensor):
            return MemoryEpoch(features, labels, order)
        return StreamEpoch(_stream(features, labels, order, self.stage.batch_size))

    def _features(self, part: str, view: int) -> tuple[Any, Any]:
        if (part, view) in self._held:
            return self._held[part, view]
        began = time.perf_counter()
        features, labels = self._from_store(part, view)
        if features.nbytes <= MEMORY_BYTES if part == "val" else self._fits:
            features, labels = _on_cpu(features), _on_cpu(np.asarray(labels, np.float32))
        if part == "train" and not self._hold_views:
            self._held = {key: value for key, value in self._held.items() if key[0] != "train"}
        self._held[part, view] = (features, labels)
        self.feature_seconds += time.perf_counter() - began
        return features, labels

    def _from_store(self, part: str, view: int) -> tuple[Any, Any]:
        bundle, indices = self.bundle, self.bundle.indices(part)
        augment = self.stage.augment if part == "train" else None
        drawn: dict[str, Any] = {}
        if augment is not None:
            drawn = {
                "augment": dataclasses.asdict(augment),
                "seed": bundle.seed,
                "view": view,
                "indices": hashlib.sha256(np.asarray(indices, np.int64).tobytes()).hexdigest(),
            }
        key = feature_key(data=bundle.content_hash(part), **self._decides, **drawn)
        dataset = lambda: make_dataset(  # noqa: E731
            bundle.examples,
            indices,
            data=bundle.data,
            batch_size=PREFIX_BATCH,
            augment=augment,
            augment_seed=bundle.seed,
            view=view,
            pixels=bundle.pixels,
        )
        after, count = self.after_images, len(indices)
        progress = None if after is None else lambda done: after(done, count)
        return cached_features(self.prefix, dataset, key=key, count=count, progress=progress)


def weights_hash(model: keras.Model) -> str:
    """A hash of all weights and BatchNorm statistics of a network."""
    digest = hashlib.sha256()
    for weight in model.weights:
        digest.update(np.ascontiguousarray(keras.ops.convert_to_numpy(weight)).tobytes())
    return digest.hexdigest()


def graph_hash(model: keras.Model) -> str:
    """A hash of a network's layers, their settings and how they are joined: two networks with equal weights may differ.

    Names do not count: Keras numbers them on through a process.
    """
    config = model.get_config()
    aliases = {layer["name"]: f"layer {number}" for number, layer in enumerate(config["layers"])} | {model.name: "model"}
    return hashlib.sha256(json.dumps(_renamed(config, aliases), sort_keys=True, default=repr).encode()).hexdigest()


def _renamed(value: Any, aliases: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {str(key): _renamed(item, aliases) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_renamed(item, aliases) for item in value]
    return aliases.get(value, value) if isinstance(value, str) else value


def _on_cpu(array: Any) -> tf.Tensor:
    with tf.device("CPU:0"):
        return tf.constant(np.asarray(array))


def _stream(features: Any, labels: Any, order: NDArray[np.int32], batch_size: int) -> tf.data.Dataset:
    """Batches read from memory-mapped features; rows are read in ascending order, which disks prefer."""

    def read() -> Iterator[tuple[Any, Any]]:
        for start in range(0, len(order), batch_size):
            rows = np.sort(order[start : start + batch_size])
            yield features[rows], labels[rows]

    signature = (tf.TensorSpec((None, *features.shape[1:]), tf.float32), tf.TensorSpec((None, labels.shape[1]), tf.float32))
    return tf.data.Dataset.from_generator(read, output_signature=signature).prefetch(2)

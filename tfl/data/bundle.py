"""What a stage trains on: the examples, their split, how they are read, and the seeds that order them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.recipe import Data

if TYPE_CHECKING:
    from tfl.data.cached import Pixels
    from tfl.data.source import Examples
    from tfl.data.split import Split


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """Everything about the data that a stage needs.

    Args:
        examples: All images that are used.
        split: Which of them train, validate and test, as index arrays.
        data: How they are decoded and resized.
        seed: Of order and augmentation; the recipe's.
        fingerprints: One of the content of each example, in the order of `examples`.
        pixels: Every example decoded and resized, where that is at hand.
    """

    examples: Examples
    split: Split
    data: Data
    seed: int
    fingerprints: Sequence[str]
    pixels: Pixels | None = None

    @property
    def class_count(self) -> int:
        """How many classes there are."""
        return len(self.examples.class_names)

    def indices(self, part: str) -> np.ndarray:
        """The positions of the split `part` in `examples`, int `(n,)`."""
        return np.asarray(getattr(self.split, part))

    def labels(self, part: str) -> np.ndarray:
        """The labels of the split `part`, int32 `(n,)`."""
        return np.asarray(self.examples.labels)[self.indices(part)]

    def content_hash(self, part: str) -> str:
        """A hash of the content and label of every example of a split, in order: another byte, another hash."""
        digest = hashlib.sha256(str(self.class_count).encode())
        for index, label in zip(self.indices(part), self.labels(part), strict=True):
            digest.update(f"{self.fingerprints[int(index)]} {int(label)}\n".encode())
        return digest.hexdigest()


def balanced_class_weights(labels: np.ndarray, *, class_count: int) -> np.ndarray:
    """Weights that let each class count the same in all: `n / (classes * count)`, as scikit-learn's `balanced`.

    Args:
        labels: int `(n,)`, of the training split.
        class_count: How many classes there are; one that has no example weighs as if it had one.

    Example:

    >>> balanced_class_weights(np.array([0, 0, 0, 1]), class_count=2).round(2).tolist()
    [0.67, 2.0]
    """
    counts = np.bincount(np.asarray(labels), minlength=class_count)
    return np.asarray(len(labels) / (class_count * np.maximum(counts, 1)), np.float64)


def derived_seed(*parts: Any) -> int:
    """A seed in 0..2**31-1 that is a function of `parts` only: the same in every process and on every machine.

    Example:

    >>> derived_seed(0, "head", 1) == derived_seed(0, "head", 1) != derived_seed(0, "head", 2)
    True
    """
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF

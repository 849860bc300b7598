"""What a stage trains on: the examples, their split, how they are read, and the seeds that order them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np

from tfl.data.split import Split
from tfl.errors import DataError
from tfl.modalities.base import modality_of_data
from tfl.recipe import Data
from tfl.tasks.base import task_of

if TYPE_CHECKING:
    import tensorflow as tf
    from numpy.typing import ArrayLike, NDArray

    from tfl.data.audit import AuditResult
    from tfl.data.cached import CachedTensors
    from tfl.data.source import Examples
    from tfl.modalities.base import Modality
    from tfl.tasks.base import Task


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """Everything about the data that a stage needs.

    Args:
        examples: All examples that are used.
        split: Which of them train, validate and test, as index arrays.
        data: Where they come from.
        seed: Of order and augmentation; the recipe's.
        fingerprints: One of the content of each example, in the order of `examples`.
        modality: How a content becomes tensors. Defaults to the modality that `data` alone decides.
        task: What is predicted, fitted to the training targets. Defaults to one of several classes.
        cached: The tensors of every example, where they are at hand.
        extra: How many examples at the end are of `Recipe.extra_data`: they train, and are never held out.
    """

    examples: Examples
    split: Split
    data: Data
    seed: int
    fingerprints: Sequence[str]
    modality: Modality = field(default=cast("Modality", None))
    task: Task = field(default_factory=lambda: task_of("classify"))
    cached: CachedTensors | None = None
    extra: int = 0

    def __post_init__(self) -> None:
        if self.modality is None:
            object.__setattr__(self, "modality", modality_of_data(self.data))

    @classmethod
    def of(cls, found: AuditResult, *, split: Split, **given: Any) -> Self:
        """A bundle of examples that an audit found usable.

        Args:
            found: What the audit found, with the tensors that it kept.
            split: How the usable examples are split.
            given: The other fields, by name.
        """
        return cls(examples=found.examples, split=split, fingerprints=found.fingerprints, cached=found.cached, **given)

    def of_others(self, found: AuditResult, *, split: Split, source: str) -> Bundle:
        """Other usable examples, read and predicted as those of the bundle are.

        Args:
            found: What the audit found.
            split: How they are split.
            source: Where they come from.
        """
        data = dataclasses.replace(self.data, source=source)
        return Bundle.of(found, split=split, data=data, seed=self.seed, modality=self.modality, task=self.task)

    @property
    def class_count(self) -> int:
        """How many outputs the network has."""
        return len(self.examples.class_names)

    @functools.cached_property
    def targets(self) -> NDArray[np.float32]:
        """The targets of all examples, `(n, width)` float32."""
        return self.task.targets(self.examples)

    def of_input(self, name: str, modality: Modality, data: Data | None = None) -> tuple[Bundle, NDArray[np.int64]]:
        """One of several inputs alone, of the examples that have it; and which these are.

        Args:
            name: Of the input.
            modality: The input's own.
            data: What the bundle says of where it comes from. Defaults to that of all inputs.
        """
        examples, rows = self.examples.of_input(name)
        places = np.full(len(self.examples), -1, np.int64)
        places[rows] = np.arange(len(rows))
        kept = {part: places[self.indices(part)] for part in ("train", "val", "test")}
        contents: Any = self.examples.contents
        return dataclasses.replace(
            self,
            examples=examples,
            split=dataclasses.replace(self.split, **{part: found[found >= 0] for part, found in kept.items()}),
            data=data or self.data,
            fingerprints=contents.fingerprints(name, rows),
            modality=modality,
            cached=None if self.cached is None else self.cached.of_input(name, modality.spec()).take(rows),
        ), rows

    def input_values(self, names: Sequence[str], indices: ArrayLike) -> dict[str, NDArray[Any]]:
        """Some inputs of the network for some examples, by name.

        Raises:
            DataError: They did not fit on the disk. Which inputs are there, and columns of tables, need no disk.
        """
        at = np.asarray(indices, np.int64)
        if self.cached is not None:
            specs = self.cached.specs
            return {name: self.cached.columns[name][at].astype(specs[name].dtype) for name in names}
        found = self.modality.light_values(names, self.examples, at)
        if set(found) < set(names):
            raise DataError("The inputs of the network do not fit on the disk, and the blocks above the cut need them.")
        return found

    def take(self, rows: ArrayLike) -> Bundle:
        """Some of the examples alone, all in the training split.

        Args:
            rows: Their positions.
        """
        at = np.asarray(rows, np.int64)
        return dataclasses.replace(
            self,
            examples=self.examples.take(at),
            split=Split.only("train", len(at)),
            fingerprints=tuple(self.fingerprints[int(index)] for index in at),
            cached=None if self.cached is None else self.cached.take(at),
            extra=0,
        )

    def indices(self, part: str) -> np.ndarray:
        """The positions of the split `part` in `examples`, int `(n,)`."""
        return np.asarray(getattr(self.split, part))

    def is_extra(self, indices: ArrayLike) -> NDArray[np.bool_]:
        """Which of the examples at `indices` are of `Recipe.extra_data`, `(n,)`."""
        return np.asarray(np.asarray(indices) >= len(self.examples) - self.extra)

    def labels(self, part: str) -> np.ndarray:
        """The labels of the split `part`, int32 `(n,)`; only where each example has one class."""
        return np.asarray(self.examples.labels)[self.indices(part)]

    def targets_of(self, part: str) -> NDArray[np.float32]:
        """The targets of the split `part`, `(n, width)` float32."""
        return self.targets[self.indices(part)]

    def with_validation(self) -> Bundle:
        """The bundle whose validation examples are training examples too, and that has nothing left to validate on."""
        split = self.split
        rows = np.sort(np.concatenate([split.train, split.val]))
        return dataclasses.replace(self, split=dataclasses.replace(split, train=rows, val=np.zeros(0, np.int64)))

    def dataset(self, indices: ArrayLike, *, batch_size: int, **options: Any) -> tf.data.Dataset:
        """Batches of (tensors, targets) of the examples at `indices`; see `tfl.data.pipeline.make_dataset`."""
        from tfl.data.pipeline import make_dataset

        return make_dataset(
            self.examples,
            indices,
            modality=self.modality,
            targets=self.targets,
            batch_size=batch_size,
            **{"cached": self.cached, **options},
        )

    def readable_bytes_of(self, index: int) -> bytes:
        """The content of an example in a form that the graph decodes.

        Raises:
            BadImageError: It cannot be converted.
        """
        return self.modality.readable(self.examples.bytes_of(index))

    def content_hash(self, part: str) -> str:
        """A hash of the content and target of every example of a split, in order: another byte, another hash."""
        digest = hashlib.sha256(str(self.class_count).encode())
        for index in self.indices(part):
            digest.update(f"{self.fingerprints[int(index)]} {self.target_text(int(index))}\n".encode())
        return digest.hexdigest()

    def target_text(self, index: int) -> str:
        """The target of an example as text: the number of its class, or its labels or numbers."""
        if self.examples.targets is None:
            return str(int(self.examples.labels[index]))
        return " ".join(f"{value:.9g}" for value in self.examples.targets[index])


def derived_seed(*parts: Any) -> int:
    """A seed in 0..2**31-1 that is a function of `parts` only: the same in every process and on every machine.

    Example:

    >>> derived_seed(0, "head", 1) == derived_seed(0, "head", 1) != derived_seed(0, "head", 2)
    True
    """
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF

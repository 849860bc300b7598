"""Labelled examples as one value: where their contents are, what their targets are, and which groups and splits they are in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.errors import DataError, did_you_mean, listed
from tfl.modalities.files import array_content
from tfl.modalities.several.packed import Packed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """Labelled examples: files, arrays, or contents in memory. Entry `i` of each array belongs to example `i`.

    Attributes:
        class_names: The name of each label, or of each number that is predicted.
        labels: `(n,)` int32, indices into `class_names`; empty where `targets` is given.
        targets: `(n, len(class_names))` float32 where an example has any number of labels (zeros and ones) or numbers; NaN marks
            a missing one. None where each example has one class.
        paths: `(n,)` str, the files.
        arrays: `(n, ...)`, the examples as arrays, such as `(n, height, width)` or `(n, height, width, 3)` uint8.
        contents: `(n,)` bytes, the examples as contents in memory: texts as UTF-8, or files; or `Packed` contents of several
            inputs. One of these three is given.
        groups: `(n,)` str or int, what must stay together in a split; None when the source names no groups.
        splits: `(n,)` str, `train`, `val`, `test`, or an empty string where the source leaves it open; None when it says nothing.
        source: What the recipe called it.
        root: The folder below which the files have their names, where it is not the source itself (an archive, Parquet).
        note: What kind of examples these are, where that must be said (`synthesised, not recorded`).
        heads: `class`, `labels` or `number`, by target, where an example has several targets. `class_names` are then
            `target=name` for each class and label and `target` for a number, the columns of one target next to each other.
        boxes: How many boxes a row of `targets` has room for, where targets are boxes; 0 where they are not. Each box is five
            numbers: the index of its class, then left, top, right and bottom as shares of the whole width and height; NaN
            where there is none.
        noun, nouns: What messages call one of them, and several.
        findings: What was found on the way from the source to here, as the audit reports it: `kind`, `severity`, `files`, `note`.

    Example:

    >>> import numpy as np
    >>> from tfl.data.examples import Examples
    >>> two = Examples(class_names=("a", "b"), labels=np.array([0, 1]), arrays=np.zeros((2, 4, 4), np.uint8))
    >>> len(two), two.name_of(1), two.take([1]).labels.tolist()
    (2, '#1', [1])
    """

    class_names: tuple[str, ...]
    labels: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    targets: NDArray[np.float32] | None = None
    paths: NDArray[Any] | None = None
    arrays: NDArray[Any] | None = None
    contents: NDArray[Any] | Packed | None = None
    groups: NDArray[Any] | None = None
    splits: NDArray[Any] | None = None
    source: str = ""
    root: str = ""
    note: str = ""
    heads: Mapping[str, str] = field(default_factory=dict)
    boxes: int = 0
    noun: str = "example"
    nouns: str = "examples"
    findings: tuple[dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_names", tuple(self.class_names))
        object.__setattr__(self, "labels", np.asarray(self.labels, np.int32))
        if self.targets is not None:
            object.__setattr__(
                self, "targets", np.asarray(self.targets, np.float32).reshape(-1, 5 * self.boxes or len(self.class_names))
            )
        given = [name for name in ("paths", "arrays", "contents") if getattr(self, name) is not None]
        if len(given) != 1:
            raise DataError(
                "Examples are either files or arrays, or contents in memory.", received=" and ".join(given) or "neither"
            )
        for name in ("paths", "arrays", "contents", "groups", "splits"):
            value = getattr(self, name)
            if value is not None and len(value) != len(self):
                raise DataError(f"`{name}` does not have an entry for each label.", received=f"{len(value)} for {len(self)}")

    def __len__(self) -> int:
        return len(self.labels) if self.targets is None else len(self.targets)

    def take(self, indices: ArrayLike) -> Examples:
        """The examples at `indices`, in that order; the classes stay as they are."""
        at = np.asarray(indices, np.int64)
        parts = {name: getattr(self, name) for name in ("targets", "paths", "arrays", "contents", "groups", "splits")}
        chosen: dict[str, Any] = {name: None if part is None else part[at] for name, part in parts.items()}
        return replace(self, labels=self.labels if self.targets is not None else self.labels[at], **chosen)

    def name_of(self, index: int) -> str:
        """The path of a file, or `#index` of another example."""
        return f"#{index}" if self.paths is None else str(self.paths[index])

    def bytes_of(self, index: int) -> bytes:
        """The content; an array is encoded without loss, see `tfl.modalities.files.array_content`."""
        if self.paths is not None:
            return Path(str(self.paths[index])).read_bytes()
        if self.contents is not None:
            return bytes(self.contents[index])
        return array_content(self._array(index))

    def fingerprint_of(self, index: int) -> str:
        """SHA-256 of the content, or of the shape and the values of an array, as 64 hexadecimal digits."""
        if self.arrays is None:
            return hashlib.sha256(self.bytes_of(index)).hexdigest()
        array = self._array(index)
        return hashlib.sha256(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes()).hexdigest()

    def of_input(self, name: str) -> tuple[Examples, NDArray[np.int64]]:
        """One of several inputs alone, of the examples that have it; and which these are.

        Raises:
            DataError: The examples have one input.
        """
        if not isinstance(self.contents, Packed):
            raise DataError(f"The examples of {self.source} have one input.", received=name)
        rows = np.flatnonzero(self.contents.has(name))
        part: dict[str, Any] = {"contents": None, **self.contents.part(name, rows)}
        return replace(self.take(rows), **part), rows

    def counts(self) -> dict[str, int]:
        """How many examples each class, or each label, has; how many boxes, where targets are boxes."""
        if self.boxes:
            classes = self.box_rows[..., 0]
            found = np.bincount(classes[np.isfinite(classes)].astype(np.int64), minlength=len(self.class_names))
        elif self.targets is None:
            found = np.bincount(self.labels, minlength=len(self.class_names))
        else:
            found = np.nansum(self.targets > 0, axis=0)
        return dict(zip(self.class_names, found.tolist(), strict=True))

    @property
    def box_rows(self) -> NDArray[np.float32]:
        """The targets as `(n, boxes, 5)`, where they are boxes."""
        return np.asarray(self.targets, np.float32).reshape(len(self), self.boxes, 5)

    def _array(self, index: int) -> NDArray[Any]:
        if self.arrays is None:
            raise DataError("These examples are files, not arrays.")
        return np.asarray(self.arrays[index])


def is_text(name: str) -> bool:
    """Whether a name can be written down as UTF-8; one of a file on Linux need not be.

    Example:

    >>> from tfl.data.examples import is_text
    >>> is_text("café"), is_text("caf\\udce9")
    (True, False)
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def matching_names(names: Sequence[str], patterns: Sequence[str], *, source: str) -> tuple[str, ...]:
    """Those of `names` that are, or as a glob fit, one of `patterns`; they keep their order.

    Raises:
        DataError: A pattern fits none.

    Example:

    >>> from tfl.data.examples import matching_names
    >>> matching_names(["Apple_rust", "Grape_rot", "Grape_rust"], ["Grape*"], source="leaves")
    ('Grape_rot', 'Grape_rust')
    """
    chosen: set[str] = set()
    for pattern in patterns:
        found = {name for name in names if name == pattern or fnmatchcase(name, pattern)}
        if not found:
            raise DataError(
                f"No class of {source} is called or fits `{pattern}`.",
                allowed=listed(names, limit=40),
                fix=did_you_mean(pattern, names) or None,
            )
        chosen |= found
    return tuple(name for name in names if name in chosen)

"""Labelled images as one value: where the pixels are, which class each has, and what the source said about groups and splits."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """Labelled images, either files or arrays. Everything is aligned: entry `i` of each array is example `i`.

    Attributes:
        class_names: The name of each label.
        labels: `(n,)` int32, indices into `class_names`.
        paths: `(n,)` str, the image files; None when `images` is given.
        images: `(n, height, width)` or `(n, height, width, 3)` uint8; None when `paths` is given.
        groups: `(n,)` str or int, what must stay together in a split; None when the source names no groups.
        splits: `(n,)` str, `train`, `val`, `test`, or an empty string where the source leaves it open; None when it says nothing.
        source: What the recipe called it.
        root: The folder below which the files have their names, where it is not the source itself (an archive, Parquet).
        note: What kind of pictures these are, where that must be said (`drawn, not photographed`).
        findings: What was found on the way from the source to here, as the audit says it: `kind`, `severity`, `files`, `note`.

    Example:

    >>> import numpy as np
    >>> from tfl.data.examples import Examples
    >>> two = Examples(class_names=("a", "b"), labels=np.array([0, 1]), images=np.zeros((2, 4, 4), np.uint8))
    >>> len(two), two.name_of(1), two.take([1]).labels.tolist()
    (2, '#1', [1])
    """

    class_names: tuple[str, ...]
    labels: NDArray[np.int32]
    paths: NDArray[Any] | None = None
    images: NDArray[np.uint8] | None = None
    groups: NDArray[Any] | None = None
    splits: NDArray[Any] | None = None
    source: str = ""
    root: str = ""
    note: str = ""
    findings: tuple[dict[str, Any], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_names", tuple(self.class_names))
        object.__setattr__(self, "labels", np.asarray(self.labels, np.int32))
        if (self.paths is None) == (self.images is None):
            raise DataError("Examples are either files or arrays.", received="both" if self.images is not None else "neither")
        for name in ("paths", "images", "groups", "splits"):
            value = getattr(self, name)
            if value is not None and len(value) != len(self.labels):
                raise DataError(
                    f"`{name}` does not have an entry for each label.", received=f"{len(value)} for {len(self.labels)}"
                )

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: ArrayLike) -> Examples:
        """The examples at `indices`, in that order; the classes stay as they are."""
        at = np.asarray(indices, np.int64)
        parts = {name: getattr(self, name) for name in ("labels", "paths", "images", "groups", "splits")}
        chosen: dict[str, Any] = {name: None if part is None else part[at] for name, part in parts.items()}
        return replace(self, **chosen)

    def name_of(self, index: int) -> str:
        """The path of a file, or `#index` of an array."""
        return f"#{index}" if self.paths is None else str(self.paths[index])

    def bytes_of(self, index: int) -> bytes:
        """The file's bytes; an array is encoded as PNG, which keeps every pixel."""
        if self.paths is not None:
            return Path(str(self.paths[index])).read_bytes()
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(self._pixels(index)).save(buffer, "PNG")
        return buffer.getvalue()

    def decodable_bytes_of(self, index: int) -> bytes:
        """As `bytes_of`; a file of a format that the decode graph does not read is converted to PNG.

        Raises:
            BadImageError: It cannot be converted.
        """
        from tfl.modalities.image.convert import readable_by_graph

        return readable_by_graph(self.bytes_of(index))

    def fingerprint_of(self, index: int) -> str:
        """SHA-256 of the file's bytes, or of the array's shape and pixels, as 64 hexadecimal digits."""
        if self.paths is not None:
            return hashlib.sha256(self.bytes_of(index)).hexdigest()
        pixels = self._pixels(index)
        return hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()

    def counts(self) -> dict[str, int]:
        """How many examples each class has."""
        return dict(zip(self.class_names, np.bincount(self.labels, minlength=len(self.class_names)).tolist(), strict=True))

    def _pixels(self, index: int) -> NDArray[np.uint8]:
        if self.images is None:
            raise DataError("These examples are files, not arrays.")
        return self.images[index]


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


def listed(items: Sequence[str], *, limit: int = 10) -> str:
    """The first `limit` of `items`, and how many more there are.

    Example:

    >>> from tfl.data.examples import listed
    >>> listed(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    rest = len(items) - limit
    return ", ".join(items[:limit]) + (f" and {rest} more" if rest > 0 else "")


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

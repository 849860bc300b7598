"""The data that comes with tfl: strawberry leaves drawn by our own code, and scikit-learn's handwritten digits; and of another
domain, the leaves as if at night, and digits drawn by our own code; drawn animals, whose classes are told by attributes; drawn
people, with their ages; and drawn blood cells, with the box around each.

No image file ships. The leaves are drawn at first use (some seconds), kept under the cache folder, and read from there
afterwards; the same code draws the same pictures everywhere. They are drawn, not photographed: good for trying tfl and
for tests, no evidence about real plants. This module imports nothing heavy until pictures are asked for.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfl.errors import DataError, StorageError, did_you_mean
from tfl.storage import cache_home, storage_errors, write_atomically

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    _Drawn = tuple[NDArray[np.uint8], NDArray[np.int32], dict[str, list[str]]]


@dataclass(frozen=True, kw_only=True)
class SampleInfo:
    """What can be said of a sample without drawing or reading it."""

    name: str
    note: str
    class_names: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SampleArrays:
    """A sample in memory.

    Attributes:
        images: `(n, height, width, 3)` or, for grey scans, `(n, height, width)`; uint8, 0..255.
        labels: `(n,)` int32, indices into `class_names`.
        class_names: the label of each index.
        note: what kind of pictures these are, to be shown wherever they are used.
        columns: of a sample of several targets, or with a number to predict, the cells of each, by name; empty for others.
        boxes: of a sample of boxes, `(n, boxes, 5)` as in `tfl.data.examples.Examples.boxes`; None for others.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int32]
    class_names: tuple[str, ...]
    note: str
    columns: dict[str, list[str]] = field(default_factory=dict)
    boxes: NDArray[np.float32] | None = None


SAMPLES: dict[str, SampleInfo] = {
    "strawberry": SampleInfo(
        name="strawberry",
        note="drawn, not photographed",
        class_names=("healthy", "leaf_scorch", "leaf_spot", "powdery_mildew"),
    ),
    "digits": SampleInfo(
        name="digits",
        note="scanned handwritten digits, from scikit-learn",
        class_names=tuple("0123456789"),
    ),
    "strawberry_night": SampleInfo(
        name="strawberry_night",
        note="drawn, not photographed, and darkened",
        class_names=("healthy", "leaf_scorch", "leaf_spot", "powdery_mildew"),
    ),
    "drawn_digits": SampleInfo(
        name="drawn_digits",
        note="drawn, not handwritten",
        class_names=tuple("0123456789"),
    ),
    "animals": SampleInfo(
        name="animals",
        note="drawn, not photographed",
        class_names=(
            *("horse", "tiger", "leopard", "giraffe", "goat", "bat", "bee"),
            *("ostrich", "cat", "cow", "zebra", "swan", "bull", "butterfly"),
        ),
    ),
    "leaf_tasks": SampleInfo(
        name="leaf_tasks",
        note="drawn, not photographed",
        class_names=("healthy", "leaf_scorch", "leaf_spot", "powdery_mildew"),
    ),
    "people": SampleInfo(
        name="people",
        note="drawn, not photographed",
        class_names=tuple(f"person_{number:02d}" for number in range(30)),
    ),
    "other_people": SampleInfo(
        name="other_people",
        note="drawn, not photographed",
        class_names=tuple(f"person_{number:02d}" for number in range(30, 40)),
    ),
    "cells": SampleInfo(
        name="cells",
        note="drawn, not photographed",
        class_names=("platelet", "red_cell", "white_cell"),
    ),
    "cells_dark": SampleInfo(
        name="cells_dark",
        note="drawn, not photographed, and darkened",
        class_names=("platelet", "red_cell", "white_cell"),
    ),
}


def load_sample(name: str) -> SampleArrays:
    """Load a sample by name; the drawn one is drawn at first use and cached.

    Args:
        name: a key of `SAMPLES`.

    Raises:
        DataError: there is no sample of that name.
        StorageError: the cache folder cannot be written.

    Example:
        >>> load_sample("digits").images.shape
        (1797, 8, 8)
    """
    if name not in SAMPLES:
        raise DataError(
            "There is no such sample.", received=name, allowed=tuple(SAMPLES), fix=did_you_mean(name, SAMPLES) or None
        )
    loaders: dict[str, Callable[[], tuple[NDArray[np.uint8], NDArray[np.int32]]]] = {
        "strawberry": _load_strawberry,
        "digits": _load_digits,
        "strawberry_night": _load_strawberry_night,
        "drawn_digits": _load_drawn_digits,
        "animals": _load_animals,
    }
    about = SAMPLES[name]
    columns: dict[str, list[str]] = {}
    if name in ("cells", "cells_dark"):
        return _load_cells(name)
    if name == "leaf_tasks":
        images, labels, columns = _load_leaf_tasks()
    elif name in ("people", "other_people"):
        images, labels, columns = _load_people(name)
    else:
        images, labels = loaders[name]()
    return SampleArrays(images=images, labels=labels, class_names=about.class_names, note=about.note, columns=columns)


def _load_digits() -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """1,797 scans of 8×8 pixels, 17 grey levels stretched to 0..255."""
    import numpy as np
    from sklearn.datasets import load_digits

    digits = load_digits()
    return np.rint(digits.images * (255 / 16)).astype(np.uint8), digits.target.astype(np.int32)


def _load_drawn_digits() -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    from tfl.modalities.image.other_domain import draw_digits

    return draw_digits()


def strawberry_file() -> Path:
    """Where the drawn leaves are kept: the name changes with the code that draws them."""
    return _file_of("strawberry", "drawing.py", "leaves.py")


def _file_of(name: str, *modules: str) -> Path:
    here = Path(__file__).parent
    code = b"".join((here / module).read_bytes() for module in modules)
    return cache_home() / "samples" / f"{name}-{hashlib.sha256(code).hexdigest()[:12]}.npz"


def _load_leaf_tasks() -> _Drawn:
    from tfl.modalities.image.leaf_tasks import draw_leaf_tasks

    file, names = _file_of("leaf_tasks", "drawing.py", "leaves.py", "leaf_tasks.py"), ("disease", "signs", "severity")
    return _kept_columns(file, names, lambda: draw_leaf_tasks(SAMPLES["leaf_tasks"].class_names))


def _load_cells(name: str) -> SampleArrays:
    """Pictures with boxes, from a file or drawn and kept there; they have no labels."""
    import numpy as np

    from tfl.modalities.image.cells import draw_cells

    file, about = _file_of(name, "drawing.py", "other_domain.py", "cells.py"), SAMPLES[name]
    stored = _read_stored(file, ("images", "boxes")) if os.path.isfile(file) else None
    if stored is None:
        images, boxes = draw_cells(name)
        stored = {"images": images, "boxes": boxes}
        _keep(file, stored)
    none = np.zeros(0, np.int32)
    return SampleArrays(
        images=stored["images"], labels=none, class_names=about.class_names, note=about.note, boxes=stored["boxes"]
    )


def _load_people(name: str) -> _Drawn:
    from tfl.modalities.image.people import draw_people

    return _kept_columns(_file_of(name, "drawing.py", "people.py"), ("age",), lambda: draw_people(name))


def _kept_columns(file: Path, names: tuple[str, ...], draw: Callable[[], _Drawn]) -> _Drawn:
    """Pictures, labels and columns from a file, or drawn and kept there."""
    import numpy as np

    if os.path.isfile(file) and (stored := _read_stored(file, ("images", "labels", *names))):
        return stored["images"], stored["labels"], {name: stored[name].tolist() for name in names}
    images, labels, columns = draw()
    _keep(file, {"images": images, "labels": labels, **{name: np.array(cells) for name, cells in columns.items()}})
    return images, labels, columns


def _load_strawberry() -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    from tfl.modalities.image import leaves

    return _kept(strawberry_file(), lambda: leaves.draw_strawberry(SAMPLES["strawberry"].class_names))


def _load_strawberry_night() -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Leaves that `strawberry` does not have, as if at night."""
    from tfl.modalities.image.other_domain import draw_night

    names = SAMPLES["strawberry_night"].class_names
    return _kept(_file_of("strawberry_night", "drawing.py", "leaves.py", "other_domain.py"), lambda: draw_night(names))


def _load_animals() -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    from tfl.modalities.image.animals import draw_animals

    return _kept(_file_of("animals", "drawing.py", "animals.py"), draw_animals)


def _kept(
    file: Path, draw: Callable[[], tuple[NDArray[np.uint8], NDArray[np.int32]]]
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Pictures and labels from a file, or drawn and kept there."""
    if os.path.isfile(file) and (stored := _read_stored(file, ("images", "labels"))):
        return stored["images"], stored["labels"]
    images, labels = draw()
    _keep(file, {"images": images, "labels": labels})
    return images, labels


def _keep(file: Path, arrays: dict[str, NDArray[Any]]) -> None:
    import numpy as np

    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    with contextlib.suppress(StorageError):  # a cache that cannot be written: the leaves are drawn each time
        write_atomically(file, buffer.getvalue())


def _read_stored(file: Path, names: tuple[str, ...]) -> dict[str, NDArray[Any]] | None:
    """The stored arrays; None when there is no such file or it is damaged, so that it is drawn again."""
    import numpy as np

    try:
        with storage_errors(file, doing="read"), np.load(file, allow_pickle=False) as stored:
            return {name: stored[name] for name in names}
    except StorageError:
        raise
    except Exception:  # zip, zlib and NumPy's reader raise a dozen kinds, by what is damaged
        return None

"""Images that come as arrays: NumPy's `.npz`, and IDX files as MNIST and Fashion-MNIST use them."""

from __future__ import annotations

import gzip
import math
import os
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from tfl.errors import DataError, MismatchError, listed

_KEYS = "arrays `x` (or `images`) and `y` (or `labels`), optionally `class_names`; or `x_train`, `y_train`, `x_test`, `y_test`"
_SHAPES = "uint8 of shape (n, height, width), (n, height, width, 1), (n, height, width, 3) or (n, height, width, 4)"
_IDX_NAME = re.compile(r"(?P<part>.+)[-.](?P<kind>images|labels)[-.]idx[13][-.]ubyte(?:\.gz)?", re.IGNORECASE)
_IDX_SPLITS = {"train": "train", "t10k": "test", "test": "test", "val": "val", "validation": "val"}


def read_npz(file: Path, *, task: str = "classify") -> dict[str, Any]:
    """What an `.npz` file holds, as the fields of `tfl.data.examples.Examples`.

    Without `class_names` the classes are the label values, sorted. Several labels are `y` of shape `(n, labels)` with zeros and
    ones; numbers are `y` of shape `(n,)` or `(n, numbers)`.

    Args:
        file: The file.
        task: String, what is predicted. Defaults to one of several classes.

    Raises:
        DataError: It is not an `.npz` file, or its arrays do not fit together.
    """
    try:
        if zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as archive:
                _check_unpacked(file, sum(entry.file_size for entry in archive.infolist()))
        with np.load(file, allow_pickle=False) as stored:
            content = {name: stored[name] for name in stored.files}
    except DataError:
        raise
    except Exception as error:  # zip, zlib and NumPy's reader raise a dozen kinds, by what is damaged
        raise DataError(f"{file} is not a readable .npz file: {error}.", allowed=_KEYS) from error
    parts = [_part(file, content, split, names, task) for split, names in _npz_parts(content).items()]
    if not parts:
        raise DataError(f"{file} lacks the arrays.", received=listed(sorted(content)) or "an empty file", allowed=_KEYS)
    names = content.get("class_names")
    return _join(file, parts, None if names is None else tuple(str(name) for name in names.ravel()))


def _check_unpacked(file: Path, size: int) -> None:
    """Raises where a packed file holds more than the memory of this machine: it may have been made to."""
    if size > (most := _memory_bytes()):
        raise DataError(
            f"{file} holds more than fits into memory.",
            received=f"{size / 1e9:,.1f} GB unpacked",
            allowed=f"at most {most / 1e9:,.1f} GB",
            fix="Store the images as files, in a folder for each class: those are read one by one.",
        )


def _memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _npz_parts(content: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """The split of each pair of arrays in the file, and the two keys; the split is empty for a single pair."""
    pairs = {"": ""} | {name: f"_{name}" for name in ("train", "val", "test")}
    found = {}
    for split, suffix in pairs.items():
        for images, labels in (("x", "y"), ("images", "labels")):
            if images + suffix in content and labels + suffix in content:
                found[split] = (images + suffix, labels + suffix)
    return found


def _part(file: Path, content: dict[str, Any], split: str, names: tuple[str, str], task: str) -> tuple[str, Any, Any]:
    images, labels = content[names[0]], content[names[1]]
    where = f"{file}, `{names[0]}`"
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if images.ndim == 0:
        raise DataError(f"{where} does not hold pixels.", received="a single value", allowed=_SHAPES)
    if task != "classify":
        return split, _as_pixels(where, images), _as_targets(f"{file}, `{names[1]}`", labels, len(images), task)
    if labels.ndim in (1, 2) and len(labels) == len(images) and (other := _other_task(labels)):
        raise MismatchError(
            f"{file}, `{names[1]}` does not label the images with one class each.",
            received=f"{labels.dtype} of shape {labels.shape} for {len(images)} images",
            allowed="one integer or one text for each image where the task is classify",
            fix=f"For {'numbers to predict' if other == 'regress' else 'several labels for each image'}: --set task={other}",
        ).suggesting({"task": other})
    if labels.ndim != 1 or labels.dtype.kind not in "iuUS" or len(labels) != len(images):
        raise DataError(
            f"{file}, `{names[1]}` does not label the images.",
            received=f"{labels.dtype} of shape {labels.shape} for {len(images)} images",
            allowed="one integer or one text for each image",
        )
    return split, _as_pixels(where, images), labels.astype(str) if labels.dtype.kind in "US" else labels


def _other_task(labels: Any) -> str:
    """The task that the labels fit where they are no classes: a matrix of zeros and ones, or decimals."""
    if labels.dtype.kind not in "iufb" or not labels.size:
        return ""
    if labels.ndim == 2 and np.isin(labels, (0, 1)).all():
        return "multilabel"
    return "regress" if labels.dtype.kind == "f" else ""


def _as_targets(where: str, labels: Any, count: int, task: str) -> Any:
    """The targets, `(n, width)` float32."""
    rows = labels[:, None] if labels.ndim == 1 else labels
    fits = rows.ndim == 2 and rows.dtype.kind in "iufb" and len(rows) == count
    if not fits or (task == "multilabel" and not np.isin(rows[np.isfinite(rows)], (0, 1)).all()):
        raise DataError(
            f"{where} does not hold the {'labels' if task == 'multilabel' else 'numbers'} of each image.",
            received=f"{labels.dtype} of shape {labels.shape} for {count} images",
            allowed="zeros and ones of shape (n, labels)" if task == "multilabel" else "numbers of shape (n,) or (n, numbers)",
        )
    return rows.astype(np.float32)


def _as_pixels(where: str, images: Any) -> Any:
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim == 4 and images.shape[3] == 4:
        images = images[..., :3]
    if images.dtype.kind in "iu" and images.dtype != np.uint8 and images.size and images.min() >= 0 and images.max() <= 255:
        images = images.astype(np.uint8)
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3):
        raise DataError(
            f"{where} does not hold pixels.",
            received=f"{images.dtype} of shape {images.shape}",
            allowed=_SHAPES,
            fix="Scale to 0..255 and store with .astype('uint8'); or store 16-bit PNG or TIFF files, which `data.bits` scales.",
        )
    if 0 in images.shape:
        raise DataError(f"{where} is empty.", received=f"shape {images.shape}", allowed=_SHAPES)
    return images


def _join(source: Path, parts: list[tuple[str, Any, Any]], class_names: tuple[str, ...] | None) -> dict[str, Any]:
    shapes = {images.shape[1:] for _, images, _ in parts}
    if len(shapes) > 1:
        raise DataError(f"The arrays of {source} differ in size.", received=listed([str(shape) for shape in sorted(shapes)]))
    found: dict[str, Any] = {
        "arrays": np.concatenate([images for _, images, _ in parts]) if len(parts) > 1 else parts[0][1],
        "splits": np.concatenate([np.full(len(images), split, "U5") for split, images, _ in parts])
        if any(p[0] for p in parts)
        else None,
        "source": str(source),
    }
    values = np.concatenate([labels for _, _, labels in parts])
    if values.ndim == 2:
        return {**found, "targets": values, "class_names": _target_names(source, values.shape[1], class_names)}
    if class_names is None or values.dtype.kind == "U":
        known, labels = np.unique(values, return_inverse=True)
        if class_names is not None:
            labels = _indices_of(source, values, class_names)
        else:
            class_names = tuple(str(value) for value in known)
    else:
        labels = values
        if labels.min() < 0 or labels.max() >= len(class_names):
            raise DataError(
                f"A label of {source} has no class name.",
                received=f"labels from {labels.min()} to {labels.max()}, {len(class_names)} names",
                allowed=f"0 to {len(class_names) - 1}",
            )
    return {**found, "class_names": class_names, "labels": labels.astype(np.int32)}


def _target_names(source: Path, width: int, given: tuple[str, ...] | None) -> tuple[str, ...]:
    """The names of the targets; `value`, or numbers, where the file has none."""
    names = given or (("value",) if width == 1 else tuple(str(number) for number in range(width)))
    if len(names) != width:
        raise DataError(f"{source} does not name each target.", received=f"{len(names)} class_names for {width}")
    return names


def _indices_of(source: Path, values: Any, class_names: tuple[str, ...]) -> Any:
    unknown = sorted(set(values.tolist()) - set(class_names))
    if unknown:
        raise DataError(
            f"A label of {source} is not in class_names.", received=listed(unknown), allowed=listed(class_names, limit=40)
        )
    index = {name: label for label, name in enumerate(class_names)}
    return np.array([index[value] for value in values], np.int32)


def holds_idx(folder: Path) -> bool:
    """Whether the folder has an IDX file of images."""
    try:
        return any((match := _IDX_NAME.fullmatch(file.name)) and match["kind"].lower() == "images" for file in folder.iterdir())
    except OSError as error:
        raise DataError(f"Cannot read the folder {folder}: {error.strerror}.", fix="Check its permissions.") from error


def read_idx(folder: Path) -> dict[str, Any]:
    """What IDX files named as MNIST's hold (`train-images-idx3-ubyte.gz`, `t10k-labels-idx1-ubyte.gz`), as fields of `Examples`.

    Classes are called by their number, or by the lines of a `labels.txt` next to the files.

    Raises:
        DataError: A file is missing, cut short or not IDX.
    """
    files: dict[str, dict[str, Path]] = {}
    for file in sorted(folder.iterdir()):
        if match := _IDX_NAME.fullmatch(file.name):
            files.setdefault(match["part"].lower(), {})[match["kind"].lower()] = file
    parts = []
    for name, pair in files.items():
        if set(pair) != {"images", "labels"}:
            raise DataError(f"{folder} has no IDX file of {'labels' if 'images' in pair else 'images'} for `{name}`.")
        images, labels = _idx(pair["images"]), _idx(pair["labels"])
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise DataError(
                f"{pair['images']} and {pair['labels'].name} do not fit.", received=f"{images.shape} and {labels.shape}"
            )
        parts.append((_IDX_SPLITS.get(name, ""), images, labels))
    if len(parts) == 1:
        parts = [("", *parts[0][1:])]
    names = folder / "labels.txt"
    return _join(folder, parts, _names_in(names) if names.is_file() else None)


def _idx(file: Path) -> Any:
    """An IDX array (http://yann.lecun.com/exdb/mnist/): 0, 0, type (8 is uint8), dimensions, big-endian sizes, data."""
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            shape = _idx_shape(file, stream.read(4), stream)
            size = math.prod(shape)
            _check_unpacked(file, size)
            content = stream.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{file} cannot be read: {error}.", fix="Download it again.") from error
    if len(content) != size:
        read = "more" if len(content) > size else f"{len(content)}"
        raise DataError(f"{file} is not whole.", received=f"{read} bytes", allowed=f"{size} bytes after its header")
    return np.frombuffer(content, np.uint8).reshape(shape)


def _idx_shape(file: Path, start: bytes, stream: Any) -> tuple[int, ...]:
    if len(start) < 4 or start[:3] != b"\x00\x00\x08" or start[3] > 4:
        raise DataError(
            f"{file} is not an IDX file of bytes.", received=start.hex() or "nothing", allowed="000008 and a rank up to 4"
        )
    sizes = stream.read(4 * start[3])
    if len(sizes) < 4 * start[3]:
        raise DataError(f"{file} is not whole.", received="a header that is cut short")
    return tuple(int(side) for side in np.frombuffer(sizes, ">u4"))


def _names_in(file: Path) -> tuple[str, ...]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read: {error}.", allowed="one class name per line, in UTF-8") from error
    return tuple(line.strip() for line in text.splitlines() if line.strip())

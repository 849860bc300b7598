"""What a frozen prefix made of every image, kept under a key of everything that decides it.

One folder a key, under `cache_home()/features/`: `features.npy` (memory-mapped when read), `labels.npy` and `meta.json`,
which holds their hashes and its own. The folder appears by one rename, after everything in it reached the disk, so what is
there is whole.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO

import keras
import numpy as np

from tfl.errors import DataError
from tfl.fields import as_plain
from tfl.storage import cache_home, storage_errors, write_folder_atomically

FORMAT = 1
Batches = Callable[[], Iterable[tuple[Any, Any]]]
Progress = Callable[[int], None]


def feature_key(**parts: Any) -> str:
    """A SHA-256 over named parts: everything that decides the features must be among them.

    Args:
        parts: Numbers, text, None, lists, dictionaries, and parts of a recipe: the fingerprints of the images in order, size
            and fit, the augmentation with its seed and view, the weights' fingerprint, the cut, precision, engine.

    Raises:
        TypeError: A part has no exact text (an array, an object).

    Example:

    >>> from tfl.features.cache import feature_key
    >>> feature_key(cut="unit4_out", view=0) == feature_key(view=0, cut="unit4_out")
    True
    """
    text = json.dumps({"format": FORMAT, "parts": as_plain(parts)}, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def cached_features(
    prefix: keras.Model,
    dataset_factory: Batches,
    *,
    key: str,
    count: int,
    dtype: str = "float32",
    progress: Progress | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The prefix's output for every image of one pass, from the store if it is there, else computed and stored.

    Args:
        prefix: From pixels to features; runs in inference mode.
        dataset_factory: Makes the pass: batches of (images, one-hot labels) in a fixed order. Not called when stored.
        key: From `feature_key`.
        count: How many images the pass has.
        dtype: Features are stored as.
        progress: Told the number of images done, after each batch.

    Returns:
        features: Memory-mapped, read-only, (count, …).
        labels: One-hot float32, (count, classes).

    Raises:
        DataError: The pass had another number of images.
        StorageError: The disk is full or not permitted; nothing is left that looks whole.
    """
    folder = cache_home() / "features" / key
    stored = open_features(folder, count=count, dtype=dtype)
    if stored is None:

        def fill(scratch: Path) -> None:
            _fill(scratch, prefix, dataset_factory(), key=key, count=count, dtype=dtype, progress=progress)

        write_folder_atomically(folder, fill)
        stored = open_features(folder, count=count, dtype=dtype)
    if stored is None:
        raise DataError(f"The features in {folder} vanished while they were being read.", fix="Start again with --resume.")
    return stored


def open_features(folder: Path, *, count: int, dtype: str) -> tuple[np.ndarray, np.ndarray] | None:
    """The stored features and labels, or None when there are none or they are not whole."""
    try:
        meta = json.loads((folder / "meta.json").read_text())
        own = meta.pop("meta_sha256")
        if own != _meta_hash(meta) or meta["key"] != folder.name:
            return None
        for name, size in meta["bytes"].items():
            if (folder / name).stat().st_size != size:
                return None
        features = np.load(folder / "features.npy", mmap_mode="r", allow_pickle=False)
        labels = np.load(folder / "labels.npy", allow_pickle=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    fits = len(features) == len(labels) == count and features.dtype == dtype
    return (features, labels) if fits else None


def _fill(
    folder: Path,
    prefix: keras.Model,
    batches: Iterable[tuple[Any, Any]],
    *,
    key: str,
    count: int,
    dtype: str,
    progress: Progress | None,
) -> None:
    done, labels, digest = 0, [], hashlib.sha256()
    path = folder / "features.npy"
    with storage_errors(path), open(path, "wb") as file:
        shape = None
        for images, one_hot in batches:
            features = np.ascontiguousarray(_run(prefix, images), dtype=dtype)
            if shape is None:
                shape = (count, *features.shape[1:])
                _write_header(file, shape, features.dtype)
            file.write(features.tobytes())
            digest.update(features.data)
            labels.append(np.asarray(one_hot, dtype="float32"))
            done += len(features)
            if progress is not None:
                progress(done)
    if done != count:
        raise DataError(
            "The pass over the images had another number of them than was announced.", received=done, allowed=str(count)
        )
    np.save(folder / "labels.npy", np.concatenate(labels))
    meta: dict[str, Any] = {
        "format": FORMAT,
        "key": key,
        "shape": list(shape or ()),
        "dtype": dtype,
        "features_sha256": digest.hexdigest(),
        "bytes": {name: (folder / name).stat().st_size for name in ("features.npy", "labels.npy")},
    }
    (folder / "meta.json").write_text(json.dumps(meta | {"meta_sha256": _meta_hash(meta)}, indent=2) + "\n")


def _run(prefix: keras.Model, images: Any) -> np.ndarray:
    """One batch in inference mode; the seam for other engines."""
    return np.asarray(keras.ops.convert_to_numpy(prefix.predict_on_batch(images)))


def _write_header(file: BinaryIO, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """The `.npy` header, written ahead of the rows: writing through a memory map would die of a full disk by a signal."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)


def _meta_hash(meta: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()

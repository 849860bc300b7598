"""A thumbnail and a perceptual hash of every image: what copies of one photo share, whatever their size or encoding.

The hash is of the DCT kind (Zauner 2010): a bit for each of the lowest frequencies of a 32×32 grey picture, set where its
coefficient is positive. Mirroring a picture changes the sign of every odd horizontal frequency, so the hash of the mirror
image is the hash with those bits turned over, and no second pass is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 32
BITS, BANDS = 63, 4
_LEAST_CONTRAST = 3.0  # standard deviation in grey levels: below it there is nothing to compare
_GREY = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601


def _frequencies() -> list[tuple[int, int]]:
    """(vertical, horizontal), from low to high, without (0, 0), which is the brightness."""
    return sorted(((v, u) for v in range(8) for u in range(8) if v or u), key=lambda pair: (sum(pair), pair))


def _place(rank: int) -> int:
    """Which bit the frequency of that rank is: neighbours in different bands, so that no band holds low frequencies alone."""
    return 16 * (rank % BANDS) + rank // BANDS


_PAIRS = _frequencies()
_PLACES = np.array([_place(rank) for rank in range(BITS)], np.uint64)
_DCT = np.cos(np.pi * np.arange(8)[:, None] * (2 * np.arange(SIDE) + 1) / (2 * SIDE)).astype(np.float32)
MIRROR = np.uint64(sum(1 << _place(rank) for rank, (_, u) in enumerate(_PAIRS) if u % 2))
"""The bits that mirroring turns over."""


@dataclass(frozen=True, eq=False)
class Thumbnails:
    """Every image at 32×32, and what it hashes to.

    Args:
        pictures: Indexable by an array of positions, `(n, 32, 32, 3)` uint8; in a file where there is room for one.
        hashes: `(n,)` uint64.
        plain: `(n,)` bool: too little contrast to say anything.
    """

    pictures: Any
    hashes: NDArray[np.uint64]
    plain: NDArray[np.bool_]


def make_thumbnails(
    batches: Iterable[tuple[int, NDArray[np.uint8]]], count: int, *, room: Callable[..., Any] | None = None
) -> Thumbnails:
    """Goes over the images once.

    Args:
        batches: Where each batch starts, and its images `(b, height, width, 3)` uint8.
        count: How many images there are in all.
        room: As of `tfl.modalities.base.Audited`. Defaults to memory.
    """
    kept = room(count, (SIDE, SIDE, 3)) if count and room is not None else None
    pictures = np.empty((count, SIDE, SIDE, 3), np.uint8) if kept is None else kept
    hashes, plain = np.zeros(count, np.uint64), np.zeros(count, bool)
    with ThreadPoolExecutor(2) as pool:
        for start, images in batches:
            small = np.stack(list(pool.map(_shrink, images)))
            for index, picture in enumerate(small, start):
                if isinstance(pictures, np.ndarray):
                    pictures[index] = picture
                else:
                    pictures.write(index, picture)
            end = start + len(small)
            hashes[start:end] = perceptual_hash(small)
            plain[start:end] = contrast(small) < _LEAST_CONTRAST
    return Thumbnails(pictures, hashes, plain)


def _shrink(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from PIL import Image

    return np.asarray(Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BOX))


def perceptual_hash(pictures: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """`(n,)` hashes of `(n, 32, 32, 3)` pictures.

    Example:

    >>> import numpy as np
    >>> from tfl.modalities.image.audit.thumbnails import MIRROR, perceptual_hash
    >>> picture = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3)).astype(np.uint8)
    >>> bool(perceptual_hash(picture[:, :, ::-1]) == perceptual_hash(picture) ^ MIRROR)
    True
    """
    low = _DCT @ (pictures.astype(np.float32) @ _GREY) @ _DCT.T
    bits = np.stack([low[:, v, u] > 0 for v, u in _PAIRS], axis=1)
    return np.asarray((bits.astype(np.uint64) << _PLACES).sum(axis=1), np.uint64)


def contrast(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
    """`(n,)` the standard deviation of the grey levels of each picture."""
    return np.asarray((pictures.astype(np.float32) @ _GREY).std(axis=(1, 2)))

"""Whether two thumbnails are of one photo: they are laid over each other, plain or mirrored, whole or cropped.

The measure is the correlation of the pixels. A copy that was encoded or resized again correlates at 0.99 and more. A crop does
so once the whole photo is cropped alike, which is tried on a small grid of crops: in grey at half the size first, and in colour
where that comes near.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from tfl.modalities.image.audit.thumbnails import SIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCALES = (0.95, 0.9, 0.85, 0.8)
"""Crops that are tried, as shares of a side."""
_OFFSETS = {SIDE // 2: 7, SIDE: 9}  # by the side of the picture, along each axis
_PROMISING, _CLOSE = 0.85, 0.01
_PAIRS_AT_A_TIME = 64


def likeness(pictures: Any, pairs: NDArray[np.int64], *, enough: float) -> NDArray[np.float32]:
    """`(m,)` the highest correlation of each pair, -1 to 1, over mirroring and crops of either picture.

    Args:
        pictures: Indexable, `(n, 32, 32, 3)` uint8.
        pairs: `(m, 2)` positions.
        enough: Pairs that correlate so much as they are need no crops.
    """
    with threadpool_limits(1):  # the matrices are small: threads would only wait for each other
        parts = np.array_split(pairs, len(pairs) // _PAIRS_AT_A_TIME + 1)
        return np.concatenate([_of_some(pictures, some, enough) for some in parts])


def _of_some(pictures: Any, pairs: NDArray[np.int64], enough: float) -> NDArray[np.float32]:
    if not len(pairs):
        return np.empty(0, np.float32)
    first, second = (np.asarray(pictures[pairs[:, side]], np.float32) for side in (0, 1))
    best = np.maximum(_correlation(first, second), _correlation(first, second[:, :, ::-1]))
    rest = np.flatnonzero(best < enough)
    if len(rest):
        best[rest] = np.maximum(best[rest], _cropped(first[rest], second[rest]))
    return best


def _cropped(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """The highest correlation over all crops of either picture; what the coarse look rules out is -1."""
    ways = [(one, other, scale) for one, other in ((first, second), (second, first)) for scale in SCALES]
    small = (_coarse(first), _coarse(second))
    coarse = np.stack([_best_crop(one, other, scale) for one, other in (small, small[::-1]) for scale in SCALES])
    worth = (coarse >= _PROMISING) & (coarse >= coarse.max(axis=0) - _CLOSE)
    best = np.full(len(first), -1, np.float32)
    for (one, other, scale), chosen in zip(ways, worth, strict=True):
        if chosen.any():
            best[chosen] = np.maximum(best[chosen], _best_crop(one[chosen], other[chosen], scale))
    return best


def _coarse(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """`(n, 16, 16, 1)` in grey."""
    half = SIDE // 2
    return np.asarray(pictures.mean(axis=3).reshape(-1, half, 2, half, 2).mean(axis=(2, 4))[..., None])


def _best_crop(whole: NDArray[np.float32], part: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """The highest correlation of `part`, or its mirror image, with a crop of `whole`."""
    count, side, channels = len(whole), whole.shape[1], whole.shape[3]
    crops = _crops(scale, side)
    rows = np.einsum("kij,njxc->nkixc", crops, whole, optimize=True)
    pieces = np.einsum("lxj,nkijc->nklixc", crops, rows, optimize=True).reshape(count, -1, side * side, channels)
    squares = np.einsum("npsc,npsc->np", pieces, pieces) - np.square(pieces.sum(axis=2)).sum(axis=2) / side**2
    parts = np.stack([_normalised(part), _normalised(part[:, :, ::-1])], axis=-1).reshape(count, -1, 2)
    fits = pieces.reshape(count, -1, side * side * channels) @ parts
    return np.asarray((fits.max(axis=2) / np.sqrt(np.maximum(squares, 1e-6))).max(axis=1), np.float32)


def _crops(scale: float, side: int) -> NDArray[np.float32]:
    """`(offsets, side, side)`: each brings a part of a line of pixels to its whole length, linearly."""
    made = np.zeros((_OFFSETS[side], side, side), np.float32)
    for number, offset in enumerate(np.linspace(0, 1 - scale, _OFFSETS[side])):
        at = np.clip((np.arange(side) + 0.5) * scale + offset * side - 0.5, 0, side - 1)
        low = np.minimum(at.astype(int), side - 2)
        made[number, np.arange(side), low] = 1 - (at - low)
        made[number, np.arange(side), low + 1] = at - low
    return made


def _correlation(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.einsum("nixc,nixc->n", _normalised(first), _normalised(second)))


def _normalised(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each of mean 0 in every channel, and of length 1."""
    centred = pictures - pictures.mean(axis=(-3, -2), keepdims=True)
    length = np.sqrt(np.square(centred).sum(axis=(-3, -2, -1), keepdims=True))
    return np.asarray(centred / np.maximum(length, 1e-6), np.float32)

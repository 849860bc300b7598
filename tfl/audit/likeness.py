"""Whether two thumbnails are of one photo: they are laid over each other, plain or mirrored, whole or cropped.

The measure is the correlation of the pixels. A copy that was encoded or resized again correlates at 0.99 and more. A crop does
so once the whole photo is cropped alike, which is tried on a small grid of crops: in grey at half the size first, and in colour
where that comes near.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.audit.thumbnails import SIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCALES = (0.95, 0.9, 0.85, 0.8)
"""Crops that are tried, as shares of a side."""
_OFFSETS, _PROMISING = 9, 0.85
_PAIRS_AT_A_TIME = 64


def likeness(pictures: Any, pairs: NDArray[np.int64], *, enough: float) -> NDArray[np.float32]:
    """`(m,)` the highest correlation of each pair, -1 to 1, over mirroring and crops of either picture.

    Args:
        pictures: Indexable, `(n, 32, 32, 3)` uint8.
        pairs: `(m, 2)` positions.
        enough: Pairs that correlate so much as they are need no crops.
    """
    found = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), _PAIRS_AT_A_TIME):
        some = pairs[start : start + _PAIRS_AT_A_TIME]
        first, second = (np.asarray(pictures[some[:, side]], np.float32) for side in (0, 1))
        best = np.maximum(_correlation(first, second), _correlation(first, second[:, :, ::-1]))
        rest = np.flatnonzero(best < enough)
        if len(rest):
            promising = rest[_cropped(_coarse(first[rest]), _coarse(second[rest])) >= _PROMISING]
            best[promising] = np.maximum(best[promising], _cropped(first[promising], second[promising]))
        found[start : start + len(some)] = best
    return found


def _coarse(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """`(n, 16, 16, 1)` in grey."""
    half = SIDE // 2
    return pictures.mean(axis=3).reshape(-1, half, 2, half, 2).mean(axis=(2, 4))[..., None]


def _cropped(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    best = np.full(len(first), -1, np.float32)
    for one, other in ((first, second), (second, first)):
        for scale in SCALES if len(first) else ():
            best = np.maximum(best, _best_crop(one, other, scale))
    return best


def _best_crop(whole: NDArray[np.float32], part: NDArray[np.float32], scale: float) -> NDArray[np.float32]:
    """The highest correlation of `part`, or its mirror image, with a crop of `whole`."""
    crops = _crops(scale, whole.shape[1])
    rows = np.einsum("kij,njxc->nkixc", crops, whole, optimize=True)
    pieces = np.einsum("lxj,nkijc->nklixc", crops, rows, optimize=True)
    pieces = _normalised(pieces)
    best = np.full(len(whole), -1, np.float32)
    for other in (part, part[:, :, ::-1]):
        fits = np.einsum("nklixc,nixc->nkl", pieces, _normalised(other), optimize=True)
        best = np.maximum(best, fits.max(axis=(1, 2)))
    return best


def _crops(scale: float, side: int) -> NDArray[np.float32]:
    """`(offsets, side, side)`: each brings a part of a line of pixels to its whole length, linearly."""
    made = np.zeros((_OFFSETS, side, side), np.float32)
    for number, offset in enumerate(np.linspace(0, 1 - scale, _OFFSETS)):
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

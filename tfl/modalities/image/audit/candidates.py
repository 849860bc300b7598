"""Which pairs of images may be copies: by perceptual hash, and by features. Never all pairs of them.

Hashes are compared by multi-index hashing (Norouzi, Punjani and Fleet 2012): 64 bits in four bands of 16. Two hashes that
differ in at most seven bits have a band in which they differ in at most one, so it is enough to look each band up with none
and with each one of its bits turned over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tfl.modalities.image.audit.thumbnails import BANDS, MIRROR

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_BITS = 7
_TURNED = np.array([0, *(1 << bit for bit in range(16))], np.uint64)
_MOST_IN_BUCKET = 400  # a fuller one says only that the images are of one kind; the other bands tell them apart
_AT_A_TIME = 4_000_000
_NEIGHBOURS = 4


def near_by_hash(hashes: NDArray[np.uint64], *, most: int = MOST_BITS) -> NDArray[np.int64]:
    """`(m, 2)` pairs whose hashes, or whose hash and the other's mirror image, differ in at most `most` bits.

    Args:
        hashes: `(n,)` uint64.
        most: At most seven, the reach of the index.

    Example:

    >>> import numpy as np
    >>> from tfl.modalities.image.audit.candidates import near_by_hash
    >>> near_by_hash(np.array([0b1011, 0b1000, 2**60 - 1], np.uint64)).tolist()
    [[0, 1]]
    """
    count, found = len(hashes), []
    for asked in (hashes, hashes ^ MIRROR):
        for band in range(BANDS):
            found += _in_band(hashes, asked, np.uint64(16 * band), most)
    codes = np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)
    return np.stack([codes // max(count, 1), codes % max(count, 1)], axis=1)


def _in_band(hashes: NDArray[np.uint64], asked: NDArray[np.uint64], shift: np.uint64, most: int) -> list[NDArray[np.int64]]:
    """Pairs as `first * n + second`, first below second, that meet in one band."""
    mask, count = np.uint64(0xFFFF), len(hashes)
    keys = (hashes >> shift) & mask
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    found = []
    for turned in _TURNED:
        wanted = ((asked >> shift) & mask) ^ turned
        low, high = np.searchsorted(keys, wanted, "left"), np.searchsorted(keys, wanted, "right")
        sizes = np.where(high - low > _MOST_IN_BUCKET, 0, high - low)
        for some in np.array_split(np.arange(count), int(sizes.sum()) // _AT_A_TIME + 1):
            first = np.repeat(some, sizes[some])
            within = np.arange(len(first)) - np.repeat(np.cumsum(sizes[some]) - sizes[some], sizes[some])
            second = order[np.repeat(low[some], sizes[some]) + within]
            near = (first != second) & (np.bitwise_count(asked[first] ^ hashes[second]) <= most)
            first, second = first[near], second[near]
            found.append(np.minimum(first, second).astype(np.int64) * count + np.maximum(first, second))
    return found


def near_by_features(vectors: NDArray[np.float32], *, at_least: float) -> NDArray[np.int64]:
    """`(m, 2)` pairs of an image and one of its few nearest neighbours, of a cosine of at least that much.

    Args:
        vectors: `(n, width)`, each of length 1.
    """
    from sklearn.neighbors import NearestNeighbors

    count = len(vectors)
    if count < 2:
        return np.empty((0, 2), np.int64)
    wanted = min(_NEIGHBOURS + 1, count)
    found = NearestNeighbors(n_neighbors=wanted, algorithm="brute").fit(vectors)
    pairs = []
    for start in range(0, count, 4096):
        distances, places = found.kneighbors(vectors[start : start + 4096])
        rows = np.broadcast_to(np.arange(start, start + len(places))[:, None], places.shape)
        near = (1 - distances**2 / 2 >= at_least) & (places != rows)
        pairs.append(np.sort(np.stack([rows[near], places[near]], axis=1), axis=1))
    return np.unique(np.concatenate(pairs).astype(np.int64), axis=0)


def directions(features: NDArray[np.floating]) -> NDArray[np.float32]:
    """The features seen from their mean, each standardised, as vectors of length 1: cosines then tell images apart."""
    vectors = np.array(features, np.float32)
    vectors -= vectors.mean(axis=0)
    vectors /= np.maximum(vectors.std(axis=0), 1e-6)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return vectors

"""Texts that are nearly the same: MinHash (Broder 1997) proposes pairs, and the overlap of their character 5-grams decides."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

WIDTH = 5
"""Characters of a gram."""
ENOUGH = 0.8
"""The share of grams that two texts have in common, of all that either has (Jaccard), from which they count as copies."""
BANDS, ROWS = 24, 4
"""Pairs are proposed where all hashes of one of the bands agree: at an overlap of 0.8, 99.9998% are; at 0.4, 46%."""
_PRIME = (1 << 31) - 1
_FEWEST = 6
"""Texts with fewer grams are compared whole: one changed letter is too much of them."""


def near_sets(texts: Sequence[str]) -> list[NDArray[np.int64]]:
    """The positions of texts that are the same or nearly so, whatever their case, punctuation and spacing.

    Args:
        texts: The texts.

    Returns:
        Each set in ascending order, the set with the first text first.

    Example:

    >>> from tfl.modalities.text.copies import near_sets
    >>> sets = near_sets(["A fine film, all in all.", "Dull and much too long.", "a fine film all in all!!"])
    >>> [members.tolist() for members in sets]
    [[0, 2]]
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    plain = [_plain(text) for text in texts]
    first: dict[str, int] = {}
    same = [(first.setdefault(text, index), index) for index, text in enumerate(plain)]
    asked = [index for text, index in first.items() if text]
    grams = {index: _grams(plain[index]) for index in asked}
    long = np.array([index for index in asked if len(grams[index]) >= _FEWEST], np.int64)
    near = [pair for pair in _proposed(long, [grams[int(index)] for index in long]) if _overlap(grams, *pair) >= ENOUGH]
    pairs = np.array([pair for pair in same if plain[pair[1]]] + near, np.int64).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(len(texts), len(texts)))
    sets = connected_components(graph, directed=False)[1]
    order = np.argsort(sets, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(sets[order])) + 1) if len(order) else []
    return sorted((group for group in groups if len(group) > 1), key=lambda group: int(group[0]))


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def _grams(text: str) -> NDArray[np.int64]:
    """A hash of each different gram."""
    data = text.encode("utf-32-le")
    return np.unique([zlib.crc32(data[4 * at : 4 * (at + WIDTH)]) % _PRIME for at in range(max(len(text) - WIDTH + 1, 1))])


def _proposed(indices: NDArray[np.int64], grams: Sequence[NDArray[np.int64]]) -> list[tuple[int, int]]:
    """Pairs of texts whose hashes agree in one of the bands."""
    if len(indices) < 2:
        return []
    rng = np.random.default_rng(0)
    factors, offsets = rng.integers(1, _PRIME, BANDS * ROWS), rng.integers(0, _PRIME, BANDS * ROWS)
    everything = np.concatenate(grams)
    starts = np.cumsum([0, *(len(one) for one in grams[:-1])])
    pairs: set[tuple[int, int]] = set()
    for band in range(BANDS):
        rows = range(band * ROWS, (band + 1) * ROWS)
        hashes = [np.minimum.reduceat((everything * factors[row] + offsets[row]) % _PRIME, starts) for row in rows]
        _, bucket = np.unique(np.stack(hashes, axis=1), axis=0, return_inverse=True)
        order = np.argsort(bucket, kind="stable")
        for members in np.split(order, np.flatnonzero(np.diff(bucket[order])) + 1):
            # a chain through the bucket ties its members together without comparing all with all
            pairs.update((int(indices[one]), int(indices[other])) for one, other in pairwise(members))
    return sorted(pairs)


def _overlap(grams: dict[int, NDArray[np.int64]], one: int, other: int) -> float:
    common = len(np.intersect1d(grams[one], grams[other], assume_unique=True))
    return common / (len(grams[one]) + len(grams[other]) - common)

"""Sets of images that are copies of each other: exact by content, near by what they show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfl.audit.copies.candidates import directions, near_by_features, near_by_hash
from tfl.audit.copies.likeness import likeness
from tfl.audit.copies.thumbnails import Thumbnails

if TYPE_CHECKING:
    from numpy.typing import NDArray

ENOUGH = 0.95
"""Thumbnails of one photo correlate at least so much, once they lie right over each other."""
NEAR, LEAST_COSINE = 0.5, 0.2
"""Features that point so much the same way make a candidate; those of one photo do at least to the lesser degree."""
SMALLEST_SIDE = 32
"""Pictures with a shorter side are not compared: too many different ones look alike."""


def exact_sets(fingerprints: Sequence[str]) -> list[NDArray[np.int64]]:
    """The positions of each content that occurs more than once, in order.

    Example:

    >>> from tfl.audit.copies.sets import exact_sets
    >>> [members.tolist() for members in exact_sets(["x", "y", "x"])]
    [[0, 2]]
    """
    return _members(_content(fingerprints))


def near_sets(
    fingerprints: Sequence[str],
    thumbnails: Thumbnails,
    *,
    features: NDArray[np.floating] | None = None,
    large_enough: NDArray[np.bool_] | None = None,
) -> list[NDArray[np.int64]]:
    """The positions of images that are copies of each other, not all of them exact.

    Candidates come from the perceptual hash and, where there are any, from the nearest neighbours in the features. A pair is a
    copy if the thumbnails fit onto each other and the features agree.

    Args:
        fingerprints: Of the content; each content is compared once.
        thumbnails: Of all images.
        features: `(n, width)` of a network; None goes by the thumbnails alone.
        large_enough: `(n,)` which images may be compared; None takes all.
    """
    content = _content(fingerprints)
    one_of_each = np.unique(content)
    usable = ~thumbnails.plain[one_of_each]
    if large_enough is not None:
        usable &= large_enough[one_of_each]
    asked = one_of_each[usable]
    if len(asked) < 2:
        return []
    vectors = None if features is None else directions(features[asked])
    pairs = _pairs(thumbnails, asked, vectors)
    joined = _join(content, asked[pairs])
    return [members for members in _members(joined) if len(np.unique(content[members])) > 1]


def _pairs(thumbnails: Thumbnails, asked: NDArray[np.int64], vectors: NDArray[np.float32] | None) -> NDArray[np.int64]:
    """Those pairs of positions in `asked` that are copies."""
    pairs = near_by_hash(thumbnails.hashes[asked])
    if vectors is not None:
        pairs = np.unique(np.concatenate([pairs, near_by_features(vectors, at_least=NEAR)]), axis=0)
        cosines = np.concatenate(
            [
                np.einsum("nw,nw->n", vectors[some[:, 0]], vectors[some[:, 1]])
                for some in np.array_split(pairs, len(pairs) // 4096 + 1)
            ]
        )
        pairs = pairs[cosines >= LEAST_COSINE]
    if not len(pairs):
        return pairs
    return pairs[likeness(thumbnails.pictures, asked[pairs], enough=ENOUGH) >= ENOUGH]


def _content(fingerprints: Sequence[str]) -> NDArray[np.int64]:
    """`(n,)` the first position that has the same content."""
    first: dict[str, int] = {}
    return np.array([first.setdefault(print_, index) for index, print_ in enumerate(fingerprints)], np.int64)


def _join(sets: NDArray[np.int64], pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """`(n,)` the set of each example once these pairs are in one set each."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = len(sets)
    ends = np.concatenate([pairs, np.stack([np.arange(count), sets], axis=1)])
    graph = coo_matrix((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _members(sets: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The members of each set with more than one, in the order of their first ones."""
    order = np.argsort(sets, kind="stable")
    ends = np.flatnonzero(np.diff(sets[order])) + 1
    several = [members for members in np.split(order, ends) if len(members) > 1]
    return sorted(several, key=lambda members: int(members[0]))

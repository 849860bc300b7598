"""Sets of images that are near copies of each other: they show the same, encoded, resized, cropped or mirrored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfl.copy_sets import first_positions, near_sets_of
from tfl.modalities.image.audit.candidates import directions, near_by_features, near_by_hash
from tfl.modalities.image.audit.likeness import likeness
from tfl.modalities.image.audit.thumbnails import Thumbnails

if TYPE_CHECKING:
    from numpy.typing import NDArray

ENOUGH = 0.95
"""Thumbnails of one photo correlate at least so much, once they lie right over each other."""
NEAR, LEAST_COSINE = 0.5, 0.2
"""Features that point so much the same way make a candidate; those of one photo do at least to the lesser degree."""
LEAST_COMPARED = 32
"""Images with a shorter side are not compared: too many different ones look alike."""


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
    one_of_each = np.unique(first_positions(fingerprints))
    usable = ~thumbnails.plain[one_of_each]
    if large_enough is not None:
        usable &= large_enough[one_of_each]
    asked = one_of_each[usable]
    if len(asked) < 2:
        return []
    vectors = None if features is None else directions(features[asked])
    return near_sets_of(fingerprints, asked[_pairs(thumbnails, asked, vectors)])


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

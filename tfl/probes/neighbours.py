"""The k nearest training examples as a classifier: which k, and what a neighbour's vote counts. NumPy only.

    d = 1 - cos(x, example)         on standardised features; d₁ ≤ d₂ ≤ … of the nearest examples
    vote of neighbour j = 1 - dⱼ / dₖ₊₁        for j = 1 … k
    probability of a class = (1 + strength · its votes) / (classes + strength · all votes)

The votes are those of Hechenbichler and Schliep 2004, *Weighted k-Nearest-Neighbor Techniques and Ordinal Classification*, with
the triangular kernel: the nearer, the more, down to 0 at the first that has no vote. Where every neighbour has the same vote, or
one over its distance, a rounding error that swaps the k-th with the next one changes the probability by up to 1 / k; here it
changes next to nothing, so that exports can be held to the answers of the model. In scikit-learn this is

    KNeighborsClassifier(k + 1, metric="cosine", weights=lambda d: 1 - d / (d[:, -1:] + NEAREST))
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tfl.probes.head import folds_of
from tfl.probes.linear import class_weights, refuse_not_finite
from tfl.vectors import unit_length

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUMBERS = (1, 3, 5, 9, 15, 25)
"""The values of k that are compared."""
STRENGTHS = tuple(2.0**power for power in range(8))
"""What a whole vote counts beside the one that each class has for nothing (Laplace smoothing)."""
NEAREST = 1e-6
"""Added to the distance that all others are divided by: float32 tells no smaller ones apart, and examples that are all the same
then have the same vote."""
FIRST = 16.0
"""The strength where there are too few examples to choose it."""
_ROWS = 1024


@dataclass(frozen=True, eq=False)
class Neighbours:
    """What a head of nearest neighbours holds.

    Args:
        examples: Array of shape `(n, features)` float32, the training examples, standardised, of length one.
        votes: Array of shape `(n, classes)` float32, what the whole vote of each example counts for each class.
        number: Int, k.
    """

    examples: NDArray[np.float32]
    votes: NDArray[np.float32]
    number: int


def compared(count: int) -> int:
    """How many of the nearest of `count` examples are looked at: the k that vote, and the next one.

    Example:

    >>> compared(1000), compared(8)
    (26, 8)
    """
    return min(max(NUMBERS) + 1, count)


def nearest_neighbours(
    features: NDArray[np.floating],
    labels: NDArray[np.integer],
    units: NDArray[np.integer],
    *,
    classes: int,
    balanced: bool = False,
    seed: int = 0,
) -> Neighbours:
    """The head for some features; k by cross-validated accuracy, the strength of a vote by the log loss.

    Args:
        features: Array of shape `(n, features)`, standardised.
        labels: Integer array of shape `(n,)`, classes from 0.
        units: Integer array of shape `(n,)`; examples of one unit are held out together, those of unit -1 never.
        classes: Int, the number of classes; some may have no example.
        balanced: Bool, whether the votes for a class are weighed by the inverse of its count, and k is chosen by balanced
            accuracy. Defaults to False.
        seed: Int, decides the folds. Defaults to 0.

    Raises:
        TflError: A feature is not a finite number.

    Example:

    >>> import numpy as np
    >>> features = np.random.default_rng(0).normal(size=(60, 3))
    >>> labels = (features[:, 0] > 0).astype(int)
    >>> found = nearest_neighbours(features, labels, np.arange(60), classes=2)
    >>> found.examples.shape, found.votes.shape, found.number in NUMBERS
    ((60, 3), (60, 2), True)
    """
    refuse_not_finite(features)
    examples = unit_length(features)
    weights = class_weights(labels) if balanced else np.ones(len(labels), np.float32)
    places = np.unique(labels, return_inverse=True)[1]
    folds = folds_of(places, units, seed=seed) if places.max() else None
    number, strength = (1, FIRST) if folds is None else _chosen(examples, places, weights, folds)
    votes = strength * weights[:, None] * np.eye(classes, dtype=np.float32)[labels]
    return Neighbours(examples, votes.astype(np.float32), number)


def _chosen(
    examples: NDArray[np.float32], labels: NDArray[np.integer], weights: NDArray[np.floating], folds: NDArray[np.integer]
) -> tuple[int, float]:
    """k by accuracy, of equals the one with the lower loss at its best strength; and that strength."""
    most = len(labels) - int(np.bincount(folds[folds >= 0]).max()) - 1
    numbers = [number for number in NUMBERS if number <= most] or [1]
    right = np.zeros(len(numbers))
    losses = np.zeros((len(numbers), len(STRENGTHS)))
    strengths, classes = np.asarray(STRENGTHS), int(labels.max()) + 1
    for rows, distances, near in _held_out(examples, folds):
        for place, number in enumerate(numbers):
            sums = _sums(distances, labels[near], weights[near], number=number, classes=classes)
            own = sums[np.arange(len(rows)), labels[rows]]
            right[place] += weights[rows] @ (sums.argmax(axis=1) == labels[rows])
            shares = (1 + strengths * own[:, None]) / (classes + strengths * sums.sum(axis=1)[:, None])
            losses[place] -= weights[rows] @ np.log(shares)
    best = max(range(len(numbers)), key=lambda place: (right[place], -losses[place].min()))
    return numbers[best], STRENGTHS[int(losses[best].argmin())]


def _held_out(
    examples: NDArray[np.float32], folds: NDArray[np.integer]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]]:
    """Some examples at a time: their positions, the distances to the nearest examples of other folds, ascending, and those."""
    for fold in range(int(folds.max()) + 1):
        held, others = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        known, count = examples[others].T, compared(len(others))
        for start in range(0, len(held), _ROWS):
            rows = held[start : start + _ROWS]
            distances = np.maximum(1 - examples[rows] @ known, 0)
            near = np.argpartition(distances, count - 1, axis=1)[:, :count]
            near = np.take_along_axis(near, np.argsort(np.take_along_axis(distances, near, axis=1), axis=1), axis=1)
            yield rows, np.take_along_axis(distances, near, axis=1), others[near]


def _sums(
    distances: NDArray[np.float32],
    labels: NDArray[np.integer],
    weights: NDArray[np.floating],
    *,
    number: int,
    classes: int,
) -> NDArray[np.float64]:
    """The votes for each class, `(rows, classes)`, of the nearest examples `(rows, count)`."""
    reach = distances[:, min(number, distances.shape[1] - 1)] + NEAREST
    votes = np.maximum(1 - distances / reach[:, None], 0) * weights
    sums = np.zeros((len(distances), classes))
    rows = np.arange(len(distances))
    for column in range(distances.shape[1]):
        sums[rows, labels[:, column]] += votes[:, column]
    return sums

"""Which examples to label next: BADGE, on features that are stored. NumPy only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tfl.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEAST_SCALE = 1e-6
_SAME = 1e-5
"""Examples whose squared distance is at most this share of their squared lengths count as copies: distances are in float32."""


def label_next(
    features: NDArray[np.floating], probabilities: NDArray[np.floating], *, count: int, seed: int = 0
) -> NDArray[np.int64]:
    """The examples of a pool to label next, in order: uncertain ones, and far from each other (BADGE).

    An example is represented by the gradient of the log loss in the weights of the last layer, if the class that is predicted
    were right:

        g = (p - onehot(argmax p)) outer f

    It is long where the prediction is uncertain, and its direction is that of the features. k-means++ (Arthur and Vassilvitskii
    2007) draws each next example in proportion to its squared distance from the nearest one drawn so far; the first is the
    longest. Only the two factors of g are stored: `|g|^2 = |p - y|^2 |f|^2`, and an inner product is the product of those of
    the factors. Where every gradient that is left is zero or that of a chosen example, distances between features take their
    place.

    With a classifier that learnt from a few examples for each class, or one that is sure everywhere, probabilities say little
    and a random choice is as good. The chosen examples are no random sample: an accuracy that is estimated from them is wrong.

    Args:
        features: Array of shape `(n, width)`, finite, of the pool; standardised here.
        probabilities: Array of shape `(n, classes)`, what the present classifier says of the pool.
        count: Int, how many to choose, from 0 to n.
        seed: Int, of the draws. Defaults to 0.

    Returns:
        Integer array of shape `(count,)`, positions in the pool without repetition. A copy of a chosen example comes only when
        nothing else is left. The choice for a smaller count is the beginning of that for a larger one.

    Raises:
        DataError: The lengths differ, a value is not finite, or `count` is out of range.

    Example:

    >>> import numpy as np
    >>> from tfl.advice.label_next import label_next
    >>> features = np.array([[0.0, 1.0], [0.0, 1.1], [5.0, 0.0], [5.1, 0.0]])
    >>> probabilities = np.array([[1.0, 0.0], [0.6, 0.4], [1.0, 0.0], [0.5, 0.5]])
    >>> label_next(features, probabilities, count=2).tolist()
    [3, 1]

    Source: Ash et al. 2020, *Deep Batch Active Learning by Diverse, Uncertain Gradient Lower Bounds*.
    """
    pool, slopes = _factors(features, probabilities)
    if not 0 <= count <= len(pool):
        raise DataError(
            "`count` is out of range.", received=count, allowed=f"an integer from 0 to {len(pool)}, the examples in the pool"
        )
    rng = np.random.default_rng(seed)
    squares = np.einsum("nd,nd->n", pool, pool)
    lengths = squares * np.einsum("nk,nk->n", slopes, slopes)
    nearest, apart = lengths.copy(), np.full(len(pool), np.inf, np.float32)  # squared distances by gradients, and by features
    left = np.ones(len(pool), bool)
    chosen: list[int] = []
    while len(chosen) < count:
        place = int(np.argmax(lengths)) if not chosen else _drawn([nearest, apart], left, rng)
        chosen.append(place)
        left[place] = False
        inner = pool @ pool[place]
        nearest = np.minimum(nearest, _distances(lengths, place, inner * (slopes @ slopes[place])))
        apart = np.minimum(apart, _distances(squares, place, inner))
    return np.array(chosen, np.int64)


def _distances(lengths: NDArray[np.float32], place: int, inner: NDArray[np.float32]) -> NDArray[np.float32]:
    """Squared distances from one vector, by squared lengths and inner products; zero where only rounding makes a difference."""
    both = lengths + lengths[place]
    distances = both - 2 * inner
    return np.where(distances <= _SAME * both, 0, distances)


def _factors(
    features: NDArray[np.floating], probabilities: NDArray[np.floating]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Standardised features, and probabilities less the class that is predicted."""
    pool, given = np.array(features, np.float32), np.array(probabilities, np.float32)
    if pool.ndim != 2 or given.ndim != 2 or len(pool) != len(given) or not given.shape[1]:
        raise DataError(
            "Features and probabilities do not fit together.",
            received=f"shapes {pool.shape} and {given.shape}",
            allowed="features of shape (n, width) and probabilities of shape (n, classes)",
        )
    for name, values in (("features", pool), ("probabilities", given)):
        if not (finite := np.isfinite(values).all(axis=1)).all():
            raise DataError(f"Some {name} are not finite numbers.", received=f"{int((~finite).sum())} of {len(pool)} examples")
    if len(pool):
        pool -= pool.mean(axis=0, dtype=np.float64).astype(np.float32)
        scale = np.sqrt(np.mean(np.square(pool), axis=0, dtype=np.float64))
        pool /= np.where(scale < _LEAST_SCALE, 1, scale).astype(np.float32)
        given[np.arange(len(given)), given.argmax(axis=1)] -= 1
    return pool, given


def _drawn(distances: list[NDArray[np.float32]], left: NDArray[np.bool_], rng: np.random.Generator) -> int:
    """One of what is left, in proportion to the first distances that are not zero everywhere; by none of them, any."""
    for values in (*distances, left):
        weights = np.where(left, values, 0).astype(np.float64)
        if weights.any():
            break
    edges = np.cumsum(weights)
    place = int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))
    return min(place, int(np.flatnonzero(weights)[-1]))

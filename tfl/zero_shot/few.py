"""A few labelled examples of classes that were never trained on, added to what names them without any (Tip-Adapter).

Zhang et al. 2022, *Tip-Adapter: Training-free Adaption of CLIP for Few-shot Classification*, equations 4 to 6: the examples are a
cache of keys, their features of length 1, and values, their classes;
`logits = zero_shot + alpha * exp(-beta * (1 - similarity)) @ values`. Nothing is trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ALPHA, BETA = 1.0, 5.5
"""The paper's, where there are too few examples to choose from: fewer than two of a class."""
ALPHAS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
BETAS = (1.0, 2.0, 5.5, 10.0, 20.0)
TRUSTS = (1.0, 0.3, 0.1, 0.0)
"""What the logits without examples can count; 1 in the paper, but a network can read the attributes of a new class wrongly."""


@dataclass(frozen=True, eq=False)
class Cache:
    """Labelled examples.

    Args:
        keys: Array of shape `(n, features)`, of length 1.
        labels: Integer array of shape `(n,)`, columns of the logits.
        alpha: What they count next to the logits without them.
        beta: How fast they count less with the distance.
        trust: What the logits without them are multiplied with.
    """

    keys: NDArray[np.float64]
    labels: NDArray[np.integer]
    alpha: float = ALPHA
    beta: float = BETA
    trust: float = 1.0

    def logits(self, features: NDArray[np.float64], zero_shot: NDArray[np.float64]) -> NDArray[np.float64]:
        """The logits with the examples, `(n, classes)`.

        Args:
            features: `(n, features)`, of length 1.
            zero_shot: `(n, classes)`, the logits without.

        Example:

        >>> cache = Cache(np.eye(2), np.array([1, 0]))
        >>> cache.logits(np.array([[1.0, 0.0]]), np.zeros((1, 2))).round(3).tolist()
        [[0.004, 1.0]]
        """
        near = np.exp(-self.beta * (1 - features @ self.keys.T))
        return self.trust * zero_shot + self.alpha * near @ np.eye(zero_shot.shape[1])[self.labels]


def chosen_cache(keys: NDArray[np.float64], labels: NDArray[np.integer], zero_shot: NDArray[np.float64]) -> Cache:
    """The cache with the numbers by which each example is named best by the others (leave one out, log loss).

    Args:
        keys: `(n, features)`, of length 1.
        labels: `(n,)`, columns of `zero_shot`.
        zero_shot: `(n, classes)`, the logits of the examples without any.

    Example:

    >>> keys, labels = np.repeat(np.eye(2), 2, axis=0), np.array([0, 0, 1, 1])
    >>> chosen_cache(keys, labels, np.zeros((4, 2))).alpha
    20.0
    """
    plain = Cache(keys, labels)
    if np.unique(labels, return_counts=True)[1].min() < 2:
        return plain
    tried = [
        Cache(keys, labels, alpha, beta, trust)
        for trust in TRUSTS
        for alpha in ALPHAS[0 if trust else 1 :]
        for beta in (BETAS if alpha else (BETA,))
    ]
    return min(tried, key=lambda one: _left_out_loss(one, zero_shot))


def _left_out_loss(cache: Cache, zero_shot: NDArray[np.float64]) -> float:
    """The mean log loss of each example by the logits of all others."""
    rows = np.arange(len(cache.labels))
    logits = cache.logits(cache.keys, zero_shot)
    logits[rows, cache.labels] -= cache.alpha  # what an example says of itself: exp(0) times alpha
    top = logits.max(axis=1)
    return float((top + np.log(np.exp(logits - top[:, None]).sum(axis=1)) - logits[rows, cache.labels]).mean())

"""How good a network's answers on unlabelled examples look: what a method of adaptation is chosen by, without target labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

TEMPERATURE = 0.05
"""Of the soft neighbourhoods (Saito et al. 2021, section 3.2)."""
MOST = 2000
"""Examples that are compared with each other: memory grows with the square."""


def neighbourhood_density(probabilities: NDArray[np.floating], *, temperature: float = TEMPERATURE, seed: int = 0) -> float:
    """The soft neighbourhood density of answers: the larger, the more near neighbours each answer has.

        density = - mean over i of sum over j of P_ij log P_ij,
        P_i     = softmax over j, without i, of s_ij / temperature,

    where s_ij is the cosine of the answers i and j. It is the entropy of each example's similarity to all others, and at most
    the logarithm of their number.

    Args:
        probabilities: Array of shape `(n, classes)`, the answers, n at least 2; of more than `MOST` as many are drawn.
        temperature: Float. Defaults to 0.05.
        seed: Int, of the draw. Defaults to 0.

    Example:

    >>> import numpy as np
    >>> sure, unsure = np.repeat(np.eye(2), 10, axis=0), np.random.default_rng(0).dirichlet(np.ones(2), 20)
    >>> neighbourhood_density(sure) > neighbourhood_density(unsure)
    True

    Source: Saito et al. 2021, *Tune it the Right Way: Unsupervised Validation of Domain Adaptation via Soft Neighborhood Density*.
    """
    rows = np.asarray(probabilities, np.float64)
    if len(rows) > MOST:
        rows = rows[np.sort(np.random.default_rng(seed).permutation(len(rows))[:MOST])]
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    likeness = rows @ rows.T / temperature
    np.fill_diagonal(likeness, -np.inf)
    likeness -= likeness.max(axis=1, keepdims=True)
    shares = np.exp(likeness)
    shares /= shares.sum(axis=1, keepdims=True)
    return float(-(shares * np.log(np.maximum(shares, 1e-300))).sum(axis=1).mean())


def information(probabilities: NDArray[np.floating]) -> float:
    """The mutual information of examples and answers in nats: the entropy of the mean answer less the mean entropy.

        information = H(mean of p) - mean of H(p)

    It is large where single answers are sure and all classes occur, and zero where every example gets the same answer.

    Args:
        probabilities: Array of shape `(n, classes)`.

    Example:

    >>> import numpy as np
    >>> round(information(np.eye(2)), 3), information(np.array([[1.0, 0.0], [1.0, 0.0]]))
    (0.693, 0.0)

    Source: Bridle et al. 1991, *Unsupervised Classifiers, Mutual Information and 'Phantom Targets'*.
    """
    rows = np.asarray(probabilities, np.float64)
    return float(_entropy(rows.mean(axis=0)) - _entropy(rows).mean())


def _entropy(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(-(rows * np.log(np.maximum(rows, 1e-300))).sum(axis=-1))

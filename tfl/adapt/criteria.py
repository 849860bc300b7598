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

    Source: Saito et al. 2021, *Tune it the Right Way: Unsupervised Validation of Domain Adaptation via Soft Neighborhood
    Density*.
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


def information(probabilities: NDArray[np.floating], shares: NDArray[np.floating]) -> float:
    """How sure the answers are, and how near their shares of the classes come to expected ones; larger is better, at most 0.

        information = - mean of H(p) - sum over classes of m log (m / s)

    with the entropy H of an answer p, the mean answer m and the expected shares s. With equal shares this is, but for a constant,
    the mutual information of examples and answers, for which sure answers are worth nothing where all of them are the same.

    Args:
        probabilities: Array of shape `(n, classes)`, the answers.
        shares: Array of shape `(classes,)`, such as those of the source's training examples.

    Example:

    >>> import numpy as np
    >>> half = np.array([0.5, 0.5])
    >>> information(np.eye(2), half) > information(np.array([[0.9, 0.1], [0.9, 0.1]]), half)
    True

    Source: Krause et al. 2010, *Discriminative Clustering by Regularized Information Maximization*, section 2.2; before it
    Bridle et al. 1991, *Unsupervised Classifiers, Mutual Information and 'Phantom Targets'*.
    """
    rows, expected = np.asarray(probabilities, np.float64), np.maximum(np.asarray(shares, np.float64), _LEAST)
    mean = np.maximum(rows.mean(axis=0), _LEAST)
    return float(-_entropy(rows).mean() - (mean * np.log(mean / expected)).sum())


_LEAST = 1e-6


def _entropy(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(-(rows * np.log(np.maximum(rows, 1e-300))).sum(axis=-1))

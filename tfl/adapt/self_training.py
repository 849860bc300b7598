"""Self-training of a linear head: what it is sure of in the target domain trains it, class by class, in rounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARES = (0.2, 0.4, 0.6, 0.8)
"""By round, the share of the target examples of each predicted class that are taken, the surest first. Zou et al. 2018 begin with
20% and end with 50%."""
LEAST_CONFIDENCE = 0.5
"""Answers with a smaller probability are not taken in any round."""

Fit = Callable[["NDArray[np.float32]", "NDArray[np.int64]"], tuple["NDArray[np.float32]", "NDArray[np.float32]"]]
"""From vectors `(n, width)` and classes `(n,)` to kernel and bias."""


def chosen_by_class(probabilities: NDArray[np.floating], share: float) -> NDArray[np.int64]:
    """The positions of the surest examples of each predicted class, ascending.

    Args:
        probabilities: Array of shape `(n, classes)`.
        share: Float from 0 to 1, of each class's examples, rounded up.

    Example:

    >>> import numpy as np
    >>> chosen_by_class(np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.45, 0.55]]), 0.5).tolist()
    [0, 2]
    """
    predicted, confidence = probabilities.argmax(axis=1), probabilities.max(axis=1)
    kept = []
    for label in np.unique(predicted):
        rows = np.flatnonzero(predicted == label)
        surest = rows[np.argsort(-confidence[rows], kind="stable")][: int(np.ceil(share * len(rows)))]
        kept.append(surest[confidence[surest] >= LEAST_CONFIDENCE])
    return np.sort(np.concatenate(kept)).astype(np.int64)


def self_train(
    source: NDArray[np.float32],
    labels: NDArray[np.integer],
    target: NDArray[np.float32],
    start: tuple[NDArray[np.float32], NDArray[np.float32]],
    fit: Fit,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A linear head that is trained on source examples and on target examples by its own answers.

    Each round answers for all target examples, takes the surest `SHARES[round]` of each predicted class, and fits anew.

    Args:
        source: Array of shape `(n, width)`.
        labels: Integer array of shape `(n,)`.
        target: Array of shape `(m, width)`.
        start: Kernel and bias that give the first answers.
        fit: See `Fit`.

    Source: Lee 2013, *Pseudo-Label*; the shares by class after Zou et al. 2018, *Unsupervised Domain Adaptation for Semantic
    Segmentation via Class-Balanced Self-Training*.
    """
    kernel, bias = start
    for share in SHARES:
        said = softmax(target @ kernel + bias)
        rows = chosen_by_class(said, share)
        kernel, bias = fit(
            np.concatenate([source, target[rows]]), np.concatenate([labels, said[rows].argmax(axis=1)]).astype(np.int64)
        )
    return kernel, bias


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Probabilities over the last axis.

    Example:

    >>> import numpy as np
    >>> softmax(np.zeros((1, 2))).tolist()
    [[0.5, 0.5]]
    """
    raised = np.exp(np.asarray(logits, np.float64) - np.max(logits, axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))

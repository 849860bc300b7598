"""Whether a network is better than the one before it, by what both say of the same validation examples.

The best of several epochs is better than the start by chance alone where few examples validate. A paired test asks how often a
gain at least as large would come of two networks that are equally good: their scores are exchanged at random, example by example
(a permutation test; for right and wrong answers it is the sign test, or McNemar's exact test).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.tasks.base import Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 9999


def example_scores(task: Task, metric: str, logits: NDArray[np.floating], targets: NDArray[np.float32]) -> NDArray[np.float64]:
    """How good each answer is, more being better: whether it is right, or else the negative loss.

    Args:
        task: What is predicted.
        metric: String, the monitored metric.
        logits: Array of shape `(n, width)`.
        targets: Array of shape `(n, width)`.

    Returns:
        Array of shape `(n,)`.

    Example:

    >>> import numpy as np
    >>> from tfl.tasks.base import task_of
    >>> from tfl.train.evidence import example_scores
    >>> example_scores(task_of("classify"), "val_accuracy", np.array([[2.0, 0], [3.0, 0]]), np.eye(2, dtype=np.float32)).tolist()
    [1.0, 0.0]
    """
    import tensorflow as tf

    given: tuple[Any, Any] = tf.constant(targets, tf.float32), tf.constant(logits, tf.float32)
    if metric == "val_loss" or task.step_metric != "accuracy":
        return -np.asarray(task.loss(*given), np.float64)
    return np.asarray(task.step_score(*given), np.float64)


def p_value(scores: NDArray[np.floating], before: NDArray[np.floating], *, seed: int = 0) -> float:
    """How likely a mean gain at least as large as this one is where both networks are equally good; one-sided.

    Args:
        scores: Array of shape `(n,)`, of the network that may be better.
        before: Array of shape `(n,)`, of the other one, on the same examples.
        seed: Int, of the random exchanges where there are too many to try all. Defaults to 0.

    Example:

    >>> import numpy as np
    >>> from tfl.train.evidence import p_value
    >>> p_value(np.array([1.0, 1, 1, 1, 0]), np.array([0.0, 0, 1, 1, 0]))  # two gained, none lost: one of four sign patterns
    0.25
    """
    gains = np.asarray(scores, np.float64) - np.asarray(before, np.float64)
    moved = gains[gains != 0]
    if not len(moved):
        return 1.0
    if np.ptp(np.abs(moved)) < 1e-12:
        from scipy.stats import binomtest

        return float(binomtest(int((moved > 0).sum()), len(moved), alternative="greater").pvalue)
    from scipy.stats import permutation_test

    found = permutation_test(
        (moved,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        alternative="greater",
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)

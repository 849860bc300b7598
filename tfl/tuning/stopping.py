"""When a trial is stopped early: the median rule."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

LEAST_TRIALS = 3
"""So many trials must have ended before one is called poor beside them."""
GRACE = 1 / 3
"""In this share of its epochs no trial is called poor: a low rate begins slowly. In a search over depth and rate on flowers the
best of 18 trials of five epochs (0.759 in the end) was below the median after the first, 0.626 to 0.641, and above it after the
second."""


def is_poor(history: Sequence[float], others: Sequence[Sequence[float]], *, epochs: int, higher_is_better: bool) -> bool:
    """The median stopping rule: is the best value so far worse than the median of the other trials' running averages?

    Golovin et al. 2017, *Google Vizier*, section 3.2.1. A trial with fewer epochs counts with those it has.

    Args:
        history: Sequence of floats, the metric of the trial after each epoch.
        others: Sequence of histories of the trials that were completed.
        epochs: Int, the number of epochs of the whole trial.
        higher_is_better: Bool, whether a larger value of the metric is better.

    Example:

    >>> good = [[0.5, 0.7, 0.9]] * 3
    >>> is_poor([0.1, 0.2], good, epochs=3, higher_is_better=True), is_poor([0.1, 0.65], good, epochs=3, higher_is_better=True)
    (True, False)
    """
    if len(history) < math.ceil(GRACE * epochs):
        return False
    averages = [statistics.fmean(other[: len(history)]) for other in others if other]
    if not history or len(averages) < LEAST_TRIALS:
        return False
    median = statistics.median(averages)
    return max(history) < median if higher_is_better else min(history) > median

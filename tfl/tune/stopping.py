"""When a trial need not go on: the median rule."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

LEAST_TRIALS = 3
"""So many trials must have ended before one is called poor beside them."""


def is_poor(history: Sequence[float], others: Sequence[Sequence[float]], *, higher_is_better: bool) -> bool:
    """The median stopping rule: is the best value so far worse than the median of the other trials' running averages?

    Golovin et al. 2017, *Google Vizier*, section 3.2.1. A trial with fewer epochs counts with those it has.

    Args:
        history: The metric of the trial, epoch by epoch.
        others: The same of trials that came to their end.
        higher_is_better: Whether a larger value is better.

    Example:

    >>> good = [[0.5, 0.7, 0.9]] * 3
    >>> is_poor([0.1, 0.2], good, higher_is_better=True), is_poor([0.1, 0.65], good, higher_is_better=True)
    (True, False)
    """
    averages = [statistics.fmean(other[: len(history)]) for other in others if other]
    if not history or len(averages) < LEAST_TRIALS:
        return False
    median = statistics.median(averages)
    return max(history) < median if higher_is_better else min(history) > median

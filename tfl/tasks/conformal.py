"""Promises that hold for finitely many examples: split conformal prediction (Vovk et al. 2005)."""

from __future__ import annotations

import math


def rank_of(count: int, share: float) -> int:
    """Which of `count` sorted values a new one stays below with a probability of at least `share`; `count` + 1 where none does.

    Example:

    >>> rank_of(99, 0.9), rank_of(5, 0.9)
    (90, 6)
    """
    return min(max(1, math.ceil((count + 1) * share - 1e-9)), count + 1)


def examples_needed(share: float) -> int:
    """The fewest examples for which `rank_of` is one of them.

    Example:

    >>> examples_needed(0.9), examples_needed(0.99)
    (9, 99)
    """
    return max(1, math.ceil(share / (1 - share) - 1e-9))

"""How fast things run on this machine, measured in one way wherever a choice depends on it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

ROUNDS = 3
ENOUGH_SECONDS = 2.0
"""A run that has taken so long in all is not repeated again."""


def best_seconds(runs: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Seconds of each run: the best of up to three, after one to warm up. They take turns, so a busy moment disturbs all alike.

    Args:
        runs: By name; each returns when its result is there.

    Example:

    >>> from tfl.model.timing import best_seconds
    >>> sorted(best_seconds({"sum": lambda: sum(range(9)), "nothing": lambda: None}))
    ['nothing', 'sum']
    """
    for run in runs.values():
        run()
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            if sum(taken[name]) < ENOUGH_SECONDS:
                began = time.perf_counter()
                run()
                taken[name].append(time.perf_counter() - began)
    return {name: min(times) for name, times in taken.items()}

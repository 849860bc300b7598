"""95% intervals of measured figures: of shares, and of anything else by resampling. NumPy and SciPy only."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 1000
"""Resamples of an interval."""
_CHUNK_CELLS = 4_000_000  # resampled entries in memory at a time
_Z95 = 1.959963984540054

Figures = dict[str, "NDArray[np.float64]"]
"""Figures by name, each with the resamples as its first axis."""


def wilson_interval(successes: float, count: int) -> list[float] | None:
    """The 95% score interval of a share (Wilson 1927), None when there is nothing to share.

    Args:
        successes: Number of successes; a share times `count` need not be whole.
        count: Number of trials.

    Example:

    >>> [round(edge, 3) for edge in wilson_interval(20, 20)]
    [0.839, 1.0]
    """
    if count == 0:
        return None
    share, z2 = successes / count, _Z95**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z95 * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2)) / (1 + z2 / count)
    low = 0.0 if successes == 0 else middle - half
    high = 1.0 if successes == count else middle + half
    return [max(0.0, low), min(1.0, high)]


def clopper_pearson(successes: int, count: int) -> list[float]:
    """The exact 95% interval of a share (Clopper and Pearson 1934).

    Example:

    >>> [round(edge, 3) for edge in clopper_pearson(9, 10)]
    [0.555, 0.997]
    """
    from scipy.stats import binomtest

    found = binomtest(successes, count).proportion_ci(0.95, method="exact")
    return [float(found.low), float(found.high)]


def percentile_interval(values: NDArray[np.float64]) -> list[float] | None:
    """The middle 95% of resampled values, those that are no numbers left out; None where nothing is left (Efron 1979).

    Example:

    >>> import numpy as np
    >>> percentile_interval(np.arange(101.0))
    [2.5, 97.5]
    """
    known = values[np.isfinite(values)]
    return [float(edge) for edge in np.percentile(known, [2.5, 97.5])] if len(known) else None


def share_interval(values: NDArray[np.float64], successes: int, count: int) -> list[float] | None:
    """The interval of a share from its resampled values; by Wilson's formula where it is exactly 0 or 1.

    Such a share cannot vary in a resample, and the bootstrap would claim certainty.

    Args:
        values: `(resamples,)`, the share in each resample.
        successes: Number of successes among the examples.
        count: Number of trials; with none there is no interval.
    """
    if not len(values) or not count:
        return None
    return wilson_interval(successes, count) if successes in (0, count) else percentile_interval(values)


def resamples(count: int, *, seed: int, bootstraps: int = RESAMPLES) -> Iterator[NDArray[np.int64]]:
    """Draws with replacement, some resamples at a time: `(resamples, count)` positions from 0 to `count` - 1.

    Args:
        count: Number of examples.
        seed: The same seed draws the same.
        bootstraps: Number of resamples in all.
    """
    generator = np.random.default_rng(seed)
    at_once = max(1, min(bootstraps, _CHUNK_CELLS // count))
    for start in range(0, bootstraps, at_once):
        yield generator.integers(0, count, size=(min(at_once, bootstraps - start), count))


def resample_counts(drawn: NDArray[np.int64]) -> NDArray[np.float64]:
    """How often each example is in each resample, `(resamples, count)`, from the positions that were drawn.

    Example:

    >>> import numpy as np
    >>> resample_counts(np.array([[0, 0, 2]])).tolist()
    [[2.0, 0.0, 1.0]]
    """
    rows, count = drawn.shape
    flat = (drawn + count * np.arange(rows)[:, None]).ravel()
    return np.bincount(flat, minlength=rows * count).reshape(rows, count).astype(np.float64)


def bootstrap(figures: Callable[[NDArray[np.int64]], Figures], count: int, *, seed: int, bootstraps: int = RESAMPLES) -> Figures:
    """The figures of resamples of the examples; nothing where `bootstraps` is 0.

    Args:
        figures: From positions `(resamples, count)` to figures, one for each resample.
        count: Number of examples.
        seed: The same seed draws the same.
        bootstraps: Number of resamples.

    Example:

    >>> import numpy as np
    >>> errors = np.array([1.0, 2.0, 3.0, 4.0])
    >>> drawn = bootstrap(lambda at: {"mean": errors[at].mean(axis=1)}, 4, seed=0)
    >>> drawn["mean"].shape, [round(edge, 1) for edge in percentile_interval(drawn["mean"])]
    ((1000,), [1.5, 3.5])
    """
    parts = [figures(drawn) for drawn in resamples(count, seed=seed, bootstraps=bootstraps)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}

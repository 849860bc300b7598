"""What more labelled examples would bring: the learning curve of a linear probe, and its continuation.

The probe is trained on nested parts of the examples and evaluated on others. Errors of classifiers usually fall as a power of the
number of training examples towards a floor (Cortes et al. 1993, *Learning Curves: Asymptotic Values and Rate of Convergence*;
Hestness et al. 2017, *Deep Learning Scaling is Predictable, Empirically*):

    error(n) = floor + scale n^-exponent

With a few points the three numbers are not determined. Each draw of a bootstrap therefore fits the curve to resampled errors and to
a prior drawn at random; the draws together are the forecast. NumPy and scikit-learn only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVEL = 0.9
"""Of every band."""
DRAWS = 1000
_PARTS = 4  # sizes, where none are given
_EXPONENTS = np.geomspace(0.1, 2.0, 25)
_FLOORS = np.linspace(0.0, 1.0, 26)
"""As a share of the error at the largest size."""
_EXPONENT, _EXPONENT_SPREAD = 0.5, 0.6  # prior: median, and standard deviation of its logarithm
_FLOOR_SPREAD = 0.5

Predict = Callable[["NDArray[np.floating]"], "NDArray[np.integer]"]
Fit = Callable[["NDArray[np.floating]", "NDArray[np.integer]"], Predict]


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """A figure that was not measured, with its 90% band.

    Args:
        mean: Float.
        low, high: Floats, the ends of the band.
    """

    mean: float
    low: float
    high: float

    def as_json(self) -> dict[str, float]:
        """It as plain data."""
        return {"mean": self.mean, "low": self.low, "high": self.high}


@dataclass(frozen=True, kw_only=True, eq=False)
class LearningCurve:
    """Accuracy by the number of training examples, as measured and as forecast.

    Args:
        sizes: Ints, the numbers of training examples, ascending.
        means: Floats, the accuracy on held-out examples at each size.
        intervals: Pairs of floats, the 90% interval of each mean.
        examples: Int, the number of examples there are.
        classes: Int, the number of classes that occur.
        balanced: Bool, whether the accuracy is the mean over classes.
        curves: Array of shape `(draws, 3)`: floor, scale and exponent of the error in each draw of the bootstrap.
    """

    sizes: tuple[int, ...]
    means: tuple[float, ...]
    intervals: tuple[tuple[float, float], ...]
    examples: int
    classes: int
    balanced: bool
    curves: NDArray[np.float64]

    def at(self, count: int) -> Forecast:
        """The accuracy of a probe trained on `count` examples; the mean never falls as the count grows.

        Args:
            count: Int, at least 1.

        Raises:
            DataError: `count` is below 1.
        """
        return _forecast(self._accuracies(count))

    def gain(self, more: int) -> Forecast:
        """How much the accuracy would rise if `more` examples were labelled, with the band of the rise itself.

        The band is narrower than those of the two accuracies: most of what is not known of one is not known of the other.

        Args:
            more: Int, at least 0.

        Raises:
            DataError: `more` is below 0.
        """
        if more < 0:
            raise DataError("`more` is out of range.", received=more, allowed="an integer of at least 0")
        return _forecast(self._accuracies(self.examples + more) - self._accuracies(self.examples))

    def as_json(self) -> dict[str, Any]:
        """It as plain data: the fields without the draws, and forecasts for the examples there are, twice and four times as many."""
        counts = [self.examples * factor for factor in (1, 2, 4)]
        return {
            "sizes": list(self.sizes),
            "means": list(self.means),
            "intervals": [list(interval) for interval in self.intervals],
            "examples": self.examples,
            "classes": self.classes,
            "balanced": self.balanced,
            "level": LEVEL,
            "forecasts": [{"examples": count, **self.at(count).as_json()} for count in counts],
            "gains": [{"more": count - self.examples, **self.gain(count - self.examples).as_json()} for count in counts[1:]],
        }

    def _accuracies(self, count: int) -> NDArray[np.float64]:
        if count < 1:
            raise DataError("`count` is out of range.", received=count, allowed="an integer of at least 1")
        floor, scale, exponent = self.curves.T
        return 1 - np.clip(floor + scale * float(count) ** -exponent, 0, 1)


def learning_curve(
    features: NDArray[np.floating],
    labels: NDArray[np.integer],
    *,
    sizes: Sequence[int] | None = None,
    repeats: int = 8,
    test_share: float = 0.125,
    balanced: bool = False,
    units: NDArray[np.integer] | None = None,
    seed: int = 0,
    fit: Fit | None = None,
) -> LearningCurve:
    """x"""
    features, labels, units = _checked(features, labels, units)
    rng = np.random.default_rng(seed)
    folds = max(2, round(1 / test_share))
    held = _folds_of(labels, units, folds, -(-repeats // folds), rng)
    right, seen = [], []
    if fit is None:
        fit = _own_probe(features, labels, units, balanced=balanced, seed=seed)
    sizes = _sizes(labels, held, sizes)
    for split in range(repeats):
        fold = held[split // folds]
        out = fold == split % folds
        order = _nested(labels, np.flatnonzero(~out), rng)
        answers = [fit(features[order[:size]], labels[order[:size]])(features[out]) for size in sizes]
        row = np.zeros((len(sizes), len(labels)))
        row[:, out] = np.stack(answers) == labels[out]
        right.append(row)
        seen.append(out)
    return sizes, np.stack(right), np.stack(seen), labels, units


def _checked(features, labels, units):
    features, labels = np.asarray(features), np.asarray(labels)
    units = np.arange(len(labels)) if units is None else np.unique(units, return_inverse=True)[1]
    return features, np.unique(labels, return_inverse=True)[1], units


def _folds_of(labels, units, folds, passes, rng):
    """`(passes, n)`: the fold of each example, -1 where it is always in training."""
    first = np.unique(units, return_index=True)[1]
    of_unit = labels[first]
    single = np.bincount(of_unit)[of_unit] < 2
    found = np.full((passes, len(first)), -1)
    for row in found:
        order = np.lexsort((rng.random(len(first)), of_unit))
        order = order[~single[order]]
        row[order] = rng.permutation(folds)[np.arange(len(order)) % folds]
    return found[:, units]


def _sizes(labels, held, sizes):
    classes = int(labels.max()) + 1
    folds = int(held.max()) + 1
    largest = len(labels) - max(int((row == fold).sum()) for row in held for fold in range(folds))
    if sizes is not None:
        return tuple(sizes)
    lowest = max(classes, min(2 * classes, largest // 2), len(labels) // 8)
    return tuple(int(size) for size in np.unique(np.round(np.geomspace(lowest, largest, _PARTS))))


def _nested(labels, rows, rng):
    """`rows` in an order of which every beginning is stratified, and has every class as soon as it can."""
    rows = rng.permutation(rows)
    rows = rows[np.argsort(labels[rows], kind="stable")]
    counts = np.bincount(labels[rows])
    counts = counts[counts > 0]
    rank = np.concatenate([np.arange(count) for count in counts])
    key = (rank + rng.random(len(rows))) / np.repeat(counts, counts)
    return rows[np.argsort(np.where(rank == 0, key - 2, key))]


def _own_probe(features, labels, units, *, balanced, seed):
    from threadpoolctl import threadpool_limits
    from tfl.probes.folds import FOLDS, make_folds
    from tfl.probes.linear import FIRST, fitted_probe, held_out

    strength = FIRST
    first = np.unique(units, return_index=True)[1]
    if np.bincount(labels[first]).min() >= 4:
        strength = held_out(features, labels, make_folds(labels, units, most=FOLDS, seed=seed), balanced=balanced).strength

    def fit(x, y):
        with threadpool_limits(1):
            return fitted_probe(x, y, strength, balanced=balanced).predict

    return fit

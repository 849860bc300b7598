"""What more labelled examples would bring: the learning curve of a linear probe, and its continuation.

The probe is trained on nested parts of the examples and evaluated on others. Errors of classifiers usually fall as a power of the
number of training examples towards a floor (Cortes et al. 1993, *Learning Curves: Asymptotic Values and Rate of Convergence*;
Hestness et al. 2017, *Deep Learning Scaling is Predictable, Empirically*):

    error(n) = floor + scale n^-exponent

How it is fitted: `tfl.advice.power_law`. NumPy and scikit-learn only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.advice.advice import SET_VARIANCE
from tfl.advice.power_law import power_laws, resampled_errors
from tfl.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEVEL = 0.9
"""Of every band."""
_PARTS = 4  # sizes, where none are given

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
        curves: Array of shape `(draws, 3)`: floor, scale and exponent of the odds of an error in each draw of the bootstrap.
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

        The band is narrower than those of the two accuracies: most of what is not known of one is not known of the other. It
        contains that one set of training examples serves better than another, so its low end may be below zero.

        Args:
            more: Int, at least 0.

        Raises:
            DataError: `more` is below 0.
        """
        if more < 0:
            raise DataError("`more` is out of range.", received=more, allowed="an integer of at least 0")
        now = self._accuracies(self.examples)
        noise = np.random.default_rng(0).normal(size=len(now))
        shared = self.examples / (self.examples + more)
        spread = np.sqrt(SET_VARIANCE * now * (1 - now) / self.examples * (1 - shared))
        return _forecast(self._accuracies(self.examples + more) - now, spread * noise)

    def as_json(self) -> dict[str, Any]:
        """It as plain data: the fields without the draws, and forecasts for once, twice and four times the examples there are."""
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
        return np.asarray(1 / (1 + floor + scale * float(count) ** -exponent), np.float64)


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
    """Measures the learning curve of a probe on features that are stored, and forecasts how it continues.

    The examples are split as in a stratified cross-validation of 1 / `test_share` folds. For each of `repeats` splits the probe
    is trained on nested, stratified parts of the training examples, and evaluated on the examples that are in none of them. The
    bands contain the noise of so few held-out examples and what the fit leaves open. The noise comes from a Bayesian bootstrap
    (Rubin 1981) of the held-out examples; its variance is corrected for training parts that overlap, with 1 / splits + n_test /
    n_train in place of 1 / splits (Nadeau and Bengio 2003, *Inference for the Generalization Error*).

    Forecasts hold for more examples like these; examples of other conditions, or of classes that do not occur yet, may change
    more. On 198 problems that no constant was chosen on (synthetic classes and scikit-learn's digits, 20 to 1000 examples), 92%
    of the bands for twice as many examples contained the accuracy that these brought, and 89% of the bands of the gain; forecasts
    were 2.7 points off and on average 0.8 points too high, with fewer than 60 examples 5 points off and 2 too high.

    A class with one example, or one unit, is in every training part and never held out, so its accuracy is in no figure. The
    probe is the logistic regression of `tfl.probes.linear`, its penalty chosen once, by cross-validation over all examples.

    Args:
        features: Array of shape `(n, width)`, finite.
        labels: Integer array of shape `(n,)`; any numbers, one for each class.
        sizes: Sequence of ints, the numbers of training examples, from the number of classes to the smallest training part.
            Defaults to None, which is four from about n / 8 on.
        repeats: Int, the number of splits, at least 2. Defaults to 8.
        test_share: Float, the share of the examples that a split holds out, above 0 and at most 0.5. Defaults to 1 / 8.
        balanced: Bool, whether the accuracy is the mean over classes, and every class has the same weight in the probe.
            Defaults to False.
        units: Integer array of shape `(n,)`; examples of one unit are held out together. Defaults to None: each is its own.
        seed: Int, decides the splits, the parts and the bootstrap. Defaults to 0.
        fit: Callable of features and labels (from 0, without gaps), which returns a callable of features that predicts labels.
            Defaults to None, which is the linear probe.

    Raises:
        DataError: The lengths differ, a feature is not finite, there are fewer than two classes, no class has two units, or an
            argument is out of range.

    Example:

    >>> import numpy as np
    >>> from tfl.advice.learning_curve import learning_curve
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(120) % 3
    >>> curve = learning_curve(rng.normal(size=(120, 8)) + np.eye(3, 8)[labels], labels)
    >>> curve.sizes
    (15, 29, 55, 105)
    >>> twice = curve.at(240)
    >>> twice.low < twice.mean < twice.high and curve.gain(120).mean > 0
    True
    """
    from tfl.probes.linear import class_weights

    features, labels, units = _checked(features, labels, units, repeats=repeats, test_share=test_share)
    rng = np.random.default_rng(seed)
    held = _held_out_folds(labels, units, max(2, round(1 / test_share)), repeats, rng)
    sizes = _sizes(labels, held, sizes)
    fit = fit or _linear_probe(features, labels, units, balanced=balanced, seed=seed)
    right, times = np.zeros((len(sizes), len(labels))), held.sum(axis=0)
    for out in held:
        order = _nested(labels, np.flatnonzero(~out), rng)
        for place, size in enumerate(sizes):
            part = order[:size]
            right[place, out] += np.asarray(fit(features[part], labels[part])(features[out])) == labels[out]
    tested = times > 0
    weights = class_weights(labels[tested]).astype(np.float64) if balanced else np.ones(int(tested.sum()))
    tests, trains = (float(side.sum(axis=1).mean()) for side in (held, ~held))
    inflation = (1 / repeats + tests / trains) * tested.sum() / tests
    means, errors = resampled_errors(right[:, tested] / times[tested], weights, units[tested], inflation, rng)
    edges = np.quantile(1 - errors, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return LearningCurve(
        sizes=sizes,
        means=tuple(float(mean) for mean in means),
        intervals=tuple((float(min(low, mean)), float(max(high, mean))) for low, high, mean in zip(*edges, means, strict=True)),
        examples=len(labels),
        classes=int(labels.max()) + 1,
        balanced=balanced,
        curves=power_laws(errors, np.asarray(sizes, np.float64), rng),
    )


def _checked(
    features: NDArray[np.floating],
    labels: NDArray[np.integer],
    units: NDArray[np.integer] | None,
    *,
    repeats: int,
    test_share: float,
) -> tuple[NDArray[np.floating], NDArray[np.int64], NDArray[np.int64]]:
    """Features, classes and units from 0 without gaps."""
    features, labels = np.asarray(features), np.asarray(labels)
    units = np.arange(len(labels)) if units is None else np.asarray(units)
    if features.ndim != 2 or labels.ndim != 1 or not len(features) == len(labels) == len(units):
        raise DataError(
            "Features, labels and units do not fit together.",
            received=f"shapes {features.shape}, {labels.shape} and {units.shape}",
            allowed="features of shape (n, width), labels and units of shape (n,)",
        )
    if not (finite := np.isfinite(features).all(axis=1)).all():
        raise DataError("Some features are not finite numbers.", received=f"{int((~finite).sum())} of {len(features)} examples")
    if repeats < 2:
        raise DataError("`repeats` is out of range.", received=repeats, allowed="an integer of at least 2")
    if not 0 < test_share <= 0.5:
        raise DataError("`test_share` is out of range.", received=test_share, allowed="above 0, at most 0.5")
    names, classes = np.unique(labels, return_inverse=True)
    if len(names) < 2:
        raise DataError(
            "There is nothing to tell apart.", received=f"{len(names)} class", allowed="labels of at least two classes"
        )
    return features, classes.astype(np.int64), np.unique(units, return_inverse=True)[1].astype(np.int64)


def _held_out_folds(
    labels: NDArray[np.int64], units: NDArray[np.int64], folds: int, repeats: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """`(repeats, n)`: what each split holds out. Units are dealt to folds class by class; one that is alone is never held out."""
    of_unit = labels[np.unique(units, return_index=True)[1]]
    several = np.bincount(of_unit)[of_unit] > 1
    if not several.any():
        raise DataError(
            "No class has two examples, so none can be held out.",
            received=f"{len(of_unit)} examples of {int(labels.max()) + 1} classes",
            fix="Label a second example of some class.",
        )
    folds = min(folds, int(several.sum()))
    found = np.zeros((repeats, len(labels)), bool)
    for split in range(repeats):
        if split % folds == 0:
            order = np.lexsort((rng.random(len(of_unit)), of_unit))
            order = order[several[order]]
            fold = np.full(len(of_unit), -1)
            fold[order] = rng.permutation(folds)[np.arange(len(order)) % folds]
        found[split] = (fold == split % folds)[units]
    return found


def _sizes(labels: NDArray[np.int64], held: NDArray[np.bool_], sizes: Sequence[int] | None) -> tuple[int, ...]:
    classes, largest = int(labels.max()) + 1, int((~held).sum(axis=1).min())
    if sizes is None:
        lowest = min(largest, max(classes, len(labels) // 8, min(2 * classes, largest // 2)))
        return tuple(int(size) for size in np.unique(np.round(np.geomspace(lowest, largest, _PARTS))))
    if not len(sizes) or min(sizes) < classes or max(sizes) > largest:
        raise DataError(
            "`sizes` is out of range.",
            received=list(sizes),
            allowed=f"integers from {classes}, the number of classes, to {largest}, the smallest training part",
        )
    return tuple(sorted({int(size) for size in sizes}))


def _nested(labels: NDArray[np.int64], rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """`rows` in an order of which every beginning is stratified; the first of each class stand in front."""
    rows = rng.permutation(rows)
    rows = rows[np.argsort(labels[rows], kind="stable")]
    counts = np.bincount(labels[rows])
    rank = np.concatenate([np.arange(count) for count in counts])
    place = (rank + rng.random(len(rows))) / counts[labels[rows]]
    return rows[np.argsort(np.where(rank == 0, place - 2, place))]


def _linear_probe(
    features: NDArray[np.floating], labels: NDArray[np.int64], units: NDArray[np.int64], *, balanced: bool, seed: int
) -> Fit:
    import warnings

    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    from tfl.probes.linear import fitted_probe

    strength = probe_strength(features, labels, units, balanced=balanced, seed=seed)

    def fit(rows: NDArray[np.floating], classes: NDArray[np.integer]) -> Predict:
        with threadpool_limits(1), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The number of unique classes")  # as is so in parts this small
            predict: Predict = fitted_probe(rows, classes, strength, balanced=balanced).predict
        return predict

    return fit


def probe_strength(
    features: NDArray[np.floating],
    labels: NDArray[np.integer],
    units: NDArray[np.integer],
    *,
    balanced: bool = False,
    seed: int = 0,
) -> float:
    """The C of a probe, by cross-validation over the classes that have two units or more; `FIRST` where fewer than two have.

    Args:
        features: Array of shape `(n, width)`.
        labels: Integer array of shape `(n,)`, classes from 0.
        units: Integer array of shape `(n,)`; examples of one unit are held out together.
        balanced: Bool, whether every class has the same total weight.
        seed: Int, decides the folds.

    Example:

    >>> import numpy as np
    >>> from tfl.advice.learning_curve import probe_strength
    >>> probe_strength(np.eye(2), np.array([0, 1]), np.arange(2))
    0.015625
    """
    from tfl.probes.folds import FOLDS, make_folds
    from tfl.probes.linear import FIRST, held_out

    of_unit = labels[np.unique(units, return_index=True)[1]]
    several = np.isin(labels, np.flatnonzero(np.bincount(of_unit) > 1))
    classes, groups = (np.unique(of[several], return_inverse=True)[1] for of in (labels, units))
    if len(classes) == 0 or classes.max() == 0:
        return FIRST
    folds = make_folds(classes, groups, most=FOLDS, seed=seed)
    return held_out(np.asarray(features)[several], classes, folds, balanced=balanced).strength


def _forecast(values: NDArray[np.float64], noise: NDArray[np.float64] | float = 0.0) -> Forecast:
    low, high = np.quantile(values + noise, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    mean = float(values.mean())
    return Forecast(mean=mean, low=min(float(low), mean), high=max(float(high), mean))

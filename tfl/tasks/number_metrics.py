"""How good predicted numbers are, each figure with a 95% interval. NumPy and SciPy only; TensorFlow is never imported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.errors import TflError
from tfl.tasks.intervals import RESAMPLES, Figures, bootstrap, percentile_interval

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

MEASURES = ("mae", "rmse", "r2", "median_absolute_error", "spearman")
"""What is measured of each number."""
_CELLS = 20_000_000  # entries of all resamples of one number: some seconds
_FEWEST_RESAMPLES = 100


def evaluate_numbers(
    values: NDArray[np.floating],
    targets: NDArray[np.floating],
    names: Sequence[str],
    *,
    deviation: ArrayLike | None = None,
    seed: int = 0,
    bootstraps: int = RESAMPLES,
) -> dict[str, Any]:
    """Compares predicted with true numbers; a target of NaN is missing and does not count.

    Intervals are percentile bootstraps over the examples whose number is known (Efron 1979).

    Args:
        values: `(n, width)`, in the numbers' units.
        targets: `(n, width)`.
        names: Name of each number.
        deviation: `(width,)`, standard deviations of the training targets; None takes those of `targets`. Where there are several
            numbers, their errors are divided by these before they are averaged.
        seed: Of the resampling.
        bootstraps: Number of resamples; 0 leaves intervals out (None). Beyond 20,000 examples there are fewer, at least 100.

    Returns:
        `count`; `unit` (`own` for one number, else `deviations`); `mae` (mean absolute error), `rmse` (root of the mean squared
        error), `r2` (share of the variance that is explained), `median_absolute_error`, `spearman` (rank correlation): of the one
        number with its `…_interval`, or the means over several without; `per_target`, by name the same with `count` (known
        targets), `mean_error` (predicted minus true), and the targets' `target_mean`, `target_deviation`. What cannot be
        computed, as a correlation with a constant, is None.

    Raises:
        TflError: The shapes do not fit, there is nothing to evaluate, or a value is not a number.

    Example:

    >>> import numpy as np
    >>> truth = np.array([[1.0], [2.0], [3.0], [4.0]])
    >>> found = evaluate_numbers(truth + [[0.5], [-0.5], [0.5], [-0.5]], truth, ["age"])
    >>> found["mae"], found["r2"], found["per_target"]["age"]["mean_error"]
    (0.5, 0.8, 0.0)
    """
    rows, truth = _checked(values, targets, names)
    each = {
        name: _one_number(rows[:, column], truth[:, column], seed=seed, bootstraps=bootstraps)
        for column, name in enumerate(map(str, names))
    }
    if len(names) == 1:
        (only,) = each.values()
        means = {key: only[key] for name in MEASURES for key in (name, f"{name}_interval")}
        return {"count": len(rows), "unit": "own", **means, "per_target": each}
    scale = np.nanstd(truth, axis=0) if deviation is None else np.asarray(deviation, np.float64)
    return {"count": len(rows), "unit": "deviations", **_means(each, scale), "per_target": each}


def number_figures(values: NDArray[np.floating], targets: NDArray[np.floating]) -> dict[str, NDArray[np.float64]]:
    """`mae`, `rmse` and `r2` of each number, `(width,)`; NaN where nothing is known.

    Example:

    >>> import numpy as np
    >>> number_figures(np.array([[1.0], [4.0]]), np.array([[2.0], [4.0]]))["mae"].tolist()
    [0.5]
    """
    errors, truth = np.asarray(values, np.float64) - targets, np.asarray(targets, np.float64)
    known = np.isfinite(truth)
    count = known.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(known, truth, 0).sum(axis=0) / count
        squares = np.where(known, errors**2, 0).sum(axis=0)
        spread = np.where(known, (truth - mean) ** 2, 0).sum(axis=0)
        return {
            "mae": np.where(known, np.abs(errors), 0).sum(axis=0) / count,
            "rmse": np.sqrt(squares / count),
            "r2": np.where(spread > 0, 1 - squares / spread, np.nan),
        }


def huber(errors: NDArray[np.float64], delta: float) -> NDArray[np.float64]:
    """Half the square up to `delta`, beyond it a line (Huber 1964)."""
    sizes = np.abs(errors)
    return np.where(sizes <= delta, 0.5 * sizes**2, delta * sizes - 0.5 * delta**2)


def mean_of_known(values: NDArray[np.float64], known: NDArray[np.bool_]) -> float:
    """The mean over examples of the mean over what is known of each; 0 where nothing is."""
    some = known.any(axis=1)
    return float((np.where(known, values, 0).sum(axis=1)[some] / known.sum(axis=1)[some]).mean()) if some.any() else 0.0


def _checked(
    values: NDArray[np.floating], targets: NDArray[np.floating], names: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows, truth = np.asarray(values, np.float64), np.asarray(targets, np.float64)
    if rows.ndim != 2 or rows.shape != truth.shape or rows.shape[1] != len(names):
        raise TflError(
            "Predictions and targets do not fit together.",
            received=f"values {rows.shape}, targets {truth.shape}, {len(names)} names",
            allowed="values and targets (n, width)",
        )
    unknown = [str(name) for name, column in zip(names, truth.T, strict=True) if not np.isfinite(column).any()]
    if unknown:
        raise TflError("There is nothing to compare predictions with.", received=f"no target of {', '.join(unknown)}")
    if not np.isfinite(rows).all():
        raise TflError(
            "Some predicted values are not numbers.",
            received=f"{int((~np.isfinite(rows)).any(axis=1).sum())} of {len(rows)} examples",
            fix="The network's weights are damaged or overflowed: train again with a lower learning rate or in float32.",
        )
    return rows, truth


def _one_number(values: NDArray[np.float64], targets: NDArray[np.float64], *, seed: int, bootstraps: int) -> dict[str, Any]:
    known = np.isfinite(targets)
    predicted, truth = values[known], targets[known]
    point = _figures(predicted[None], truth[None])
    fewer = min(bootstraps, max(_FEWEST_RESAMPLES, _CELLS // len(truth)))
    draws = bootstrap(lambda drawn: _figures(predicted[drawn], truth[drawn]), len(truth), seed=seed, bootstraps=fewer)
    found: dict[str, Any] = {"count": len(truth)}
    for name in MEASURES:
        value = float(point[name][0])
        found[name] = value if np.isfinite(value) else None
        found[f"{name}_interval"] = percentile_interval(draws[name]) if draws and np.isfinite(value) else None
    return {
        **found,
        "mean_error": float((predicted - truth).mean()),
        "target_mean": float(truth.mean()),
        "target_deviation": float(truth.std()),
    }


def _figures(predicted: NDArray[np.float64], truth: NDArray[np.float64]) -> Figures:
    """Each measure over the last axis of `(resamples, n)`; NaN where it is not defined."""
    from scipy.stats import rankdata

    errors = np.abs(predicted - truth)
    squares, spread = (errors**2).sum(axis=1), ((truth - truth.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "mae": errors.mean(axis=1),
            "rmse": np.sqrt(squares / errors.shape[1]),
            "r2": np.where(spread > 0, 1 - squares / spread, np.nan),
            "median_absolute_error": np.median(errors, axis=1),
            "spearman": _correlation(rankdata(predicted, axis=1), rankdata(truth, axis=1)),
        }


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    lengths = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.where(lengths > 0, (a * b).sum(axis=1) / lengths, np.nan)


def _means(each: dict[str, dict[str, Any]], scale: NDArray[np.float64]) -> dict[str, float | None]:
    """Of several numbers: errors in standard deviations, the others as they are."""
    means: dict[str, float | None] = {}
    for name in MEASURES:
        divided = name not in ("r2", "spearman")
        rows = [
            found[name] / (by if divided else 1.0)
            for found, by in zip(each.values(), scale, strict=True)
            if found[name] is not None and (by > 0 or not divided)
        ]
        means[name] = float(np.mean(rows)) if rows else None
    return means

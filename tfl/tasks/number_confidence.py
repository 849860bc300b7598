"""Intervals that hold the true number as often as was promised: split conformal prediction. NumPy and SciPy only.

    value ± width,    width = the ⌈(n + 1) · coverage⌉-th smallest |value - truth| of the n validation examples

(Vovk et al. 2005; Lei, G'Sell, Rinaldo, Tibshirani and Wasserman 2018, *Distribution-Free Predictive Inference for Regression*).
The promise holds on average over examples like those of validation, for each number by itself.

Where errors grow with the predicted value, one width is too wide for some and too narrow for others. The errors are then
divided by exp(growth · z), with z the prediction in standard deviations (locally weighted conformal inference, section 5.2 of
the same paper). Half of the validation examples decide whether that is so, and fit `growth`; the other half give the width,
since residuals that shaped the weights would promise too much.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.tasks.base import FittedConfidence
from tfl.tasks.conformal import examples_needed, rank_of
from tfl.tasks.intervals import clopper_pearson

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST_FOR_GROWTH = 100
"""Validation examples below which all intervals have one width."""
_SIGNIFICANT = 0.01


def fit_intervals(
    logits: NDArray[np.floating],
    targets: NDArray[np.floating],
    *,
    mean: NDArray[np.float64],
    deviation: NDArray[np.float64],
    coverage: float,
) -> FittedConfidence:
    """Fits the widths.

    Args:
        logits: `(n, width)`, predictions for the validation examples in standard deviations.
        targets: `(n, width)`, in the numbers' units; NaN where one is missing.
        mean, deviation: `(width,)`, of the training targets.
        coverage: How often an interval is to hold the truth, 0 to 1.

    Returns:
        `values` has `coverage`, and with an entry for each number `mean`, `deviation`, `half_width` (in units, at z = 0),
        `growth` (per deviation of the prediction; 0 for one width) and the smallest and largest z, `low` and `high`, beyond which
        widths stay. `figures` has the part `intervals`.

    Example:

    >>> import numpy as np
    >>> logits = np.linspace(-2, 2, 99)[:, None]
    >>> truth = logits + np.tile([0.1, -0.1, 0.2], 33)[:, None]
    >>> fitted = fit_intervals(logits, truth, mean=np.zeros(1), deviation=np.ones(1), coverage=0.9)
    >>> print(answer_intervals(fitted.values, np.array([[1.0]]))["upper"].round(2))
    [[1.2]]
    """
    rows = [
        _fit_one(np.asarray(logits)[:, column], _scaled(targets, mean, deviation)[:, column], coverage)
        for column in range(len(mean))
    ]
    values = {
        "coverage": coverage,
        "mean": np.asarray(mean).tolist(),
        "deviation": np.asarray(deviation).tolist(),
        "half_width": [row["half_width"] * unit for row, unit in zip(rows, np.asarray(deviation).tolist(), strict=True)],
        **{name: [row[name] for row in rows] for name in ("growth", "low", "high")},
    }
    figures = {"promised": coverage, "half_width": values["half_width"], "growth": values["growth"]}
    return FittedConfidence(values, {"intervals": {**figures, "note": next((row["note"] for row in rows if row["note"]), "")}})


def measure_intervals(
    values: Mapping[str, Any], logits: NDArray[np.floating], targets: NDArray[np.floating]
) -> dict[str, dict[str, Any]]:
    """How the intervals do on examples that decided nothing.

    Args:
        values: Of `fit_intervals`.
        logits: `(n, width)`.
        targets: `(n, width)`.

    Returns:
        `intervals`: over all numbers `count` (known targets), `covered`, `coverage` and, for one number, its exact 95%
        `coverage_interval`; `per_target`, a list with the same of each number and the `mean_width` of its intervals, in its unit.
    """
    answer = answer_intervals(values, logits)
    rows: list[dict[str, Any]] = []
    for column in range(targets.shape[1]):
        known = np.isfinite(targets[:, column])
        truth, lower, upper = (table[known, column] for table in (targets, answer["lower"], answer["upper"]))
        covered = int(((truth >= lower) & (truth <= upper)).sum())
        rows.append(
            {
                "count": len(truth),
                "covered": covered,
                "coverage": covered / len(truth) if len(truth) else None,
                "coverage_interval": clopper_pearson(covered, len(truth)) if len(truth) else None,
                "mean_width": float((upper - lower).mean()) if len(truth) else None,
            }
        )
    count, covered = (sum(int(row[name] or 0) for row in rows) for name in ("count", "covered"))
    overall = {"count": count, "covered": covered, "coverage": covered / count if count else None}
    interval = rows[0]["coverage_interval"] if len(rows) == 1 else None
    return {"intervals": {**overall, "coverage_interval": interval, "per_target": rows}}


def answer_intervals(values: Mapping[str, Any], logits: NDArray[np.floating]) -> dict[str, NDArray[Any]]:
    """`lower` and `upper`, `(n, width)` float32, in the numbers' units."""
    parts = _arrays(values)
    z = np.asarray(logits, np.float32)
    middle = z * parts["deviation"] + parts["mean"]
    widths = parts["half_width"] * np.exp(parts["growth"] * np.clip(z, parts["low"], parts["high"]))
    return {"lower": (middle - widths).astype(np.float32), "upper": (middle + widths).astype(np.float32)}


def interval_tensors(values: Mapping[str, Any], logits: Any) -> dict[str, Any]:
    """The same from symbolic logits, by stock Keras operations."""
    import keras

    parts = _arrays(values)
    middle = logits * parts["deviation"] + parts["mean"]
    widths = parts["half_width"]
    if parts["growth"].any():
        inside = keras.ops.minimum(keras.ops.maximum(logits, parts["low"]), parts["high"])
        widths = keras.ops.exp(inside * parts["growth"]) * parts["half_width"]
    return {"lower": keras.ops.subtract(middle, widths), "upper": keras.ops.add(middle, widths)}


def _arrays(values: Mapping[str, Any]) -> dict[str, NDArray[np.float32]]:
    return {name: np.asarray(value, np.float32) for name, value in values.items()}


def _scaled(targets: NDArray[np.floating], mean: NDArray[np.float64], deviation: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((np.asarray(targets, np.float64) - mean) / deviation)


def _fit_one(logits: NDArray[np.floating], targets: NDArray[np.float64], coverage: float) -> dict[str, Any]:
    """Half width, growth and note of one number, in standard deviations."""
    known = np.isfinite(targets)
    z, errors = np.asarray(logits, np.float64)[known], np.abs(logits - targets)[known]
    low, high = (float(z.min()), float(z.max())) if len(z) else (0.0, 0.0)
    growth = _growth(z[::2], errors[::2]) if len(z) >= FEWEST_FOR_GROWTH else 0.0
    scores = np.sort((errors / np.exp(growth * z))[1::2] if growth else errors)
    rank = rank_of(len(scores), coverage)
    note = ""
    if rank > len(scores):
        note = (
            f"{len(scores)} validation examples are too few to promise a coverage of {coverage:.3g}, which takes "
            f"{examples_needed(coverage)}: the intervals are as wide as the largest error, which promises "
            f"{len(scores) / (len(scores) + 1):.3g}."
        )
    half_width = float(scores[min(rank, len(scores)) - 1]) if len(scores) else 0.0
    return {"half_width": half_width, "growth": growth, "low": low, "high": high, "note": note}


def _growth(z: NDArray[np.float64], errors: NDArray[np.float64]) -> float:
    """The slope of log |error| over the prediction, 0 where it could be chance."""
    from scipy.stats import linregress

    smallest = 1e-3 * float(errors.mean())
    if smallest <= 0 or np.ptp(z) == 0:
        return 0.0
    found = linregress(z, np.log(np.maximum(errors, smallest)))
    return float(found.slope) if found.pvalue < _SIGNIFICANT else 0.0

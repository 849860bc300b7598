"""Calibrated probabilities and a threshold for each label, fitted on the validation split. NumPy and SciPy only.

Calibration: p = sigmoid(slope · logit + intercept) for each label (Platt 1999, *Probabilistic Outputs for Support Vector
Machines*), by maximum a posteriori with log(slope) and intercept each drawn from a standard normal distribution. The prior
keeps a label with few examples near its own probabilities, and the slope finite where the network separates a label
perfectly.

Threshold: the calibrated probability at which F1 on the validation split is highest (SCut of Yang 2001, *A Study of Thresholding
Strategies for Text Categorization*; Lipton, Elkan and Naryanaswamy 2014 on what it means for F1).

Both need examples: a label with fewer than `SUPPORT` examples with it, or without it, takes the calibration and the threshold
that suit all labels together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.tasks.base import FittedConfidence
from tfl.tasks.calibration import calibration_error, reliability
from tfl.tasks.label_metrics import evaluate_labels, probability_loss

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUPPORT = 10
"""Fewest validation examples with a label, and without it, for a calibration and a threshold of its own: thresholds chosen by F1
on fewer positives follow single examples (Fan and Lin 2007, *A Study on Threshold Selection for Multi-label Classification*)."""
_LOG_SLOPES = (-6.0, 6.0)
_CALIBRATION = ("loss", "calibration_error", "reliability")


def fit_labels(logits: NDArray[np.floating], targets: NDArray[np.floating]) -> FittedConfidence:
    """Fits calibration and thresholds.

    Args:
        logits: `(n, labels)`, of the validation examples.
        targets: `(n, labels)`, ones, zeros and NaN.

    Returns:
        `values` has `slope`, `intercept` and `thresholds`, a number for each label. `figures` has the parts `calibration` and
        `thresholds`, each with the number of labels that were fitted on their `own` examples.

    Example:

    >>> import numpy as np
    >>> logits = np.linspace(-4, 4, 80)[:, None]
    >>> fitted = fit_labels(logits, (logits > 1).astype(float))
    >>> answer_labels(fitted.values, np.array([[0.9], [1.1]]))["is_label"].tolist()
    [[False], [True]]
    """
    rows, truth = np.asarray(logits, np.float64), np.asarray(targets, np.float64)
    known = np.isfinite(truth)
    own = [column for column in range(rows.shape[1]) if _supported(truth[:, column])]
    pooled = fit_platt(rows[known], truth[known]) if _supported(truth[known]) else (1.0, 0.0)
    lines = np.array([pooled] * rows.shape[1], np.float64)
    for column in own:
        inside = known[:, column]
        lines[column] = fit_platt(rows[inside, column], truth[inside, column])
    values: dict[str, Any] = {"slope": lines[:, 0].tolist(), "intercept": lines[:, 1].tolist()}
    probabilities = calibrated_labels(values, rows).astype(np.float64)
    shared = best_threshold(probabilities[known], truth[known]) if _supported(truth[known]) else 0.5
    thresholds = [
        best_threshold(probabilities[known[:, column], column], truth[known[:, column], column]) if column in own else shared
        for column in range(rows.shape[1])
    ]
    others = rows.shape[1] - len(own)
    note = (
        f"{others} of {rows.shape[1]} labels have fewer than {SUPPORT} validation examples with or without them: they share what "
        "suits all labels together."
        if others
        else ""
    )
    return FittedConfidence(
        {**values, "thresholds": thresholds},
        {
            "calibration": {"method": "platt", "own": len(own), "note": note},
            "thresholds": {"chosen_by": "f1", "own": len(own), "shared": shared, "values": thresholds, "note": note},
        },
    )


def measure_labels(
    values: Mapping[str, Any], logits: NDArray[np.floating], targets: NDArray[np.floating]
) -> dict[str, dict[str, Any]]:
    """Calibration before and after, and how the chosen thresholds do, on these examples.

    Args:
        values: Of `fit_labels`.
        logits: `(n, labels)`.
        targets: `(n, labels)`.

    Returns:
        `calibration`: `count`, and before and after `log_loss`, `calibration_error` (mean over labels), `per_label` and
        `reliability` of all labels together. `thresholds`: the figures of `tfl.tasks.label_metrics.evaluate_labels` at the chosen
        thresholds.
    """
    answer = answer_labels(values, logits)
    pair = (_sigmoid(logits), answer["calibrated_probabilities"].astype(np.float64))
    known, truth = np.isfinite(targets), np.asarray(targets) > 0.5
    errors = [
        [calibration_error(rows[inside, column], truth[inside, column]) if inside.any() else 0.0 for rows in pair]
        for column, inside in enumerate(known.T)
    ]
    numbered = [str(column) for column in range(known.shape[1])]
    at_chosen = evaluate_labels(pair[1], targets, numbered, thresholds=np.asarray(values["thresholds"], np.float32))
    return {
        "calibration": {
            "count": len(truth),
            "log_loss": [probability_loss(rows, targets) for rows in pair],
            "calibration_error": np.mean(errors, axis=0).tolist(),
            "per_label": errors,
            "reliability": [reliability(rows[known], truth[known]) for rows in pair],
        },
        "thresholds": {
            **{name: figure for name, figure in at_chosen.items() if name not in _CALIBRATION},
            "per_label": list(at_chosen["per_label"].values()),
        },
    }


def answer_labels(values: Mapping[str, Any], logits: NDArray[np.floating]) -> dict[str, NDArray[Any]]:
    """`calibrated_probabilities`, `(n, labels)` float32, and `is_label`, bool: those at or above their threshold."""
    probabilities = calibrated_labels(values, logits)
    return {
        "calibrated_probabilities": probabilities,
        "is_label": probabilities >= np.asarray(values["thresholds"], np.float32),
    }


def calibrated_labels(values: Mapping[str, Any], logits: NDArray[np.floating]) -> NDArray[np.float32]:
    """sigmoid(slope · logit + intercept), `(n, labels)`.

    Example:

    >>> import numpy as np
    >>> print(calibrated_labels({"slope": [0.5], "intercept": [0.0]}, np.array([[2.0]])).round(2))
    [[0.73]]
    """
    rows = np.asarray(logits, np.float32)
    lines = np.asarray(values["slope"], np.float32), np.asarray(values["intercept"], np.float32)
    return _sigmoid(rows * lines[0] + lines[1]).astype(np.float32)


def fit_platt(logits: NDArray[np.floating], truth: NDArray[np.floating]) -> tuple[float, float]:
    """Slope and intercept of the most probable sigmoid under the prior; the slope is positive, so the order stays.

    Example:

    >>> import numpy as np
    >>> slope, intercept = fit_platt(np.array([-9.0, -9.0, 9.0, 9.0] * 99), np.array([0, 0, 0, 1] * 99))
    >>> print(calibrated_labels({"slope": [slope], "intercept": [intercept]}, np.array([[-9.0], [9.0]])).round(1))
    [[0. ]
     [0.5]]
    """
    from scipy.optimize import minimize

    rows, positive = np.asarray(logits, np.float64), np.asarray(truth) > 0.5

    def loss(line: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        slope = np.exp(line[0])
        scores = slope * rows + line[1]
        gap = _sigmoid(scores) - positive
        value = np.maximum(scores, 0) - scores * positive + np.log1p(np.exp(-np.abs(scores)))
        return float(value.sum() + 0.5 * line @ line), np.array([slope * (gap @ rows), gap.sum()]) + line

    found = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[_LOG_SLOPES, (None, None)])
    return float(np.exp(found.x[0])), float(found.x[1])


def best_threshold(probabilities: NDArray[np.floating], truth: NDArray[np.floating]) -> float:
    """The probability from which on to predict a label for the highest F1: half-way to the next lower one.

    Args:
        probabilities: `(n,)`.
        truth: `(n,)`, ones and zeros, with at least one of them a one.

    Example:

    >>> import numpy as np
    >>> best_threshold(np.array([0.1, 0.2, 0.4, 0.3]), np.array([0, 0, 1, 1]))
    0.25
    """
    rows = np.asarray(probabilities, np.float64)
    order = np.argsort(-rows, kind="stable")
    ordered, hits = rows[order], np.cumsum(np.asarray(truth)[order] > 0.5)
    ends = np.flatnonzero(np.diff(ordered, append=-np.inf))
    f1 = 2 * hits[ends] / (ends + 1 + hits[-1])
    best = int(f1.argmax())
    below = ordered[ends[best + 1]] if best + 1 < len(ends) else 0.0
    return float((ordered[ends[best]] + below) / 2)


def _supported(truth: NDArray[np.floating]) -> bool:
    return bool((truth > 0.5).sum() >= SUPPORT and (truth <= 0.5).sum() >= SUPPORT)


def _sigmoid(logits: NDArray[np.floating]) -> NDArray[Any]:
    from scipy.special import expit

    return np.asarray(expit(logits))

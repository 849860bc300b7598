"""Calibrated probabilities and prediction sets of classes, fitted on the validation split. NumPy and SciPy only.

    logits ─▶ / temperature ─▶ calibrated probabilities ─▶ set(x) = {c : p(c | x) >= t} with the most probable class

with t the ⌊(n + 1)(1 - coverage)⌋-th smallest p(true class) over the n validation examples: split conformal prediction by the
least ambiguous sets of Sadinle, Lei and Wasserman 2019 (LAC), with the finite-sample rank of Vovk et al. 2005. Of the usual
scores this gives the smallest sets on average, and it is one comparison, which every runtime has; adaptive sets (APS, Romano
et al. 2020) sort the classes and are larger. The promise holds on average over examples like those of validation, not for
every class by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.tasks.base import FittedConfidence
from tfl.tasks.calibration import calibrated, calibration_error, fit_temperature, log_loss, reliability
from tfl.tasks.conformal import examples_needed, rank_of
from tfl.tasks.intervals import clopper_pearson

if TYPE_CHECKING:
    from numpy.typing import NDArray


def fit_classes(logits: NDArray[np.floating], labels: NDArray[np.integer], *, coverage: float) -> FittedConfidence:
    """Fits the temperature, and on what it makes of the probabilities the threshold of the sets.

    Args:
        logits: `(n, classes)`, of examples that the network did not learn from.
        labels: `(n,)`, their classes.
        coverage: How often the set is to hold the right class, 0 to 1.

    Returns:
        `values` has `temperature`, `coverage` and `set_threshold`; `figures` has the parts `temperature` and `sets`.

    Example:

    >>> import numpy as np
    >>> fitted = fit_classes(4 * np.eye(2).repeat(20, axis=0), np.arange(2).repeat(20), coverage=0.9)
    >>> answer_classes(fitted.values, np.array([[4.0, 0.0]]))["prediction_set"].tolist()
    [[True, False]]
    """
    temperature, temperature_note = fit_temperature(logits, labels)
    threshold, set_note = set_threshold(calibrated(logits, temperature), labels, coverage=coverage)
    return FittedConfidence(
        {"temperature": temperature, "coverage": coverage, "set_threshold": threshold},
        {
            "temperature": {"value": temperature, "note": temperature_note},
            "sets": {"promised": coverage, "threshold": threshold, "note": set_note},
        },
    )


def measure_classes(
    values: Mapping[str, Any], logits: NDArray[np.floating], labels: NDArray[np.integer]
) -> dict[str, dict[str, Any]]:
    """Calibration before and after, and how often the sets hold the right class, on these examples.

    Args:
        values: Of `fit_classes`.
        logits: `(n, classes)`.
        labels: `(n,)`.
    """
    answer = answer_classes(values, logits)
    before, after = calibrated(logits, 1.0), answer["calibrated_probabilities"]
    return {
        "temperature": {
            "count": len(labels),
            "log_loss": [log_loss(rows, labels) for rows in (before, after)],
            "calibration_error": [calibration_error(rows.max(axis=1), rows.argmax(axis=1) == labels) for rows in (before, after)],
            "reliability": [reliability(rows.max(axis=1), rows.argmax(axis=1) == labels) for rows in (before, after)],
        },
        "sets": measure_sets(answer["prediction_set"], labels),
    }


def answer_classes(values: Mapping[str, Any], logits: NDArray[np.floating]) -> dict[str, NDArray[Any]]:
    """`calibrated_probabilities` float32 and `prediction_set` bool, `(n, classes)`."""
    probabilities = calibrated(logits, values["temperature"])
    return {
        "calibrated_probabilities": probabilities,
        "prediction_set": prediction_sets(probabilities, values["set_threshold"]),
    }


def set_threshold(probabilities: NDArray[np.floating], labels: NDArray[np.integer], *, coverage: float) -> tuple[float, str]:
    """The probability from which on a class belongs to the set.

    Args:
        probabilities: `(n, classes)`, of examples that the network did not learn from.
        labels: `(n,)`, their classes.
        coverage: How often the set is to hold the right class, 0 to 1.

    Returns:
        The threshold, 0 where there are too few examples to promise anything but all classes; and what must then be said,
        else an empty string.

    Example:

    >>> import numpy as np
    >>> probabilities = np.stack([np.linspace(0.01, 0.99, 99), np.linspace(0.99, 0.01, 99)], axis=1)
    >>> round(set_threshold(probabilities, np.zeros(99, int), coverage=0.9)[0], 2)
    0.1
    """
    of_truth = np.sort(np.asarray(probabilities)[np.arange(len(labels)), labels])
    rank = rank_of(len(of_truth), coverage)
    if rank <= len(of_truth):
        return float(of_truth[len(of_truth) - rank]), ""
    return 0.0, (
        f"{len(of_truth)} validation examples are too few to promise a coverage of {coverage:.3g}, which takes "
        f"{examples_needed(coverage)}: the set holds every class."
    )


def prediction_sets(probabilities: NDArray[np.floating], threshold: float) -> NDArray[np.bool_]:
    """`(n, classes)`, whether a class belongs to the example's set; the most probable one always does.

    Example:

    >>> import numpy as np
    >>> prediction_sets(np.array([[0.6, 0.3, 0.1], [0.4, 0.3, 0.3]]), 0.5).tolist()
    [[True, False, False], [True, False, False]]
    """
    rows = np.asarray(probabilities, np.float32)
    return rows >= np.minimum(np.float32(threshold), rows.max(axis=1, keepdims=True))


def measure_sets(sets: NDArray[np.bool_], labels: NDArray[np.integer]) -> dict[str, Any]:
    """How the sets did on examples that decided nothing.

    Args:
        sets: `(n, classes)`.
        labels: `(n,)`.

    Returns:
        `count`, `covered` (how many sets hold the right class), `coverage` with its exact 95% `coverage_interval`,
        `mean_size`, and `single`, the share of the sets with one class.
    """
    covered = int(np.asarray(sets)[np.arange(len(labels)), labels].sum())
    sizes = np.asarray(sets).sum(axis=1)
    return {
        "count": len(labels),
        "covered": covered,
        "coverage": covered / len(labels),
        "coverage_interval": clopper_pearson(covered, len(labels)),
        "mean_size": float(sizes.mean()),
        "single": float((sizes == 1).mean()),
    }

"""Calibration: does a probability of 0.8 come true in eight cases of ten?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 15
"""Equally wide bins of confidence, as in Guo et al. 2017, *On Calibration of Modern Neural Networks*."""
SHARPEST, SOFTEST = 0.05, 20.0
"""Temperatures are looked for between these."""
_SMALLEST_PROBABILITY = 1e-7


def confidence_bins(confidences: NDArray[np.floating], *, bins: int = BINS) -> NDArray[np.intp]:
    """The bin, 0 to `bins` - 1, of each confidence; a bin holds its upper edge, as in Guo et al.

    Example:

    >>> import numpy as np
    >>> confidence_bins(np.array([0.0, 0.5, 0.51, 1.0]), bins=2)
    array([0, 0, 1, 1])
    """
    edges = np.linspace(0.0, 1.0, bins + 1)[1:-1]
    return np.searchsorted(edges, np.asarray(confidences, np.float64), side="left")


def reliability(
    confidences: NDArray[np.floating], correct: NDArray[np.bool_], *, bins: int = BINS
) -> list[dict[str, float | int | None]]:
    """What was promised and what came true, bin by bin.

    Args:
        confidences: `(n,)`, the probability of the predicted class.
        correct: `(n,)`, whether the prediction was right.
        bins: How many equally wide bins.

    Returns:
        One dictionary a bin: `low`, `high`, `count`, and the mean `confidence` and `accuracy`, None in an empty bin.
    """
    inside = confidence_bins(confidences, bins=bins)
    rows: list[dict[str, float | int | None]] = []
    for index in range(bins):
        chosen = inside == index
        count = int(chosen.sum())
        rows.append(
            {
                "low": index / bins,
                "high": (index + 1) / bins,
                "count": count,
                "confidence": float(np.mean(confidences[chosen])) if count else None,
                "accuracy": float(np.mean(correct[chosen])) if count else None,
            }
        )
    return rows


def calibration_error(confidences: NDArray[np.floating], correct: NDArray[np.bool_], *, bins: int = BINS) -> float:
    """The expected calibration error: Σ over bins of (count / n) · |accuracy - confidence|.

    Example:

    >>> import numpy as np
    >>> round(calibration_error(np.array([0.9, 0.9]), np.array([True, False])), 3)
    0.4
    """
    gaps = np.asarray(correct, np.float64) - np.asarray(confidences, np.float64)
    sums = np.bincount(confidence_bins(confidences, bins=bins), weights=gaps, minlength=bins)
    return float(np.abs(sums).sum() / len(gaps))


def calibrated(logits: NDArray[np.floating], temperature: float) -> NDArray[np.float32]:
    """softmax(logits / temperature), `(n, classes)`: the order of the classes stays, how sure the network is changes.

    Example:

    >>> import numpy as np
    >>> print(calibrated(np.array([[2.0, 0.0]]), 2.0).round(2))
    [[0.73 0.27]]
    """
    return np.exp(_log_softmax(logits, temperature)).astype(np.float32)


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> tuple[float, str]:
    """The temperature by which the probabilities have the least log loss: temperature scaling (Guo et al. 2017).

    Where every example is right the log loss has no minimum: it falls for ever as the temperature does. The temperature is then
    the lowest one, at most 1, at which the network says on average no more than (n + 1) / (n + 2), which is what n right answers
    of n are worth (Laplace's rule of succession). Between `SHARPEST` and `SOFTEST` in any case.

    Args:
        logits: `(n, classes)`, of examples that the network did not learn from.
        labels: `(n,)`, their classes.

    Returns:
        The temperature; and what must be said of it where it is not the minimum of the log loss, else an empty string.

    Example:

    >>> import numpy as np
    >>> temperature, note = fit_temperature(np.array([[8.0, 0.0]] * 10), np.array([0] * 9 + [1]))
    >>> print(calibrated(np.array([[8.0, 0.0]]), temperature).round(2))
    [[0.9 0.1]]
    """
    from scipy.optimize import minimize_scalar

    rows, truth = np.asarray(logits, np.float64), np.asarray(labels)
    if (rows.argmax(axis=1) == truth).all():
        return _temperature_where_all_is_right(rows)

    def loss(log_temperature: float) -> float:
        return float(-_log_softmax(rows, np.exp(log_temperature))[np.arange(len(truth)), truth].mean())

    edges = float(np.log(SHARPEST)), float(np.log(SOFTEST))
    found = float(minimize_scalar(loss, bounds=edges, method="bounded", options={"xatol": 1e-6}).x)
    nearest = min(edges, key=lambda edge: abs(edge - found))
    if abs(nearest - found) > 1e-3:
        return float(np.exp(found)), ""
    return float(np.exp(nearest)), f"The log loss still falls at a temperature of {np.exp(nearest):g}, where the search ends."


def _temperature_where_all_is_right(logits: NDArray[np.float64]) -> tuple[float, str]:
    from scipy.optimize import brentq

    limit = (len(logits) + 1) / (len(logits) + 2)

    def above(log_temperature: float) -> float:
        return float(np.exp(_log_softmax(logits, np.exp(log_temperature))).max(axis=1).mean()) - limit

    low = float(np.log(SHARPEST))
    if above(0.0) >= 0 or above(low) <= 0:
        value = 1.0 if above(0.0) >= 0 else SHARPEST
    else:
        value = float(np.exp(brentq(above, low, 0.0, xtol=1e-6)))
    return value, (
        f"All {len(logits)} validation examples are right, so the log loss has no minimum: the temperature is bounded at "
        f"{value:.3g}, so that the network is not made surer than {limit:.4g} on average."
    )


def log_loss(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The mean of -log p(true class), in nats; probabilities below 1e-7 count as that, as in training."""
    of_truth = np.asarray(probabilities, np.float64)[np.arange(len(labels)), labels]
    return float(-np.log(np.clip(of_truth, _SMALLEST_PROBABILITY, 1.0)).mean())


def _log_softmax(logits: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    rows = np.asarray(logits, np.float64) / temperature
    shifted = rows - rows.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))

"""Calibration: does a probability of 0.8 come true in eight cases of ten?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS = 15
"""Equally wide bins of confidence, as in Guo et al. 2017, *On Calibration of Modern Neural Networks*."""


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

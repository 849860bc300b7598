"""How good predictions are, each figure with a 95% interval. NumPy and SciPy only; TensorFlow is never imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from tfl.errors import TflError
from tfl.tasks.calibration import BINS, calibration_error, confidence_bins, reliability
from tfl.tasks.intervals import bootstrap, percentile_interval, resample_counts, share_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NO_DRAWS = np.zeros(0)
_SMALLEST_PROBABILITY = 1e-7  # as keras.config.epsilon(): the loss here is the loss that training reports


def evaluate_classes(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    class_names: Sequence[str],
    *,
    seed: int = 0,
    bootstraps: int = 1000,
) -> dict[str, Any]:
    """Compares predicted probabilities with the true classes.

    Intervals are percentile bootstraps over examples (Efron 1979). Two exceptions: a share that is exactly 0 or 1 cannot vary
    in a resample, and the bootstrap would claim certainty, so it gets Wilson's score interval (Wilson 1927); and the
    calibration error, which any resample overstates, gets the basic (reversed) bootstrap.

    Args:
        probabilities: `(n, classes)` float, rows that sum to one.
        labels: `(n,)` integer, indices into `class_names`.
        class_names: The name of each column.
        seed: Of the resampling: the same input gives the same intervals.
        bootstraps: How many resamples; 0 leaves intervals out (None).

    Returns:
        `accuracy`, `macro_f1`, `loss` (log loss, nats), `calibration_error` (expected, 15 bins), each with an `…_interval`
        `[low, high]`; `count`; `per_class` (by name: `precision`, `recall`, `f1`, `count`, `predicted`, and the intervals of
        precision and recall); `confusion` (rows the truth, columns the prediction); `reliability` (see
        `tfl.tasks.calibration.reliability`). A class that is never predicted has precision 0 and no interval of it;
        a class that is neither present nor predicted does not count in the macro-F1.

    Raises:
        TflError: The shapes do not fit, there is nothing to evaluate, or a probability is not a number.

    Example:

    >>> import numpy as np
    >>> result = evaluate_classes(np.array([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]]), np.array([0, 1, 1]), ["cat", "dog"])
    >>> round(result["accuracy"], 3), result["confusion"], result["per_class"]["dog"]["recall"]
    (0.667, [[1, 0], [1, 1]], 0.5)
    """
    probabilities, labels = _checked(probabilities, labels, class_names)
    cases = _Cases.of(probabilities, labels)
    point = cases.figures(np.ones((1, cases.count)))
    draws = bootstrap(lambda drawn: cases.figures(resample_counts(drawn)), cases.count, seed=seed, bootstraps=bootstraps)
    classes = len(class_names)
    confusion = np.zeros((classes, classes), np.int64)
    np.add.at(confusion, (labels, cases.predicted), 1)
    document: dict[str, Any] = {"count": cases.count}
    for name in ("accuracy", "macro_f1", "loss", "calibration_error"):
        document[name] = float(point[name][0])
    confidences = probabilities.max(axis=1)
    document["calibration_error"] = calibration_error(confidences, cases.correct)
    document["accuracy_interval"] = share_interval(draws.get("accuracy", _NO_DRAWS), int(cases.correct.sum()), cases.count)
    for name in ("macro_f1", "loss"):
        document[f"{name}_interval"] = percentile_interval(draws[name]) if draws else None
    document["calibration_error_interval"] = _reversed(draws, document["calibration_error"])
    document["per_class"] = {
        name: _class_figures(point, draws, confusion, column) for column, name in enumerate(map(str, class_names))
    }
    document["confusion"] = confusion.tolist()
    document["reliability"] = reliability(confidences, cases.correct)
    return document


def macro_f1(predicted: NDArray[np.integer], labels: NDArray[np.integer]) -> float:
    """The mean F1 over the classes that are present or predicted; as `sklearn.metrics.f1_score(average="macro")`.

    Example:

    >>> import numpy as np
    >>> macro_f1(np.array([0, 0, 1]), np.array([0, 0, 1]))
    1.0
    """
    classes = int(max(predicted.max(), labels.max())) + 1
    hits = np.bincount(labels[predicted == labels], minlength=classes)
    sums = np.bincount(labels, minlength=classes) + np.bincount(predicted, minlength=classes)
    return float((2 * hits[sums > 0] / sums[sums > 0]).mean())


@dataclass(frozen=True)
class _Cases:
    """The examples as a sparse matrix whose column sums, weighted by a resample, are everything the figures need."""

    count: int
    classes: int
    predicted: NDArray[np.intp]
    correct: NDArray[np.bool_]
    table: sparse.csr_matrix

    @classmethod
    def of(cls, probabilities: NDArray[np.floating], labels: NDArray[np.intp]) -> _Cases:
        count, classes = probabilities.shape
        predicted = probabilities.argmax(axis=1)
        correct = predicted == labels
        confidences = probabilities.max(axis=1)
        losses = -np.log(np.clip(probabilities[np.arange(count), labels], _SMALLEST_PROBABILITY, 1.0))
        columns = [labels, classes + predicted, 2 * classes + labels, np.full(count, 3 * classes)]
        values = [correct.astype(float), np.ones(count), np.ones(count), losses]
        columns.append(3 * classes + 1 + confidence_bins(confidences))
        values.append(correct - confidences)
        rows = np.tile(np.arange(count), len(columns))
        shape = (count, 3 * classes + 1 + BINS)
        table = sparse.csr_matrix((np.concatenate(values), (rows, np.concatenate(columns))), shape=shape)
        return cls(count, classes, predicted, correct, table)

    def figures(self, weights: NDArray[np.floating]) -> dict[str, NDArray[np.float64]]:
        """The figures under each row of `weights` `(resamples, count)`: how often each example was drawn."""
        sums = np.asarray((self.table.T @ weights.T).T)
        hits, predicted, present = (sums[:, part * self.classes : (part + 1) * self.classes] for part in range(3))
        with np.errstate(invalid="ignore", divide="ignore"):
            f1 = 2 * hits / (predicted + present)
            precision, recall = hits / predicted, hits / present
        return {
            "accuracy": hits.sum(axis=1) / self.count,
            "macro_f1": np.nanmean(f1, axis=1),
            "loss": sums[:, 3 * self.classes] / self.count,
            "calibration_error": np.abs(sums[:, 3 * self.classes + 1 :]).sum(axis=1) / self.count,
            "precision": precision,
            "recall": recall,
            "f1": f1,
        }


def _checked(
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], class_names: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    rows, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
    if rows.ndim != 2 or rows.shape != (len(labels), len(class_names)):
        raise TflError(
            "Predictions and labels do not fit together.",
            received=f"probabilities {rows.shape}, {len(labels)} labels, {len(class_names)} classes",
            allowed="probabilities (n, classes) and n labels",
        )
    if not len(labels):
        raise TflError("There are no predictions to evaluate.")
    if not np.isfinite(rows).all():
        raise TflError(
            "Some predicted probabilities are not numbers.",
            received=f"{int((~np.isfinite(rows)).any(axis=1).sum())} of {len(labels)} examples",
            fix="The network's weights are damaged or overflowed: train again with a lower learning rate or in float32.",
        )
    if labels.min() < 0 or labels.max() >= len(class_names):
        raise TflError("A label is no class.", received=int(labels.max()), allowed=f"0 to {len(class_names) - 1}")
    return rows, labels.astype(np.intp)


def _reversed(draws: dict[str, NDArray[np.float64]], point: float) -> list[float] | None:
    edges = percentile_interval(draws["calibration_error"]) if draws else None
    return [max(0.0, 2 * point - edges[1]), max(0.0, 2 * point - edges[0])] if edges else None


def _class_figures(
    point: dict[str, NDArray[np.float64]],
    draws: dict[str, NDArray[np.float64]],
    confusion: NDArray[np.int64],
    column: int,
) -> dict[str, Any]:
    hits, present, predicted = (int(n) for n in (confusion[column, column], confusion[column].sum(), confusion[:, column].sum()))
    figures = {name: float(np.nan_to_num(point[name][0, column])) for name in ("precision", "recall", "f1")}
    return {
        **figures,
        "count": present,
        "predicted": predicted,
        "precision_interval": share_interval(draws["precision"][:, column], hits, predicted) if draws else None,
        "recall_interval": share_interval(draws["recall"][:, column], hits, present) if draws else None,
    }

"""How good predicted labels are, each figure with a 95% interval. NumPy and SciPy only; TensorFlow is never imported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.errors import TflError
from tfl.tasks.calibration import calibration_error, reliability
from tfl.tasks.intervals import RESAMPLES, Figures, bootstrap, percentile_interval, resample_counts, share_interval

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

OVERALL = ("accuracy", "macro_f1", "micro_f1", "mean_average_precision", "subset_accuracy", "hamming_loss", "coverage_error")
"""Figures of all labels together that have an interval."""
_SMALLEST_PROBABILITY = 1e-7
_SORTED_CELLS = 400_000_000  # entries of the resamples that average precision goes through: some seconds
_FEWEST_RESAMPLES = 100


def evaluate_labels(
    probabilities: NDArray[np.floating],
    targets: NDArray[np.floating],
    names: Sequence[str],
    *,
    thresholds: ArrayLike = 0.5,
    seed: int = 0,
    bootstraps: int = RESAMPLES,
) -> dict[str, Any]:
    """Compares predicted probabilities with the true labels; a target of NaN is not known and does not count.

    Intervals are percentile bootstraps over examples (Efron 1979); a share that is exactly 0 or 1 gets Wilson's score interval.
    Average precision is that of scikit-learn: the sum of precision times the gain in recall, without interpolation.

    Args:
        probabilities: `(n, labels)`.
        targets: `(n, labels)`, ones, zeros and NaN.
        names: Name of each label.
        thresholds: Probability from which on a label is predicted: one for all, or `(labels,)`.
        seed: Of the resampling.
        bootstraps: Number of resamples; 0 leaves intervals out (None).

    Returns:
        `count`, `known` (share of the targets that are known), `labels_per_example` and `predicted_per_example`; `loss` (nats),
        and with an `…_interval` each: `accuracy` (share of right labels), `macro_f1`, `micro_f1`, `mean_average_precision`,
        `subset_accuracy` (all labels of an example right), `hamming_loss`, `coverage_error` (how far down the ranked labels all
        true ones are found); `calibration_error` (mean over labels); `per_label` (by name: `precision`, `recall`, `f1`,
        `average_precision` with intervals, `count`, `predicted`, `known`, `calibration_error`); `reliability` of all
        probabilities. A label that is neither present nor predicted does not count in the macro-F1, one that is not present not
        in the mean average precision.

    Raises:
        TflError: The shapes do not fit, there is nothing to evaluate, or a probability is not a number.

    Example:

    >>> import numpy as np
    >>> truth = np.array([[1, 0], [1, 1], [0, 1]])
    >>> found = evaluate_labels(np.array([[0.9, 0.2], [0.8, 0.4], [0.1, 0.7]]), truth, ["cat", "dog"])
    >>> found["subset_accuracy"].__round__(3), found["per_label"]["dog"]["recall"], found["mean_average_precision"]
    (0.667, 0.5, 1.0)
    """
    rows, truth = _checked(probabilities, targets, names)
    cases = LabelCases.of(rows, truth, thresholds)
    point = cases.figures(np.ones((1, cases.count))) | cases.precision_figures(np.ones((1, cases.count)))
    draws = bootstrap(lambda drawn: cases.figures(resample_counts(drawn)), cases.count, seed=seed, bootstraps=bootstraps)
    fewer = min(bootstraps, max(_FEWEST_RESAMPLES, _SORTED_CELLS // rows.size))
    draws |= bootstrap(lambda drawn: cases.precision_figures(resample_counts(drawn)), cases.count, seed=seed, bootstraps=fewer)
    document: dict[str, Any] = {
        "count": cases.count,
        "known": float(cases.known.mean()),
        "labels_per_example": float(cases.truth.sum() / cases.count),
        "predicted_per_example": float(cases.predicted.sum() / cases.count),
        "loss": float(probability_loss(rows, truth)),
    }
    for name in OVERALL:
        document[name] = float(np.nan_to_num(point[name][0]))
        document[f"{name}_interval"] = _overall_interval(draws, name, document[name], cases)
    document["per_label"] = {
        name: _label_figures(cases, point, draws, rows, column) for column, name in enumerate(map(str, names))
    }
    document["calibration_error"] = float(np.mean([one["calibration_error"] for one in document["per_label"].values()]))
    document["reliability"] = reliability(rows[cases.known], cases.truth[cases.known])
    return document


def probability_loss(probabilities: NDArray[np.floating], targets: NDArray[np.floating]) -> float:
    """The cross-entropy in nats, as the mean over examples of the mean over their known labels."""
    rows = np.clip(np.asarray(probabilities, np.float64), _SMALLEST_PROBABILITY, 1 - _SMALLEST_PROBABILITY)
    return _mean_of_examples(-np.where(targets > 0.5, np.log(rows), np.log1p(-rows)), targets)


def label_loss(logits: NDArray[np.floating], targets: NDArray[np.floating]) -> float:
    """The same from logits, where no probability is rounded."""
    rows, truth = np.asarray(logits, np.float64), np.nan_to_num(np.asarray(targets, np.float64))
    return _mean_of_examples(np.maximum(rows, 0) - rows * truth + np.log1p(np.exp(-np.abs(rows))), targets)


def _mean_of_examples(losses: NDArray[np.float64], targets: NDArray[np.floating]) -> float:
    known = np.isfinite(targets)
    some = known.any(axis=1)
    return float((np.where(known, losses, 0).sum(axis=1)[some] / known.sum(axis=1)[some]).mean()) if some.any() else 0.0


@dataclass(frozen=True, eq=False)
class LabelCases:
    """Scores and truth, in the form in which the figures of many resamples are a few products of matrices.

    Attributes:
        count: Number of examples.
        scores: `(n, labels)` float64; the order is what average precision looks at.
        known, truth, predicted: `(n, labels)` bool; nothing that is not known is true or predicted.
    """

    count: int
    scores: NDArray[np.float64]
    known: NDArray[np.bool_]
    truth: NDArray[np.bool_]
    predicted: NDArray[np.bool_]

    @classmethod
    def of(cls, scores: NDArray[np.floating], targets: NDArray[np.floating], thresholds: ArrayLike) -> LabelCases:
        """The cases at these thresholds of the scores, one for all or `(labels,)`."""
        rows, known = np.asarray(scores, np.float64), np.isfinite(targets)
        return cls(len(rows), rows, known, known & (targets > 0.5), known & (rows >= np.asarray(thresholds)))

    def figures(self, weights: NDArray[np.float64]) -> Figures:
        """Counts at the thresholds under each row of `weights`, `(resamples, n)`: how often each example was drawn."""
        wrong = self.truth != self.predicted
        some = self.known.any(axis=1)
        hits, present, predicted, known = (
            weights @ table.astype(float) for table in (self.truth & self.predicted, self.truth, self.predicted, self.known)
        )
        of_rows = np.stack([some, wrong.sum(axis=1), self.known.sum(axis=1), some & ~wrong.any(axis=1), self._coverage()], axis=1)
        examples, wrongs, targets, exact, coverage = (weights @ of_rows.astype(float)).T
        with np.errstate(invalid="ignore", divide="ignore"):
            f1 = 2 * hits / (present + predicted)
            return {
                "precision": hits / predicted,
                "recall": hits / present,
                "f1": f1,
                "macro_f1": _mean_of_numbers(f1),
                "micro_f1": 2 * hits.sum(axis=1) / (present + predicted).sum(axis=1),
                "accuracy": 1 - wrongs / targets,
                "hamming_loss": wrongs / targets,
                "subset_accuracy": exact / examples,
                "coverage_error": coverage / examples,
                "known": known,
            }

    def precision_figures(self, weights: NDArray[np.float64]) -> Figures:
        """Average precision of each label, `(resamples, labels)`, and its mean over the labels that are present."""
        each = np.stack([self._average_precision(weights, column) for column in range(self.scores.shape[1])], axis=1)
        return {"average_precision": each, "mean_average_precision": _mean_of_numbers(each)}

    def _average_precision(self, weights: NDArray[np.float64], column: int) -> NDArray[np.float64]:
        inside = np.flatnonzero(self.known[:, column])
        order = inside[np.argsort(-self.scores[inside, column], kind="stable")]
        if not len(order):
            return np.full(len(weights), np.nan)
        ends = np.flatnonzero(np.diff(self.scores[order, column], append=-np.inf))  # equal scores enter together
        drawn = weights[:, order]
        found, hits = np.cumsum(drawn, axis=1)[:, ends], np.cumsum(drawn * self.truth[order, column], axis=1)[:, ends]
        gains = np.diff(hits, axis=1, prepend=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((gains * np.where(found > 0, hits / found, 0)).sum(axis=1) / hits[:, -1])

    def _coverage(self) -> NDArray[np.float64]:
        """How many of the known labels rank at least as high as the lowest true one; 0 for an example without a label."""
        lowest = np.where(self.truth, self.scores, np.inf).min(axis=1, keepdims=True)
        return np.asarray((self.known & (self.scores >= lowest)).sum(axis=1), np.float64)


def _mean_of_numbers(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean over the last axis of what is a number; NaN where nothing is."""
    known = np.isfinite(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(known, values, 0).sum(axis=-1) / known.sum(axis=-1))


def _checked(
    probabilities: NDArray[np.floating], targets: NDArray[np.floating], names: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rows, truth = np.asarray(probabilities, np.float64), np.asarray(targets, np.float64)
    if rows.ndim != 2 or rows.shape != truth.shape or rows.shape[1] != len(names):
        raise TflError(
            "Predictions and labels do not fit together.",
            received=f"probabilities {rows.shape}, targets {truth.shape}, {len(names)} labels",
            allowed="probabilities and targets (n, labels)",
        )
    if not np.isfinite(truth).any():
        raise TflError("There are no labels to compare predictions with.", received=f"{len(rows)} examples")
    if not np.isfinite(rows).all():
        raise TflError(
            "Some predicted probabilities are not numbers.",
            received=f"{int((~np.isfinite(rows)).any(axis=1).sum())} of {len(rows)} examples",
            fix="The network's weights are damaged or overflowed: train again with a lower learning rate or in float32.",
        )
    return rows, truth


def _overall_interval(draws: Figures, name: str, point: float, cases: LabelCases) -> list[float] | None:
    if name not in draws:
        return None
    if name in ("accuracy", "subset_accuracy", "hamming_loss") and point in (0.0, 1.0):
        count = int(cases.known.any(axis=1).sum())
        return share_interval(draws[name], round(point * count), count)
    return percentile_interval(draws[name])


def _label_figures(
    cases: LabelCases, point: Figures, draws: Figures, probabilities: NDArray[np.float64], column: int
) -> dict[str, Any]:
    known, truth, predicted = cases.known[:, column], cases.truth[:, column], cases.predicted[:, column]
    hits, present, called = (int(table.sum()) for table in (truth & predicted, truth, predicted))
    average = float(point["average_precision"][0, column])
    return {
        **{name: float(np.nan_to_num(point[name][0, column])) for name in ("precision", "recall", "f1")},
        "average_precision": average if np.isfinite(average) else None,
        "count": present,
        "predicted": called,
        "known": int(known.sum()),
        "calibration_error": calibration_error(probabilities[known, column], truth[known]) if known.any() else 0.0,
        "precision_interval": share_interval(draws["precision"][:, column], hits, called) if draws else None,
        "recall_interval": share_interval(draws["recall"][:, column], hits, present) if draws else None,
        "f1_interval": percentile_interval(draws["f1"][:, column]) if draws else None,
        "average_precision_interval": percentile_interval(draws["average_precision"][:, column]) if draws else None,
    }

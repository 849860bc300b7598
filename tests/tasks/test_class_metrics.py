"""Metrics: agreement with scikit-learn, intervals that mean something, and honest edges."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, log_loss, precision_recall_fscore_support

from tfl.errors import TflError
from tfl.tasks.class_metrics import evaluate_classes, macro_f1
from tfl.tasks.intervals import wilson_interval

NAMES = ["apple", "<b>pear</b>", "plum"]


def _case(count: int = 300, classes: int = 3, seed: int = 0, skill: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, count)
    logits = generator.normal(size=(count, classes)) + skill * np.eye(classes)[labels]
    odds = np.exp(logits)
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32), labels.astype(np.int32)


def test_agrees_with_scikit_learn() -> None:
    probabilities, labels = _case()
    result = evaluate_classes(probabilities, labels, NAMES)
    predicted = probabilities.argmax(axis=1)
    precision, recall, f1, support = precision_recall_fscore_support(labels, predicted)
    assert result["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    assert result["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro")) == macro_f1(predicted, labels)
    assert result["loss"] == pytest.approx(log_loss(labels, probabilities.astype(float)), rel=1e-5)
    assert result["confusion"] == confusion_matrix(labels, predicted).tolist()
    for column, name in enumerate(NAMES):
        figures = result["per_class"][name]
        assert figures["precision"] == pytest.approx(precision[column])
        assert figures["recall"] == pytest.approx(recall[column])
        assert figures["f1"] == pytest.approx(f1[column])
        assert figures["count"] == support[column]


def test_intervals_hold_the_point_and_are_repeatable() -> None:
    probabilities, labels = _case()
    result, again, other = (evaluate_classes(probabilities, labels, NAMES, seed=seed) for seed in (0, 0, 1))
    assert result == again
    assert result["accuracy_interval"] != other["accuracy_interval"]
    for name in ("accuracy", "macro_f1", "loss"):
        low, high = result[f"{name}_interval"]
        assert low < result[name] < high
    for figures in result["per_class"].values():
        assert figures["recall_interval"][0] < figures["recall"] < figures["recall_interval"][1]
        assert figures["precision_interval"][0] < figures["precision"] < figures["precision_interval"][1]


def test_the_accuracy_interval_covers_the_truth_about_95_times_in_100() -> None:
    truth = np.mean([evaluate_classes(*_case(count=20_000, seed=99), NAMES, bootstraps=0)["accuracy"]])
    covered = 0
    for seed in range(100):
        low, high = evaluate_classes(*_case(count=150, seed=seed), NAMES, bootstraps=300)["accuracy_interval"]
        covered += low <= truth <= high
    assert 88 <= covered <= 100


def test_more_images_make_a_narrower_interval() -> None:
    widths = [np.diff(evaluate_classes(*_case(count=count), NAMES)["accuracy_interval"])[0] for count in (100, 1600)]
    assert widths[1] < widths[0] / 3


def test_a_perfect_score_is_not_certain() -> None:
    labels = np.array([0, 1] * 10)
    result = evaluate_classes(np.eye(2)[labels], labels, ["a", "b"])
    assert result["accuracy"] == 1.0
    assert result["accuracy_interval"] == wilson_interval(20, 20)
    assert result["accuracy_interval"][0] < 0.9
    assert result["per_class"]["a"]["recall_interval"][0] < 0.8


def test_a_class_never_predicted_has_no_precision_interval() -> None:
    probabilities = np.array([[0.9, 0.1, 0.0], [0.2, 0.8, 0.0], [0.6, 0.4, 0.0]])
    figures = evaluate_classes(probabilities, np.array([0, 1, 2]), NAMES)["per_class"]["plum"]
    assert figures["precision"] == 0.0 and figures["precision_interval"] is None
    assert (figures["predicted"], figures["count"]) == (0, 1)


def test_a_confident_wrong_answer_has_a_finite_loss() -> None:
    assert np.isfinite(evaluate_classes(np.array([[1.0, 0.0]]), np.array([1]), ["a", "b"])["loss"])


def test_calibration_error_is_small_for_honest_and_large_for_boastful_predictions() -> None:
    generator = np.random.default_rng(0)
    share = generator.uniform(0.5, 1.0, 4000)
    labels = (generator.uniform(size=4000) > share).astype(int)
    honest = evaluate_classes(np.stack([share, 1 - share], axis=1), labels, ["a", "b"])
    boastful = evaluate_classes(np.tile([0.999, 0.001], (4000, 1)), labels, ["a", "b"])
    assert honest["calibration_error"] < 0.03
    assert boastful["calibration_error"] == pytest.approx(0.25, abs=0.03)
    low, high = boastful["calibration_error_interval"]
    assert low < boastful["calibration_error"] < high


def test_reliability_bins_hold_every_image() -> None:
    bins = evaluate_classes(*_case(), NAMES)["reliability"]
    assert sum(row["count"] for row in bins) == 300
    assert all(row["low"] < row["confidence"] <= row["high"] for row in bins if row["count"])


def test_without_bootstraps_there_are_no_intervals() -> None:
    assert evaluate_classes(*_case(), NAMES, bootstraps=0)["accuracy_interval"] is None


@pytest.mark.parametrize(
    ("probabilities", "labels"),
    [
        (np.zeros((2, 3)), np.array([0])),
        (np.zeros((1, 2)), np.array([0])),
        (np.zeros((0, 3)), np.array([], int)),
        (np.array([[np.nan, 0.5, 0.5]]), np.array([0])),
        (np.array([[0.2, 0.3, 0.5]]), np.array([3])),
    ],
)
def test_what_cannot_be_scored_is_refused(probabilities: np.ndarray, labels: np.ndarray) -> None:
    with pytest.raises(TflError):
        evaluate_classes(probabilities, labels, NAMES)

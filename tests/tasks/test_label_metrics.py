"""Metrics of labels: agreement with scikit-learn, missing labels, intervals, honest edges."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from tfl.errors import TflError
from tfl.tasks.label_metrics import LabelCases, evaluate_labels, label_loss, probability_loss

NAMES = ["cat", "dog", "<b>cow</b>"]


def _case(count=300, seed=0, skill=1.0, ties=False):
    rng = np.random.default_rng(seed)
    targets = (rng.random((count, 3)) < [0.5, 0.3, 0.1]).astype(np.float64)
    logits = rng.normal(size=(count, 3)) + skill * (2 * targets - 1)
    probabilities = 1 / (1 + np.exp(-logits))
    return (probabilities.round(1) if ties else probabilities), targets


@pytest.mark.parametrize("ties", [False, True])
def test_agrees_with_scikit_learn(ties):
    probabilities, targets = _case(ties=ties)
    found = evaluate_labels(probabilities, targets, NAMES, bootstraps=0)
    predicted = probabilities >= 0.5
    precision, recall, f1, support = metrics.precision_recall_fscore_support(targets, predicted)
    averages = metrics.average_precision_score(targets, probabilities, average=None)
    for column, name in enumerate(NAMES):
        row = found["per_label"][name]
        assert [row[key] for key in ("precision", "recall", "f1", "average_precision")] == pytest.approx(
            [precision[column], recall[column], f1[column], averages[column]]
        )
        assert (row["count"], row["predicted"]) == (support[column], predicted[:, column].sum())
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(targets, predicted, average="macro"))
    assert found["micro_f1"] == pytest.approx(metrics.f1_score(targets, predicted, average="micro"))
    assert found["mean_average_precision"] == pytest.approx(averages.mean())
    assert found["subset_accuracy"] == pytest.approx(metrics.accuracy_score(targets, predicted))
    assert found["hamming_loss"] == pytest.approx(metrics.hamming_loss(targets, predicted)) == 1 - found["accuracy"]
    assert found["coverage_error"] == pytest.approx(metrics.coverage_error(targets, probabilities))


def test_the_loss_is_the_same_from_logits_and_from_probabilities():
    probabilities, targets = _case()
    targets[::5, 1] = np.nan
    logits = np.log(probabilities / (1 - probabilities))
    assert label_loss(logits, targets) == pytest.approx(probability_loss(probabilities, targets))
    known = np.isfinite(targets[:, 0])
    alone = metrics.log_loss(targets[known, 0], probabilities[known, 0])
    assert probability_loss(probabilities[:, :1], targets[:, :1]) == pytest.approx(alone)


def test_missing_labels_count_nowhere():
    probabilities, targets = _case()
    missing = targets.copy()
    missing[:100, 2] = np.nan
    found = evaluate_labels(probabilities, missing, NAMES, bootstraps=0)
    alone = evaluate_labels(probabilities[100:, 2:], targets[100:, 2:], NAMES[2:], bootstraps=0)
    assert found["per_label"][NAMES[2]] == alone["per_label"][NAMES[2]]
    assert found["known"] == pytest.approx(1 - 100 / 900)


def test_resampled_figures_are_those_of_the_resampled_examples():
    probabilities, targets = _case(ties=True)
    targets[::4, 0] = np.nan
    drawn = np.random.default_rng(3).integers(0, 300, 300)
    weights = np.bincount(drawn, minlength=300)[None].astype(float)
    cases, again = LabelCases.of(probabilities, targets, 0.4), LabelCases.of(probabilities[drawn], targets[drawn], 0.4)
    one = np.ones((1, 300))
    for name, value in (cases.figures(weights) | cases.precision_figures(weights)).items():
        np.testing.assert_allclose(value, (again.figures(one) | again.precision_figures(one))[name], err_msg=name)


def test_intervals_hold_the_point_are_repeatable_and_mostly_right():
    probabilities, targets = _case()
    found, again = (evaluate_labels(probabilities, targets, NAMES, seed=4) for _ in range(2))
    assert found == again
    for name in ("macro_f1", "micro_f1", "mean_average_precision", "accuracy", "coverage_error"):
        low, high = found[f"{name}_interval"]
        assert low < found[name] < high
    truth = evaluate_labels(*_case(count=30_000, seed=99), NAMES, bootstraps=0)["mean_average_precision"]
    covered = 0
    for seed in range(30):
        low, high = evaluate_labels(*_case(seed=seed), NAMES, bootstraps=150)["mean_average_precision_interval"]
        covered += low <= truth <= high
    assert covered >= 25


def test_a_label_that_is_not_there_has_no_average_precision_and_spoils_no_mean():
    targets = np.array([[1, 0], [0, 0], [1, 0]])
    found = evaluate_labels(np.array([[0.9, 0.1], [0.2, 0.2], [0.8, 0.1]]), targets, ["here", "absent"])
    assert found["per_label"]["absent"]["average_precision"] is None
    assert found["mean_average_precision"] == found["macro_f1"] == 1.0
    assert found["subset_accuracy_interval"][0] < 0.5


def test_thresholds_can_differ_by_label():
    found = evaluate_labels(np.array([[0.4, 0.4]]), np.array([[1, 0]]), ["a", "b"], thresholds=[0.3, 0.5], bootstraps=0)
    assert found["subset_accuracy"] == 1.0


@pytest.mark.parametrize(
    ("probabilities", "targets", "words"),
    [
        (np.zeros((2, 3)), np.zeros((2, 2)), "do not fit"),
        (np.zeros((1, 3)), np.full((1, 3), np.nan), "no labels"),
        (np.full((1, 3), np.nan), np.zeros((1, 3)), "not numbers"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(probabilities, targets, words):
    with pytest.raises(TflError, match=words):
        evaluate_labels(probabilities, targets, NAMES)

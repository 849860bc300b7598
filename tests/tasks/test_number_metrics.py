"""Metrics of numbers: agreement with scikit-learn and SciPy, missing numbers, intervals."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn import metrics

from tfl.errors import TflError
from tfl.tasks.number_metrics import evaluate_numbers


def _case(count=200, seed=0):
    rng = np.random.default_rng(seed)
    targets = rng.normal(40, 10, (count, 1))
    return targets + rng.normal(0, 4, (count, 1)), targets


def test_agrees_with_scikit_learn_and_scipy():
    values, targets = _case()
    found = evaluate_numbers(values, targets, ["age"], bootstraps=0)
    assert found["mae"] == pytest.approx(metrics.mean_absolute_error(targets, values))
    assert found["rmse"] == pytest.approx(metrics.root_mean_squared_error(targets, values))
    assert found["r2"] == pytest.approx(metrics.r2_score(targets, values))
    assert found["median_absolute_error"] == pytest.approx(metrics.median_absolute_error(targets, values))
    assert found["spearman"] == pytest.approx(spearmanr(values[:, 0], targets[:, 0]).statistic)


def test_missing_numbers_count_nowhere():
    values, targets = _case()
    missing = targets.copy()
    missing[:50] = np.nan
    found = evaluate_numbers(values, missing, ["age"])["per_target"]
    assert found == evaluate_numbers(values[50:], targets[50:], ["age"])["per_target"]


def test_intervals_hold_the_point_and_cover_the_truth():
    found = evaluate_numbers(*_case(), ["age"])
    for name in ("mae", "rmse", "r2", "median_absolute_error", "spearman"):
        low, high = found[f"{name}_interval"]
        assert low < found[name] < high
    assert found == evaluate_numbers(*_case(), ["age"])
    truth = evaluate_numbers(*_case(count=100_000, seed=99), ["age"], bootstraps=0)["mae"]
    covered = 0
    for seed in range(60):
        low, high = evaluate_numbers(*_case(seed=seed), ["age"], bootstraps=200)["mae_interval"]
        covered += low <= truth <= high
    assert covered >= 51


def test_what_is_not_defined_is_none():
    found = evaluate_numbers(np.array([[1.0], [1.0]]), np.array([[2.0], [2.0]]), ["age"])
    assert found["r2"] is None and found["spearman"] is None and found["mae"] == 1.0


def test_several_numbers_are_averaged_by_their_deviations():
    values, targets = np.array([[1.0, 100.0], [2.0, 300.0]]), np.array([[2.0, 200.0], [3.0, 400.0]])
    found = evaluate_numbers(values, targets, ["age", "income"], deviation=[2.0, 200.0], bootstraps=0)
    assert found["mae"] == 0.5 and found["per_target"]["income"]["mae"] == 100.0 and "mae_interval" not in found


@pytest.mark.parametrize(
    ("values", "targets", "words"),
    [
        (np.zeros((2, 1)), np.zeros((2, 2)), "do not fit"),
        (np.zeros((2, 1)), np.full((2, 1), np.nan), "no target of age"),
        (np.full((2, 1), np.inf), np.zeros((2, 1)), "not numbers"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(values, targets, words):
    with pytest.raises(TflError, match=words):
        evaluate_numbers(values, targets, ["age"])

"""Calibration and thresholds by label: better where there is something to gain, shared where there is little to go by."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from sklearn.metrics import f1_score

from tfl.tasks.base import task_of
from tfl.tasks.label_confidence import SUPPORT, best_threshold, fit_labels, fit_platt, measure_labels

TASK = task_of("multilabel")


def _case(count, seed, overconfidence=3.0):
    rng = np.random.default_rng(seed)
    honest = rng.normal(-1, 1.5, (count, 3))
    targets = (rng.random((count, 3)) < 1 / (1 + np.exp(-honest))).astype(np.float64)
    return overconfidence * honest + [0.0, 2.0, 0.0], targets


def test_platt_finds_the_line_that_made_the_labels():
    logits, targets = _case(20_000, 0)
    slope, intercept = fit_platt(logits[:, 1], targets[:, 1])
    assert slope == pytest.approx(1 / 3, abs=0.02) and intercept == pytest.approx(-2 / 3, abs=0.06)


def test_calibration_and_thresholds_help_on_other_examples():
    fitted = fit_labels(*_case(2000, 0))
    found = measure_labels(fitted.values, *_case(2000, 1))
    before, after = found["calibration"]["calibration_error"]
    assert after < before / 3
    assert found["calibration"]["log_loss"][1] < found["calibration"]["log_loss"][0]
    logits, targets = _case(2000, 1)
    assert found["thresholds"]["macro_f1"] > f1_score(targets, logits > 0, average="macro")


def test_the_best_threshold_is_the_best_of_all():
    rng = np.random.default_rng(5)
    probabilities, truth = rng.random(60).round(2), rng.integers(0, 2, 60)
    best = f1_score(truth, probabilities >= best_threshold(probabilities, truth))
    assert best == max(f1_score(truth, probabilities >= t) for t in np.linspace(0, 1, 201))


def test_a_rare_label_shares_what_suits_all():
    logits, targets = _case(400, 0)
    targets[:, 2] = 0
    targets[: SUPPORT - 1, 2] = 1
    fitted = fit_labels(logits, targets)
    assert fitted.values["thresholds"][2] == fitted.figures["thresholds"]["shared"] != fitted.values["thresholds"][0]
    assert fitted.figures["thresholds"]["own"] == 2 and "1 of 3 labels" in fitted.figures["thresholds"]["note"]


def test_a_handful_of_examples_leaves_the_probabilities_as_they_are():
    fitted = fit_labels(np.zeros((4, 2)), np.array([[0, 1]] * 4))
    assert fitted.values == {"slope": [1.0, 1.0], "intercept": [0.0, 0.0], "thresholds": [0.5, 0.5]}


def test_missing_labels_do_not_decide():
    logits, targets = _case(400, 0)
    missing = targets.copy()
    missing[:200] = np.nan
    assert fit_labels(logits, missing).values == fit_labels(logits[200:], targets[200:]).values


def test_the_graph_answers_as_numpy_does():
    logits, targets = _case(300, 0)
    fitted = TASK.fit_confidence(None, logits, targets)
    inputs = keras.Input((3,))
    found = keras.Model(inputs, TASK.answer_tensors(fitted.values, inputs)).predict(logits.astype(np.float32), verbose=0)
    expected = TASK.answer(fitted.values, logits)
    assert set(found) == set(TASK.answers) == set(expected)
    np.testing.assert_allclose(found["calibrated_probabilities"], expected["calibrated_probabilities"], atol=1e-6)
    np.testing.assert_array_equal(found["is_label"], expected["is_label"])

"""Conformal intervals: the coverage that was promised, wider where errors grow, honest where examples are few."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import tfl
from tfl.tasks.base import task_of


def _case(count, seed, growth=0.0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, 1))
    noise = 0.3 * np.exp(growth * logits) * rng.normal(size=(count, 1))
    return logits.astype(np.float32), (50 + 10 * (logits + noise)).astype(np.float32)


TASK = task_of("regress").fitted(_case(1000, 0)[1])


@pytest.mark.parametrize("growth", [0.0, 0.8])
@pytest.mark.parametrize("coverage", [0.8, 0.95])
def test_the_coverage_is_the_promised_one_on_average(growth, coverage):
    found = []
    for seed in range(30):
        fitted = TASK.fit_confidence(tfl.Calibration(coverage=coverage), *_case(200, seed, growth))
        found.append(TASK.measure_confidence(fitted.values, *_case(400, 1000 + seed, growth))["intervals"]["coverage"])
    assert np.mean(found) == pytest.approx(coverage, abs=0.02)


def test_growing_errors_get_growing_intervals_and_even_ones_do_not():
    even, growing = (TASK.fit_confidence(tfl.Calibration(), *_case(400, 3, growth)) for growth in (0.0, 0.8))
    assert even.values["growth"] == [0.0]
    answer = TASK.answer(growing.values, np.array([[-2.0], [2.0]]))
    small, large = (answer["upper"] - answer["lower"])[:, 0]
    assert large > 4 * small
    far = TASK.answer(growing.values, np.array([[3.5], [99.0]]))
    assert np.diff((far["upper"] - far["lower"])[:, 0]) == pytest.approx(0, abs=0.01)


def test_few_examples_are_told():
    fitted = TASK.fit_confidence(tfl.Calibration(coverage=0.9), *_case(5, 0))
    assert "takes 9" in fitted.figures["intervals"]["note"]
    logits, targets = _case(5, 0)
    answer = TASK.answer(fitted.values, logits)
    assert ((answer["lower"] <= targets + 1e-3) & (targets - 1e-3 <= answer["upper"])).all()


def test_missing_numbers_do_not_decide():
    logits, targets = _case(150, 0)
    missing = targets.copy()
    missing[:60] = np.nan
    settings = tfl.Calibration()
    assert (
        TASK.fit_confidence(settings, logits, missing).values == TASK.fit_confidence(settings, logits[60:], targets[60:]).values
    )


@pytest.mark.parametrize("growth", [0.0, 0.8])
def test_the_graph_answers_as_numpy_does(growth):
    logits, targets = _case(300, 0, growth)
    fitted = TASK.fit_confidence(tfl.Calibration(), logits, targets)
    inputs = keras.Input((1,))
    found = keras.Model(inputs, TASK.answer_tensors(fitted.values, inputs)).predict(logits, verbose=0)
    expected = TASK.answer(fitted.values, logits)
    assert set(found) == set(TASK.answers) == set(expected)
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4)

"""Temperature: the minimum of the log loss, and honest where there is none."""

import numpy as np
import pytest
from scipy.special import log_softmax

from tfl.tasks.calibration import SHARPEST, SOFTEST, calibrated, calibration_error, fit_temperature, log_loss


def drawn(count=2000, classes=4, seed=0, skill=2.0, overconfidence=1.0):
    """Labels drawn from the probabilities themselves, and logits that claim more than those."""
    generator = np.random.default_rng(seed)
    logits = skill * generator.normal(size=(count, classes))
    shares = np.exp(log_softmax(logits, axis=1))
    labels = (shares.cumsum(axis=1) > generator.random((count, 1))).argmax(axis=1)
    return overconfidence * logits, labels


@pytest.mark.parametrize("overconfidence", [0.4, 1.0, 3.0])
def test_the_temperature_undoes_what_the_logits_claim_too_much(overconfidence):
    logits, labels = drawn(overconfidence=overconfidence)
    temperature, note = fit_temperature(logits, labels)
    assert temperature == pytest.approx(overconfidence, rel=0.08) and note == ""
    fresh, truth = drawn(seed=1, overconfidence=overconfidence)
    before, after = calibrated(fresh, 1.0), calibrated(fresh, temperature)
    assert log_loss(after, truth) <= log_loss(before, truth) + 1e-3
    if overconfidence != 1.0:
        errors = [calibration_error(rows.max(1), rows.argmax(1) == truth) for rows in (before, after)]
        assert errors[1] < errors[0] / 2


def test_no_temperature_near_it_has_a_smaller_log_loss():
    logits, labels = drawn(count=60, overconfidence=5.0)
    temperature, _ = fit_temperature(logits, labels)
    least = log_loss(calibrated(logits, temperature), labels)
    for factor in (0.9, 0.99, 1.01, 1.1):
        assert log_loss(calibrated(logits, temperature * factor), labels) >= least - 1e-9


@pytest.mark.parametrize("count", [1, 5, 100])
def test_where_all_is_right_it_is_bounded_and_says_so(count):
    logits, labels = np.tile([1.0, 0.0, 0.0], (count, 1)), np.zeros(count, int)
    temperature, note = fit_temperature(logits, labels)
    assert SHARPEST < temperature <= 1.0
    assert calibrated(logits, temperature).max(1).mean() <= (count + 1) / (count + 2) + 1e-6
    assert f"All {count} validation examples are right" in note and "bounded" in note


def test_a_network_that_is_right_and_very_sure_is_left_alone():
    assert fit_temperature(np.array([[30.0, 0.0]] * 3), np.zeros(3, int))[0] == 1.0


def test_all_wrong_ends_at_the_softest_and_says_so():
    temperature, note = fit_temperature(np.array([[9.0, 0.0]] * 4), np.ones(4, int))
    assert temperature == pytest.approx(SOFTEST) and "still falls" in note


def test_the_order_of_the_classes_stays():
    logits, _ = drawn(count=50)
    assert (calibrated(logits, 7.0).argmax(1) == logits.argmax(1)).all()
    np.testing.assert_allclose(calibrated(1e4 * logits, 0.05).sum(1), 1.0, atol=1e-6)

"""Candidates are compared by what they say of the same held-out examples."""

import numpy as np
import pytest

from tfl.advise.evidence import Evidence
from tfl.tasks.base import task_of

TRUTH = np.eye(2, dtype=np.float32)[np.arange(60) % 2]


def evidence(alpha=0.05, **options):
    return Evidence(task_of("classify"), TRUTH, metric="val_accuracy", alpha=alpha, **options)


def noisy(strength, seed=0):
    return strength * TRUTH + np.random.default_rng(seed).normal(size=TRUTH.shape)


def test_a_clear_gain_holds_and_its_reverse_does_not():
    gain = evidence().compare(noisy(4), noisy(0, seed=1))
    assert gain.holds and gain.metric > 0.2 and gain.interval[0] > 0 and gain.p < 0.01
    back = evidence().compare(noisy(0, seed=1), noisy(4))
    assert not back.holds and back.mean == pytest.approx(-gain.mean) and back.metric == pytest.approx(-gain.metric)


def test_being_too_sure_is_no_loss():
    same = evidence().compare(8 * noisy(1), noisy(1))
    assert abs(same.mean) < 1e-6 and not same.holds


def test_equal_candidates_are_no_evidence():
    same = evidence().compare(noisy(1), noisy(1))
    assert same.p == 1.0 and not same.holds


def test_a_lower_loss_with_a_lower_metric_does_not_hold():
    sure = np.where(TRUTH > 0, 3.0, 0.0)
    wrong_once = sure.copy()
    wrong_once[0] = [0.0, 0.2]
    barely = np.where(TRUTH > 0, 0.1, 0.0) * np.linspace(0.1, 1, 60)[:, None]
    gain = evidence(alpha=1.0).compare(wrong_once, barely)
    assert gain.mean > 0 > gain.metric and not gain.holds


def test_chance_alone_rarely_holds():
    held = [evidence(alpha=0.1).compare(noisy(1, seed=2 * n), noisy(1, seed=2 * n + 1)).holds for n in range(40)]
    assert sum(held) <= 10


def test_balanced_evidence_weighs_each_class_the_same():
    truth = np.eye(2, dtype=np.float32)[[0] * 57 + [1] * 3]
    rare_right = np.where(truth > 0, 2.0, 0.0)
    common = np.tile([2.0, 0.0], (60, 1))
    plain = Evidence(task_of("classify"), truth, metric="val_accuracy", alpha=0.05).compare(rare_right, common)
    weighted = Evidence(task_of("classify"), truth, metric="val_accuracy", alpha=0.05, balanced=True).compare(rare_right, common)
    assert weighted.mean > plain.mean > 0


def test_numbers_are_compared_as_they_are():
    truth = np.linspace(-1, 1, 50, dtype=np.float32)[:, None]
    task = task_of("regress").fitted(truth)
    near, far = truth / truth.std(), np.zeros_like(truth)
    gain = Evidence(task, truth, metric="val_mae", alpha=0.05).compare(near, far)
    assert gain.holds and gain.metric > 0

"""Splits of one kind cannot be told apart; others can, and the strangest images are named."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import examples_of, scene

from tfl.audit.checks.drift import drift_findings, splits_apart

SPLITS = np.array(["train"] * 150 + ["val"] * 50 + ["test"] * 100)


def features(shift: float, seed: int = 0) -> np.ndarray:
    made = np.random.default_rng(seed).normal(size=(300, 6))
    made[SPLITS == "test", 0] += shift
    return made


@pytest.mark.slow
def test_splits_of_one_kind():
    for seed in range(8):
        drift = splits_apart(features(0, seed), SPLITS == "train", SPLITS == "test", np.arange(300), seed=0)
        assert 0.3 < drift.auc < 0.7 and drift.interval[0] < 0.55 and drift.p_value > 0.005


def test_splits_that_differ():
    drift = splits_apart(features(2), SPLITS == "train", SPLITS == "test", np.arange(300), seed=0)
    assert 0.85 < drift.auc < 1 and drift.interval[0] < drift.auc < drift.interval[1] and drift.p_value < 1e-6
    assert set(SPLITS[drift.strangest]) == {"test"} and len(drift.strangest) == 50
    assert features(2)[drift.strangest[:10], 0].mean() > features(2)[drift.strangest[-10:], 0].mean()


def test_the_finding_is_of_the_split_that_drifts():
    examples = examples_of([scene(0)] * 300)
    (finding,) = drift_findings(examples, features(2), SPLITS, np.arange(300), seed=0)
    assert finding.kind == "drift" and "The test split" in finding.note and "AUC 0." in finding.note
    assert len(finding.files) == 12
    assert drift_findings(examples, features(0), SPLITS, np.arange(300), seed=0) == []


def test_too_few_to_say():
    few = np.arange(300) < 39
    assert splits_apart(features(2), few, SPLITS == "test", np.arange(300), seed=0) is None
    assert splits_apart(features(2), SPLITS == "train", SPLITS == "test", np.zeros(300, int), seed=0) is None

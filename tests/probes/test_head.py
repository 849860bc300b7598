"""Heads from regressions: what scikit-learn gives, for the features as they are."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tfl.probes.head import PENALTIES, linear_head


def case(count=120, width=6, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(count, width)) * [1, 5, 0.2, 1, 1, 30] + 3).astype(np.float32), rng


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("balanced", [False, True])
def test_classes_have_the_probabilities_of_logistic_regression(classes, balanced):
    features, rng = case()
    labels = (features[:, 0] + features[:, 1] / 3 + rng.normal(size=120) > 4).astype(int)
    labels += (classes - 2) * (features[:, 3] > 3.5)
    found = linear_head(features, np.eye(classes)[labels], np.arange(120), task="classify", balanced=balanced)
    (strength,) = found.strengths
    weight = "balanced" if balanced else None
    expected = make_pipeline(StandardScaler(), LogisticRegression(C=strength, class_weight=weight, max_iter=1000, tol=1e-6))
    logits = features @ found.kernel + found.bias
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, expected.fit(features, labels).predict_proba(features), atol=5e-3)


def test_a_class_without_training_examples_is_never_the_answer():
    features, _ = case()
    labels = 2 * (features[:, 0] > 3).astype(int)
    found = linear_head(features, np.eye(3)[labels], np.arange(120), task="classify")
    assert set((features @ found.kernel + found.bias).argmax(axis=1)) == {0, 2}


def test_each_label_has_its_own_regression_over_the_examples_where_it_is_known():
    features, rng = case()
    targets = np.stack([features[:, 0] > 3, features[:, 3] > 3, np.zeros(120)], axis=1).astype(float)
    targets[rng.random((120, 3)) < 0.2] = np.nan
    found = linear_head(features, targets, np.arange(120), task="multilabel")
    logits = features @ found.kernel + found.bias
    known = np.isfinite(targets[:, :2])
    assert ((logits[:, :2] > 0) == (targets[:, :2] > 0.5))[known].mean() > 0.95 and len(found.strengths) == 3
    assert (logits[:, 2] < -3).all() and not found.kernel[:, 2].any()


def test_numbers_have_the_ridge_regression():
    features, rng = case()
    targets = (features @ rng.normal(size=(6, 2)) + rng.normal(size=(120, 2))).astype(float)
    targets[::7, 1] = np.nan
    found = linear_head(features, targets, np.arange(120), task="regress")
    known = np.isfinite(targets[:, 1])
    expected = make_pipeline(StandardScaler(), RidgeCV(PENALTIES)).fit(features[known], targets[known, 1])
    np.testing.assert_allclose((features @ found.kernel + found.bias)[:, 1], expected.predict(features), rtol=1e-3, atol=1e-3)


def test_examples_that_belong_together_are_held_out_together():
    _, rng = case(count=40)
    noise = rng.normal(size=(40, 200)).astype(np.float32)
    labels = rng.integers(0, 2, 40)
    twice = np.concatenate([noise, noise]), np.eye(2)[np.concatenate([labels, labels])]
    together = linear_head(*twice, np.tile(np.arange(40), 2), task="classify").strengths[0]
    apart = linear_head(*twice, np.arange(80), task="classify").strengths[0]
    assert together < apart  # copies on both sides make noise look like something to learn


def test_three_examples_of_a_class_are_enough():
    features, _ = case(count=6)
    found = linear_head(features, np.eye(2)[[0, 0, 0, 1, 1, 1]], np.arange(6), task="classify")
    assert np.isfinite(found.kernel).all()

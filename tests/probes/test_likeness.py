"""Weights by likeness are a ratio of densities; examples that are never held out train every fold."""

import numpy as np
import pytest
from scipy.stats import norm

from tfl.probes.head import folds_of, linear_head
from tfl.probes.likeness import effective_number, likeness, weighted_order
from tfl.probes.linear import fitted_probe, held_out
from tfl.probes.neighbours import nearest_neighbours

RNG = np.random.default_rng(0)


def of(target, other, **options):
    return likeness(target, other, units=np.arange(len(target)), other_units=np.arange(len(other)), **options)


def test_the_weights_are_the_ratio_of_the_densities():
    target, other = RNG.normal(1, 1, (400, 1)), RNG.normal(0, 1, (2000, 1))
    found = of(target, other)
    true = norm.pdf(other[:, 0], 1, 1) / norm.pdf(other[:, 0], 0, 1)
    assert np.corrcoef(np.log(found.weights), np.log(true))[0, 1] > 0.99
    assert found.weights.mean() == pytest.approx(1) and found.weights.max() <= np.sqrt(2000) * 1.0001
    assert found.effective == pytest.approx(effective_number(true), rel=0.2)  # 2000 / e in the limit
    assert 0.7 < found.auc < 0.8  # Φ(1/√2) = 0.76
    assert 0.5 < found.distance < 1.1  # 2 (2 Φ(1/2) - 1) = 0.77


def test_sets_that_are_alike_and_sets_that_have_nothing_in_common():
    same, apart = RNG.normal(size=(100, 5)), RNG.normal(9, 1, (100, 5))
    alike, different = of(same[:50], same[50:]), of(same, apart)
    assert alike.effective > 35 and alike.auc < 0.7 and alike.distance < 0.6
    assert different.auc == 1.0 and different.distance == 2.0


def test_a_weight_is_cut_off_so_that_no_example_stands_for_all():
    target, other = RNG.normal(6, 0.1, (30, 1)), np.concatenate([RNG.normal(0, 1, (399, 1)), [[6.0]]])
    weights = of(target, other).weights
    assert weights.argmax() == 399 and np.isfinite(weights).all()


def test_a_longer_draw_begins_as_a_shorter_one_and_follows_the_weights():
    weights = np.array([4.0, 2.0, 1.0, 1.0])
    first = np.bincount([weighted_order(weights, seed=seed)[0] for seed in range(2000)], minlength=4) / 2000
    np.testing.assert_allclose(first, weights / 8, atol=0.04)
    assert weighted_order(weights, seed=3).tolist() == weighted_order(weights, seed=3).tolist()


def never_held_out():
    """Two classes by the first feature; a third of the examples are never held out."""
    features = RNG.normal(size=(90, 4)).astype(np.float32)
    labels = (features[:, 0] > 0).astype(int)
    return features, labels, np.where(np.arange(90) < 60, np.arange(90) % 3, -1)


def test_every_fold_is_trained_on_what_is_never_held_out():
    features, labels, folds = never_held_out()
    found = held_out(features, labels, folds)
    assert not found.probabilities[60:].any() and np.allclose(found.probabilities[:60].sum(axis=1), 1)
    own = fitted_probe(features[folds != 0], labels[folds != 0], found.strength).predict_proba(features[folds == 0])
    assert np.abs(found.probabilities[folds == 0] - own).max() < 0.2
    shifted = np.where(folds < 0, 1 - labels, labels)  # what they teach shows in what is held out
    before, after = (
        (held_out(features, one, folds).probabilities[:60].argmax(axis=1) == labels[:60]).mean() for one in (labels, shifted)
    )
    assert after < before


@pytest.mark.parametrize("method", ["logistic", "svm", "class_means", "knn"])
def test_heads_are_chosen_without_holding_them_out(method):
    features, labels, folds = never_held_out()
    units = np.where(folds < 0, -1, np.arange(90))
    made = folds_of(labels, units, seed=0)
    assert (made[60:] == -1).all() and set(made[:60].tolist()) == {0, 1, 2, 3, 4}
    if method == "knn":
        assert len(nearest_neighbours(features, labels, units, classes=2).examples) == 90
        return
    head = linear_head(features, np.eye(2)[labels], units, task="classify", method=method)
    assert ((features @ head.kernel + head.bias).argmax(axis=1) == labels).mean() > 0.85


def test_a_class_that_is_never_held_out_leaves_the_strength_without_a_search():
    assert folds_of(np.array([0] * 9 + [1] * 9), np.where(np.arange(18) < 9, np.arange(18), -1), seed=0) is None

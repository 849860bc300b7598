"""Which k, and what a vote counts: beside scikit-learn's cross-validation, with what belongs together held out together."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, log_loss
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from tfl.errors import TflError
from tfl.probes.head import folds_of
from tfl.probes.neighbours import FIRST, NEAREST, NUMBERS, STRENGTHS, nearest_neighbours


def blobs(count=150, classes=3, width=6, spread=1.5, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    return rng.normal(size=(classes, width))[labels] + spread * rng.normal(size=(count, width)), labels


def classifier(number):
    return KNeighborsClassifier(
        number + 1, metric="cosine", algorithm="brute", weights=lambda d: np.maximum(1 - d / (d[:, -1:] + NEAREST), 1e-12)
    )


@pytest.mark.parametrize("balanced", [False, True])
def test_k_is_the_best_of_scikit_learns_cross_validation(balanced):
    features, labels = blobs()
    keep = np.flatnonzero((labels > 0) | (np.arange(len(labels)) % 4 == 0)) if balanced else np.arange(len(labels))
    features, labels, units = features[keep], labels[keep], np.arange(len(keep)) // 2
    found = nearest_neighbours(features, labels, units, classes=3, balanced=balanced, seed=3)
    split = PredefinedSplit(folds_of(labels, units, seed=3))
    counts = np.bincount(labels)

    def score(number):
        shares = cross_val_predict(classifier(number), features, labels, cv=split, method="predict_proba")
        weights = counts.sum() / (3 * counts) if balanced else np.ones(3)  # scikit-learn's neighbours have no class weights
        answers = (shares * weights).argmax(axis=1)
        return balanced_accuracy_score(labels, answers) if balanced else (answers == labels).mean()

    scores = {number: score(number) for number in NUMBERS}
    assert scores[found.number] == pytest.approx(max(scores.values()))
    assert max(scores.values()) > min(scores.values())  # else any k would have passed


def test_the_strength_is_that_of_the_lowest_loss():
    features, labels = blobs()
    found = nearest_neighbours(features, labels, np.arange(150), classes=3)
    folds = folds_of(labels, np.arange(150), seed=0)

    def loss(strength):
        shares = np.zeros((150, 3))
        for fold in range(folds.max() + 1):
            inside, out = folds != fold, folds == fold
            distances, near = classifier(found.number).fit(features[inside], labels[inside]).kneighbors(features[out])
            votes = np.maximum(1 - distances / (distances[:, -1:] + NEAREST), 0)
            shares[out] = np.einsum("nk,nkc->nc", votes, np.eye(3)[labels[inside][near]])
        return log_loss(labels, (1 + strength * shares) / (3 + strength * shares.sum(axis=1, keepdims=True)))

    chosen = found.votes.max()
    assert chosen in STRENGTHS and chosen == min(STRENGTHS, key=loss)


def test_what_belongs_together_is_held_out_together():
    rng = np.random.default_rng(0)
    features, labels = np.repeat(rng.normal(size=(60, 8)), 2, axis=0), np.repeat(rng.integers(0, 2, 60), 2)
    copies = np.repeat(np.arange(60), 2)
    alone = nearest_neighbours(features, labels, np.arange(120), classes=2)
    together = nearest_neighbours(features, labels, copies, classes=2)
    assert alone.number == 1  # the copy of an example that is held out gives its label away
    assert together.votes.max() < alone.votes.max()


def test_a_class_weighs_as_much_as_another_where_that_is_asked_for():
    features, labels = blobs(count=90)
    labels = np.where(np.arange(90) % 9 == 0, 0, 1 + labels % 2)
    found = nearest_neighbours(features, labels, np.arange(90), classes=3, balanced=True)
    totals = found.votes.sum(axis=0)
    np.testing.assert_allclose(totals, totals[0], rtol=1e-5)
    assert (found.votes > 0).sum() == 90


def test_few_examples_and_classes_without_any():
    features, labels = blobs(count=6)
    few = nearest_neighbours(features, labels, np.arange(6), classes=3)
    assert few.number == 1 and few.votes.max() == FIRST
    one = nearest_neighbours(features[:3], np.ones(3, int), np.arange(3), classes=2)
    assert one.votes.shape == (3, 2) and not one.votes[:, 0].any()
    gaps = nearest_neighbours(*blobs(count=60, classes=2), np.arange(60), classes=5)
    assert gaps.votes.shape == (60, 5) and not gaps.votes[:, 2:].any()


def test_features_that_are_not_finite_are_refused():
    features, labels = blobs(count=12)
    features[3, 2] = np.nan
    with pytest.raises(TflError, match="1 of 12 examples"):
        nearest_neighbours(features, labels, np.arange(12), classes=3)

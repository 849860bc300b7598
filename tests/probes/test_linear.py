"""The regressions are scikit-learn's, nested, and not fooled by noise."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from tfl.errors import TflError
from tfl.probes import linear
from tfl.probes.linear import held_out


def problem(count: int, width: int, *, noise: float = 2.0, seed: int = 0):
    """Three classes, of features on very different scales."""
    rng = np.random.default_rng(seed)
    plain = rng.normal(size=(count, width))
    labels = (plain @ rng.normal(size=(width, 3)) + noise * np.sqrt(width) * rng.normal(size=(count, 3))).argmax(axis=1)
    labels[:12] = np.arange(12) % 3
    return plain * rng.uniform(0.01, 100, width) + 5, labels, np.arange(count) // 3 % 4


def by_scikit_learn(features, labels, folds, strength, *, balanced):
    found = np.zeros((len(labels), 3))
    for fold in range(int(folds.max()) + 1):
        train = folds != fold
        scaler = StandardScaler().fit(features[train])
        model = LogisticRegression(C=strength, tol=1e-9, max_iter=100_000, class_weight="balanced" if balanced else None)
        model.fit(scaler.transform(features[train]), labels[train])
        found[~train] = model.predict_proba(scaler.transform(features[~train]))
    return found


@pytest.mark.parametrize("strength", [0.01, 1.0])
@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize(("count", "width"), [(120, 7), (60, 150)])
def test_probabilities_are_scikit_learns(monkeypatch, count, width, balanced, strength):
    monkeypatch.setattr(linear, "STRENGTHS", (strength,))
    monkeypatch.setattr(linear, "_TOLERANCE", 1e-12)
    features, labels, folds = problem(count, width)
    found = held_out(features, labels, folds, balanced=balanced, first=strength).probabilities
    expected = by_scikit_learn(features, labels, folds, strength, balanced=balanced)
    np.testing.assert_allclose(found, expected, atol=2e-4)


def test_with_the_tolerance_as_it_is_the_answers_are_the_same(monkeypatch):
    monkeypatch.setattr(linear, "STRENGTHS", (0.05,))
    features, labels, folds = problem(300, 20)
    found = held_out(features, labels, folds, first=0.05).probabilities
    expected = by_scikit_learn(features, labels, folds, 0.05, balanced=False)
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).mean() > 0.98
    np.testing.assert_allclose(found, expected, atol=0.03)


def test_folds_in_parts_come_to_the_same(monkeypatch):
    features, labels, folds = problem(120, 7)
    whole = held_out(features, labels, folds)
    monkeypatch.setattr(linear, "_CELLS", 120 * 3)
    parts = held_out(features, labels, folds)
    assert parts.strength == whole.strength
    np.testing.assert_allclose(parts.probabilities, whole.probabilities, atol=0.02)


def test_nothing_is_found_in_noise():
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 2
    found = held_out(rng.normal(size=(300, 400)), labels, rng.permutation(300) % 5)
    right = (found.probabilities.argmax(axis=1) == labels).mean()
    assert 0.4 < right < 0.6
    assert found.strength < 0.01


def test_what_a_line_separates_is_found_among_noise_and_calls_for_less_penalty():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(400, 30))
    labels = (features[:, 0] + features[:, 1] > 0).astype(int)
    found = held_out(features, labels, np.arange(400) % 5)
    assert (found.probabilities.argmax(axis=1) == labels).mean() > 0.95
    assert found.strength > 0.1


def test_a_folds_own_labels_do_not_reach_its_answers():
    """With the C fixed, a held-out label changes nothing; wrong ones in one fold leave that fold's answers as they were."""
    features, labels, folds = problem(200, 5)
    other = np.where(folds == 2, (labels + 1) % 3, labels)
    one, two = (
        linear._Folds(features, given, folds, np.array([2]), balanced=True).solve(0.05)[folds == 2] for given in (labels, other)
    )
    np.testing.assert_array_equal(one, two)


def test_balance_lifts_the_rare_class():
    rng = np.random.default_rng(0)
    labels = (np.arange(400) % 20 == 0).astype(int)
    features = rng.normal(size=(400, 4)) + 1.2 * labels[:, None]
    folds = rng.permutation(400) % 5
    plain, balanced = (held_out(features, labels, folds, balanced=flag).probabilities.argmax(axis=1) for flag in (False, True))
    assert balanced[labels == 1].mean() > plain[labels == 1].mean() + 0.1


def test_features_that_never_or_hardly_change_do_no_harm():
    features, labels, folds = problem(120, 6, noise=0.5)
    rare = np.zeros(120)
    rare[3] = 7
    odd = np.column_stack([features, np.full(120, 3.0), rare, np.zeros(120)])
    found = held_out(odd, labels, folds).probabilities
    assert np.isfinite(found).all()
    plain = held_out(features, labels, folds).probabilities
    assert (found.argmax(axis=1) == plain.argmax(axis=1)).mean() > 0.97


def test_a_fold_may_lack_a_class():
    features, labels, folds = problem(60, 4)
    labels = np.where((labels == 2) & (folds != 1), 0, labels)
    assert np.isfinite(held_out(features, labels, folds, balanced=True).probabilities).all()


def test_what_is_no_number_is_an_error():
    features, labels, folds = problem(60, 4)
    features[5, 2] = np.inf
    with pytest.raises(TflError, match=r"1 of 60 examples.*bfloat16"):
        held_out(features, labels, folds)


@pytest.mark.parametrize("lowest", [0, 1, 5, 9])
def test_the_search_for_the_penalty_asks_at_few_places(lowest):
    asked = []

    def value(place):
        asked.append(place)
        return abs(place - lowest)

    assert linear._lowest(value, 5, 10) == lowest
    assert len(asked) <= abs(lowest - 5) + 3

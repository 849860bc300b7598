"""What to label next: uncertain groups are covered, copies wait, and learning from it is no worse than from a random choice."""

from __future__ import annotations

import numpy as np
import pytest

from tfl.advice.label_next import label_next
from tfl.errors import DataError
from tfl.probes.linear import fitted_probe


def groups(seed=0):
    """900 confident examples in one cluster, and five uncertain groups of 20 elsewhere; the number of each one's group."""
    rng = np.random.default_rng(seed)
    centres = 12 * np.eye(6, 16)
    group = np.concatenate([np.zeros(900, int), np.repeat(np.arange(1, 6), 20)])
    sure = np.where(group == 0, rng.uniform(0.98, 0.999, 1000), rng.uniform(0.4, 0.6, 1000))
    order = rng.permutation(1000)
    return (rng.normal(size=(1000, 16)) + centres[group])[order], np.stack([sure, 1 - sure], axis=1)[order], group[order]


@pytest.mark.parametrize("seed", range(5))
def test_picks_cover_the_uncertain_groups(seed):
    features, probabilities, group = groups(seed)
    picked = group[label_next(features, probabilities, count=10, seed=seed)]
    assert set(picked) >= {1, 2, 3, 4, 5} and (picked == 0).sum() <= 2


def test_the_distances_are_those_of_the_whole_gradients():
    """The choice is that of k-means++ on the matrix that is never made."""
    rng = np.random.default_rng(1)
    features, probabilities = rng.normal(size=(50, 4)), rng.dirichlet(np.ones(3), 50)
    scaled = (features - features.mean(axis=0)) / features.std(axis=0)
    whole = (probabilities - np.eye(3)[probabilities.argmax(axis=1)])[:, :, None] * scaled[:, None]
    whole = whole.reshape(50, -1)
    draws, expected = np.random.default_rng(5), [int(np.square(whole).sum(axis=1).argmax())]
    nearest = np.square(whole).sum(axis=1)
    while len(expected) < 12:
        nearest = np.minimum(nearest, np.square(whole - whole[expected[-1]]).sum(axis=1))
        edges = np.cumsum(nearest)
        expected.append(int(np.searchsorted(edges, draws.random() * edges[-1], side="right")))
    assert label_next(features, probabilities, count=12, seed=5).tolist() == expected


def test_the_same_seed_picks_the_same_and_fewer_are_the_beginning_of_more():
    features, probabilities, _ = groups()
    twenty = label_next(features, probabilities, count=20, seed=3)
    np.testing.assert_array_equal(label_next(features, probabilities, count=20, seed=3), twenty)
    np.testing.assert_array_equal(label_next(features, probabilities, count=7, seed=3), twenty[:7])
    assert label_next(features, probabilities, count=20, seed=4).tolist() != twenty.tolist()


@pytest.mark.parametrize("sure", [False, True])
def test_copies_come_last_and_nothing_comes_twice(sure):
    rng = np.random.default_rng(0)
    features, probabilities = 100 * rng.normal(size=(30, 40)) + 1000, rng.dirichlet(np.ones(4), 30)
    if sure:  # no gradient at all: features alone
        probabilities = np.eye(4)[probabilities.argmax(axis=1)]
    thrice = np.arange(90) % 30
    order = label_next(features[thrice], probabilities[thrice], count=90)
    assert sorted(order) == list(range(90))
    assert sorted(thrice[order[:30]]) == list(range(30))


def test_constant_features_and_half_precision_do_no_harm():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), 12)
    assert sorted(label_next(np.ones((12, 5)), probabilities, count=12)) == list(range(12))
    halves = rng.normal(size=(12, 5)).astype(np.float16)
    assert len(set(label_next(halves, probabilities.astype(np.float16), count=6))) == 6


def test_nothing_may_be_asked_for_but_not_more_than_there_is():
    features, probabilities = np.eye(4), np.full((4, 2), 0.5)
    assert label_next(features, probabilities, count=0).tolist() == []
    for count in (5, -1):
        with pytest.raises(DataError, match="from 0 to 4"):
            label_next(features, probabilities, count=count)


def test_what_does_not_fit_is_an_error():
    with pytest.raises(DataError, match=r"\(4, 4\) and \(3, 2\)"):
        label_next(np.eye(4), np.full((3, 2), 0.5), count=1)
    with pytest.raises(DataError, match=r"Some probabilities are not finite.*1 of 4"):
        label_next(np.eye(4), np.array([[0.5, 0.5]] * 3 + [[np.nan, 1]]), count=1)


def pool(seed):
    """Four classes of two groups each, of which the second groups are rare."""
    rng = np.random.default_rng(seed)
    centres = 2.2 * rng.normal(size=(8, 20)) / np.sqrt(2)
    group = rng.choice(8, 1500, p=[0.22] * 4 + [0.03] * 4)
    return centres[group] + rng.normal(size=(1500, 20)), group % 4


def test_a_large_pool_takes_seconds():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(20_000, 64)).astype(np.float32)
    assert len(set(label_next(features, rng.dirichlet(np.ones(10), 20_000), count=50))) == 50


@pytest.mark.slow
def test_a_probe_learns_no_less_than_from_a_random_choice():
    gains = []
    for seed in range(12):
        features, labels = pool(seed)
        rng = np.random.default_rng(seed)
        start = np.concatenate([rng.choice(np.flatnonzero(labels[:1000] == label), 5, replace=False) for label in range(4)])
        rest = np.setdiff1d(np.arange(1000), start)
        probe = fitted_probe(features[start], labels[start], 0.25)
        chosen = label_next(features[rest], probe.predict_proba(features[rest]), count=40, seed=seed)
        scores = []
        for more in (rest[chosen], rng.choice(rest, 40, replace=False)):
            rows = np.concatenate([start, more])
            scores.append((fitted_probe(features[rows], labels[rows], 0.25).predict(features[1000:]) == labels[1000:]).mean())
        gains.append(scores[0] - scores[1])
    assert np.mean(gains) > -0.01

"""Verification against what is known: normal similarities in closed form, thresholds counted by hand, pairs of one unit never."""

import numpy as np
import pytest
from scipy.stats import norm

from tfl.embeddings import verification as module
from tfl.embeddings.verification import _Pairs, verification
from tfl.errors import DataError


def pairs_of(genuine, impostor):
    """Pairs with these similarities, of items that nobody asks for."""
    count = len(genuine) + len(impostor)
    kind = np.r_[np.ones(len(genuine), np.int8), np.zeros(len(impostor), np.int8)]
    return _Pairs(np.arange(count), np.arange(count) + count, np.r_[genuine, impostor].astype(np.float32), kind)


def test_the_equal_error_of_two_normal_distributions():
    """Genuine N(1, 0.2²) and impostor N(0, 0.3²): the rates are equal where (1 - t) / 0.2 = t / 0.3, at t = 0.6, with Φ(-2)."""
    shares = (np.arange(20_000) + 0.5) / 20_000
    rate, threshold = pairs_of(norm.ppf(shares, 1, 0.2), norm.ppf(shares, 0, 0.3)).equal_error()
    assert threshold == pytest.approx(0.6, abs=1e-3) and rate == pytest.approx(norm.cdf(-2), abs=1e-4)


def test_the_threshold_for_a_false_accept_rate():
    shares = (np.arange(20_000) + 0.5) / 20_000
    found = pairs_of([0.99], norm.ppf(shares, 0, 0.3)).threshold_for(0.01)
    assert found == pytest.approx(norm.ppf(0.99, 0, 0.3), abs=1e-3)
    by_hand = pairs_of([0.9, 0.5], [0.1, 0.2, 0.3, 0.4])
    assert 0.3 < by_hand.threshold_for(0.25) <= 0.4 and 0.4 < by_hand.threshold_for(0.2) <= 0.5


@pytest.mark.parametrize("target", [0.01, 0.1, 0.3])
def test_no_more_are_accepted_than_asked_for_and_no_lower_threshold_would_do(target):
    rng = np.random.default_rng(0)
    impostor = rng.normal(0, 1, 1000).round(2)
    found = pairs_of([3.0], impostor)
    threshold = found.threshold_for(target)
    assert (impostor >= threshold).mean() <= target
    below = impostor[impostor < threshold].max()
    assert (impostor >= below).mean() > target


def clustered(labels=12, each=8, spread=0.6, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(labels, 16))
    names = np.repeat(np.arange(labels), each)
    return centres[names] + spread * rng.normal(size=(labels * each, 16)), [f"person {name}" for name in names]


@pytest.mark.parametrize("held_out", ["labels", "items"])
def test_the_held_out_rates_are_what_new_examples_get(held_out):
    vectors, labels = clustered()
    found = verification(vectors, labels, [str(at) for at in range(len(labels))], target=0.05, held_out=held_out)
    new, names = clustered(labels=60, seed=1)
    truth = module._Pairs.of(new.astype(np.float32), np.unique(names, return_inverse=True)[1], np.arange(len(names)))
    accepted = (truth.of_kind(0) >= found.at_false_accept.value).mean()
    assert found.at_false_accept.false_accept_rate == pytest.approx(accepted, abs=0.05)
    low, high = found.at_false_accept.false_accept_interval
    assert low <= found.at_false_accept.false_accept_rate <= high
    low, high = found.equal_error_interval
    assert low <= found.equal_error_rate <= high and found.held_out == held_out


def test_a_threshold_is_not_judged_by_those_that_chose_it():
    """Noise: chosen and judged on the same pairs, a target of 0.01 would be met exactly."""
    rng = np.random.default_rng(3)
    vectors, labels = rng.normal(size=(24, 3)), [f"{at % 4}" for at in range(24)]
    found = verification(vectors, labels, [str(at) for at in range(24)], target=0.02, held_out="items")
    assert found.at_false_accept.false_accept_rate > 0.02


def test_two_of_one_unit_are_never_a_pair():
    vectors, labels = clustered(labels=4, each=6)
    alone = verification(vectors, labels, [str(at) for at in range(24)], target=0.2)
    twice, doubled = np.r_[vectors, vectors], labels * 2
    units = [str(at % 24) for at in range(48)]
    found = verification(twice, doubled, units, target=0.2)
    assert (found.genuine, found.impostor, found.units) == (4 * alone.genuine, 4 * alone.impostor, 24)
    assert found.equal_error_rate == pytest.approx(alone.equal_error_rate)
    wider = np.diff(alone.equal_error_interval)[0]
    assert np.diff(found.equal_error_interval)[0] == pytest.approx(wider, rel=0.35)  # copies make nothing surer


def test_labels_that_are_far_apart_are_never_wrong_and_the_interval_says_how_sure_that_is():
    vectors = np.repeat(np.eye(4), 6, axis=0) + np.random.default_rng(0).normal(0, 0.01, (24, 4))
    found = verification(vectors, list("aaaaaabbbbbbccccccdddddd"), [str(at) for at in range(24)], target=0.1)
    assert found.equal_error_rate == 0 and found.at_false_accept.false_reject_rate == 0
    assert found.at_false_accept.false_reject_interval[1] > 0.05
    assert verification(vectors, list("aaaaaabbbbbbccccccdddddd"), [str(at) for at in range(24)], target=0.1) == found


@pytest.mark.parametrize(
    ("labels", "units", "target", "message"),
    [
        ("aaaaaaaa", "12345678", 0.1, "pairs of the same label and pairs of two labels"),
        ("abcdefgh", "12345678", 0.1, "pairs of the same label"),
        ("aaaabbbb", "11112222", 0.1, "pairs of the same label"),
        ("aaaabbbb", "12345678", 0.01, "at least 100"),
        ("aaaabbbb", "12345678", 1.0, "out of range"),
    ],
)
def test_too_few_are_told(labels, units, target, message):
    with pytest.raises(DataError, match=message):
        verification(np.random.default_rng(0).normal(size=(8, 4)), list(labels), list(units), target=target)

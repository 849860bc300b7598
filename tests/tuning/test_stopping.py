"""The median rule."""

import pytest

from tfl.tuning.stopping import LEAST_TRIALS, is_poor


def test_worse_than_the_median_of_running_averages_is_poor():
    others = [[0.4, 0.6], [0.5, 0.7], [0.6, 0.8]]  # averages after two epochs: 0.5, 0.6, 0.7
    assert is_poor([0.3, 0.59], others, epochs=3, higher_is_better=True)
    assert not is_poor([0.3, 0.6], others, epochs=3, higher_is_better=True)


def test_a_loss_is_poor_when_it_is_higher():
    others = [[1.0], [2.0], [3.0]]
    assert is_poor([2.1], others, epochs=3, higher_is_better=False)
    assert not is_poor([1.9], others, epochs=3, higher_is_better=False)


def test_the_best_epoch_so_far_counts():
    assert not is_poor([0.9, 0.1], [[0.5, 0.5]] * 3, epochs=3, higher_is_better=True)


@pytest.mark.parametrize("count", range(LEAST_TRIALS))
def test_nothing_is_poor_beside_too_few(count):
    assert not is_poor([0.0], [[1.0]] * count, epochs=3, higher_is_better=True)


def test_a_trial_with_fewer_epochs_counts_with_those_it_has():
    assert is_poor([0.1, 0.2, 0.3], [[0.9], [0.9], [0.9]], epochs=3, higher_is_better=True)


def test_a_trial_has_a_third_of_its_epochs_before_it_is_poor():
    others = [[0.9] * 6] * 3
    assert not is_poor([0.1], others, epochs=6, higher_is_better=True)
    assert is_poor([0.1, 0.2], others, epochs=6, higher_is_better=True)
    assert is_poor([0.1], others, epochs=1, higher_is_better=True)

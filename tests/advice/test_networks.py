"""Networks compared by linear probes: the first stays unless another is shown to be better."""

import pytest

import tfl
from tfl.advice.networks import compare_networks

pytestmark = pytest.mark.slow
TRAINED, RANDOM = tfl.Backbone("mini"), tfl.Backbone("mini", weights=None)


def recipe(labels=None, per_class=30):
    data = tfl.Sample("digits", image_size=(32, 32), per_class=per_class, labels=labels)
    return tfl.Recipe(name="digits", data=data, backbone=TRAINED, stages=tfl.Auto())


def test_a_network_that_is_shown_to_be_better_is_taken():
    backbone, rows = compare_networks(recipe(), [RANDOM, TRAINED], minutes=5)
    assert backbone == TRAINED and [row.chosen for row in rows] == [False, True]
    assert rows[1].p <= 0.01 and rows[1].gain == pytest.approx(rows[1].value - rows[0].value)


def test_without_time_only_the_first_is_measured():
    backbone, rows = compare_networks(recipe(("3", "8"), 12), [RANDOM, TRAINED], minutes=0)
    assert backbone == RANDOM and rows[0].chosen and rows[0].value is not None
    assert rows[1].value is None and "no time was left" in rows[1].skipped

"""Costs are differences on the same images, with an interval that resamples what belongs together."""

from __future__ import annotations

import numpy as np

from tfl.audit.cost import cost_of, leak_cost


def test_the_difference_and_its_interval():
    before = np.arange(200) % 2 == 0
    after = before | (np.arange(200) % 10 == 1)
    cost = cost_of("accuracy", before, after, np.arange(200), seed=0)
    assert (cost.as_it_is, cost.without, cost.count) == (0.5, 0.6, 200)
    low, high = cost.interval
    assert 0.04 < low < 0.1 < high < 0.16
    assert "50.0% as it is, 60.0% without them (+10.0 points" in str(cost)


def test_units_widen_it():
    before, after = np.zeros(200, bool), np.arange(200) < 20
    alone = cost_of("accuracy", before, after, np.arange(200), seed=0).interval
    tied = cost_of("accuracy", before, after, np.arange(200) // 20, seed=0).interval
    assert tied[1] - tied[0] > 2 * (alone[1] - alone[0])


def test_a_leak_that_teaches_the_test_costs():
    """The labels are noise: whoever is right on the test has seen it."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(120, 200))
    labels = rng.integers(0, 2, 120)
    features[:40], labels[:40] = features[80:], labels[80:]
    splits = np.array(["train"] * 80 + ["test"] * 40)
    copies = np.arange(120) < 40
    cost = leak_cost(features, labels, splits, copies, np.arange(120), strength=1.0, seed=0)
    assert cost.as_it_is > 0.9 and cost.without < 0.7 and cost.interval[1] < 0 and cost.count == 40


def test_nothing_to_measure():
    features, labels = np.random.default_rng(0).normal(size=(6, 2)), np.array([0, 1, 0, 1, 0, 1])
    units = np.arange(6)
    train = np.array(["train"] * 6)
    assert leak_cost(features, labels, train, units < 2, units, strength=1.0, seed=0) is None
    splits = np.array(["train"] * 4 + ["test"] * 2)
    assert leak_cost(features, labels, splits, units < 0, units, strength=1.0, seed=0) is None
    assert leak_cost(features, labels, splits, units < 3, units, strength=1.0, seed=0) is None

"""What a stage trains on: weights of classes and derived seeds."""

import numpy as np

from tfl.data.bundle import balanced_class_weights, derived_seed


def test_balanced_weights_let_every_class_count_the_same():
    labels = np.array([0] * 30 + [1] * 10 + [2] * 20)
    weights = balanced_class_weights(labels, class_count=3)
    assert np.allclose(np.bincount(labels) * weights, 20.0)


def test_derived_seeds_differ_and_repeat():
    seeds = {derived_seed(0, stage, epoch) for stage in ("head", "finetune") for epoch in range(100)}
    assert len(seeds) == 200

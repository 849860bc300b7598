"""FixMatch: the loss against its formula, and which images without labels a step takes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

import tfl
from tests.train.test_pretrain import pool
from tfl.tasks.base import task_of
from tfl.train.pseudo_labels import FixMatch, PseudoLabelBatches

RNG = np.random.default_rng(0)


def cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(1, keepdims=True)
    return -(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))[np.arange(len(labels)), labels]


def test_the_mean_over_the_rows_is_the_loss_of_the_paper() -> None:
    settings = tfl.PseudoLabels(weight=0.7, threshold=0.8, ratio=2)
    labels, logits = np.array([0, 2, 1]), (4 * RNG.normal(size=(15, 3))).astype(np.float32)
    targets = np.zeros((15, 3), np.float32)
    targets[np.arange(3), labels] = 1
    weak, strong = logits[3:9], logits[9:]
    probabilities = np.exp(weak) / np.exp(weak).sum(1, keepdims=True)
    sure = probabilities.max(1) >= 0.8
    assert 0 < sure.sum() < 6
    expected = cross_entropy(logits[:3], labels).mean() + 0.7 * (sure * cross_entropy(strong, weak.argmax(1))).mean()
    task = FixMatch.around(task_of("classify"), settings)
    given = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(given)
        loss = tf.reduce_mean(task.loss(tf.constant(targets), given))
    assert float(loss) == pytest.approx(expected, rel=1e-5)
    gradient = tape.gradient(loss, given).numpy()
    assert not gradient[3:9].any() and gradient[9:][sure].any(axis=1).all() and not gradient[9:][~sure].any()
    score = task.step_score(tf.constant(targets), given).numpy().mean()
    assert score == pytest.approx((logits[:3].argmax(1) == labels).mean())
    assert task.step_metric == "accuracy" and FixMatch.around(task_of("classify"), None) is task_of("classify")


@pytest.mark.slow
def test_a_step_takes_so_many_images_for_each_labelled_one_and_all_of_them_in_turn() -> None:
    stage = tfl.Stage("all", train="all", batch_size=4, augment=tfl.Augment(crop=0.9), pseudo_labels=tfl.PseudoLabels(ratio=3))
    batches = PseudoLabelBatches(pool(6), stage, pool(10))
    shapes = [(images.shape[0], int(targets.sum())) for images, targets in batches.train(1).dataset.as_numpy_iterator()]
    assert shapes == [(28, 4), (14, 2)]
    drawn = np.concatenate([batches.drawn(epoch) for epoch in range(1, 6)])
    assert len(drawn) == 90 and np.bincount(drawn).tolist() == [9] * 10
    assert np.array_equal(batches.drawn(4), PseudoLabelBatches(pool(6), stage, pool(10)).drawn(4))

"""Several labels: the loss of Keras, weights, missing labels, strata that a split can use."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfl.data.examples import Examples
from tfl.data.split import split
from tfl.errors import DataError
from tfl.tasks.base import task_of

TASK = task_of("multilabel")


def _case(count=40, labels=3, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, labels)).astype(np.float32)
    return logits, (rng.random((count, labels)) < 0.4).astype(np.float32)


def _examples(targets):
    names = tuple(f"label{column}" for column in range(targets.shape[1]))
    contents = np.array([f"text {row}".encode() for row in range(len(targets))])
    return Examples(class_names=names, targets=targets, contents=contents)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_that_of_keras(smoothing):
    logits, targets = _case()
    expected = keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=smoothing, reduction="none")(targets, logits)
    np.testing.assert_allclose(TASK.loss(targets, tf.constant(logits), label_smoothing=smoothing), expected, rtol=1e-5)


def test_the_loss_stays_finite_where_probabilities_saturate():
    logits, targets = tf.constant([[200.0, -200.0]]), np.array([[0.0, 1.0]], np.float32)
    assert float(TASK.loss(targets, logits)[0]) == pytest.approx(200.0)


def test_missing_labels_have_no_loss_and_no_gradient():
    logits, targets = tf.Variable([[1.0, 2.0], [1.0, 2.0]]), np.array([[1.0, np.nan], [np.nan, np.nan]], np.float32)
    with tf.GradientTape() as tape:
        losses = TASK.loss(targets, logits)
    assert losses.numpy().tolist() == [pytest.approx(np.log1p(np.exp(-1.0))), 0.0]
    gradients = tape.gradient(losses, logits).numpy()
    assert np.isfinite(gradients).all() and gradients[0, 0] < 0 and gradients[0, 1] == 0 and not gradients[1].any()
    assert TASK.step_score(targets, logits).numpy().tolist() == [1.0, 0.0]


def test_balanced_weights_let_positives_and_negatives_count_the_same():
    _, targets = _case(count=200)
    weights = TASK.balanced_weights(targets)
    positive = targets.sum(axis=0) * weights
    np.testing.assert_allclose(positive, (1 - targets).sum(axis=0))
    logits = tf.zeros_like(targets)
    plain, weighted = (TASK.loss(targets, logits, weights=w).numpy() for w in (None, tf.constant(weights, tf.float32)))
    shares = (targets * (weights - 1)).mean(axis=1)
    np.testing.assert_allclose(weighted, plain * (1 + shares), rtol=1e-5)


def test_ones_as_weights_change_nothing():
    logits, targets = _case()
    np.testing.assert_array_equal(TASK.loss(targets, logits), TASK.loss(targets, logits, weights=tf.ones(3)))


def test_a_label_that_never_varies_is_refused_by_name():
    targets = np.array([[1, 0, 1], [1, 1, 0], [1, 0, np.nan]], np.float32)
    with pytest.raises(DataError, match="label0"):
        TASK.fitted(targets, ("label0", "label1", "label2"))
    assert TASK.fitted(targets[:, 1:], ("b", "c")) is TASK


def test_the_output_layer_makes_probabilities():
    (layer,) = TASK.output_layers()
    assert layer.name == "probabilities"
    np.testing.assert_allclose(layer(np.array([[0.0, 100.0]], np.float32)), [[0.5, 1.0]])


def test_validation_metrics_are_those_of_the_evaluation_at_one_half():
    logits, targets = _case(count=300)
    targets[::7, 0] = np.nan
    found = TASK.validate(logits, targets)
    probabilities = 1 / (1 + np.exp(-logits.astype(np.float64)))
    document = TASK.evaluate(probabilities, targets, ["a", "b", "c"])
    for name in ("macro_f1", "micro_f1", "mean_average_precision", "accuracy", "loss"):
        assert found[f"val_{name}"] == pytest.approx(document[name], rel=1e-6)
    assert set(found) == set(TASK.metrics)


def test_a_split_by_strata_keeps_common_combinations_and_rare_labels():
    rng = np.random.default_rng(1)
    targets = (rng.random((400, 4)) < [0.5, 0.3, 0.1, 0.02]).astype(np.float32)
    examples = _examples(targets)
    strata = TASK.strata(examples)
    assert np.bincount(strata).min() >= 3
    parts = split(examples, validation=0.2, test=0.2, seed=0, strata=strata)
    for part in (parts.train, parts.val, parts.test):
        assert targets[part].sum(axis=0).min() >= 1
        np.testing.assert_allclose(targets[part].mean(axis=0)[:3], targets.mean(axis=0)[:3], atol=0.03)


def test_strata_of_a_handful_of_examples_are_one_group():
    assert TASK.strata(_examples(np.array([[1, 0], [0, 1], [1, 1]], np.float32))).tolist() == [0, 0, 0]

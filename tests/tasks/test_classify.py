"""Classes: the loss of Keras, weights by class, sets that hold the right class."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.utils.class_weight import compute_class_weight

import tfl
from tfl.tasks.base import task_of

TASK = task_of("classify")


def _case(count=60, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    return (rng.normal(size=(count, 3)) + 2 * np.eye(3)[labels]).astype(np.float32), np.eye(3, dtype=np.float32)[labels]


def test_the_loss_is_that_of_keras():
    logits, targets = _case()
    expected = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1, reduction="none")(targets, logits)
    np.testing.assert_allclose(TASK.loss(targets, logits, label_smoothing=0.1), expected, rtol=1e-5)


def test_weights_are_those_of_the_class_and_in_between_for_a_mixture():
    logits, targets = tf.zeros((2, 3)), tf.constant([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    plain, weighted = (TASK.loss(targets, logits, weights=w).numpy() for w in (None, tf.constant([2.0, 4.0, 1.0])))
    np.testing.assert_allclose(weighted / plain, [2.0, 3.0])
    _, targets = _case()
    labels = targets.argmax(-1)
    np.testing.assert_allclose(
        TASK.balanced_weights(targets), compute_class_weight("balanced", classes=np.arange(3), y=labels), rtol=1e-12
    )


def test_the_graph_answers_as_numpy_does_and_sets_hold_what_was_promised():
    fitted = TASK.fit_confidence(tfl.Calibration(coverage=0.9), *_case(1000))
    logits, targets = _case(2000, 1)
    assert TASK.measure_confidence(fitted.values, logits, targets)["sets"]["coverage"] == pytest.approx(0.9, abs=0.03)
    inputs = keras.Input((3,))
    found = keras.Model(inputs, TASK.answer_tensors(fitted.values, inputs)).predict(logits, verbose=0)
    expected = TASK.answer(fitted.values, logits)
    np.testing.assert_allclose(found["calibrated_probabilities"], expected["calibrated_probabilities"], atol=1e-6)
    assert (found["prediction_set"] == expected["prediction_set"]).mean() > 0.999
    assert set(found) == set(TASK.answers)

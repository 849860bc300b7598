"""Several targets: each by its own task, missing ones without a part in anything, the losses weighted."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

import tfl
from tfl.data.examples import Examples
from tfl.errors import DataError, RecipeError
from tfl.tasks.base import task_of
from tfl.tasks.heads import Heads, refuse_several_targets

KINDS = {"disease": "class", "signs": "labels", "length": "number"}
NAMES = ("disease=rot", "disease=rust", "disease=well", "signs=dew", "signs=holes", "length")
TASK = Heads.of(KINDS, NAMES)


def _case(count=60, missing=0.3, seed=0):
    rng = np.random.default_rng(seed)
    targets = np.concatenate(
        [np.eye(3)[rng.integers(0, 3, count)], rng.integers(0, 2, (count, 2)), rng.normal(50, 9, (count, 1))], axis=1
    ).astype(np.float32)
    for part in TASK:
        targets[rng.random(count) < missing, part.start : part.stop] = np.nan
    return rng.normal(size=(count, 6)).astype(np.float32), targets


def _alone(logits, targets, part):
    """The loss of the examples that have a target, by its own task."""
    known = part.known(targets)
    own = part.task.fitted(part.of(targets)[known], part.names)
    return np.asarray(own.loss(tf.constant(part.of(targets)[known]), tf.constant(part.of(logits)[known]))), known


def test_the_loss_is_the_weighted_sum_of_the_losses_of_known_targets():
    logits, targets = _case()
    task = Heads.of(KINDS, NAMES, loss_weights={"signs": 3.0}).fitted(targets)
    expected = np.zeros(len(targets))
    for part, weight in zip(TASK, (1.0, 3.0, 1.0), strict=True):
        losses, known = _alone(logits, targets, part)
        expected[known] += weight * losses
    np.testing.assert_allclose(task.loss(tf.constant(targets), tf.constant(logits)), expected, rtol=1e-4, atol=1e-6)


def test_a_missing_target_gives_no_gradient():
    logits, targets = _case(missing=0.5)
    given = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(TASK.fitted(targets).loss(tf.constant(targets), given))
    found = tape.gradient(loss, given).numpy()
    for part in TASK:
        known = part.known(targets)
        assert np.isfinite(found).all() and not part.of(found)[~known].any() and part.of(found)[known].any(axis=1).all()


def test_uncertainty_is_the_formula_of_kendall_gal_and_cipolla():
    logits, targets = _case()
    scales = np.array([0.7, -0.4, 1.5], np.float32)
    learnt = Heads.of(KINDS, NAMES, loss_weights="uncertainty").fitted(targets)
    task = dataclasses.replace(learnt, log_variances=tf.Variable(scales))
    expected = np.zeros(len(targets))
    for part, scale in zip(TASK, scales, strict=True):
        losses, known = _alone(logits, targets, part)
        expected[known] += np.exp(-scale) * losses + scale / 2
    np.testing.assert_allclose(task.loss(tf.constant(targets), tf.constant(logits)), expected, rtol=1e-4, atol=1e-6)
    assert task.learnt_weights()["signs"] == pytest.approx(float(np.exp(0.4)))


def test_the_metrics_of_each_target_are_those_of_its_task_on_the_examples_that_have_it():
    logits, targets = _case()
    task = Heads.of(KINDS, NAMES, loss_weights={"disease": 2.0}).fitted(targets)
    found, total = task.validate(logits, targets), 0.0
    outputs = np.asarray(task.outputs_of(tf.constant(logits)))
    judged = task.evaluate(outputs, targets, NAMES)
    for part, weight in zip(task, (2.0, 1.0, 1.0), strict=True):
        known = part.known(targets)
        own = part.task.validate(part.of(logits)[known], part.of(targets)[known])
        total += weight * own["val_loss"]
        assert {name: found[f"val_{part.target}_{name[4:]}"] for name in own} == own
        assert judged["targets"][part.target]["count"] == known.sum()
        assert judged["targets"][part.target][f"{part.task.figures[0]}_interval"] is not None
    assert found["val_loss"] == pytest.approx(total)
    assert set(task.metrics) == set(found)
    with pytest.raises(DataError, match="`signs` cannot be judged"):
        task.evaluate(outputs[:2], np.where(np.arange(6) // 3 == 1, np.nan, targets[:2]), NAMES)


def test_what_is_fitted_of_each_target_is_what_its_task_fits():
    logits, targets = _case(200)
    task = TASK.fitted(targets)
    found = task.fit_confidence(tfl.Calibration(), logits, targets)
    assert set(found.values) == set(task.fits)
    answer = task.answer(found.values, logits)
    assert set(answer) == set(task.answers) and answer["disease_prediction_set"].shape == (200, 3)
    known = task.parts[0].known(targets)
    alone = task_of("classify").fit_confidence(tfl.Calibration(), logits[known, :3], targets[known, :3])
    assert found.values["disease.temperature"] == alone.values["temperature"]
    measured = task.measure_confidence(found.values, logits, targets)
    assert set(measured) == set(found.figures)


def test_a_class_that_no_training_example_has_is_refused():
    _, targets = _case()
    targets[:, 1] = np.where(np.isnan(targets[:, 1]), np.nan, 0.0)
    with pytest.raises(DataError, match=r"classes of the target `disease` have no training example. Received: rust"):
        TASK.fitted(targets)
    targets[:, 3:5] = np.nan
    targets[:, 1] = targets[:, 0]
    with pytest.raises(DataError, match="target `signs`: no training example has it"):
        TASK.fitted(targets)


def test_strata_keep_classes_and_missing_targets_alike():
    _, targets = _case(600)
    contents = np.array([b"%d" % row for row in range(600)], object)
    found = TASK.strata(Examples(class_names=NAMES, targets=targets, contents=contents, heads=KINDS))
    assert len(set(found.tolist())) > 6
    sizes = np.bincount(found)
    of_one_class = [len(np.unique(np.isnan(targets[found == group, 0]))) == 1 for group in np.flatnonzero(sizes >= 10)]
    assert np.mean(of_one_class) > 0.5


def test_what_takes_one_target_says_which_to_ask_for():
    data = tfl.Data("plants.csv", targets={"species": "class", "height": "number"})
    recipe = tfl.Recipe(name="plants", data=data, backbone=tfl.Backbone("mini"))
    with pytest.raises(RecipeError, match=r"A search takes one target.*label_column='species' and task='classify'"):
        refuse_several_targets(recipe, "A search")

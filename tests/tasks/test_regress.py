"""Numbers: learnt in deviations, given in their own units, missing ones left out."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn import metrics

import tfl
from tfl.data.examples import Examples
from tfl.data.split import split
from tfl.errors import DataError, RecipeError
from tfl.tasks.base import task_of

TASK = task_of("regress")


def _case(count=200, width=2, seed=0):
    rng = np.random.default_rng(seed)
    targets = (rng.normal(size=(count, width)) * [3.0, 500.0][:width] + [40.0, 9000.0][:width]).astype(np.float32)
    return rng.normal(size=(count, width)).astype(np.float32), targets


def _examples(targets):
    names = tuple(f"number{column}" for column in range(targets.shape[1]))
    return Examples(class_names=names, targets=targets, contents=np.array([b"%d" % row for row in range(len(targets))]))


def test_the_loss_is_that_of_keras_on_standardised_targets():
    logits, targets = _case()
    task = TASK.fitted(targets)
    scaled = (targets - targets.mean(axis=0)) / targets.std(axis=0)
    expected = keras.losses.Huber(delta=1.0, reduction="none")(scaled, 3 * logits)
    np.testing.assert_allclose(task.loss(targets, 3 * logits), expected, rtol=1e-4)
    np.testing.assert_allclose(task.step_score(targets, logits), np.abs(scaled - logits).mean(axis=1), rtol=1e-4)


@pytest.mark.parametrize("width", [1, 2])
def test_the_network_gives_numbers_in_their_own_units(width, tmp_path):
    logits, targets = _case(width=width)
    task = TASK.fitted(targets)
    inputs = keras.Input((width,))
    (layer,) = task.output_layers()
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "numbers.keras")
    found = keras.models.load_model(tmp_path / "numbers.keras").predict(logits, verbose=0)
    np.testing.assert_allclose(found, logits * targets.std(axis=0) + targets.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found, task.values_of(logits), rtol=1e-5)
    assert layer.name == "values"


def test_missing_numbers_have_no_loss_and_no_gradient():
    _, targets = _case()
    task, logits = TASK.fitted(targets), tf.Variable([[5.0, 5.0], [5.0, 5.0]])
    some = targets[:2].copy()
    some[0, 1] = some[1, 0] = some[1, 1] = np.nan
    with tf.GradientTape() as tape:
        losses = task.loss(some, logits)
    gradients = tape.gradient(losses, logits).numpy()
    assert losses[1] == 0 and gradients[0].tolist() == [1.0, 0.0] and not gradients[1].any()


def test_validation_metrics_are_those_of_scikit_learn():
    logits, targets = _case(width=1)
    task = TASK.fitted(targets)
    values = task.values_of(logits)
    found = task.validate(logits, targets)
    assert set(found) == set(task.metrics)
    assert found["val_mae"] == pytest.approx(metrics.mean_absolute_error(targets, values))
    assert found["val_rmse"] == pytest.approx(metrics.root_mean_squared_error(targets, values))
    assert found["val_r2"] == pytest.approx(metrics.r2_score(targets, values))
    assert found["val_loss"] == pytest.approx(float(np.mean(task.loss(targets, logits))), rel=1e-5)


def test_several_numbers_are_averaged_in_deviations():
    logits, targets = _case()
    found = TASK.fitted(targets).validate(logits, targets)
    scaled = (targets.astype(np.float64) - targets.mean(axis=0)) / targets.std(axis=0)
    assert found["val_mae"] == pytest.approx(np.abs(scaled - logits).mean(), rel=1e-4)
    document = TASK.fitted(targets).evaluate(TASK.fitted(targets).values_of(logits), targets, ["a", "b"])
    assert document["unit"] == "deviations" and document["mae"] == pytest.approx(found["val_mae"])


@pytest.mark.parametrize("column", [np.full(5, 7.3), np.array([1.0, *[np.nan] * 4])])
def test_a_constant_is_refused_by_name(column):
    with pytest.raises(DataError, match="height"):
        TASK.fitted(np.stack([np.arange(5.0), column], axis=1), ("age", "height"))


def test_an_infinite_target_is_refused():
    with pytest.raises(DataError, match="infinite"):
        TASK.fitted(np.array([[1.0], [np.inf]]), ("age",))


def test_a_split_by_strata_keeps_the_distribution():
    _, targets = _case(count=300, width=1)
    examples = _examples(targets)
    parts = split(examples, validation=0.2, test=0.2, seed=0, strata=TASK.strata(examples))
    for part in (parts.train, parts.val, parts.test):
        assert abs(np.median(targets[part, 0]) - np.median(targets[:, 0])) < 0.5


@pytest.mark.parametrize("targets", [np.zeros((50, 1)), np.repeat([[0.0], [1.0]], [49, 1], axis=0), np.full((30, 2), np.nan)])
def test_strata_of_degenerate_numbers(targets):
    strata = TASK.strata(_examples(targets))
    assert len(strata) == len(targets) and strata.min() == 0


def test_a_recipe_for_numbers_takes_no_settings_about_classes():
    data, backbone = tfl.Data("faces.csv"), tfl.Backbone("mini")
    assert tfl.Recipe(name="age", data=data, backbone=backbone, task="regress").monitor.metric == "val_mae"
    with pytest.raises(RecipeError, match="class_weight"):
        tfl.Recipe(name="age", data=data, backbone=backbone, task="regress", class_weight="balanced")

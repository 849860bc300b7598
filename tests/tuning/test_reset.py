"""A network that trials share is, for each of them, as if it had just been built."""

import dataclasses

import h5py
import keras
import numpy as np
import pytest

import tfl
from tfl.tuning.folder import SearchFolder
from tfl.tuning.trial import TrialRunner

NAMES = ("lying", "none", "standing")


@pytest.fixture
def runner(tmp_path, recipe):

    return TrialRunner(SearchFolder(tmp_path), precision="float32")


def values(assembled):
    return [np.array(variable) for variable in assembled.model.variables]


def spoil(assembled):
    """What stages may leave behind: other weights, statistics, seeds' states, momenta and layers that do not train."""
    for variable in assembled.model.variables:
        variable.assign(variable + keras.ops.ones_like(variable))
    for layer in assembled.model.layers:
        layer.trainable = False
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.5


def test_the_same_recipe_gets_it_back_as_it_was(runner, recipe):
    recipe = dataclasses.replace(recipe, head=tfl.Head(dropout=0.3))
    first = runner.network(recipe)
    before, momenta = values(first), [getattr(layer, "momentum", None) for layer in first.model.layers]
    spoil(first)
    again = runner.network(recipe)
    assert again is first
    assert [getattr(layer, "momentum", None) for layer in again.model.layers] == momenta
    assert any(not np.issubdtype(value.dtype, np.floating) for value in before)  # a dropout's seed is among them
    for value, old in zip(values(again), before, strict=True):
        np.testing.assert_array_equal(value, old)


@pytest.mark.slow
def test_another_head_seed_or_size_is_another_network(runner, recipe):
    first = runner.network(recipe)
    others = [
        dataclasses.replace(recipe, head=tfl.Head(dropout=0.4)),
        dataclasses.replace(recipe, seed=5),
        dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, image_size=(48, 48))),
    ]
    for other in others:
        assert runner.network(other) is not first
    rated = dataclasses.replace(recipe, stages=(dataclasses.replace(recipe.stages[0], learning_rate=0.5, train="top:1"),))
    assert runner.network(rated) is runner.network(recipe)


@pytest.mark.slow
def test_a_trial_after_others_is_the_trial_alone(tmp_path, runner, recipe):
    def trained(place, runner, recipe):
        runner.train(recipe, place)
        arrays = {}
        with h5py.File(place / "checkpoints" / "best-head.weights.h5") as file:
            file.visititems(lambda name, item: arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
        rows = [line.split(",") for line in (place / "history.csv").read_text().splitlines()]
        scores = [name for name in rows[0] if "loss" in name or "accuracy" in name]
        return arrays, [row[rows[0].index(name)] for row in rows[1:] for name in scores]

    tuned = dataclasses.replace(
        recipe, head=tfl.Head(dropout=0.3), stages=(tfl.Stage("head", train="top:2", epochs=1, batch_size=16, batchnorm="train"),)
    )
    runner.train(dataclasses.replace(tuned, stages=(dataclasses.replace(tuned.stages[0], train="all"),)), tmp_path / "before")
    after = trained(tmp_path / "after", runner, tuned)
    alone = trained(tmp_path / "alone", TrialRunner(SearchFolder(tmp_path), precision="float32"), tuned)
    assert after[1] == alone[1] and len(after[1]) >= 4
    assert after[0].keys() == alone[0].keys() and len(after[0]) > 20
    for name, value in after[0].items():
        np.testing.assert_array_equal(value, alone[0][name], err_msg=name)

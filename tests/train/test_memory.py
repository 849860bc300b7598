"""A batch that does not fit into memory goes through in parts, and the step is that of the whole batch."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfl
from tfl.errors import TrainingError
from tfl.runs import Run
from tfl.train import loop as loop_module
from tfl.train.loop import Loop
from tfl.train.memory import is_out_of_memory
from tfl.train.stage import train_stage


class Narrow(keras.layers.Layer):
    """Runs out of memory on more than `limit` examples while training, as a real operation would."""

    limit = 10**6

    def call(self, inputs, training=False):
        def look(count):
            if count > Narrow.limit:
                raise MemoryError(f"OOM when allocating tensor with shape[{count},7]")

        with tf.control_dependencies([tf.numpy_function(look, [tf.shape(inputs)[0]], [])] if training else []):
            return tf.identity(inputs)


@pytest.fixture
def narrow(monkeypatch):
    """Puts such a layer behind the logits of whatever trains; a call sets its limit."""
    real = loop_module.logits_model

    def with_layer(model, task):
        logits = real(model, task)
        return keras.Model(logits.inputs, Narrow()(logits.outputs[0]))

    monkeypatch.setattr(loop_module, "logits_model", with_layer)
    yield lambda limit: monkeypatch.setattr(Narrow, "limit", limit)


def steady(recipe, changed, **fields):
    """Without dropout, whose draws depend on how a batch is cut."""
    recipe = dataclasses.replace(recipe, head=tfl.Head(dropout=0.0, hidden=(8,)))
    recipe = changed(recipe, "head", epochs=2, label_smoothing=0.1, weight_decay=0.01)
    return dataclasses.replace(changed(recipe, "finetune", epochs=1), **fields)


def train(run, recipe, bundle, network, stages=None, **options):
    assembled = network(recipe)
    for stage in stages or recipe.stages:
        train_stage(run, assembled, stage, bundle, recipe=recipe, **options)
    return assembled


@pytest.mark.slow
@pytest.mark.parametrize("store", ["never"])
def test_halved_batches_lead_to_the_same_weights(tmp_path, recipe, bundle, network, changed, narrow, store):
    recipe = steady(recipe, changed, features=tfl.Features(store=store))
    weights = np.array([0.5, 1.0, 2.0])
    whole = train(Run.create(tmp_path / "whole", recipe, command=[]), recipe, bundle, network, class_weights=weights)
    narrow(5)  # of 16: in halves of 8, then in quarters of 4
    run = Run.create(tmp_path / "parts", recipe, command=[])
    parts = train(run, recipe, bundle, network, class_weights=weights)
    for mine, other in zip(parts.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=2e-3, atol=2e-5)
    assert run.manifest["memory"]["head"] == {"batch_size": 16, "parts": 4, "epoch": 1}
    state = run.state["stages"]["finetune"]
    assert state["parts"] == 4 and ["4 parts of at most 4" in notice for notice in state["notices"]].count(True) == 1


@pytest.mark.slow
def test_one_step_in_parts_is_the_step_of_the_batch():
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(13, 6)).astype("float32"), np.eye(3, dtype="float32")[rng.integers(0, 3, 13)]

    def after(parts):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((6,))
        hidden = keras.layers.Dense(5, kernel_regularizer="l2", activation="tanh")(inputs)
        model = keras.Model(inputs, keras.layers.Softmax()(keras.layers.Dense(3)(hidden)))
        loop = Loop(model, keras.optimizers.SGD(0.5), batch_size=13, parts=parts, class_weights=np.array([1.0, 2.0, 0.5]))
        sums = loop._over_batch[False](tf.constant(images), tf.constant(labels)).numpy()
        return model.get_weights(), sums

    whole, sums = after(1)
    for parts in (2, 4, 13):  # the last of 4 parts has one image, the others four
        halved, halved_sums = after(parts)
        for mine, other in zip(halved, whole, strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(halved_sums, sums, rtol=1e-5)


@pytest.mark.slow
def test_a_stage_that_runs_out_later_goes_back_to_the_last_whole_epoch(
    tmp_path, recipe, bundle, network, changed, narrow, monkeypatch
):
    recipe = steady(recipe, changed)
    (head,) = recipe.stages[:1]
    whole = train(Run.create(tmp_path / "whole", recipe, command=[]), recipe, bundle, network, [head])
    run = Run.create(tmp_path / "later", recipe, command=[])

    class Tighten(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            narrow(8)

    later = train(run, recipe, bundle, network, [head], watchers=[Tighten()])
    assert run.manifest["memory"]["head"]["epoch"] == 2 and len(run.state["stages"]["head"]["history"]) == 2
    for mine, other in zip(later.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=2e-3, atol=2e-5)


@pytest.mark.slow
def test_a_recipe_can_refuse(tmp_path, recipe, bundle, network, changed, narrow):
    narrow(5)
    recipe = steady(recipe, changed, on_out_of_memory="error")
    with pytest.raises(TrainingError, match=r"`head` does not fit into memory.*batch_size=16.*on_out_of_memory=halve"):
        train(Run.create(tmp_path / "run", recipe, command=[]), recipe, bundle, network)


@pytest.mark.slow
def test_what_does_not_fit_one_by_one_does_not_fit(tmp_path, recipe, bundle, network, changed, narrow):
    narrow(0)
    recipe = steady(recipe, changed)
    with pytest.raises(TrainingError, match=r"batch_size=16, in 16 parts"):
        train(Run.create(tmp_path / "run", recipe, command=[]), recipe, bundle, network)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"), True),
        (tf.errors.ResourceExhaustedError(None, None, "/x/y; No space left on device"), False),
        (tf.errors.ResourceExhaustedError(None, None, "/x/y; Too many open files"), False),
        (ValueError("memory"), False),
    ],
)
def test_a_full_disk_is_not_taken_for_too_little_memory(error, expected):
    assert is_out_of_memory(error) is expected

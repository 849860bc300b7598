"""A loss that is not finite: which epoch, which batch, which files, and back to the best weights."""

import numpy as np
import pytest
import tensorflow as tf

import tfl
from tfl.errors import TrainingError
from tfl.runs import Run
from tfl.train.batches import BlockEpoch, FeatureBatches, MemoryEpoch, StreamEpoch, epoch_order
from tfl.train.loop import NEVER, Loop
from tfl.train.stage import train_stage


def make_model():
    import keras

    inputs = keras.Input((4,))
    return keras.Model(inputs, keras.layers.Softmax()(keras.layers.Dense(2)(inputs)))


@pytest.mark.parametrize("kind", ["memory", "stream", "blocks"])
def test_the_first_step_that_is_not_finite_is_named(kind):
    import keras

    features, labels = np.ones((40, 4), "float32"), np.eye(2, dtype="float32")[np.arange(40) % 2]
    features[23] = np.nan
    dataset = tf.data.Dataset.from_tensor_slices((features, labels))
    epoch = {
        "memory": MemoryEpoch(tf.constant(features), tf.constant(labels), np.arange(40, dtype=np.int32)),
        "stream": StreamEpoch(dataset.batch(4)),
        "blocks": BlockEpoch(dataset.batch(16)),
    }[kind]
    found = []
    Loop(make_model(), keras.optimizers.SGD(0.1), batch_size=4).train(epoch, found.append)
    bad = [ran.not_finite for ran in found if ran.not_finite != NEVER]
    assert bad[0] == 5 and sum(ran.steps for ran in found) == 10


def test_the_message_names_epoch_batch_and_file(tmp_path, recipe, bundle, network, changed, monkeypatch):
    real = FeatureBatches._from_store

    def spoilt(self, part, view):
        features, labels = real(self, part, view)
        if part == "train":
            features = tf.tensor_scatter_nd_update(features, [[7]], features[7:8] * np.nan)
        return features, labels

    monkeypatch.setattr(FeatureBatches, "_from_store", spoilt)
    recipe = changed(recipe, "head", batch_size=4)
    train = bundle.indices("train")
    batch, _ = divmod(int(np.flatnonzero(epoch_order(len(train), seed=0, stage_name="head", epoch=1) == 7)[0]), 4)
    run, assembled = Run.create(tmp_path / "run", recipe, command=[]), network(recipe)
    before = assembled.model.get_weights()
    with pytest.raises(TrainingError) as caught:
        train_stage(run, assembled, recipe.stages[0], bundle, recipe=recipe)
    said, told = str(caught.value), run.manifest["not_finite"]
    assert f"stage `head`, epoch 1, batch {batch + 1}." in said and "went back to where the stage began" in said
    assert (told["stage"], told["epoch"], told["batch"]) == ("head", 1, batch + 1)
    assert len(told["files"]) == 4 and f"#{train[7]}" in told["files"]
    assert f"That batch is {told['files'][0]}, " in said and "and 1 more" in said
    assert "stages.head.learning_rate (say 0.001)" in said and "warmup_epochs" in said and "precision" not in said
    assert all(map(np.array_equal, assembled.model.get_weights(), before))


@pytest.mark.slow
def test_it_goes_back_to_the_best_epoch_and_leaves_that_whole_on_disk(tmp_path, recipe, bundle, network, changed, monkeypatch):
    recipe = changed(recipe, "head", epochs=3)
    run, assembled = Run.create(tmp_path / "run", recipe, command=[]), network(recipe)
    real, kept = Loop.train, []

    def spoilt(self, epoch, after_steps, **options):
        if len(kept) == 2:
            self._class_weights = tf.constant([np.nan] * 3)
            self._over_memory[False] = tf.function(self._memory_steps)  # traced again, with these weights
        found = real(self, epoch, after_steps, **options)
        kept.append([np.array(weight) for weight in assembled.model.get_weights()])
        return found

    monkeypatch.setattr(Loop, "train", spoilt)
    with pytest.raises(TrainingError, match=r"epoch 3, batch 1\. The network went back to epoch \d, its best"):
        train_stage(run, assembled, recipe.stages[0], bundle, recipe=recipe)
    best = run.state["stages"]["head"]["best_epoch"]
    assert all(map(np.array_equal, assembled.model.get_weights(), kept[best - 1]))
    again = network(recipe)
    again.model.load_weights(run.path("checkpoints", "best-head.weights.h5"))
    assert all(map(np.array_equal, again.model.get_weights(), kept[best - 1]))


def test_the_files_of_a_batch_of_pixels_are_those_that_it_reads(tmp_path, recipe, bundle):
    from tfl.train.batches import InputBatches

    batches = InputBatches(bundle, tfl.Stage("all", train="all", batch_size=4))
    images, _ = next(iter(batches.train(3).dataset))
    np.testing.assert_array_equal(images.numpy().astype("uint8"), bundle.examples.arrays[batches.order(3)[:4]])

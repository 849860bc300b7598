"""Epochs over stored features and over pixels: what they see, in which order, held or read."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfl
from tfl.features.extract import Extractor
from tfl.train import batches
from tfl.train.batches import BlockEpoch, FeatureBatches, InputBatches, MemoryEpoch, epoch_order


def make_prefix(*, seed=0):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(4, 3, strides=8, activation="relu")(keras.layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


STAGE = tfl.Stage("head", batch_size=16)


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TFL_CACHE", str(tmp_path))


def make_batches(bundle, stage=STAGE, *, dtype="float16", prefix=None):
    return FeatureBatches(bundle, stage, Extractor([prefix or make_prefix()], bundle, features=tfl.Features(dtype=dtype)))


@pytest.mark.slow
def test_epochs_cycle_through_the_views(bundle):
    stage = dataclasses.replace(STAGE, augment=tfl.Augment(brightness=0.5), views=3)
    source = make_batches(bundle, stage)
    epochs = [source.train(epoch).features.numpy().tobytes() for epoch in range(1, 8)]
    assert len(set(epochs[:3])) == 3, "two epochs see different views"
    assert epochs[3:6] == epochs[:3] and epochs[6] == epochs[0]
    plain = make_batches(bundle).train(1).features.numpy().tobytes()
    assert plain not in epochs


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_features_are_the_prefix_of_the_pixels_in_split_order_and_held_as_they_are_stored(bundle, dtype):
    prefix = make_prefix()
    epoch = make_batches(bundle, dtype=dtype, prefix=prefix).validation()
    images = bundle.examples.arrays[bundle.indices("val")].astype("float32")
    assert epoch.features.dtype == dtype
    found = tf.cast(epoch.features, tf.float32).numpy()
    np.testing.assert_allclose(found, prefix.predict(images, verbose=0), rtol=1 / 256, atol=1e-5)
    assert (epoch.targets.numpy().argmax(-1) == bundle.labels("val")).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_features_too_large_for_memory_are_read_in_the_same_batches(bundle, monkeypatch, dtype):
    held = make_batches(bundle, dtype=dtype).train(1)
    monkeypatch.setattr(batches, "HOLD_BYTES", 10)
    monkeypatch.setattr(batches, "BLOCK_BYTES", 4 * 2 * 33)
    read = make_batches(bundle, dtype=dtype).train(1)
    assert isinstance(held, MemoryEpoch) and isinstance(read, BlockEpoch)
    start = 0
    for features, labels in read.dataset:
        assert len(features) == min(32, len(held.order) - start), "whole batches"
        rows = held.order[start : start + len(features)]
        np.testing.assert_array_equal(features, tf.gather(held.features, rows))
        np.testing.assert_array_equal(labels, tf.gather(held.targets, rows))
        start += len(rows)
    assert start == len(bundle.indices("train"))


@pytest.mark.slow
def test_mixed_labels_go_with_their_images(bundle):
    stage = dataclasses.replace(STAGE, augment=tfl.Augment(mixup=1.0), views=2)
    epoch = make_batches(bundle, stage).train(1)
    again = make_batches(bundle, stage).train(1)
    labels = epoch.targets.numpy()
    np.testing.assert_allclose(labels.sum(-1), 1.0, rtol=1e-5)
    assert ((labels > 0.01) & (labels < 0.99)).any()
    np.testing.assert_array_equal(labels, again.targets.numpy())
    one_hot = make_batches(bundle, stage).validation().targets.numpy()
    assert set(np.unique(one_hot)) == {0.0, 1.0}


def test_the_order_is_of_seed_stage_and_epoch():
    def order(**changed):
        return epoch_order(50, **({"seed": 0, "stage_name": "head", "epoch": 1} | changed)).tolist()

    assert order() == order()
    assert sorted(order()) == list(range(50))
    assert len({tuple(o) for o in (order(), order(seed=1), order(stage_name="all"), order(epoch=2))}) == 4


@pytest.mark.slow
def test_pixels_are_drawn_anew_in_every_epoch_and_the_same_in_a_repeat(bundle):
    stage = tfl.Stage("all", train="all", batch_size=64, augment=tfl.Augment(brightness=0.5))

    def first_mean(epoch):
        images, _ = next(iter(InputBatches(bundle, stage).train(epoch).dataset))
        return sorted(images.numpy().mean((1, 2, 3)).tolist())

    assert first_mean(1) == first_mean(1)
    assert first_mean(1) != first_mean(2)

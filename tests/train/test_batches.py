"""Stored features fit what they are served for: a changed byte, weight, size, view or layer is another key."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfl
from tfl.train import batches
from tfl.train.batches import FeatureBatches, MemoryEpoch, PixelBatches, StreamEpoch, epoch_order, graph_hash


def make_prefix(*, seed=0, activation="relu", strides=8):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(4, 3, strides=strides, activation=activation)(keras.layers.Rescaling(1 / 255)(inputs))
    return keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))


STAGE = tfl.Stage("head", batch_size=16)


@pytest.fixture
def keys(monkeypatch):
    """The keys that were asked for, without computing anything."""
    asked = []

    def record(prefix, dataset, *, key, count, **_):
        asked.append(key)
        return np.zeros((count, 4), "float32"), np.zeros((count, 3), "float32")

    monkeypatch.setattr(batches, "cached_features", record)
    return asked


def key_of(keys, bundle, stage=STAGE, prefix=None, epoch=1):
    FeatureBatches(bundle, stage, prefix or make_prefix()).train(epoch)
    return keys[-1]


def test_the_same_again_has_the_same_key(keys, bundle):
    assert key_of(keys, bundle) == key_of(keys, bundle)


def test_names_of_layers_do_not_count():
    assert graph_hash(make_prefix()) == graph_hash(make_prefix())


def test_whatever_decides_a_feature_decides_the_key(keys, bundle):
    augmented = dataclasses.replace(STAGE, augment=tfl.Augment(flip="horizontal"))
    changed = list(bundle.fingerprints)
    changed[int(bundle.indices("train")[0])] = "0" * 64
    found = [
        key_of(keys, bundle),
        key_of(keys, dataclasses.replace(bundle, fingerprints=changed)),
        key_of(keys, dataclasses.replace(bundle, data=dataclasses.replace(bundle.data, image_size=(32, 40)))),
        key_of(keys, dataclasses.replace(bundle, data=dataclasses.replace(bundle.data, fit="crop"))),
        key_of(keys, bundle, prefix=make_prefix(seed=1)),
        key_of(keys, bundle, prefix=make_prefix(activation="tanh")),
        key_of(keys, bundle, prefix=make_prefix(strides=7)),
        key_of(keys, bundle, augmented),
        key_of(keys, bundle, augmented, epoch=2),
        key_of(keys, dataclasses.replace(bundle, seed=1), augmented),
        key_of(keys, bundle, dataclasses.replace(STAGE, augment=tfl.Augment(flip="vertical"))),
    ]
    assert len(set(found)) == len(found)


def test_what_does_not_decide_a_feature_does_not_change_the_key(keys, bundle):
    other = tfl.Stage("probe", batch_size=8, learning_rate=1.0, epochs=99, label_smoothing=0.1)
    assert key_of(keys, bundle) == key_of(keys, bundle, other)
    assert key_of(keys, bundle) == key_of(keys, dataclasses.replace(bundle, seed=1)), "a seed only matters with augmentation"


def test_epochs_cycle_through_the_views(keys, bundle):
    stage = dataclasses.replace(STAGE, augment=tfl.Augment(flip="horizontal"), views=3)
    source = FeatureBatches(bundle, stage, make_prefix())
    for epoch in range(1, 8):
        source.train(epoch)
    assert len(keys) == len(set(keys)) == 3
    source.validation()
    assert len(set(keys)) == 4


def test_features_are_the_prefix_of_the_pixels_in_split_order(bundle):
    prefix = make_prefix()
    epoch = FeatureBatches(bundle, STAGE, prefix).validation()
    images = bundle.examples.images[bundle.indices("val")].astype("float32")
    np.testing.assert_allclose(epoch.features.numpy(), prefix.predict(images, verbose=0), atol=1e-5)
    assert (epoch.labels.numpy().argmax(-1) == bundle.labels("val")).all()


def test_features_too_large_for_memory_are_streamed_in_the_same_batches(bundle, monkeypatch):
    held = FeatureBatches(bundle, STAGE, make_prefix()).train(1)
    monkeypatch.setattr(batches, "MEMORY_BYTES", 10)
    streamed = FeatureBatches(bundle, STAGE, make_prefix()).train(1)
    assert isinstance(held, MemoryEpoch) and isinstance(streamed, StreamEpoch)
    start = 0
    for features, labels in streamed.dataset:
        rows = np.sort(held.order[start : start + 16])
        np.testing.assert_array_equal(features, tf.gather(held.features, rows))
        np.testing.assert_array_equal(labels, tf.gather(held.labels, rows))
        start += len(rows)
    assert start == len(bundle.indices("train"))


def test_the_order_is_of_seed_stage_and_epoch():
    def order(**changed):
        return epoch_order(50, **({"seed": 0, "stage_name": "head", "epoch": 1} | changed)).tolist()

    assert order() == order()
    assert sorted(order()) == list(range(50))
    assert len({tuple(o) for o in (order(), order(seed=1), order(stage_name="all"), order(epoch=2))}) == 4


def test_pixels_are_drawn_anew_in_every_epoch_and_the_same_in_a_repeat(bundle):
    stage = tfl.Stage("all", train="all", batch_size=64, augment=tfl.Augment(brightness=0.5))

    def first_mean(epoch):
        images, _ = next(iter(PixelBatches(bundle, stage).train(epoch).dataset))
        return sorted(images.numpy().mean((1, 2, 3)).tolist())

    assert first_mean(1) == first_mean(1)
    assert first_mean(1) != first_mean(2)

"""The methods on small networks and vectors whose right answer is known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest

from tfl.adapt.against import a_distance
from tfl.adapt.batchnorm import BATCH, PRIOR, BatchStatistics, adapt_statistics, minimise_entropy
from tfl.adapt.coral import align
from tfl.adapt.criteria import information, neighbourhood_density
from tfl.adapt.self_training import self_train
from tfl.adapt.upper import coral_loss, train_upper

RNG = np.random.default_rng(0)


def network(width: int = 4) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((width,))
    x = keras.layers.BatchNormalization(name="norm")(keras.layers.Dense(6, activation="relu")(inputs))
    x = keras.layers.Identity(name="head_pool")(x)
    return keras.Model(inputs, keras.layers.Softmax()(keras.layers.Dense(2, name="logits")(x)))


def batches_of(values: Any) -> Any:
    def batches(rows: Any) -> Iterator[Any]:
        for some in np.array_split(rows, -(-len(rows) // BATCH)):
            yield values[some]

    return batches


def test_statistics_become_those_of_the_examples() -> None:
    model, values = network(), RNG.normal(3, 2, (200, 4)).astype(np.float32)
    below = np.asarray(keras.Model(model.input, model.get_layer("norm").input)(values))
    before = [keras.ops.convert_to_numpy(weight) for weight in model.weights]
    adapt_statistics(BatchStatistics(model), batches_of(values), len(values), seed=0)
    layer, share = model.get_layer("norm"), len(values) / (len(values) + PRIOR)
    np.testing.assert_allclose(layer.moving_mean, share * below.mean(axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, share * below.var(axis=0) + 1 - share, rtol=1e-3, atol=1e-5)
    changed = {
        weight.name for weight, old in zip(model.weights, before, strict=True) if not np.array_equal(np.asarray(weight), old)
    }
    assert changed == {"moving_mean", "moving_variance"}


def test_tent_makes_answers_surer_by_scale_and_shift_alone() -> None:
    model, values = network(), RNG.normal(size=(128, 4)).astype(np.float32)
    logits = keras.Model(model.input, model.get_layer("logits").output)
    kernel = keras.ops.convert_to_numpy(model.get_layer("logits").kernel)

    def entropy() -> float:
        said = np.asarray(model(values))
        return float(-(said * np.log(said)).sum(axis=1).mean())

    adapt_statistics(BatchStatistics(model), batches_of(values), len(values), seed=0)
    before = entropy()
    minimise_entropy(BatchStatistics(model), logits, batches_of(values), len(values), seed=0, passes=20)
    assert entropy() < before - 0.005
    np.testing.assert_array_equal(model.get_layer("logits").kernel, kernel)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dann", "deep_coral"])
def test_upper_blocks_bring_the_domains_together_and_repeat(method: Any) -> None:
    labels = np.arange(300) % 2
    source = RNG.normal(size=(300, 4)).astype(np.float32)
    source[:, 0] += 4 * labels
    target = (source * [1, 3, 1, 1] + [0, 4, 0, 0]).astype(np.float32)
    trained = network()
    trained.get_layer("norm").momentum = 0.5
    trained.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    trained.fit(source, labels, epochs=15, verbose=0)
    found = []
    for _ in range(2):
        model = network()
        model.set_weights(trained.get_weights())
        model.get_layer("norm").trainable = False
        train_upper(model, source, np.eye(2, dtype=np.float32)[labels], target, method=method, steps=200, seed=0)
        found.append([np.asarray(weight) for weight in model.weights])
    assert all(np.array_equal(a, b) for a, b in zip(*found, strict=True))
    assert (np.asarray(model(source)).argmax(axis=1) == labels).mean() > 0.9
    logits = keras.Model(model.input, model.get_layer("logits").output)
    if method == "deep_coral":
        start = keras.Model(trained.input, trained.get_layer("logits").output)
        apart = [float(coral_loss(one(source), one(target))) for one in (start, logits)]
        assert apart[1] < apart[0]


def test_coral_and_self_training_undo_a_change_of_scale_and_place() -> None:
    labels = np.arange(400) % 2
    source = RNG.normal(size=(400, 3)).astype(np.float32)
    source[:, 0] += 3 * labels
    mixed = np.array([[0.5, 0.4, 0], [0, 2, 0.3], [0.2, 0, 1]])
    target = (source @ mixed + [4, -1, 2]).astype(np.float32)

    def fit(x: Any, y: Any) -> Any:
        from sklearn.linear_model import LogisticRegression

        found = LogisticRegression().fit(x, y)
        kernel = np.stack([-found.coef_[0], found.coef_[0]], axis=1) / 2
        return kernel.astype(np.float32), (np.array([-1, 1]) * found.intercept_ / 2).astype(np.float32)

    def right(head: Any) -> float:
        return float(((target @ head[0] + head[1]).argmax(axis=1) == labels).mean())

    plain, moved = fit(source, labels), align(source, target)(source)
    aligned = fit(moved, labels)
    assert right(aligned) > right(plain) + 0.2
    assert right(self_train(moved, labels, target, aligned, fit)) >= right(aligned) - 0.02


def test_criteria_prefer_answers_of_all_classes() -> None:
    half, sure = np.array([0.5, 0.5]), np.clip(np.eye(2)[np.arange(40) % 2], 0.02, 0.98)
    unsure, same = np.clip(sure, 0.3, 0.7) + RNG.uniform(-0.1, 0.1, (40, 1)) * [1, -1], sure[np.zeros(40, int)]
    assert information(sure, half) > max(information(unsure, half), information(same, half))
    assert neighbourhood_density(same) > neighbourhood_density(sure)  # which is why it is not the default
    assert information(same, np.array([0.98, 0.02])) > information(sure, np.array([0.98, 0.02]))


def test_distances_of_one_domain_and_of_two() -> None:
    own, other = RNG.normal(size=(2, 150, 5))
    same, apart = a_distance(own, other), a_distance(own, other + [2.5, 0, 0, 0, 0], units=np.arange(150) // 2)
    assert same.distance < 0.5 and same.interval[0] < 0.2
    assert 1.2 < apart.interval[0] < apart.distance < apart.interval[1] <= 2.0
    assert apart.distance == pytest.approx(2 * (1 - 2 * apart.error))

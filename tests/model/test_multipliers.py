"""Rate multipliers are exact: a step with a share equals a plain Keras optimiser's step at that share of the rate."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import tfl
from tfl.model.multipliers import make_optimizer

PLAIN = {
    "adam": keras.optimizers.Adam,
    "adamw": lambda rate: keras.optimizers.AdamW(rate, weight_decay=0.0),
    "sgd": lambda rate: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
}


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.9, False), (0.5, True), (0.0, True)])
def test_the_momentum_of_sgd_is_that_of_the_stage(momentum: float, nesterov: bool) -> None:
    (low, high), (same, _) = variables(), variables()
    ours = optimizer("sgd", {"low": 0.5}, momentum=momentum, nesterov=nesterov)
    plain = keras.optimizers.SGD(0.0625, momentum=momentum, nesterov=nesterov)
    for step in range(4):
        ours.apply(gradients(step), [low, high])
        plain.apply(gradients(step)[:1], [same])
    np.testing.assert_array_equal(low, same)
    other = optimizer("sgd", {}, momentum=0.9)  # the default, as in recipes of older versions: Nesterov's
    assert (other.momentum, other.nesterov) == (0.9, True)


def test_decoupled_decay_is_ten_times_that_of_the_textbook_at_momentum_0_9() -> None:
    """L2 goes through the momentum and adds up to 1 / (1 - 0.9) of a step; decoupled decay does not."""
    rate, l2 = 0.1, 0.0005
    (ours, _), weight, velocity = variables(), variables()[0].numpy(), np.zeros((2, 3), "float32")
    decoupled = optimizer("sgd", {}, rate, momentum=0.9, nesterov=False, weight_decay=10 * l2)
    for _ in range(200):
        decoupled.apply([keras.ops.zeros((2, 3))], [ours])
        velocity = 0.9 * velocity - rate * l2 * weight
        weight = weight + velocity
    np.testing.assert_allclose(ours, weight, rtol=1e-2)
    assert 0.85 < weight[0, 0] / variables()[0].numpy()[0, 0] < 0.95


def variables() -> list[Any]:
    start = np.linspace(-1, 1, 6).reshape(2, 3).astype("float32")
    return [keras.Variable(start, name=name) for name in ("low", "high")]


def gradients(step: int) -> list[Any]:
    return [keras.ops.convert_to_tensor(np.random.default_rng(step).normal(size=(2, 3)).astype("float32"))] * 2


def optimizer(kind: str, shares: dict[str, float], rate: Any = 0.125, **options: Any) -> Any:
    return make_optimizer(tfl.Stage("s", optimizer=kind, **options), shares, rate)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("share", [1.0, 0.25, 0.0625])
def test_a_step_is_that_of_the_share_of_the_rate(kind: str, share: float) -> None:
    (low, high), (same, _) = variables(), variables()
    ours, plain = optimizer(kind, {"low": share}), PLAIN[kind](0.125 * share)
    for step in range(5):
        ours.apply(gradients(step), [low, high])
        plain.apply(gradients(step)[:1], [same])
    np.testing.assert_array_equal(low, same)
    assert share == 1.0 or not np.allclose(low, high)


@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd"])
def test_zero_freezes_to_the_bit(kind: str) -> None:
    low, high = variables()
    before = np.array(low)
    ours = optimizer(kind, {"low": 0.0}, weight_decay=0.5)
    for step in range(3):
        ours.apply(gradients(step), [low, high])
    np.testing.assert_array_equal(low, before)
    assert not np.allclose(high, before)


def test_a_schedule_is_multiplied_step_by_step() -> None:
    (low, _), (same, _) = variables(), variables()
    ours = optimizer("sgd", {"low": 0.5}, keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.5, 0.125]))
    plain = PLAIN["sgd"](keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.25, 0.0625]))
    for step in range(4):
        ours.apply(gradients(step)[:1], [low])
        plain.apply(gradients(step)[:1], [same])
    np.testing.assert_array_equal(low, same)


@pytest.mark.parametrize("kind", ["adam", "adamw", "sgd"])
def test_weight_decay_is_decoupled_scaled_and_spares_vectors(kind: str) -> None:
    low, high = variables()
    bias = keras.Variable(np.ones(3, "float32"), name="bias")
    before, nothing = np.array(low), [keras.ops.zeros((2, 3)), keras.ops.zeros((2, 3)), keras.ops.zeros(3)]
    ours = optimizer(kind, {"low": 0.5}, weight_decay=0.25)
    ours.apply(nothing, [low, high, bias])
    np.testing.assert_allclose(low, before * (1 - 0.125 * 0.5 * 0.25), rtol=1e-6)
    np.testing.assert_allclose(high, before * (1 - 0.125 * 0.25), rtol=1e-6)
    np.testing.assert_array_equal(bias, np.ones(3))


def test_loss_scaling_keeps_the_shares() -> None:
    low, high = variables()
    before = np.array(low)
    ours = keras.optimizers.LossScaleOptimizer(optimizer("sgd", {"low": 0.0}), initial_scale=4.0)
    ours.build([low, high])
    ours.apply(gradients(0), [low, high])
    np.testing.assert_array_equal(low, before)
    assert not np.allclose(high, before)


def test_fit_in_a_graph_uses_the_shares() -> None:
    inputs = keras.Input((4,))
    x = keras.layers.Dense(3, name="low")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2, name="high")(x))
    before = [np.array(weight) for weight in model.weights]
    model.compile(optimizer("adam", {"low/kernel": 0.0, "low/bias": 0.0}), "mse")
    model.fit(np.ones((4, 4)), np.ones((4, 2)), verbose=0)
    moved = [not np.array_equal(weight, old) for weight, old in zip(model.weights, before, strict=True)]
    assert moved == [False, False, True, True]

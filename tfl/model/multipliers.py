"""Optimisers in which each weight has its own share of the learning rate.

The share multiplies the rate inside the optimiser's step. Scaling the gradient instead would do nothing under Adam, whose
step does not depend on the gradient's scale. Weight decay is decoupled (Loshchilov and Hutter 2019), scaled by the same
share, and left out on biases, BatchNorm and every other vector. `model.keras` is saved without the optimiser, so a saved
model never needs these classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from tfl.recipe import Stage

Rate = Any
"""A number, or a `keras.optimizers.schedules.LearningRateSchedule`."""


class _Shared:
    """Mixed into a Keras optimiser: `multipliers` by variable path; a path that is not named has 1."""

    def __init__(self, *, multipliers: Mapping[str, float], weight_decay: float, **options: Any) -> None:
        super().__init__(weight_decay=weight_decay, **options)  # type: ignore[call-arg]
        self.multipliers = dict(multipliers)

    def build(self, variables: list[Any]) -> None:
        if not self.built:  # type: ignore[attr-defined]
            self._shares = tuple(float(self.multipliers.get(variable.path, 1.0)) for variable in variables)
        super().build(variables)  # type: ignore[misc]

    def _backend_update_step(self, grads: list[Any], trainable_variables: list[Any], learning_rate: Any) -> None:
        """Each weight in turn; Keras asks `tf.distribute` for each, which takes most of the time in which a step is traced."""
        for gradient, variable in zip(grads, trainable_variables, strict=True):
            self.update_step(gradient, variable, learning_rate)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        share = self._shares[self._get_variable_index(variable)]  # type: ignore[attr-defined]
        if share == 0.0:
            return
        rate = learning_rate * share
        if self.weight_decay and len(variable.shape) > 1:  # type: ignore[attr-defined]
            decay = keras.ops.cast(rate * self.weight_decay, variable.dtype)  # type: ignore[attr-defined]
            self.assign_sub(variable, variable * decay)  # type: ignore[attr-defined]
        self._update(gradient, variable, rate)

    def _update(self, gradient: Any, variable: Any, rate: Any) -> None:
        super().update_step(gradient, variable, rate)  # type: ignore[misc]

    def _apply_weight_decay(self, variables: list[Any]) -> None:
        """Nothing: it is done in `update_step`, where the share is known."""

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"multipliers": dict(self.multipliers)}  # type: ignore[misc]


class _SharedAdam(_Shared):
    """The step of Keras' Adam to the bit, with what is the same for all weights computed once."""

    def _backend_apply_gradients(self, grads: list[Any], trainable_variables: list[Any]) -> None:
        steps = tf.cast(self.iterations.value + 1, tf.float32)  # type: ignore[attr-defined]
        first, second = (tf.pow(tf.constant(beta), steps) for beta in (self.beta_1, self.beta_2))  # type: ignore[attr-defined]
        self._corrections = tf.sqrt(1 - second), 1 - first
        super()._backend_apply_gradients(grads, trainable_variables)  # type: ignore[misc]

    def _update(self, gradient: Any, variable: Any, rate: Any) -> None:
        number, dtype = self._get_variable_index(variable), variable.dtype  # type: ignore[attr-defined]
        mean, square = self._momentums[number].value, self._velocities[number].value  # type: ignore[attr-defined]
        gradient = tf.cast(tf.convert_to_tensor(gradient), dtype)
        above, below = (tf.cast(one, dtype) for one in self._corrections)
        rate = tf.cast(rate, dtype) * above / below
        mean.assign_add((gradient - mean) * (1 - self.beta_1))  # type: ignore[attr-defined]
        square.assign_add((tf.square(gradient) - square) * (1 - self.beta_2))  # type: ignore[attr-defined]
        self.assign_sub(variable, mean * rate / (tf.sqrt(square) + self.epsilon))  # type: ignore[attr-defined]


class SharedAdam(_SharedAdam, keras.optimizers.Adam):
    """Adam (Kingma and Ba 2015) with a rate multiplier for each weight."""


class SharedAdamW(_SharedAdam, keras.optimizers.AdamW):
    """AdamW with a rate multiplier for each weight; the recipe's weight decay, zero included, replaces Keras' 0.004."""


class SharedSGD(_Shared, keras.optimizers.SGD):
    """Gradient descent with momentum, Nesterov's or the classical one, and a rate multiplier for each weight."""


def make_optimizer(stage: Stage, multipliers: Mapping[str, float], learning_rate: Rate) -> keras.optimizers.Optimizer:
    """The stage's optimiser, whose step on each variable uses `learning_rate × multiplier`.

    Args:
        stage: Decides the kind, the weight decay, and the momentum of `sgd`.
        multipliers: By variable path, as `Plan.multipliers` gives them; zero leaves the variable as it is.
        learning_rate: A number, or a Keras schedule.
    """
    kinds: dict[str, Any] = {"adam": SharedAdam, "adamw": SharedAdamW, "sgd": SharedSGD}
    options: dict[str, Any] = {"momentum": stage.momentum, "nesterov": stage.nesterov} if stage.optimizer == "sgd" else {}
    kind = kinds[stage.optimizer]
    return kind(learning_rate=learning_rate, weight_decay=stage.weight_decay, multipliers=multipliers, **options)

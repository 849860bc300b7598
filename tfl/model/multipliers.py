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

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        share = self._shares[self._get_variable_index(variable)]  # type: ignore[attr-defined]
        if share == 0.0:
            return
        rate = learning_rate * share
        if self.weight_decay and len(variable.shape) > 1:  # type: ignore[attr-defined]
            decay = keras.ops.cast(rate * self.weight_decay, variable.dtype)  # type: ignore[attr-defined]
            self.assign_sub(variable, variable * decay)  # type: ignore[attr-defined]
        super().update_step(gradient, variable, rate)  # type: ignore[misc]

    def _apply_weight_decay(self, variables: list[Any]) -> None:
        """Nothing: it is done in `update_step`, where the share is known."""

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"multipliers": dict(self.multipliers)}  # type: ignore[misc]


class SharedAdam(_Shared, keras.optimizers.Adam):
    """Adam (Kingma and Ba 2015) with a rate multiplier for each weight."""


class SharedAdamW(_Shared, keras.optimizers.AdamW):
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

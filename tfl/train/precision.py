"""Which Keras dtype policy is fastest on this machine: neither answer is right for every network."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from tfl.modalities.base import Modality
from tfl.model.policies import supported_precisions
from tfl.model.timing import best_seconds
from tfl.recipe import Recipe

if TYPE_CHECKING:
    from rich.console import Console

LEAST_GAIN = 1.1
"""Less precision has to be this many times as fast as float32 to be chosen."""
_BATCH = 16


def choose_precision(recipe: Recipe, build: Callable[[], Any], *, modality: Modality, console: Console | None = None) -> str:
    """The recipe's precision; for `auto`, the fastest that this machine supports, measured on one batch of each.

    Args:
        recipe: Forward passes are timed; with gradients where a stage trains more than the head.
        build: Makes the network under the global dtype policy: a Keras model, or what has one as `.model`.
        modality: Makes the sample tensors.
        console: Where to say what was measured and chosen; None says nothing.

    Returns:
        A Keras dtype policy's name. The global policy is as it was before.
    """
    if recipe.precision != "auto":
        return recipe.precision
    seconds = measure_precisions(recipe, build, modality=modality)
    fastest = min(seconds, key=lambda name: seconds[name])
    chosen = fastest if seconds["float32"] / seconds[fastest] >= LEAST_GAIN else "float32"
    if console is not None:
        rates = ", ".join(f"{name} {1 / value:.0f} {modality.nouns}/s" for name, value in seconds.items())
        console.print(f"precision {chosen}: measured {rates}", highlight=False)
    return chosen


def measure_precisions(recipe: Recipe, build: Callable[[], Any], *, modality: Modality) -> dict[str, float]:
    """Seconds per example by policy, as `tfl.model.timing` measures."""
    gradients = recipe.fixed_stages == () or any(stage.train != "head" for stage in recipe.fixed_stages)
    inputs = tf.nest.map_structure(tf.constant, modality.sample_tensors(_BATCH))
    before, runs = keras.config.dtype_policy(), {}
    try:
        for name in supported_precisions():
            keras.config.set_dtype_policy(name)
            built = build()
            runs[name] = _run_of(getattr(built, "model", built), inputs, gradients=gradients)
        seconds = best_seconds(runs)
    finally:
        keras.config.set_dtype_policy(before)
    return {name: value / _BATCH for name, value in seconds.items()}


def _run_of(model: keras.Model, inputs: Any, *, gradients: bool) -> Callable[[], object]:
    """A pass over the inputs, forward or with gradients, that returns when it is done."""

    @tf.function(autograph=False)
    def forward() -> Any:
        return model(inputs, training=False)

    @tf.function(autograph=False)
    def both() -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.cast(model(inputs, training=False), tf.float32)[:, 0])
        return [g for g in tape.gradient(loss, [v.value for v in model.trainable_variables]) if g is not None]

    return functools.partial(_finish, both if gradients else forward)


def _finish(run: Callable[[], Any]) -> None:
    for part in tf.nest.flatten(run()):
        part.numpy()

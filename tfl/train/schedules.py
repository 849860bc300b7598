"""Learning rate schedules: a linear warm-up, then a constant rate or half a cosine down to zero."""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from tfl.recipe import Stage


class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """The rate at a step of a stage.

    `base * min(1, (step + 1) / warmup_steps)` in the warm-up (the first step already moves), then `base`, or with
    `cosine` `base * (1 + cos(pi * t)) / 2` where `t` runs from 0 to 1 over the steps that are left (Loshchilov and Hutter 2017,
    *SGDR*, without restarts).

    Args:
        base: The highest rate.
        total_steps: Steps in the whole stage, at least 1.
        warmup_steps: Steps of the warm-up; 0 for none.
        cosine: Whether the rate falls to zero after the warm-up.

    Example:

    >>> schedule = WarmupCosine(1.0, total_steps=12, warmup_steps=4, cosine=True)
    >>> [round(float(schedule(step)), 2) for step in (0, 3, 4, 8, 12)]
    [0.25, 1.0, 1.0, 0.5, 0.0]
    """

    def __init__(self, base: float, *, total_steps: int, warmup_steps: int = 0, cosine: bool = False) -> None:
        super().__init__()
        self.base, self.total_steps, self.warmup_steps, self.cosine = base, total_steps, warmup_steps, cosine

    def __call__(self, step: Any) -> Any:
        done = tf.cast(step, tf.float32)
        rate = tf.constant(self.base, tf.float32)
        if self.cosine:
            share = (done - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps)
            rate = rate * 0.5 * (1.0 + tf.cos(math.pi * tf.clip_by_value(share, 0.0, 1.0)))
        if self.warmup_steps:
            rate = tf.where(done < self.warmup_steps, self.base * (done + 1.0) / self.warmup_steps, rate)
        return rate

    def get_config(self) -> dict[str, Any]:
        return {
            "base": self.base,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "cosine": self.cosine,
        }


def schedule_of(stage: Stage, *, steps_per_epoch: int) -> float | WarmupCosine:
    """The learning rate of a stage: its constant rate, or a schedule where it warms up or decays."""
    warmup_steps = round(stage.warmup_epochs * steps_per_epoch)
    if stage.schedule == "constant" and not warmup_steps:
        return stage.learning_rate
    return WarmupCosine(
        stage.learning_rate,
        total_steps=stage.epochs * steps_per_epoch,
        warmup_steps=warmup_steps,
        cosine=stage.schedule == "cosine",
    )

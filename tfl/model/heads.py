"""The heads of several targets: layers of its own for each, from one shared vector, and the trained weights of their losses."""

from __future__ import annotations

from typing import Any

import keras

from tfl.model.head import LOGITS, STANDARD, dense_layers
from tfl.recipe import Head
from tfl.tasks.heads import LOSS_WEIGHTS, Heads


def logits_name(target: str) -> str:
    """The name of the layer that gives the logits of one of several targets."""
    return f"{target}_{LOGITS}"


def put_heads(head: Head, task: Heads, vector: Any, *, seed: int) -> Any:
    """The logits of all targets side by side, `LOGITS`, from the vector that the heads share.

    Each target has the hidden layers, the dropout and the last Dense layer of `head` for itself, called as those of one target
    with its name in front: `disease_dense1`. They start from the weights that they have alone, so that a run of one target and a
    run of several start from the same place.

    Args:
        head: What the recipe asks for.
        task: The targets.
        vector: `(batch, features)` symbolic.
        seed: Of the initial weights and of the dropout.
    """
    if head.taps:
        vector = keras.layers.Normalization(name=STANDARD, dtype="float32")(vector)
    found = []
    for part in task:
        own = vector
        for layer in dense_layers(
            head, part.stop - part.start, seed=seed, prefix=f"{part.target}_", logits=logits_name(part.target)
        ):
            own = layer(own)
        found.append(own)
    logits = keras.layers.Concatenate(name=LOGITS, dtype="float32")(found)
    return LossWeights(len(found), name=LOSS_WEIGHTS, dtype="float32")(logits) if task.uncertainty else logits


@keras.saving.register_keras_serializable(package="tfl")
class LossWeights(keras.layers.Layer):
    """Holds a trained number for the loss of each target, and gives its input as it is.

    A network has it while it trains, so that checkpoints and the optimiser keep these numbers; exports and `model.keras` are
    without it.

    Args:
        targets: How many targets there are.
    """

    def __init__(self, targets: int, **options: Any) -> None:
        super().__init__(**options)
        self.targets = targets
        self.log_variances = self.add_weight(shape=(targets,), initializer="zeros", name="log_variances")

    def call(self, logits: Any) -> Any:
        """The logits."""
        return logits

    def get_config(self) -> dict[str, Any]:
        """What makes the layer again."""
        return {**super().get_config(), "targets": self.targets}

"""What a network learns from examples without labels: the layers above the backbone, the loss, and the batches.

A method is what the loop of every stage takes for a task (`tfl.train.loop.Loop`): a loss and a score of each row of a batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from tfl.backbones.inputs import inputs_of
from tfl.data.bundle import Bundle, derived_seed
from tfl.data.pipeline import as_it_is, shuffled, untuned
from tfl.model.assemble import Assembled
from tfl.recipe import PRETRAIN, Pretrain
from tfl.tasks.base import task_of
from tfl.train.pretrain.losses import simclr, spread, vicreg

if TYPE_CHECKING:
    from numpy.typing import NDArray

TURNS = 4
"""Rotations that are told apart: by 0, 90, 180 and 270 degrees (Gidaris et al. 2018, 3.1)."""
_LAYERS = {"simclr": 2, "vicreg": 3}
"""Dense layers between the backbone and the loss (Chen et al. 2020, 3; Bardes et al. 2022, 4.1)."""


@dataclass(frozen=True)
class TwoViews:
    """SimCLR or VICReg, as what `Loop` takes for a task: a batch is the first views of some examples, then the second ones."""

    settings: Pretrain
    step_metric: ClassVar[str] = "spread"

    def bound_to(self, model: keras.Model) -> TwoViews:
        """The same: its loss has no variables."""
        return self

    def target_width(self, outputs: int) -> int:
        """Targets are not read, and as wide as the outputs."""
        return outputs

    def logits_of(self, model: keras.Model) -> Any:
        """The embedding, which the loss reads."""
        return model.output

    def loss(self, targets: Any, logits: Any, *, weights: Any = None, label_smoothing: float = 0.0) -> Any:
        """The loss of each row, `(2 n,)`; that of VICReg is of the whole batch, and the same for each."""
        first, second = tf.split(logits, 2)
        if self.settings.method == "simclr":
            return simclr(first, second, temperature=self.settings.temperature)
        parts = {name: getattr(self.settings, name) for name in ("similarity", "variance", "covariance")}
        return tf.fill([tf.shape(logits)[0]], vicreg(first, second, **parts))

    def step_score(self, targets: Any, logits: Any) -> Any:
        """The spread of the embedding, the same for each row."""
        return tf.fill([tf.shape(logits)[0]], spread(logits))


def method_of(settings: Pretrain) -> Any:
    """What `Loop` takes for a task: `TwoViews`, or one of four classes where rotations are told apart."""
    return task_of("classify") if settings.method == "rotation" else TwoViews(settings)


def network_for(settings: Pretrain, assembled: Assembled, *, seed: int) -> keras.Model:
    """The backbone under the layers that are dropped afterwards; shares the backbone's layers.

    Args:
        settings: `Recipe.pretrain`.
        assembled: Has the backbone.
        seed: Draws the weights of the new layers.
    """
    backbone = assembled.backbone()
    x = keras.layers.GlobalAveragePooling2D(name=f"{PRETRAIN}_pool")(backbone.output)

    def dense(units: int, name: str, **options: Any) -> Any:
        own = keras.initializers.GlorotUniform(derived_seed(seed, PRETRAIN, name))
        return keras.layers.Dense(units, kernel_initializer=own, name=f"{PRETRAIN}_{name}", **options)

    if settings.method == "rotation":
        x = dense(TURNS, "turns")(x)
        for layer in method_of(settings).output_layers():
            x = layer(x)
        return keras.Model(inputs_of(backbone), x, name=PRETRAIN)
    for number in range(1, _LAYERS[settings.method]):
        x = dense(settings.width, f"dense{number}", use_bias=False)(x)
        x = keras.layers.BatchNormalization(momentum=0.9, name=f"{PRETRAIN}_bn{number}")(x)
        x = keras.layers.ReLU(name=f"{PRETRAIN}_relu{number}")(x)
    return keras.Model(inputs_of(backbone), dense(settings.width, "embedding")(x), name=PRETRAIN)


class Views:
    """The batches of each epoch: a function of the seed and the epoch alone.

    Examples that do not fill a batch are left out of an epoch; the order of another epoch leaves out others.

    Args:
        settings: `Recipe.pretrain`.
        pool: The examples, all in the training split.
        seed: Of order and views.
        width: Of what the network gives, which stands in for targets where there are none.
    """

    def __init__(self, settings: Pretrain, pool: Bundle, *, seed: int, width: int) -> None:
        self.settings, self.pool, self.width = settings, pool, width
        self.at_once = min(settings.batch_size // self._copies_in_a_batch, len(pool.examples))
        self.seed = derived_seed(seed, PRETRAIN, "views")

    @property
    def _copies_in_a_batch(self) -> int:
        return TURNS if self.settings.method == "rotation" else 1

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return len(self.pool.examples) // self.at_once

    @property
    def rows(self) -> int:
        """Rows of a batch: examples times views or rotations."""
        return self.at_once * (TURNS if self.settings.method == "rotation" else 2)

    def order(self, epoch: int) -> NDArray[np.int64]:
        """The examples of an epoch, counted from 1, in its order."""
        return shuffled(self.pool.indices("train"), seed=self.seed, epoch=epoch)[: self.steps * self.at_once]

    def epoch(self, epoch: int) -> tf.data.Dataset:
        """Batches of (examples, targets) of an epoch, counted from 1."""
        if self.settings.method == "rotation":
            return untuned(self._view(epoch, epoch).map(as_it_is(_turned), num_parallel_calls=tf.data.AUTOTUNE).prefetch(2))
        first, second = self._view(epoch, 2 * epoch), self._view(epoch, 2 * epoch + 1)
        rows, width = self.rows, self.width

        def together(one: Any, other: Any) -> tuple[Any, Any]:
            return tf.concat([one[0], other[0]], 0), tf.zeros((rows, width))

        return untuned(tf.data.Dataset.zip((first, second)).map(as_it_is(together)).prefetch(2))

    def _view(self, epoch: int, view: int) -> tf.data.Dataset:
        options = {"augment": self.settings.views, "augment_seed": self.seed, "view": view}
        return self.pool.dataset(self.order(epoch), batch_size=self.at_once, **options)


def _turned(tensors: Any, targets: Any) -> tuple[Any, Any]:
    """Each example in all four rotations, and by how many turns."""
    every = tf.concat([tf.image.rot90(tensors, turns) for turns in range(TURNS)], 0)
    return every, tf.repeat(tf.eye(TURNS), tf.shape(tensors)[0], axis=0)

"""Fine-tuning under cross-validation on stored features: how a stage would do on examples that it was not trained on.

The frozen blocks run once. Each fold then trains the suffix from a linear probe of its own training examples, and answers for the
examples it holds out, with its trained weights and with weights between these and the start (WiSE-FT, Wortsman et al. 2022).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from tfl.backbones.inputs import structured
from tfl.data.bundle import Bundle, derived_seed
from tfl.features.cut import FEATURES
from tfl.model.assemble import Assembled
from tfl.model.multipliers import make_optimizer
from tfl.probes.head import LinearHead
from tfl.recipe import Recipe, Stage
from tfl.train.batches import MemoryEpoch, epoch_order
from tfl.train.callbacks.checkpoints import interpolate_weights
from tfl.train.loop import Loop
from tfl.train.schedules import schedule_of
from tfl.train.stage_plan import StagePlan, plan_stage
from tfl.train.start import set_head

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

_TIMED_STEPS = 3


@dataclass(frozen=True, eq=False)
class HeldOutLogits:
    """What networks of a cross-validation say of examples that they were not trained on.

    Args:
        rows: Integer array of shape `(m,)`, positions in the examples that were given, ascending.
        logits: By share of the way from the start to the trained weights, an array of shape `(m, width)` float32.
    """

    rows: NDArray[np.int64]
    logits: Mapping[float, NDArray[np.float32]]

    def joined(self, other: HeldOutLogits) -> HeldOutLogits:
        """These and those of other examples, by the same shares."""
        order = np.argsort(rows := np.concatenate([self.rows, other.rows]))
        logits = {share: np.concatenate([values, other.logits[share]])[order] for share, values in self.logits.items()}
        return HeldOutLogits(rows[order], logits)


class FoldTrainer:
    """Trains one stage on parts of some examples, again and again from the same start.

    `prepare` computes the features of all examples, or reads them from the store. Call `restore` when done. A stage that augments
    trains on the examples as they are and on their first augmented view by turns.

    Args:
        assembled: The network as the stage would find it, but for the weights of the head's last layer.
        stage: What trains, and how; at least one block stays frozen.
        bundle: The data.
        rows: Integer array, the examples, as indices into `bundle.examples`.
        recipe: Its features, precision and seed.
        class_weights: `(width,)` weights of the training loss, or None.
        console: Where messages of the store are shown; None shows nothing.
    """

    def __init__(
        self,
        assembled: Assembled,
        stage: Stage,
        bundle: Bundle,
        rows: NDArray[np.integer],
        *,
        recipe: Recipe,
        class_weights: NDArray[Any] | None = None,
        console: Console | None = None,
    ) -> None:
        self.assembled, self.stage, self.bundle, self.seed = assembled, stage, bundle, recipe.seed
        self.rows = np.asarray(rows, np.int64)
        self.plan: StagePlan = plan_stage(assembled, stage)
        self._all = list(assembled.model.weights)
        self._first = [keras.ops.convert_to_numpy(weight) for weight in self._all]
        self.plan.freeze.apply(assembled)
        self._extractor = self.plan.extractor(bundle, recipe=recipe, console=console)
        self._views: list[tuple[Any, tf.Tensor]] = []
        self.suffix = self.plan.suffix
        self._class_weights = class_weights
        self._loop: Loop | None = None
        self._dtype = str(recipe.features.dtype)

    def seconds_per_example(self, count: int) -> float:
        """What a training step takes for an example, measured on a few steps that leave the weights as they were.

        Takes the features of a few examples.

        Args:
            count: Int, how many examples each fold trains on; the schedule of the folds that follow is as long.
        """
        loop = self._ready(count)
        size = self.stage.batch_size
        features, targets = self._features(self.rows[: size * (_TIMED_STEPS + 1)], None, None)
        order = np.arange(len(targets), dtype=np.int32)
        loop.train(MemoryEpoch(features, targets, order[:size]))
        timed = order[size:] if len(order) >= 2 * size else order
        seconds = math.inf
        for _ in range(2):  # the first steps of a shape, and those of a busy machine, take longer
            began = time.perf_counter()
            loop.train(MemoryEpoch(features, targets, timed))
            seconds = min(seconds, (time.perf_counter() - began) / len(timed))
        self._back()
        return seconds

    def limit(self, stage: Stage) -> None:
        """Takes a stage that differs in its epochs alone."""
        self.stage, self._loop = stage, None

    @property
    def bytes_needed(self) -> int:
        """What the features take in memory."""
        return self._extractor.row_bytes(0) * len(self.rows) * (1 if self.stage.augment is None else 2)

    def prepare(self, progress: Callable[[int], None] | None = None) -> None:
        """Computes the features of all examples.

        Args:
            progress: Called with how many examples of a pass are done.
        """
        augments = [None] if self.stage.augment is None else [None, self.stage.augment]
        self._views = [self._features(self.rows, augment, progress) for augment in augments]

    def held_out(
        self,
        folds: NDArray[np.integer],
        heads: Sequence[LinearHead],
        *,
        shares: Sequence[float],
        first: int = 0,
    ) -> HeldOutLogits:
        """Trains once for each head, and answers for the examples of that fold.

        Args:
            folds: Integer array of shape `(n,)`, the fold of each of the examples; -1 for one that every fold trains on.
            heads: Of fold 0, 1, …: each fitted to the examples of the other folds. Folds without a head are not trained.
            shares: Floats from 0 to 1, places between the start and the trained weights to answer at.
            first: Int, folds before this one are left out.
        """
        width = self.assembled.model.output_shape[-1]
        logits = {share: np.zeros((len(self.rows), width), np.float32) for share in shares}
        for fold, head in list(enumerate(heads))[first:]:
            train, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            loop = self._ready(len(train))
            set_head(self.assembled, head)
            start = [keras.ops.convert_to_numpy(weight) for weight in self.suffix.weights]
            for epoch in range(1, self.stage.epochs + 1):
                loop.seed(self.seed, self.stage.name, fold, epoch)
                order = epoch_order(len(train), seed=derived_seed(self.seed, fold), stage_name=self.stage.name, epoch=epoch)
                features, targets = self._views[(epoch - 1) % len(self._views)]
                loop.train(MemoryEpoch(features, targets, train[order].astype(np.int32)))
            trained = [keras.ops.convert_to_numpy(weight) for weight in self.suffix.weights]
            plain, truth = self._views[0]
            some = tf.nest.map_structure(lambda one: tf.gather(one, held), plain)  # noqa: B023
            for share in shares:
                for weight, value in zip(self.suffix.weights, trained, strict=True):
                    weight.assign(value)
                interpolate_weights(self.suffix.weights, start, share)
                everything = MemoryEpoch(some, tf.gather(truth, held), np.arange(len(held), dtype=np.int32))
                logits[share][held] = loop.outputs(everything)[0]
            self._back()
        rows = np.flatnonzero((folds >= first) & (folds < len(heads)))
        return HeldOutLogits(rows, {share: values[rows] for share, values in logits.items()})

    def restore(self) -> None:
        """Brings the network to where it was before."""
        self._back()
        self._views, self._loop = [], None

    def _back(self) -> None:
        for weight, value in zip(self._all, self._first, strict=True):
            weight.assign(value)
        if self._loop is not None:
            for variable in self._loop.optimizer.variables:
                if variable is not getattr(self._loop.optimizer, "_learning_rate", None):
                    variable.assign(np.zeros(variable.shape, variable.dtype))

    def _ready(self, count: int) -> Loop:
        """The loop, whose optimiser has not stepped yet; the schedule is that of `count` examples, rounded up to its steps."""
        if self._loop is None:
            stage = self.stage
            rate = schedule_of(stage, steps_per_epoch=math.ceil(count / stage.batch_size))
            self._loop = Loop(
                self.suffix,
                make_optimizer(stage, self.plan.freeze.multipliers(self.assembled), rate),
                batch_size=stage.batch_size,
                label_smoothing=stage.label_smoothing,
                task=self.bundle.task,
                class_weights=self._class_weights,
                dtype=self._dtype,
            )
        return self._loop

    def _features(self, rows: NDArray[np.int64], augment: Any, progress: Callable[[int], None] | None) -> tuple[Any, tf.Tensor]:
        (made,), targets = self._extractor.run(rows, augment=augment, progress=progress)
        arrays = made if isinstance(made, dict) else {FEATURES: made}
        values = {name: np.asarray(array[:]) for name, array in arrays.items()}
        if self.plan.inputs and self.bundle.cached is not None:
            specs = self.bundle.cached.specs
            values |= {name: self.bundle.cached.columns[name][rows].astype(specs[name].dtype) for name in self.plan.inputs}
        with tf.device("CPU:0"):
            return tf.nest.map_structure(tf.constant, structured(values)), tf.constant(targets)

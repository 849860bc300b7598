"""The passes over the data: gradients on the live part of the network, and its judgement on the validation split.

Keras' `fit` spends about a millisecond a step on itself, which is most of the time where a head trains on stored features.
Here one compiled function runs many steps, over arrays in memory, and is traced once a stage.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from tfl.data.bundle import derived_seed
from tfl.train.batches import Epoch, MemoryEpoch, StreamEpoch

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK_SECONDS = 0.25
"""Steps run without a look at progress, the keyboard or the loss for about so long."""
JUDGE_ROWS = 2048
"""Rows of pooled features that are judged at once."""

NEVER = -1


@dataclass(frozen=True)
class Ran:
    """Some steps that were run at once.

    Args:
        steps: How many.
        images: How many they saw.
        loss: Their mean loss.
        not_finite: Which step of the epoch, from 0, was the first whose loss is not finite; `NEVER` where all are.
    """

    steps: int
    images: int
    loss: float
    not_finite: int


AfterSteps = Callable[[Ran], None]


class Loop:
    """Trains and judges one network for one stage.

    The loss of an example is its cross-entropy against smoothed labels, times its weight, `one_hot @ class_weights` (so one
    mixed of two classes weighs in between); a step's loss is the mean over the batch, as in Keras.

    Args:
        model: From the cut (or from pixels) to probabilities. What is trainable is decided before this is made.
        optimizer: A Keras optimiser; wrapped for loss scaling where layers compute in float16.
        batch_size: Examples a step.
        label_smoothing: Share of each training label spread over all classes; never in validation.
        class_weights: `(classes,)`, or None for equal ones.
        dtype: Of the inputs as they come; they are cast to float32 inside the compiled step.
        jit_compile: Whether XLA compiles the steps, for the one shape of a full batch; a smaller last batch runs without it.
            Judging never uses it.
        parts: A batch goes through the network in so many parts, one after the other, and their gradients are added up: the step
            is that of the whole batch, in less memory. XLA compiles no such step.

    Attributes:
        steps, sums: How far the epoch is: steps done, and their sums of loss, right answers and images.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        *,
        batch_size: int,
        label_smoothing: float = 0.0,
        class_weights: NDArray[Any] | None = None,
        dtype: str = "float32",
        jit_compile: bool = False,
        parts: int = 1,
    ) -> None:
        self.model, self.batch_size, self.label_smoothing = model, batch_size, label_smoothing
        self.parts, self.steps, self.sums = parts, 0, np.zeros(3)
        classes = int(model.output_shape[-1])
        self._class_weights = tf.constant(np.ones(classes) if class_weights is None else class_weights, tf.float32)
        self._logits = logits_model(model)
        self._variables = list(model.trainable_variables)
        half = any(layer.compute_dtype == "float16" for layer in _layers(model))
        self._scheduled = optimizer
        self.optimizer = keras.optimizers.LossScaleOptimizer(optimizer) if half else optimizer
        self.optimizer.build(self._variables)
        inputs = tf.TensorSpec((None, *model.input_shape[1:]), dtype)
        labels, order, number = tf.TensorSpec((None, classes)), tf.TensorSpec((None,), tf.int32), tf.TensorSpec((), tf.int32)
        batch, memory = (inputs, labels), (inputs, labels, order, number, number)
        full = tf.TensorSpec((batch_size, *model.input_shape[1:])), tf.TensorSpec((batch_size, classes))
        self._xla_step = tf.function(self._step, input_signature=full, jit_compile=True)
        self._over_batch = {
            jit: tf.function(step, input_signature=batch) for jit, step in ((False, self._step), (True, self._full_step))
        }
        self._over_memory = {
            jit: tf.function(steps, input_signature=memory)
            for jit, steps in ((False, self._memory_steps), (True, self._full_memory_steps))
        }
        self._predict = tf.function(self._forward, input_signature=(inputs,))
        self.inputs, self.jit_compile, self._chunk = inputs, jit_compile, 8

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        return float(keras.ops.convert_to_numpy(self._scheduled.learning_rate))

    def seed(self, *parts: Any) -> None:
        """Sets every layer's source of randomness (dropout) from `parts`, so that an epoch can be repeated."""
        for number, layer in enumerate(_layers(self.model)):
            generator = getattr(layer, "seed_generator", None)
            if generator is not None:
                generator.state.assign(np.array([derived_seed(*parts, number), 0], np.uint32))

    def train(
        self,
        epoch: Epoch,
        after_steps: AfterSteps = lambda ran: None,
        *,
        done: int = 0,
        sums: Sequence[float] = (0.0, 0.0, 0.0),
    ) -> dict[str, float]:
        """One pass with gradient steps.

        Args:
            epoch: The batches.
            after_steps: Told, every now and then, what was run since; what it raises ends the pass.
            done, sums: `steps` and `sums` of the same pass when it was left: it goes on from there.

        Returns:
            `loss` and `accuracy` of the training images as they were seen, dropout and smoothing included.
        """
        self.steps, self.sums = done, np.array(sums, np.float64)
        for steps, sums_of_steps, not_finite in self._passes(epoch, done):
            self.steps, self.sums = self.steps + steps, self.sums + sums_of_steps
            loss, _, images = sums_of_steps
            after_steps(Ran(steps, int(images), float(loss / max(images, 1)), not_finite))
        loss, right, images = self.sums
        return {"loss": float(loss / images), "accuracy": float(right / images)}

    def judge(self, epoch: Epoch, after_batch: Callable[[], None] = lambda: None) -> dict[str, float]:
        """`val_loss` (unweighted, unsmoothed), `val_accuracy` and `val_macro_f1` over all batches."""
        logits, labels = zip(*self._judged(epoch, after_batch), strict=True)
        return judgement(np.concatenate(logits), np.concatenate(labels))

    def _passes(self, epoch: Epoch, first: int) -> Iterator[tuple[int, NDArray[np.float64], int]]:
        """Runs the steps from number `first` on, some at a time: how many, their sums, the first that is not finite."""
        if isinstance(epoch, MemoryEpoch):
            yield from self._train_memory(epoch, first)
        elif isinstance(epoch, StreamEpoch):
            for number, batch in enumerate(epoch.dataset.skip(first) if first else epoch.dataset, first):
                sums = self._run_batch(batch)
                yield 1, sums, NEVER if np.isfinite(sums[0]) else number
        else:
            before = 0
            for features, labels in epoch.dataset:
                count = -(-len(labels) // self.batch_size)
                block = MemoryEpoch(features, labels, np.arange(len(labels), dtype=np.int32))
                for steps, sums, not_finite in self._train_memory(block, max(first - before, 0)):
                    yield steps, sums, not_finite if not_finite == NEVER else before + not_finite
                before += count

    def _run_batch(self, batch: tuple[tf.Tensor, tf.Tensor]) -> NDArray[np.float64]:
        compiled = self.jit_compile and len(batch[1]) == self.batch_size
        return np.asarray(self._over_batch[compiled](*batch), np.float64)

    def _train_memory(self, epoch: MemoryEpoch, first: int) -> Iterator[tuple[int, NDArray[np.float64], int]]:
        order = tf.constant(epoch.order)
        start, end, full = first, -(-len(epoch.order) // self.batch_size), len(epoch.order) // self.batch_size
        while start < end:
            compiled = self.jit_compile and start < full
            stop, began = min(full if compiled else end, start + self._chunk), time.perf_counter()
            steps = self._over_memory[compiled]
            sums, not_finite = steps(epoch.features, epoch.labels, order, tf.constant(start), tf.constant(stop))
            yield stop - start, np.asarray(sums, np.float64), int(not_finite)
            took = (time.perf_counter() - began) / (stop - start)
            self._chunk = int(np.clip(CHUNK_SECONDS / max(took, 1e-6), 1, 4096))
            start = stop

    def _memory_steps(self, *memory: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self._repeat(self._step, *memory)

    def _full_memory_steps(self, *memory: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self._repeat(self._full_step, *memory)

    def _repeat(
        self,
        run_step: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
        features: tf.Tensor,
        labels: tf.Tensor,
        order: tf.Tensor,
        start: tf.Tensor,
        stop: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        sums = tf.zeros((3,), tf.float64)  # the same sum whatever number of steps ran at once
        not_finite = tf.constant(NEVER)
        for step in tf.range(start, stop):
            rows = order[step * self.batch_size : (step + 1) * self.batch_size]
            found = run_step(tf.gather(features, rows), tf.gather(labels, rows))
            not_finite = tf.where((not_finite == NEVER) & ~tf.math.is_finite(found[0]), step, not_finite)
            sums += tf.cast(found, tf.float64)
        return sums, not_finite

    def _full_step(self, inputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """A step compiled by XLA, on a batch that is full."""
        inputs = tf.ensure_shape(tf.cast(inputs, tf.float32), (self.batch_size, *inputs.shape[1:]))
        return self._xla_step(inputs, tf.ensure_shape(labels, (self.batch_size, *labels.shape[1:])))

    def _step(self, inputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """One gradient step; the sums of loss, of right answers and of images."""
        gradients, sums = self._gradients(inputs, labels) if self.parts == 1 else self._gradients_in_parts(inputs, labels)
        self.optimizer.apply(gradients, self._variables)
        return sums

    def _gradients(self, inputs: tf.Tensor, labels: tf.Tensor, *, share: tf.Tensor | float = 1.0) -> tuple[list[Any], tf.Tensor]:
        """Of `share` times the mean loss of these examples; and the sums."""
        classes = labels.shape[-1]
        targets = labels * (1.0 - self.label_smoothing) + self.label_smoothing / classes
        weights = tf.linalg.matvec(labels, self._class_weights)
        inputs = tf.cast(inputs, tf.float32)
        with tf.GradientTape() as tape:
            logits = tf.cast(self._logits(inputs, training=True), tf.float32)
            losses = weights * tf.nn.softmax_cross_entropy_with_logits(targets, logits)
            loss = tf.reduce_mean(losses) + tf.add_n([tf.cast(extra, tf.float32) for extra in self._logits.losses] or [0.0])
            scaled = self.optimizer.scale_loss(loss if self.parts == 1 else loss * share)
        unconnected = tf.UnconnectedGradients.NONE if self.parts == 1 else tf.UnconnectedGradients.ZERO
        gradients = tape.gradient(scaled, [variable.value for variable in self._variables], unconnected_gradients=unconnected)
        right = tf.equal(tf.argmax(logits, -1), tf.argmax(labels, -1))
        images = tf.cast(tf.shape(labels)[0], tf.float32)
        return gradients, tf.stack([loss * images, tf.reduce_sum(tf.cast(right, tf.float32)), images])

    def _gradients_in_parts(self, inputs: tf.Tensor, labels: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        """The same of a whole batch, of which only one part is in the network at a time."""
        count, rows = tf.shape(labels)[0], self._part_rows

        def add(start: tf.Tensor, gradients: list[tf.Tensor], sums: tf.Tensor) -> tuple[Any, ...]:
            part = labels[start : start + rows]
            share = tf.cast(tf.shape(part)[0], tf.float32) / tf.cast(count, tf.float32)
            more, found = self._gradients(inputs[start : start + rows], part, share=share)
            return start + rows, [a + tf.convert_to_tensor(b) for a, b in zip(gradients, more, strict=True)], sums + found

        nothing = [tf.zeros(variable.shape, variable.dtype) for variable in self._variables]
        before = (tf.constant(0), nothing, tf.zeros((3,)))
        # one at a time: TensorFlow would otherwise run several parts at once, in the memory of the whole batch
        _, gradients, sums = tf.while_loop(lambda start, *_: start < count, add, before, parallel_iterations=1)
        return gradients, sums

    @property
    def _part_rows(self) -> int:
        return -(-self.batch_size // self.parts)

    def _forward(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.cast(self._logits(tf.cast(inputs, tf.float32), training=False), tf.float32)

    def _judged(self, epoch: Epoch, after_batch: Callable[[], None]) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        blocks = [(epoch.features, epoch.labels)] if isinstance(epoch, MemoryEpoch) else epoch.dataset
        rows = JUDGE_ROWS if len(self.model.input_shape) == 2 and self.parts == 1 else self._part_rows
        for features, labels in blocks:
            for start in range(0, len(labels), rows):
                part = slice(start, start + rows)
                yield self._predict(features[part]).numpy(), labels[part].numpy()
                after_batch()


def judgement(logits: NDArray[np.float32], one_hot: NDArray[np.float32]) -> dict[str, float]:
    """Validation metrics from logits and one-hot labels, both `(n, classes)`. A class that never occurs has an F1 of 0.

    Example:

    >>> judgement(np.array([[9.0, 0.0], [9.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0]]))["val_accuracy"]
    0.5
    """
    logits = np.asarray(logits, np.float64)
    shifted = logits - logits.max(-1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    labels, answers, classes = one_hot.argmax(-1), logits.argmax(-1), one_hot.shape[-1]
    right = np.bincount(labels[labels == answers], minlength=classes)
    found = np.bincount(labels, minlength=classes) + np.bincount(answers, minlength=classes)
    return {
        "val_loss": float(-(one_hot * log_probabilities).sum(-1).mean()),
        "val_accuracy": float((labels == answers).mean()),
        "val_macro_f1": float((2 * right / np.maximum(found, 1)).mean()),
    }


def logits_model(model: keras.Model) -> keras.Model:
    """`model` without its final softmax: a loss computed from probabilities loses its gradient where they saturate."""
    operation, node, _ = model.outputs[0]._keras_history
    return keras.Model(model.inputs, operation._inbound_nodes[node].input_tensors[0], name=f"{model.name}_logits")


def _layers(model: keras.Model) -> list[keras.layers.Layer]:
    return list(model._flatten_layers(include_self=False))

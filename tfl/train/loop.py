"""The passes over the data: gradients on the live part of the network, and its judgement on the validation split.

Keras' `fit` spends about a millisecond a step on itself, which is most of the time where a head trains on stored features.
Here one compiled function runs many steps, over arrays in memory, and is traced once a stage.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
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

AfterSteps = Callable[[int, float], None]


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
    ) -> None:
        self.model, self.batch_size, self.label_smoothing = model, batch_size, label_smoothing
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

    def train(self, epoch: Epoch, after_steps: AfterSteps = lambda images, loss: None) -> dict[str, float]:
        """One pass with gradient steps.

        Args:
            epoch: The batches.
            after_steps: Told, every now and then, how many images were seen since and their mean loss.

        Returns:
            `loss` and `accuracy` of the training images as they were seen, dropout and smoothing included.
        """
        totals = np.zeros(3)
        for sums in self._passes(epoch):
            totals += sums
            after_steps(int(sums[2]), float(sums[0] / max(sums[2], 1)))
        return {"loss": float(totals[0] / totals[2]), "accuracy": float(totals[1] / totals[2])}

    def judge(self, epoch: Epoch) -> dict[str, float]:
        """`val_loss` (unweighted, unsmoothed), `val_accuracy` and `val_macro_f1` over all batches."""
        logits, labels = zip(*self._judged(epoch), strict=True)
        return judgement(np.concatenate(logits), np.concatenate(labels))

    def _passes(self, epoch: Epoch) -> Iterator[NDArray[np.float64]]:
        if isinstance(epoch, MemoryEpoch):
            yield from self._train_memory(epoch)
        elif isinstance(epoch, StreamEpoch):
            yield from map(self._run_batch, epoch.dataset)
        else:
            for features, labels in epoch.dataset:
                yield from self._train_memory(MemoryEpoch(features, labels, np.arange(len(labels), dtype=np.int32)))

    def _run_batch(self, batch: tuple[tf.Tensor, tf.Tensor]) -> NDArray[np.float64]:
        compiled = self.jit_compile and len(batch[1]) == self.batch_size
        return np.asarray(self._over_batch[compiled](*batch), np.float64)

    def _train_memory(self, epoch: MemoryEpoch) -> Iterator[NDArray[np.float64]]:
        order = tf.constant(epoch.order)
        start, end, full = 0, -(-len(epoch.order) // self.batch_size), len(epoch.order) // self.batch_size
        while start < end:
            compiled = self.jit_compile and start < full
            stop, began = min(full if compiled else end, start + self._chunk), time.perf_counter()
            steps = self._over_memory[compiled]
            sums = steps(epoch.features, epoch.labels, order, tf.constant(start), tf.constant(stop))
            yield np.asarray(sums, np.float64)
            took = (time.perf_counter() - began) / (stop - start)
            self._chunk = int(np.clip(CHUNK_SECONDS / max(took, 1e-6), 1, 4096))
            start = stop

    def _memory_steps(self, *memory: tf.Tensor) -> tf.Tensor:
        return self._repeat(self._step, *memory)

    def _full_memory_steps(self, *memory: tf.Tensor) -> tf.Tensor:
        return self._repeat(self._full_step, *memory)

    def _repeat(
        self,
        run_step: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
        features: tf.Tensor,
        labels: tf.Tensor,
        order: tf.Tensor,
        start: tf.Tensor,
        stop: tf.Tensor,
    ) -> tf.Tensor:
        sums = tf.zeros((3,), tf.float64)  # the same sum whatever number of steps ran at once
        for step in tf.range(start, stop):
            rows = order[step * self.batch_size : (step + 1) * self.batch_size]
            sums += tf.cast(run_step(tf.gather(features, rows), tf.gather(labels, rows)), tf.float64)
        return sums

    def _full_step(self, inputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """A step compiled by XLA, on a batch that is full."""
        inputs = tf.ensure_shape(tf.cast(inputs, tf.float32), (self.batch_size, *inputs.shape[1:]))
        return self._xla_step(inputs, tf.ensure_shape(labels, (self.batch_size, *labels.shape[1:])))

    def _step(self, inputs: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """One gradient step; the sums of loss, of right answers and of images."""
        classes = labels.shape[-1]
        targets = labels * (1.0 - self.label_smoothing) + self.label_smoothing / classes
        weights = tf.linalg.matvec(labels, self._class_weights)
        inputs = tf.cast(inputs, tf.float32)
        with tf.GradientTape() as tape:
            logits = tf.cast(self._logits(inputs, training=True), tf.float32)
            losses = weights * tf.nn.softmax_cross_entropy_with_logits(targets, logits)
            loss = tf.reduce_mean(losses) + tf.add_n([tf.cast(extra, tf.float32) for extra in self._logits.losses] or [0.0])
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, [variable.value for variable in self._variables])
        self.optimizer.apply(gradients, self._variables)
        right = tf.equal(tf.argmax(logits, -1), tf.argmax(labels, -1))
        images = tf.cast(tf.shape(labels)[0], tf.float32)
        return tf.stack([loss * images, tf.reduce_sum(tf.cast(right, tf.float32)), images])

    def _forward(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.cast(self._logits(tf.cast(inputs, tf.float32), training=False), tf.float32)

    def _judged(self, epoch: Epoch) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        blocks = [(epoch.features, epoch.labels)] if isinstance(epoch, MemoryEpoch) else epoch.dataset
        rows = JUDGE_ROWS if len(self.model.input_shape) == 2 else self.batch_size
        for features, labels in blocks:
            for start in range(0, len(labels), rows):
                part = slice(start, start + rows)
                yield self._predict(features[part]).numpy(), labels[part].numpy()


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

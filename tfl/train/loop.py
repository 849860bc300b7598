"""The passes over the data: gradients on the trainable part of the network, and its metrics on the validation split.

Keras' `fit` spends about a millisecond a step on itself, which is most of the time where a head trains on stored features.
Here one compiled function runs many steps, over arrays in memory, and is traced once a stage.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from tfl.backbones.inputs import inputs_of
from tfl.data.bundle import derived_seed
from tfl.features.cut import TAP
from tfl.model.lora import LORA, lora_change
from tfl.tasks.base import Task, task_of
from tfl.train.batches import Epoch, MemoryEpoch, StreamEpoch

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHUNK_SECONDS = 0.25
"""Steps run without a look at progress, the keyboard or the loss for about so long."""
EVALUATION_ROWS = 2048
"""Rows of pooled features that are evaluated at once."""

NEVER = -1


@dataclass(frozen=True)
class Ran:
    """Some steps that were run at once.

    Args:
        steps: Number of steps.
        examples: Number of examples in them.
        loss: Their mean loss.
        not_finite: Which step of the epoch, from 0, was the first whose loss is not finite; `NEVER` where all are.
    """

    steps: int
    examples: int
    loss: float
    not_finite: int


AfterSteps = Callable[[Ran], None]


class Loop:
    """Trains and evaluates one network for one stage.

    The loss of an example is the task's, weighted by the task; a step's loss is the mean over the batch, as in Keras.

    Args:
        model: From the cut (or from the inputs of the whole network) to its outputs. What is
            trainable is decided before this is made.
        optimizer: A Keras optimiser; wrapped for loss scaling where layers compute in float16.
        batch_size: Examples a step.
        label_smoothing: Share of each training label spread over all classes; never in validation.
        task: Loss, metrics and weights. Defaults to one of several classes.
        class_weights: `(width,)`, a weight for each output, or None for equal ones.
        dtype: Of floating-point inputs as they come; they are cast to float32 inside the compiled step.
        exact: Names of inputs that come in their own dtype.
        jit_compile: Whether XLA compiles the steps, for the one shape of a full batch; a smaller last batch runs without it.
            Evaluation never uses it.
        parts: A batch goes through the network in so many parts, one after the other, and their gradients are added up: the step
            is that of the whole batch, in less memory. XLA compiles no such step.
        l2_sp: Penalty on the squared distance of the backbone's weights to where they are now; see `Stage.l2_sp`.
        head: Names of the layers of the head, which `l2_sp` leaves alone.

    Attributes:
        steps, sums: How far the epoch is: steps done, and their sums of loss, step metric and examples.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        *,
        batch_size: int,
        label_smoothing: float = 0.0,
        task: Task | None = None,
        class_weights: NDArray[Any] | None = None,
        dtype: str = "float32",
        exact: Collection[str] = (),
        jit_compile: bool = False,
        parts: int = 1,
        l2_sp: float = 0.0,
        head: Collection[str] = (),
    ) -> None:
        self.model, self.batch_size, self.label_smoothing = model, batch_size, label_smoothing
        self.parts, self.steps, self.sums = parts, 0, np.zeros(3)
        self.task = (task or task_of("classify")).bound_to(model)
        width = int(model.output_shape[-1])
        self._class_weights = tf.constant(np.ones(width) if class_weights is None else class_weights, tf.float32)
        self._logits = logits_model(model, self.task)
        self._variables = list(model.trainable_variables)
        self._l2_sp, own = l2_sp, [layer for layer in _layers(model) if layer.name not in head] if l2_sp else []
        trained = {id(variable) for variable in self._variables}
        within = {id(weight): weight for layer in own for weight in layer.weights if weight.name not in LORA}
        anchored = [weight for number, weight in within.items() if number in trained]
        self._anchors = [(weight, tf.constant(keras.ops.convert_to_numpy(weight), tf.float32)) for weight in anchored]
        self._adapted = [layer for layer in own if getattr(layer, "lora_enabled", False)]
        half = any(layer.compute_dtype == "float16" for layer in _layers(model))
        self._scheduled = optimizer
        self.optimizer = keras.optimizers.LossScaleOptimizer(optimizer) if half else optimizer
        self.optimizer.build(self._variables)
        inputs = input_specs(model, dtype, exact=exact)
        wide = self.task.target_width(width)
        targets, order, number = tf.TensorSpec((None, wide)), tf.TensorSpec((None,), tf.int32), tf.TensorSpec((), tf.int32)
        batch, memory = (inputs, targets), (inputs, targets, order, number, number)
        full = input_specs(model, "float32", batch_size=batch_size), tf.TensorSpec((batch_size, wide))
        self._xla_step = _compiled(self._step, full, jit_compile=True)
        self._over_batch = {jit: _compiled(step, batch) for jit, step in ((False, self._step), (True, self._full_step))}
        self._over_memory = {
            jit: _compiled(steps, memory) for jit, steps in ((False, self._memory_steps), (True, self._full_memory_steps))
        }
        self._predict = _compiled(self._forward, (inputs,))
        self.inputs, self.jit_compile, self._chunk = inputs, jit_compile, 8

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        return float(keras.ops.convert_to_numpy(self._scheduled.learning_rate))

    def seed(self, *parts: Any) -> None:
        """Sets every layer's source of randomness (dropout) from `parts`, so that an epoch can be repeated."""
        for number, layer in enumerate(_layers(self.model), _first_number(self.model)):
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
            done, sums: `steps` and `sums` of the same pass when it was left: it resumes there.

        Returns:
            `loss` and the task's step metric over the training examples as they were trained on, dropout and smoothing included.
        """
        self.steps, self.sums = done, np.array(sums, np.float64)
        for steps, sums_of_steps, not_finite in self._passes(epoch, done):
            self.steps, self.sums = self.steps + steps, self.sums + sums_of_steps
            loss, _, count = sums_of_steps
            after_steps(Ran(steps, int(count), float(loss / max(count, 1)), not_finite))
        loss, score, count = self.sums
        return {"loss": float(loss / count), self.task.step_metric: float(score / count)}

    def evaluate(self, epoch: Epoch, after_batch: Callable[[], None] = lambda: None) -> dict[str, float]:
        """The task's validation metrics, unweighted and unsmoothed, over all batches."""
        return self.task.validate(*self.outputs(epoch, after_batch))

    def outputs(
        self, epoch: Epoch, after_batch: Callable[[], None] = lambda: None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The logits and the targets of all batches, each `(n, width)`."""
        logits, targets = zip(*self._logits_of(epoch, after_batch), strict=True)
        return np.concatenate(logits), np.concatenate(targets)

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
            for features, targets in epoch.dataset:
                count = -(-len(targets) // self.batch_size)
                block = MemoryEpoch(features, targets, np.arange(len(targets), dtype=np.int32))
                for steps, sums, not_finite in self._train_memory(block, max(first - before, 0)):
                    yield steps, sums, not_finite if not_finite == NEVER else before + not_finite
                before += count

    def _run_batch(self, batch: tuple[Any, tf.Tensor]) -> NDArray[np.float64]:
        compiled = self.jit_compile and len(batch[1]) == self.batch_size
        return np.asarray(self._over_batch[compiled](*batch), np.float64)

    def _train_memory(self, epoch: MemoryEpoch, first: int) -> Iterator[tuple[int, NDArray[np.float64], int]]:
        order = tf.constant(epoch.order)
        start, end, full = first, -(-len(epoch.order) // self.batch_size), len(epoch.order) // self.batch_size
        while start < end:
            compiled = self.jit_compile and start < full
            stop, began = min(full if compiled else end, start + self._chunk), time.perf_counter()
            steps = self._over_memory[compiled]
            sums, not_finite = steps(epoch.features, epoch.targets, order, tf.constant(start), tf.constant(stop))
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
        run_step: Callable[[Any, tf.Tensor], tf.Tensor],
        features: Any,
        targets: tf.Tensor,
        order: tf.Tensor,
        start: tf.Tensor,
        stop: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        def next_step(step: tf.Tensor, sums: tf.Tensor, not_finite: tf.Tensor) -> tuple[tf.Tensor, ...]:
            rows = order[step * self.batch_size : (step + 1) * self.batch_size]
            some = tf.nest.map_structure(lambda one: tf.gather(one, rows), features)
            found = run_step(some, tf.gather(targets, rows))
            not_finite = tf.where((not_finite == NEVER) & ~tf.math.is_finite(found[0]), step, not_finite)
            return step + 1, sums + tf.cast(found, tf.float64), not_finite

        nothing = tf.zeros((3,), tf.float64)  # the same sum whatever number of steps ran at once
        _, sums, not_finite = tf.while_loop(lambda step, *_: step < stop, next_step, (start, nothing, tf.constant(NEVER)))
        return sums, not_finite

    def _full_step(self, inputs: Any, targets: tf.Tensor) -> tf.Tensor:
        """A step compiled by XLA, on a batch that is full."""
        full = tf.nest.map_structure(lambda one: tf.ensure_shape(one, (self.batch_size, *one.shape[1:])), _as_float32(inputs))
        return self._xla_step(full, tf.ensure_shape(targets, (self.batch_size, *targets.shape[1:])))

    def _step(self, inputs: Any, targets: tf.Tensor) -> tf.Tensor:
        """One gradient step; the sums of loss, of the step metric and of examples."""
        gradients, sums = self._gradients(inputs, targets) if self.parts == 1 else self._gradients_in_parts(inputs, targets)
        self.optimizer.apply(gradients, self._variables)
        return sums

    def _gradients(self, inputs: Any, targets: tf.Tensor, *, share: tf.Tensor | float = 1.0) -> tuple[list[Any], tf.Tensor]:
        """Of `share` times the mean loss of these examples; and the sums."""
        inputs = _as_float32(inputs)
        with tf.GradientTape() as tape:
            logits = tf.cast(self._logits(inputs, training=True), tf.float32)
            losses = self.task.loss(targets, logits, weights=self._class_weights, label_smoothing=self.label_smoothing)
            loss = tf.reduce_mean(losses) + tf.add_n([tf.cast(extra, tf.float32) for extra in self._logits.losses] or [0.0])
            if moved := self._squared_distances():
                loss += self._l2_sp / 2 * tf.add_n(moved)
            scaled = self.optimizer.scale_loss(loss if self.parts == 1 else loss * share)
        unconnected = tf.UnconnectedGradients.NONE if self.parts == 1 else tf.UnconnectedGradients.ZERO
        gradients = tape.gradient(scaled, [variable.value for variable in self._variables], unconnected_gradients=unconnected)
        score = self.task.step_score(targets, logits)
        count = tf.cast(tf.shape(targets)[0], tf.float32)
        return gradients, tf.stack([loss * count, tf.reduce_sum(score), count])

    def _squared_distances(self) -> list[tf.Tensor]:
        """Of the weights to where they were; none without `l2_sp`."""
        own = [tf.reduce_sum(tf.square(tf.cast(weight.value, tf.float32) - start)) for weight, start in self._anchors]
        return own + [tf.reduce_sum(tf.square(lora_change(layer))) for layer in self._adapted]

    def _gradients_in_parts(self, inputs: Any, targets: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        """The same of a whole batch, of which only one part is in the network at a time."""
        count, rows = tf.shape(targets)[0], self._part_rows

        def add(start: tf.Tensor, gradients: list[tf.Tensor], sums: tf.Tensor) -> tuple[Any, ...]:
            part = targets[start : start + rows]
            share = tf.cast(tf.shape(part)[0], tf.float32) / tf.cast(count, tf.float32)
            some = tf.nest.map_structure(lambda one: one[start : start + rows], inputs)
            more, found = self._gradients(some, part, share=share)
            return start + rows, [a + tf.convert_to_tensor(b) for a, b in zip(gradients, more, strict=True)], sums + found

        nothing = [tf.zeros(variable.shape, variable.dtype) for variable in self._variables]
        before = (tf.constant(0), nothing, tf.zeros((3,)))
        # one at a time: TensorFlow would otherwise run several parts at once, in the memory of the whole batch
        _, gradients, sums = tf.while_loop(lambda start, *_: start < count, add, before, parallel_iterations=1)
        return gradients, sums

    @property
    def _part_rows(self) -> int:
        return -(-self.batch_size // self.parts)

    def _forward(self, inputs: Any) -> tf.Tensor:
        return tf.cast(self._logits(_as_float32(inputs), training=False), tf.float32)

    def _logits_of(
        self, epoch: Epoch, after_batch: Callable[[], None]
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        blocks = [(epoch.features, epoch.targets)] if isinstance(epoch, MemoryEpoch) else epoch.dataset
        rows = EVALUATION_ROWS if _are_vectors(self.inputs) and self.parts == 1 else self._part_rows
        for features, targets in blocks:
            for start in range(0, len(targets), rows):
                part = slice(start, start + rows)
                yield self._predict(tf.nest.map_structure(lambda one: one[part], features)).numpy(), targets[part].numpy()  # noqa: B023
                after_batch()


def _compiled(function: Callable[..., Any], signature: Any, *, jit_compile: bool | None = None) -> Any:
    """A graph. Nothing here branches in Python on a tensor; reading the source for that takes longer than a small training."""
    return tf.function(function, input_signature=signature, jit_compile=jit_compile, autograph=False)


def input_specs(model: keras.Model, dtype: str, *, batch_size: int | None = None, exact: Collection[str] = ()) -> Any:
    """What a model takes: one specification, or a dictionary by input name where it has several inputs.

    Args:
        model: A Functional model.
        dtype: Of its floating-point inputs; whole numbers and masks keep theirs.
        batch_size: First axis; None leaves it open.
        exact: Names of floating-point inputs that keep theirs too.
    """
    specs = {
        one.name: tf.TensorSpec((batch_size, *one.shape[1:]), str(one.dtype) if one.name in exact else _dtype_of(one, dtype))
        for one in model.inputs
    }
    return specs if len(specs) > 1 else next(iter(specs.values()))


def _dtype_of(tensor: Any, dtype: str) -> str:
    return dtype if tf.as_dtype(tensor.dtype).is_floating else str(tensor.dtype)


def _as_float32(inputs: Any) -> Any:
    """Floating-point tensors as float32; others as they are."""
    return tf.nest.map_structure(lambda one: tf.cast(one, tf.float32) if one.dtype.is_floating else one, inputs)


def _are_vectors(specs: Any) -> bool:
    return all(len(spec.shape) == 2 for spec in tf.nest.flatten(specs))


def logits_model(model: keras.Model, task: Task) -> keras.Model:
    """`model` without the task's output layers: a loss computed from probabilities loses its gradient where they saturate."""
    return keras.Model(inputs_of(model), task.logits_of(model), name=f"{model.name}_logits")


_TAP_LAYERS = 2


def _first_number(model: keras.Model) -> int:
    """Where the numbers of layers begin that their seeds are made of.

    Tapped vectors once reached the suffix in one row with the feature map, behind two layers more than now: runs of that time
    repeat bit for bit.
    """
    return _TAP_LAYERS if any(one.name.startswith(TAP) for one in model.inputs) else 0


def _layers(model: keras.Model) -> list[keras.layers.Layer]:
    return list(model._flatten_layers(include_self=False))

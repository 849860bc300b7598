"""BatchNorm in the target domain: its statistics (AdaBN), and its scale and shift by the entropy of answers (TENT)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from tfl.backbones.inputs import by_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH = 64
"""Examples of a batch; those of the last ones are evened out."""
PRIOR = 16
"""So many examples the statistics of the source count as (Schneider et al. 2020, equation 3)."""
RATE = 1e-3
"""Of Adam in TENT, as Wang et al. 2021, section 4.1, have it for data sets other than ImageNet."""
STEPS, MOST_PASSES = 50, 5
"""TENT passes over the examples until it has made so many steps, once at least and at most so many times."""

Batches = Callable[["NDArray[np.int64]"], Iterator[Any]]
"""From rows to the inputs of the network, batch by batch."""


def batchnorm_layers(model: keras.Model) -> list[keras.layers.BatchNormalization]:
    """The BatchNorm layers of a flat Functional model, input side first."""
    return [one for one in model.operations if isinstance(one, keras.layers.BatchNormalization)]


class BatchStatistics:
    """A network in which each BatchNorm takes the mean and the variance of the batch; all other layers are in inference mode.

    Args:
        model: A flat Functional model; neither its weights nor its statistics are changed by a pass.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model, self.layers = model, batchnorm_layers(model)
        self._run: Any = None

    def of(self, inputs: Any) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """Mean and variance of a batch at each of `layers`; traced once."""
        self._run = self._run or over_batches(lambda some: self(some)[1], inputs)
        return list(self._run(inputs))

    def __call__(self, inputs: Any) -> tuple[Any, list[tuple[tf.Tensor, tf.Tensor]]]:
        """The outputs for a batch, and mean and variance at each of `layers`."""
        found: dict[str, tuple[tf.Tensor, tf.Tensor]] = {}

        def of(operation: Any) -> Any:
            if not isinstance(operation, keras.layers.BatchNormalization):
                return operation

            def normalise(x: Any, **_: Any) -> Any:
                values = tf.cast(x, tf.float32)
                axis = operation.axis % len(values.shape)
                mean, variance = tf.nn.moments(values, [one for one in range(len(values.shape)) if one != axis], keepdims=True)
                found[operation.name] = (tf.reshape(mean, [-1]), tf.reshape(variance, [-1]))
                made = (values - mean) * tf.math.rsqrt(variance + operation.epsilon)
                if operation.scale:
                    made *= tf.reshape(operation.gamma.value, tf.shape(mean))
                if operation.center:
                    made += tf.reshape(operation.beta.value, tf.shape(mean))
                return tf.cast(made, x.dtype)

            return normalise

        values = by_name(self.model, inputs)
        outputs = self.model._run_through_graph([values[one.name] for one in self.model.inputs], operation_fn=of)
        return outputs, [found[layer.name] for layer in self.layers]


def over_batches(function: Callable[[Any], Any], inputs: Any) -> Any:
    """A function of the inputs of a network as one graph for batches of any size; `inputs` are some."""
    specs = tf.nest.map_structure(lambda one: tf.TensorSpec((None, *np.shape(one)[1:]), one.dtype), inputs)
    return tf.function(function, input_signature=(specs,), autograph=False)


def adapt_statistics(statistics: BatchStatistics, batches: Batches, count: int, *, seed: int) -> None:
    """Gives every BatchNorm the statistics of other examples, in place.

        mean     = (N * mean_s + n * mean_t) / (N + n)
        variance = (N * variance_s + n * variance_t) / (N + n)

    with N = `PRIOR`. Those of the target are taken over all examples, in batches drawn at random, in one pass: below each layer
    the statistics of the batch stand for those of all.

    Args:
        statistics: Of the network.
        batches: From rows to batches of its inputs.
        count: Int, number of examples.
        seed: Int, of the order.

    Source: Li et al. 2016, *Revisiting Batch Normalization For Practical Domain Adaptation*; the prior by Schneider et al. 2020,
    *Improving robustness against common corruptions by covariate shift adaptation*.
    """
    sums = [[np.zeros(layer.moving_mean.shape) for _ in range(2)] for layer in statistics.layers]
    total = 0
    for inputs in batches(np.random.default_rng(seed).permutation(count)):
        size = len(next(iter(by_name(statistics.model, inputs).values())))
        total += size
        for one, (mean, variance) in zip(sums, statistics.of(inputs), strict=True):
            own = np.asarray(mean, np.float64)
            one[0] += size * own
            one[1] += size * (np.asarray(variance, np.float64) + own**2)
    for layer, (first, second) in zip(statistics.layers, sums, strict=True):
        mean, share = first / total, total / (total + PRIOR)
        for weight, value in ((layer.moving_mean, mean), (layer.moving_variance, second / total - mean**2)):
            weight.assign((1 - share) * keras.ops.convert_to_numpy(weight) + share * value)


def minimise_entropy(
    statistics: BatchStatistics,
    logits: keras.Model,
    batches: Batches,
    count: int,
    *,
    seed: int,
    passes: int,
    after_batch: Callable[[], None] = lambda: None,
) -> None:
    """Trains scale and shift of every BatchNorm so that answers become surer, in place; then `adapt_statistics`.

        loss = - mean over examples of sum over classes of p log p

    Args:
        statistics: Of the network.
        logits: The network without its last activation.
        batches, count, seed: As of `adapt_statistics`.
        passes: Int, over the examples.
        after_batch: Called after each step.

    Source: Wang et al. 2021, *Tent: Fully Test-Time Adaptation by Entropy Minimization*.
    """
    inside = BatchStatistics(logits)
    variables = [one for layer in inside.layers for one in (layer.gamma, layer.beta) if one is not None]
    optimizer = keras.optimizers.Adam(RATE)
    optimizer.build(variables)

    def step(inputs: Any) -> None:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([one.value for one in variables])
            said = tf.nn.log_softmax(tf.cast(inside(inputs)[0], tf.float32))
            loss = -tf.reduce_mean(tf.reduce_sum(tf.exp(said) * said, axis=-1))
        optimizer.apply(tape.gradient(loss, [one.value for one in variables]), variables)

    run: Any = None
    for number in range(passes):
        for inputs in batches(np.random.default_rng([seed, number]).permutation(count)):
            run = run or over_batches(step, inputs)
            run(inputs)
            after_batch()
    adapt_statistics(statistics, batches, count, seed=seed)


def passes_of(count: int) -> int:
    """How often TENT passes over so many examples.

    Example:

    >>> passes_of(100), passes_of(1600), passes_of(100_000)
    (5, 2, 1)
    """
    return int(np.clip(-(-STEPS * BATCH // count), 1, MOST_PASSES))

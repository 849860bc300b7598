"""Training the blocks above a cut on stored features of both domains: Deep CORAL and DANN."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np
import tensorflow as tf

from tfl.backbones.inputs import inputs_of
from tfl.data.bundle import derived_seed
from tfl.evaluate.explain import tensor_of
from tfl.model.head import LOGITS, POOL

if TYPE_CHECKING:
    from numpy.typing import NDArray

BATCH = 32
"""Examples of each domain in a step."""
RATE = 3e-4
"""Of Adam at the start, for the blocks and the head; the domain classifier, which starts at random, has ten times that."""
HIDDEN = 100
"""Units of the domain classifier (Ganin et al. 2016, section 5.2.2 has 100 and more)."""
GAMMA, ALPHA, BETA = 10.0, 10.0, 0.75
"""Of the schedules (Ganin et al. 2016, section 5.2.2)."""


@tf.custom_gradient
def reverse_gradient(x: tf.Tensor, strength: tf.Tensor) -> Any:
    """`x`; its gradient is multiplied by `-strength`."""
    return x, lambda upstream: (-strength * upstream, None)


def schedules(progress: float) -> tuple[float, float]:
    """The strength of the reversal and the factor of the learning rate, at a share of the training.

        strength = 2 / (1 + exp(-10 p)) - 1,    factor = (1 + 10 p)^(-3/4)

    Example:

    >>> schedules(0.0), round(schedules(1.0)[0], 4)
    ((0.0, 1.0), 0.9999)
    """
    return 2 / (1 + math.exp(-GAMMA * progress)) - 1, (1 + ALPHA * progress) ** -BETA


def coral_loss(source: tf.Tensor, target: tf.Tensor) -> tf.Tensor:
    """The squared distance of two covariances, over 4 d² for d columns (Sun and Saenko 2016, equation 1)."""

    def covariance(rows: tf.Tensor) -> tf.Tensor:
        centred = rows - tf.reduce_mean(rows, axis=0)
        return tf.matmul(centred, centred, transpose_a=True) / tf.cast(tf.shape(rows)[0] - 1, tf.float32)

    width = tf.cast(tf.shape(source)[1], tf.float32)
    return tf.reduce_sum(tf.square(covariance(source) - covariance(target))) / (4 * width**2)


def train_upper(
    suffix: keras.Model,
    source: Any,
    labels: NDArray[np.floating],
    target: Any,
    *,
    method: Literal["dann", "deep_coral"],
    steps: int,
    seed: int,
    class_weights: NDArray[Any] | None = None,
    after_step: Callable[[], None] = lambda: None,
) -> None:
    """Trains what is trainable in a suffix on labelled features of the source and unlabelled ones of the target, in place.

        DANN         loss = cross-entropy(source) + cross-entropy(domain of both, of reversed vectors)
        Deep CORAL   loss = cross-entropy(source) + coral_loss(logits of both)

    Args:
        suffix: From features to probabilities, with a head of tfl's.
        source, target: Features as arrays of shape `(n, ...)`, or dictionaries of these by input.
        labels: One-hot classes of the source, `(n, classes)`.
        method: Which.
        steps: Int, each of `BATCH` examples of either domain.
        seed: Int, of the order and of the domain classifier.
        class_weights: `(classes,)`, or None.
        after_step: Called after each step.

    Source: Ganin et al. 2016, *Domain-Adversarial Training of Neural Networks*; Sun and Saenko 2016, *Deep CORAL*.
    """
    both = keras.Model(inputs_of(suffix), [tensor_of(suffix, LOGITS), tensor_of(suffix, POOL)])
    own = list(suffix.trainable_variables)
    domain = _domain_classifier(int(both.outputs[1].shape[-1]), seed) if method == "dann" else None
    optimizer = keras.optimizers.Adam(RATE)
    optimizer.build(own)
    other = keras.optimizers.Adam(10 * RATE)
    if domain is not None:
        other.build(domain.trainable_variables)
    weights = tf.ones(labels.shape[1]) if class_weights is None else tf.constant(class_weights, tf.float32)

    @tf.function(reduce_retracing=True, autograph=False)
    def step(first: Any, truth: tf.Tensor, second: Any, strength: tf.Tensor) -> None:
        joined = tf.nest.map_structure(lambda a, b: tf.cast(tf.concat([a, b], 0), tf.float32), first, second)
        count = tf.shape(truth)[0]
        with tf.GradientTape() as tape:
            logits, vectors = (tf.cast(one, tf.float32) for one in both(joined, training=True))
            losses = tf.nn.softmax_cross_entropy_with_logits(truth, logits[:count])
            loss = tf.reduce_mean(losses * tf.linalg.matvec(truth, weights))
            if domain is None:
                loss += strength * coral_loss(logits[:count], logits[count:])
            else:
                said = domain(reverse_gradient(vectors, strength), training=True)[:, 0]
                is_target = tf.cast(tf.range(tf.shape(said)[0]) >= count, tf.float32)
                loss += tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(is_target, said))
        every = [*own, *(domain.trainable_variables if domain is not None else [])]
        gradients = tape.gradient(loss, [one.value for one in every])
        optimizer.apply(gradients[: len(own)], own)
        if domain is not None:
            other.apply(gradients[len(own) :], domain.trainable_variables)

    _seed_dropout(both, seed)
    orders = [_orders(len(labels), steps, seed=derived_seed(seed, "source"))]
    orders.append(_orders(_count(target), steps, seed=derived_seed(seed, "target")))
    for number in range(steps):
        strength, factor = schedules(number / steps)
        optimizer.learning_rate.assign(RATE * factor)
        other.learning_rate.assign(10 * RATE * factor)
        rows, others = (order[number] for order in orders)
        some, rest = _rows(source, rows), _rows(target, others)
        step(some, tf.constant(labels[rows], tf.float32), rest, tf.constant(strength, tf.float32))
        after_step()


def _seed_dropout(model: keras.Model, seed: int) -> None:
    """Sets the source of randomness of every layer, whatever was drawn before."""
    for number, layer in enumerate(model._flatten_layers(include_self=False)):
        generator = getattr(layer, "seed_generator", None)
        if generator is not None:
            generator.state.assign(np.array([derived_seed(seed, "dropout", number), 0], np.uint32))


def _domain_classifier(width: int, seed: int) -> keras.Model:
    start = [keras.initializers.GlorotUniform(seed=derived_seed(seed, "domain", number)) for number in range(2)]
    inputs = keras.Input((width,))
    hidden = keras.layers.Dense(HIDDEN, activation="relu", kernel_initializer=start[0], dtype="float32")(inputs)
    return keras.Model(inputs, keras.layers.Dense(1, kernel_initializer=start[1], dtype="float32")(hidden))


def _orders(count: int, steps: int, *, seed: int) -> NDArray[np.int64]:
    """Rows of each step, `(steps, BATCH)`: permutations of all, one after the other."""
    rng = np.random.default_rng(seed)
    rounds = -(-steps * BATCH // count)
    return np.concatenate([rng.permutation(count) for _ in range(rounds)])[: steps * BATCH].reshape(steps, BATCH)


def _count(features: Any) -> int:
    return len(next(iter(features.values())) if isinstance(features, dict) else features)


def _rows(features: Any, rows: NDArray[np.int64]) -> Any:
    return (
        {name: tf.constant(one[rows]) for name, one in features.items()}
        if isinstance(features, dict)
        else tf.constant(features[rows])
    )

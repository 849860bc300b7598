"""The losses of SimCLR and VICReg on the embeddings of two views, and how far an embedding is from collapse."""

from __future__ import annotations

import tensorflow as tf

_EPSILON = 1e-4
"""Added to the variance before its root in VICReg (Bardes et al. 2022, equation 2)."""
_FAR = -1e9


def simclr(first: tf.Tensor, second: tf.Tensor, *, temperature: float) -> tf.Tensor:
    """NT-Xent, the loss of SimCLR, for each view (Chen et al. 2020, *A Simple Framework for Contrastive Learning*, equation 1).

    `-log(exp(sim(z_i, z_j) / t) / sum_{k != i} exp(sim(z_i, z_k) / t))`, where `z_j` is the other view of the same example, `z_k`
    are all other views of the batch, and `sim` is the cosine.

    Args:
        first, second: `(n, width)` float32, the embeddings of the two views, example by example.
        temperature: `t`.

    Returns:
        `(2 n,)` float32: of the first views, then of the second.

    Example:

    >>> import tensorflow as tf
    >>> one = tf.eye(4)
    >>> bool(tf.reduce_mean(simclr(one, one, temperature=0.5)) < tf.reduce_mean(simclr(one, one[::-1], temperature=0.5)))
    True
    """
    both = tf.math.l2_normalize(tf.concat([first, second], 0), axis=1)
    count = tf.shape(first)[0]
    alike = tf.linalg.matmul(both, both, transpose_b=True) / temperature
    alike = tf.linalg.set_diag(alike, tf.fill([2 * count], _FAR))
    other = tf.concat([tf.range(count, 2 * count), tf.range(count)], 0)
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=other, logits=alike)


def vicreg(first: tf.Tensor, second: tf.Tensor, *, similarity: float, variance: float, covariance: float) -> tf.Tensor:
    """The loss of VICReg, a scalar (Bardes et al. 2022, *VICReg*, equations 1 to 6, scaled as in its algorithm 1).

    `similarity * mean((z - z')^2) + variance * (v(Z) + v(Z')) + covariance * (c(Z) + c(Z'))`, with the hinge
    `v(Z) = mean_j max(0, 1 - sqrt(var(z_j) + 1e-4))` over the numbers of the embedding, and `c(Z)`, the sum of the squared
    covariances of two different numbers, over their count.

    Args:
        first, second: `(n, width)` float32, the embeddings of the two views, example by example.
        similarity, variance, covariance: The weights of the three parts.

    Example:

    >>> import tensorflow as tf
    >>> same = tf.zeros((8, 4))  # collapsed: both views are alike, and so are all examples
    >>> round(float(vicreg(same, same, similarity=25.0, variance=25.0, covariance=1.0)), 2)
    49.5
    """
    distance = tf.reduce_mean(tf.square(first - second))
    spread = sum(tf.reduce_mean(tf.nn.relu(1.0 - tf.sqrt(_variances(one) + _EPSILON))) for one in (first, second))
    shared = sum(_covariances(one) for one in (first, second))
    return similarity * distance + variance * spread + covariance * shared


def _centred(embedding: tf.Tensor) -> tf.Tensor:
    return embedding - tf.reduce_mean(embedding, 0, keepdims=True)


def _variances(embedding: tf.Tensor) -> tf.Tensor:
    count = tf.cast(tf.shape(embedding)[0], tf.float32)
    return tf.reduce_sum(tf.square(_centred(embedding)), 0) / (count - 1.0)


def _covariances(embedding: tf.Tensor) -> tf.Tensor:
    """The squared covariances of two different numbers, summed, over how many numbers there are."""
    centred, count = _centred(embedding), tf.cast(tf.shape(embedding)[0], tf.float32)
    matrix = tf.linalg.matmul(centred, centred, transpose_a=True) / (count - 1.0)
    apart = tf.linalg.set_diag(matrix, tf.zeros(tf.shape(matrix)[0]))
    return tf.reduce_sum(tf.square(apart)) / tf.cast(tf.shape(embedding)[1], tf.float32)


def spread(embedding: tf.Tensor) -> tf.Tensor:
    """How far an embedding is from collapse, a scalar: 0 where all examples have the same, 1 where they are spread evenly.

    The standard deviation of the numbers of the embedding, each scaled to length 1, times the root of the width: an isotropic
    Gaussian has 1 (Chen and He 2021, *Exploring Simple Siamese Representation Learning*, 4.1).

    Args:
        embedding: `(n, width)` float32.

    Example:

    >>> import tensorflow as tf
    >>> round(float(spread(tf.ones((8, 4)))), 2), round(float(spread(tf.concat([tf.eye(4), -tf.eye(4)], 0))), 2)
    (0.0, 1.0)
    """
    lengths = tf.math.l2_normalize(embedding, axis=1)
    width = tf.cast(tf.shape(embedding)[1], tf.float32)
    return tf.reduce_mean(tf.math.reduce_std(lengths, 0)) * tf.sqrt(width)

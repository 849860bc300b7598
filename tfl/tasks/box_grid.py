"""From the maps of a detector to boxes and back: what its numbers mean, its loss, and the operations that give detections.

Without anchors, as in FCOS (Tian et al. 2019), each place of the grid says for each class how well the box that it gives fits an
object of that class, as a logit, and where that box is: how far its middle is from the place, and the logarithms of its width and
height (as in YOLOX, Ge et al. 2021).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from keras import ops

from tfl.tasks.detect import NUMBERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

EDGES = 4
CELLS = 4.0
"""Places of the grid that a box is wide and high where its numbers are 0."""
MOST_LOG = 6.0
LEAST_SIDE = 0.05
"""Places: a box that is narrower than this is learnt as if it were so wide."""
RADIUS = 1.5
"""Places around the middle of a box, in each direction, that learn it (centre sampling, Tian et al. 2022)."""
FOCUS = 2.0
"""The exponent of the quality focal loss (Li et al. 2020)."""
BOX_WEIGHT = 2.0
"""Of the loss of corners beside that of classes, as in Li et al. 2020."""
MOST, CANDIDATES = 100, 300
"""Detections of an image, and of how many of the highest scores they are chosen."""
SUPPRESSED = 0.6
"""A detection is left out where one of its class with a higher score overlaps it by more than this (as in FCOS)."""
ROUNDS = 10
_SMALL = 1e-6


def places(height: int, width: int) -> NDArray[np.float32]:
    """The middle of each place of a grid in units of places, x and y: `(height * width, 2)` float32."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return np.stack([x.ravel(), y.ravel()], axis=-1).astype(np.float32)


def corners_of(logits: Any) -> Any:
    """The boxes that a grid gives: `(n, height * width, 4)`, left, top, right and bottom in units of places.

    Args:
        logits: `(n, height, width, classes + 4)`.
    """
    height, width = logits.shape[1:3]
    numbers = _numbers(logits)
    middle = numbers[..., :2] + places(height, width)
    half = ops.exp(ops.clip(numbers[..., 2:], -MOST_LOG, MOST_LOG)) * (CELLS / 2)
    return ops.concatenate([middle - half, middle + half], axis=-1)


def _numbers(logits: Any) -> Any:
    return ops.reshape(logits[..., -EDGES:], (-1, logits.shape[1] * logits.shape[2], EDGES))


def overlaps(first: Any, second: Any) -> tuple[Any, Any]:
    """Intersection over union of boxes, and the generalised one (Rezatofighi et al. 2019).

    Args:
        first, second: `(..., 4)`, of shapes that broadcast.
    """
    start, end = ops.maximum(first[..., :2], second[..., :2]), ops.minimum(first[..., 2:], second[..., 2:])
    around = ops.maximum(first[..., 2:], second[..., 2:]) - ops.minimum(first[..., :2], second[..., :2])
    sides = ops.maximum(end - start, 0.0)
    shared, hull = sides[..., 0] * sides[..., 1], around[..., 0] * around[..., 1]
    union = _area(first) - (shared - _area(second))  # Keras makes a bias of such a sum's second term, which LiteRT can't convert
    found = shared / ops.maximum(union, _SMALL)
    return found, found - (hull - union) / ops.maximum(hull, _SMALL)


def _area(boxes: Any) -> Any:
    sides = ops.maximum(boxes[..., 2:] - boxes[..., :2], 0.0)
    return sides[..., 0] * sides[..., 1]


def detections_of(logits: Any) -> Any:
    """The detections of each image, the highest score first: `(n, detections, 6)` float32.

    A detection is its score, the index of its class, and left, top, right and bottom as shares of the image. Of detections of one
    class that overlap, those with lower scores are left out as a greedy search would (Cluster-NMS, Zheng et al. 2020); their
    score is 0. From symbolic logits these are stock operations of Keras, so that a saved network needs Keras alone.

    Args:
        logits: `(n, height, width, classes + 4)` float32.

    Example:

    >>> import numpy as np
    >>> logits = np.full((1, 2, 2, 5), -9.0, np.float32)
    >>> logits[0, 0, 0] = [2.0, 0, 0, *np.log([0.25] * 2)]  # one place wide and high, at the middle of the first one
    >>> [round(float(number), 2) for number in detections_of(logits)[0, 0]]
    [0.88, 0.0, 0.0, 0.0, 0.5, 0.5]
    """
    height, width, classes = logits.shape[1], logits.shape[2], logits.shape[3] - EDGES
    count = min(CANDIDATES, height * width * classes)
    scores, at = ops.top_k(ops.reshape(ops.sigmoid(logits[..., :classes]), (-1, height * width * classes)), count)
    at = ops.cast(at, "int32")
    names = ops.cast(at % classes, "float32")
    boxes = ops.take_along_axis(corners_of(logits), ops.expand_dims(at // classes, -1), axis=1)
    boxes = ops.clip(boxes / np.array([width, height, width, height], np.float32), 0.0, 1.0)
    scores, at = ops.top_k(scores * _kept(boxes, names), min(MOST, count))
    rows = ops.concatenate([ops.expand_dims(names, -1), boxes], axis=-1)
    rows = ops.take_along_axis(rows, ops.expand_dims(ops.cast(at, "int32"), -1), axis=1)
    return ops.concatenate([ops.expand_dims(scores, -1), rows], axis=-1)


def _kept(boxes: Any, names: Any) -> Any:
    """`(n, count)`, 1 for each box that no better one of its class suppresses, else 0; the best come first."""
    count = boxes.shape[1]
    shared, _ = overlaps(ops.expand_dims(boxes, 2), ops.expand_dims(boxes, 1))
    same = ops.equal(ops.expand_dims(names, 2), ops.expand_dims(names, 1))
    better = np.arange(count)[:, None] < np.arange(count)
    suppresses = ops.cast(ops.logical_and(ops.logical_and(shared > SUPPRESSED, same), better), "float32")
    kept = ops.ones_like(names)
    for _ in range(ROUNDS):  # each round settles the next of a row of boxes that suppress one another
        kept = 1.0 - ops.max(ops.expand_dims(kept, 2) * suppresses, axis=1)
    return kept


def detection_loss(targets: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The loss of each image, and the mean overlap of the boxes of places that learn one with it; each `(n,)`.

    Classes learn the overlap of the box that their place gives, by the quality focal loss (Li et al. 2020). Corners learn by the
    generalised intersection over union (Rezatofighi et al. 2019), and by the absolute error of middle and logarithms, relative to
    the box, whose gradient does not vanish where a box has become much too small. All are sums over the image's places, divided
    by how many of them learn a box.

    Args:
        targets: `(n, boxes * 5)` float32, NaN for no box.
        logits: `(n, height, width, classes + 4)` float32.
    """
    classes = logits.shape[-1] - EDGES
    names, boxes, learns = assigned(targets, logits.shape[1], logits.shape[2])
    shared, general = overlaps(corners_of(logits), boxes)
    count = tf.maximum(tf.reduce_sum(learns, axis=1), 1.0)
    said = tf.reshape(logits[..., :classes], (tf.shape(logits)[0], -1, classes))
    wanted = tf.one_hot(names, classes) * tf.stop_gradient(shared * learns)[..., None]
    focus = tf.abs(wanted - tf.sigmoid(said)) ** FOCUS
    of_classes = tf.nn.sigmoid_cross_entropy_with_logits(labels=wanted, logits=said) * focus
    errors = _errors(logits, boxes)
    of_boxes = tf.reduce_sum((BOX_WEIGHT * (1.0 - general) + errors) * learns, axis=1)
    loss = (tf.reduce_sum(of_classes, axis=(1, 2)) + of_boxes) / count
    return loss, tf.reduce_sum(shared * learns, axis=1) / count


def _errors(logits: tf.Tensor, boxes: tf.Tensor) -> tf.Tensor:
    """How far the numbers of each place are from those of its box, `(n, places)`: the middle as a share of the box's sides."""
    numbers, at = _numbers(logits), places(logits.shape[1], logits.shape[2])
    sides = tf.maximum(boxes[..., 2:] - boxes[..., :2], LEAST_SIDE)
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2 - at
    off = tf.concat(
        [(numbers[..., :2] - middle) / tf.maximum(sides, 1.0), numbers[..., 2:] - tf.math.log(sides / CELLS)], axis=-1
    )
    return tf.reduce_mean(tf.abs(off), axis=-1)


def assigned(targets: tf.Tensor, height: int, width: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Which box each place of a grid learns: its class `(n, places)`, its corners `(n, places, 4)`, and 1 or 0 for none.

    A place learns a box where it lies near its middle and within it, or where the middle lies in it; of several the smallest.
    """
    rows = tf.reshape(targets, (tf.shape(targets)[0], -1, NUMBERS))
    there = tf.math.is_finite(rows[..., 0])
    rows = tf.where(there[..., None], rows, tf.zeros_like(rows))
    boxes = rows[..., 1:] * tf.constant([width, height, width, height], tf.float32)
    at = places(height, width)[None, :, None, :]
    middle = ((boxes[..., :2] + boxes[..., 2:]) / 2)[:, None]
    near = (at > tf.maximum(boxes[:, None, :, :2], middle - RADIUS)) & (at < tf.minimum(boxes[:, None, :, 2:], middle + RADIUS))
    holds = tf.abs(at - middle) <= 0.5
    fits = (tf.reduce_all(near, axis=-1) | tf.reduce_all(holds, axis=-1)) & there[:, None]
    areas = tf.where(fits, _area(boxes)[:, None], tf.float32.max)
    chosen = tf.argmin(areas, axis=-1, output_type=tf.int32)
    learns = tf.cast(tf.reduce_any(fits, axis=-1), tf.float32)
    found = tf.gather(rows, chosen, batch_dims=1)
    return tf.cast(found[..., 0], tf.int32), tf.gather(boxes, chosen, batch_dims=1), learns

"""Random changes to training images, as pure functions of a seed, a view and the example's index: no state, no order.

Flip, crop and rotation are one transform, so an image is interpolated once; so are all changes of colour. Images stay float32
0..255.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfl.modalities.image.boxes import flip_boxes
from tfl.modalities.image.randaugment import randaugment
from tfl.recipe import Augment

_UNIFORMS = (
    "mirror",
    "turn",
    "area",
    "aspect",
    "x",
    "y",
    "angle",
    "brightness",
    "contrast",
    "saturation",
    "hue",
    "cut",
    "cut_x",
    "cut_y",
)
_FACTORS = ("brightness", "contrast", "saturation")
_YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))  # luma first, then the chroma plane
_LARGEST_ASPECT = 4 / 3  # of a random crop against the whole image, as in Inception's crops (Szegedy et al. 2015)

Draws = dict[str, tf.Tensor]
Labelled = tuple[tf.Tensor, tf.Tensor, tf.Tensor]


def augment_batch(
    images: tf.Tensor,
    one_hot: tf.Tensor,
    indices: tf.Tensor,
    *,
    augment: Augment,
    seed: int | tf.Tensor,
    view: int | tf.Tensor,
    partners: tuple[tf.Tensor, ...] | None = None,
    boxes: bool = False,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Random changes to a batch, drawn for each image from `seed`, `view` and its index alone.

    Args:
        images: `(batch, height, width, 3)` float32 0..255.
        one_hot: `(batch, classes)` float32; with `boxes` rows of boxes.
        indices: `(batch,)` integer: which example each image is.
        augment: What to change, and how strongly.
        seed, view: Decide the changes; another view is another draw.
        partners: (images, one_hot, indices) that MixUp and CutMix mix in; the batch in reverse order when None.
        boxes: Whether the targets are boxes, which flip with the images; these are then not cropped, turned or mixed.

    Returns:
        Images and labels of the same shapes and types.
    """
    draws = _draw(indices, augment, seed, view)
    changed = _change(images, draws, augment)
    if boxes:
        one_hot = flip_boxes(one_hot, *_flips(draws, augment))
    if augment.mixup > 0 or augment.cutmix > 0:
        other_images, other_hot, other_indices = partners or (images[::-1], one_hot[::-1], indices[::-1])
        # A partner is changed by a draw of its own, or an image mixed with itself would only be dimmed.
        other = _change(other_images, _draw(other_indices, augment, seed + 7919, view), augment)
        changed, one_hot = _mix(changed, one_hot, other, other_hot, draws, augment)
    return tf.ensure_shape(tf.clip_by_value(changed, 0.0, 255.0), images.shape), one_hot


@functools.lru_cache(maxsize=32)
def augmenter(augment: Augment, *, boxes: bool = False) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """`augment_batch` with this augmentation as one compiled function, traced once a process and not once an epoch.

    It takes images, labels and indices; `seed` and `view` as int64 scalars; `partners`.
    """

    @tf.function(autograph=False, reduce_retracing=True)
    def run(*batch: tf.Tensor, seed: tf.Tensor, view: tf.Tensor, partners: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        return augment_batch(*batch, augment=augment, seed=seed, view=view, partners=partners, boxes=boxes)

    return run


def moved_boxes(targets: tf.Tensor, indices: tf.Tensor, *, augment: Augment, seed: int, view: int) -> tf.Tensor:
    """Rows of boxes as `augment_batch` gives them, without the images."""
    return flip_boxes(tf.constant(targets), *_flips(_draw(tf.constant(indices), augment, seed, view), augment))


def _flips(draws: Draws, augment: Augment) -> tuple[tf.Tensor, tf.Tensor]:
    """Which images are mirrored, and which are turned upside down."""
    never = tf.zeros_like(draws["mirror"], tf.bool)
    mirrored = draws["mirror"] < 0.5 if augment.flip in ("horizontal", "both") else never
    return mirrored, draws["turn"] < 0.5 if augment.flip in ("vertical", "both") else never


def _draw(indices: tf.Tensor, augment: Augment, seed: int | tf.Tensor, view: int | tf.Tensor) -> Draws:
    """Everything random about each image: uniform numbers 0..1 by name, a share for mixing, a seed for RandAugment."""
    base = tf.stack([tf.cast(seed, tf.int64), tf.cast(view, tf.int64)])

    def of_one(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        own = tf.random.fold_in(base, tf.cast(index, tf.int64), alg="philox")
        uniforms = tf.random.stateless_uniform([len(_UNIFORMS)], own, alg="philox")
        cut = uniforms[_UNIFORMS.index("cut")] < _share_of_cutmix(augment)
        alpha = tf.where(cut, augment.cutmix, augment.mixup)
        share = _beta(alpha, own + 1) if augment.mixup > 0 or augment.cutmix > 0 else tf.constant(1.0)
        return uniforms, share, own + 2

    kinds = (tf.TensorSpec([len(_UNIFORMS)]), tf.TensorSpec([]), tf.TensorSpec([2], tf.int64))
    uniforms, share, seeds = tf.map_fn(of_one, indices, fn_output_signature=kinds)
    return {name: uniforms[:, column] for column, name in enumerate(_UNIFORMS)} | {"share": share, "seeds": seeds}


def _share_of_cutmix(augment: Augment) -> float:
    if augment.mixup > 0 and augment.cutmix > 0:
        return 0.5
    return 1.0 if augment.cutmix > 0 else 0.0


def _beta(alpha: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """A draw from Beta(alpha, alpha), as the ratio of two gamma draws; float64, as they are tiny for a small alpha."""
    gammas = tf.random.stateless_gamma([2], seed, tf.cast(tf.maximum(alpha, 1e-3), tf.float64), dtype=tf.float64)
    total = gammas[0] + gammas[1]
    return tf.cast(tf.where(total > 0, gammas[0] / tf.maximum(total, 1e-300), 1.0), tf.float32)


def _change(images: tf.Tensor, draws: Draws, augment: Augment) -> tf.Tensor:
    """Geometry, then colour, then RandAugment."""
    if augment.flip != "none" or augment.crop < 1 or augment.rotate_deg > 0:
        images = _warp(images, draws, augment)
    images = _recolour(images, draws, augment)
    if augment.randaugment > 0:
        images = tf.map_fn(
            lambda item: randaugment(item[0], item[1], operations=augment.randaugment, magnitude=augment.magnitude),
            (images, draws["seeds"]),
            fn_output_signature=tf.TensorSpec(images.shape[1:], tf.float32),
        )
    return images


def _warp(images: tf.Tensor, draws: Draws, augment: Augment) -> tf.Tensor:
    """Crop, flip and rotation; without rotation by the faster of two ways."""
    one = tf.ones_like(draws["x"])
    mirror, turn = (tf.where(flipped, -one, one) for flipped in _flips(draws, augment))
    area = 1.0 - draws["area"] * (1.0 - augment.crop)
    aspect = tf.exp(_signed(draws["aspect"]) * math.log(_LARGEST_ASPECT)) if augment.crop < 1 else one
    scale_x, scale_y = tf.minimum(tf.sqrt(area * aspect), 1.0), tf.minimum(tf.sqrt(area / aspect), 1.0)
    middle_x, middle_y = 0.5 + _signed(draws["x"]) * (1.0 - scale_x) / 2, 0.5 + _signed(draws["y"]) * (1.0 - scale_y) / 2
    if augment.rotate_deg == 0:
        half_x, half_y = scale_x * mirror / 2, scale_y * turn / 2
        boxes = tf.stack([middle_y - half_y, middle_x - half_x, middle_y + half_y, middle_x + half_x], axis=1)
        return tf.image.crop_and_resize(
            images, tf.clip_by_value(boxes, 0.0, 1.0), tf.range(tf.shape(images)[0]), tf.shape(images)[1:3]
        )
    angle = _signed(draws["angle"]) * (augment.rotate_deg * math.pi / 180)
    turns = (scale_x * tf.cos(angle) * mirror, -scale_x * tf.sin(angle) * turn)
    tilts = (scale_y * tf.sin(angle) * mirror, scale_y * tf.cos(angle) * turn)
    return _project(images, turns, tilts, middle_x, middle_y)


def _project(
    images: tf.Tensor,
    row_x: tuple[tf.Tensor, tf.Tensor],
    row_y: tuple[tf.Tensor, tf.Tensor],
    middle_x: tf.Tensor,
    middle_y: tf.Tensor,
) -> tf.Tensor:
    """Reads each output pixel `p` at `middle + matrix · (p - centre)`, `middle` as a share of the image; mirrored outside."""
    height, width = tf.shape(images)[1], tf.shape(images)[2]
    last_x, last_y = tf.cast(width - 1, tf.float32), tf.cast(height - 1, tf.float32)
    shift_x = middle_x * last_x - row_x[0] * last_x / 2 - row_x[1] * last_y / 2
    shift_y = middle_y * last_y - row_y[0] * last_x / 2 - row_y[1] * last_y / 2
    zero = tf.zeros_like(middle_x)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([*row_x, shift_x, *row_y, shift_y, zero, zero], axis=1),
        output_shape=tf.stack([height, width]),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )


def _recolour(images: tf.Tensor, draws: Draws, augment: Augment) -> tf.Tensor:
    """Brightness, contrast, saturation and hue, all linear in the pixels, as one 3×3 matrix and one offset for each image.

    Saturation and hue scale and turn the chroma plane of YIQ (SMPTE 170M), which leaves grey as it is; so the offset, which
    is contrast's and grey, passes through them unchanged.
    """
    if not (augment.brightness or augment.contrast or augment.saturation or augment.hue):
        return images
    yiq = tf.constant(_YIQ)
    brightness, contrast, saturation = (1.0 + _signed(draws[name]) * getattr(augment, name) for name in _FACTORS)
    angle = _signed(draws["hue"]) * (augment.hue * 2 * math.pi)
    zero, one = tf.zeros_like(angle), tf.ones_like(angle)
    cosine, sine = saturation * tf.cos(angle), saturation * tf.sin(angle)
    chroma = tf.stack([one, zero, zero, zero, cosine, -sine, zero, sine, cosine], axis=1)
    matrix = tf.linalg.inv(yiq) @ tf.reshape(chroma, (-1, 3, 3)) @ yiq * (brightness * contrast)[:, None, None]
    mean = tf.reduce_mean(images, axis=(1, 2)) @ yiq[0][:, None]
    offset = (brightness * (1.0 - contrast))[:, None] * mean
    flat = tf.reshape(images, (tf.shape(images)[0], -1, 3))
    changed = tf.linalg.matmul(flat, matrix, transpose_b=True) + offset[:, None, :]
    return tf.clip_by_value(tf.reshape(changed, tf.shape(images)), 0.0, 255.0)


def _signed(uniform: tf.Tensor) -> tf.Tensor:
    return 2.0 * uniform - 1.0


def _mix(
    images: tf.Tensor, one_hot: tf.Tensor, others: tf.Tensor, other_hot: tf.Tensor, draws: Draws, augment: Augment
) -> tuple[tf.Tensor, tf.Tensor]:
    """MixUp blends two images; CutMix pastes a rectangle of the other. Labels follow the share that is left of each."""
    share = draws["share"]
    keep = share[:, None, None, None]
    if augment.cutmix > 0:
        cut = draws["cut"] < _share_of_cutmix(augment)
        mask, left = _cut_mask(images, draws)
        keep, share = tf.where(cut[:, None, None, None], mask, keep), tf.where(cut, left, share)
    return others + (images - others) * keep, other_hot + (one_hot - other_hot) * share[:, None]


def _cut_mask(images: tf.Tensor, draws: Draws) -> tuple[tf.Tensor, tf.Tensor]:
    """`(batch, height, width, 1)`, zero inside a rectangle of about `1 - share` of the area, and the share left outside."""
    height, width = tf.shape(images)[1], tf.shape(images)[2]

    def inside(length: tf.Tensor, centre: tf.Tensor) -> tf.Tensor:
        full = tf.cast(length, tf.float32)
        half = tf.sqrt(1.0 - draws["share"]) * full / 2
        distance = tf.abs(tf.range(full)[None, :] + 0.5 - (centre * full)[:, None])
        return tf.cast(distance < half[:, None], tf.float32)

    mask = 1.0 - inside(height, draws["cut_y"])[:, :, None, None] * inside(width, draws["cut_x"])[:, None, :, None]
    return mask, tf.reduce_mean(mask, axis=(1, 2, 3))

"""Random changes to training sounds, as pure functions of a seed, a view and the example's index: no state, no order.

The samples are shifted in time, changed in level and given noise; the spectrogram loses stretches of time and of frequency
(SpecAugment); at last two spectrograms are mixed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfl.modalities.audio.spectrogram import spectrogram_input
from tfl.recipe import Audio, AudioAugment

Draws = dict[str, tf.Tensor]
_PARTNER = 7919  # added to the seed of what is mixed in, or a sound mixed with itself would not change at all


def augment_batch(
    waves: tf.Tensor,
    targets: tf.Tensor,
    indices: tf.Tensor,
    *,
    audio: Audio,
    size: tuple[int, int],
    augment: AudioAugment,
    seed: int | tf.Tensor,
    view: int | tf.Tensor,
    partners: tuple[tf.Tensor, ...] | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Spectrograms of randomly changed sounds, drawn for each sound from `seed`, `view` and its index alone.

    Args:
        waves: `(batch, samples)` float32.
        targets: `(batch, width)` float32.
        indices: `(batch,)` integer: which example each sound is.
        audio: Windows, bands and range of the spectrogram.
        size: (height, width) of the spectrogram.
        augment: What to change, and how strongly.
        seed, view: Decide the changes; another view is another draw.
        partners: (waves, targets, indices) that MixUp mixes in; the batch in reverse order when None.

    Returns:
        Spectrograms `(batch, height, width, 3)` float32, whole numbers 0..255, and the targets.
    """
    images, draws = _changed(waves, indices, audio, size, augment, seed, view)
    if augment.mixup > 0:
        others, other_targets, other_indices = partners or (waves[::-1], targets[::-1], indices[::-1])
        mixed_in, _ = _changed(others, other_indices, audio, size, augment, seed + _PARTNER, view)
        share = draws["share"]
        images = tf.round(mixed_in + (images - mixed_in) * share[:, None, None, None])
        targets = other_targets + (targets - other_targets) * share[:, None]
    return images, targets


@functools.lru_cache(maxsize=32)
def augmenter(
    augment: AudioAugment, audio: Audio, size: tuple[int, int], decode: Callable[[tf.Tensor], tf.Tensor]
) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
    """`augment_batch` of contents with these settings as one compiled function, traced once a process and not once an epoch.

    It takes contents, targets and indices; `seed` and `view` as int64 scalars; `partners`. `decode` makes waves of contents.
    """

    @tf.function(autograph=False, reduce_retracing=True)
    def run(
        contents: tf.Tensor, *batch: tf.Tensor, seed: tf.Tensor, view: tf.Tensor, partners: Any = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if partners is not None:
            partners = (decode(partners[0]), *partners[1:])
        return augment_batch(
            decode(contents), *batch, audio=audio, size=size, augment=augment, seed=seed, view=view, partners=partners
        )

    return run


def _changed(
    waves: tf.Tensor,
    indices: tf.Tensor,
    audio: Audio,
    size: tuple[int, int],
    augment: AudioAugment,
    seed: int | tf.Tensor,
    view: int | tf.Tensor,
) -> tuple[tf.Tensor, Draws]:
    draws = _draw(indices, augment, seed, view, samples=int(waves.shape[1]))
    images = spectrogram_input(_changed_waves(waves, draws, augment), audio, size)
    return _masked(images, draws, augment), draws


def _draw(indices: tf.Tensor, augment: AudioAugment, seed: int | tf.Tensor, view: int | tf.Tensor, *, samples: int) -> Draws:
    """Everything random about each sound: uniform numbers 0..1 by name, noise, and a share for mixing."""
    base = tf.stack([tf.cast(seed, tf.int64), tf.cast(view, tf.int64)])
    sizes = {"shift": 1, "gain": 1, "level": 1, "times": 2 * augment.time_masks, "frequencies": 2 * augment.frequency_masks}
    noise_length = samples if augment.noise > 0 else 0

    def of_one(index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        own = tf.random.fold_in(base, tf.cast(index, tf.int64), alg="philox")
        uniforms = tf.random.stateless_uniform([sum(sizes.values())], own, alg="philox")
        share = _beta(augment.mixup, own + 1) if augment.mixup > 0 else tf.constant(1.0)
        return uniforms, share, tf.random.stateless_normal([noise_length], own + 2, alg="philox")

    kinds = (tf.TensorSpec([sum(sizes.values())]), tf.TensorSpec([]), tf.TensorSpec([noise_length]))
    uniforms, share, noise = tf.map_fn(of_one, indices, fn_output_signature=kinds)
    parts = tf.split(uniforms, list(sizes.values()), axis=1)
    return dict(zip(sizes, parts, strict=True)) | {"share": share, "noise": noise}


def _beta(alpha: float, seed: tf.Tensor) -> tf.Tensor:
    """A draw from Beta(alpha, alpha), as the ratio of two gamma draws; float64, as they are tiny for a small alpha."""
    gammas = tf.random.stateless_gamma([2], seed, tf.constant(max(alpha, 1e-3), tf.float64), dtype=tf.float64)
    total = gammas[0] + gammas[1]
    return tf.cast(tf.where(total > 0, gammas[0] / tf.maximum(total, 1e-300), 1.0), tf.float32)


def _changed_waves(waves: tf.Tensor, draws: Draws, augment: AudioAugment) -> tf.Tensor:
    """Shift, change of level, noise, in this order: noise is there from the start to the end."""
    count = int(waves.shape[1])
    if augment.shift > 0:
        steps = tf.cast(tf.round((2.0 * draws["shift"] - 1.0) * (augment.shift * count)), tf.int32)
        places = tf.range(count)[None, :] - steps
        inside = (places >= 0) & (places < count)
        waves = tf.where(inside, tf.gather(waves, tf.clip_by_value(places, 0, count - 1), batch_dims=1), 0.0)
    if augment.gain_db > 0:
        slope = (2.0 * draws["gain"] - 1.0) * augment.gain_db  # in dB, from the start to the end
        waves = waves * tf.pow(10.0, slope * tf.linspace(-0.5, 0.5, count)[None, :] / 20.0)
    if augment.noise > 0:
        level = tf.sqrt(tf.reduce_mean(tf.square(waves), axis=1, keepdims=True))
        waves = waves + draws["noise"] * (level * draws["level"] * augment.noise)
    return waves


def _masked(images: tf.Tensor, draws: Draws, augment: AudioAugment) -> tf.Tensor:
    """Hides stretches of time and of frequency behind the mean of the spectrogram (Park et al. 2019, section 2)."""
    hidden = None
    kinds = (
        (augment.time_masks, augment.time_mask, "times", 2),
        (augment.frequency_masks, augment.frequency_mask, "frequencies", 1),
    )
    for count, largest, name, axis in kinds:
        if count > 0 and largest > 0:
            stretch = _stretches(draws[name], count, largest, int(images.shape[axis]))
            stretch = stretch[:, None, :, None] if axis == 2 else stretch[:, :, None, None]
            hidden = stretch if hidden is None else hidden | stretch
    if hidden is None:
        return images
    return tf.where(hidden, tf.round(tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)), images)


def _stretches(uniforms: tf.Tensor, count: int, largest: float, length: int) -> tf.Tensor:
    """`(batch, length)` whether each place lies in one of `count` stretches."""
    widths = uniforms[:, :count] * (largest * length)
    starts = uniforms[:, count:] * (length - widths)
    places = tf.range(float(length))[None, None, :] + 0.5
    return tf.reduce_any((places >= starts[..., None]) & (places < (starts + widths)[..., None]), axis=1)

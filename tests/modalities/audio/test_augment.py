"""Augmentation is a function of seed, view and index; each part changes what it says, and nothing else."""

import numpy as np
import pytest
import tensorflow as tf
from sound_files import tone

from tfl.modalities.audio.augment import augmenter
from tfl.modalities.audio.spectrogram import spectrogram_input
from tfl.recipe import Audio, AudioAugment

AUDIO, SIZE = Audio(seconds=0.5), (48, 50)
RNG = np.random.default_rng(0)
WAVES = np.stack([tone(hertz) + 0.05 * RNG.normal(size=8000) for hertz in (300, 600, 1200, 2400)]).astype(np.float32)
TARGETS = np.eye(4, dtype=np.float32)
PLAIN = spectrogram_input(WAVES, AUDIO, SIZE).numpy()


def augmented(settings: AudioAugment, *, order=(0, 1, 2, 3), seed=1, view=0, partners=None):
    run = augmenter(settings, AUDIO, SIZE, tf.identity)
    chosen = list(order)
    images, targets = run(
        WAVES[chosen],
        TARGETS[chosen],
        tf.constant(chosen, tf.int64),
        seed=tf.constant(seed, tf.int64),
        view=tf.constant(view, tf.int64),
        partners=partners,
    )
    return images.numpy(), targets.numpy()


EVERYTHING = AudioAugment(shift=0.3, noise=0.5, gain_db=10.0, time_masks=2, frequency_masks=1)


def test_nothing_changes_nothing():
    images, targets = augmented(AudioAugment())
    np.testing.assert_allclose(images, PLAIN, atol=1)
    np.testing.assert_array_equal(targets, TARGETS)


def test_the_same_draw_again_and_in_another_order():
    once, _ = augmented(EVERYTHING)
    np.testing.assert_array_equal(augmented(EVERYTHING)[0], once)
    np.testing.assert_allclose(augmented(EVERYTHING, order=(3, 1, 0, 2))[0], once[[3, 1, 0, 2]], atol=1)
    assert (np.abs(once - PLAIN) > 3).mean() > 0.1


@pytest.mark.parametrize("changed", [{"seed": 2}, {"view": 1}])
def test_another_seed_or_view_is_another_draw(changed):
    assert (augmented(EVERYTHING)[0] != augmented(EVERYTHING, **changed)[0]).mean() > 0.2


def test_the_result_is_whole_numbers_in_range():
    images, _ = augmented(AudioAugment(noise=1.0, mixup=1.0, time_masks=1))
    np.testing.assert_array_equal(images, images.astype(np.uint8))


def test_a_shift_moves_along_time_alone():
    images, _ = augmented(AudioAugment(shift=0.5), seed=3)
    loud = images[..., 0].max(axis=1) > 100  # (batch, time)
    assert all(0.4 < row.mean() < 1.0 for row in loud)
    np.testing.assert_array_equal(images[..., 0].mean(axis=2).argmax(axis=1), PLAIN[..., 0].mean(axis=2).argmax(axis=1))


def test_noise_fills_what_was_quiet():
    images, _ = augmented(AudioAugment(noise=1.0), seed=5)
    assert (images.mean(axis=(1, 2, 3)) > PLAIN.mean(axis=(1, 2, 3))).sum() >= 3


def test_a_drift_of_the_level_tilts_the_spectrogram_along_time():
    images, _ = augmented(AudioAugment(gain_db=20.0), seed=2)
    loudest = images[..., 0].max(axis=1)
    tilt, before = np.abs(loudest[:, 5] - loudest[:, -5]), PLAIN[..., 0].max(axis=1)
    assert tilt.max() > 5 * np.abs(before[:, 5] - before[:, -5]).max()


@pytest.mark.parametrize("name, axis", [("time", 2), ("frequency", 1)])
def test_masks_hide_whole_stretches(name, axis):
    images, _ = augmented(AudioAugment(**{f"{name}_masks": 1, f"{name}_mask": 0.5}), seed=4)
    hidden = [
        np.flatnonzero((image != plain).any(axis=(2 - axis if axis == 2 else 1, 2)))
        for image, plain in zip(images, PLAIN, strict=True)
    ]
    assert max(map(len, hidden)) > 3
    for places, image in zip(hidden, images, strict=True):
        assert len(places) <= 0.5 * SIZE[axis - 1] + 1
        if len(places) > 2:
            inner = image.take(places[1:-1], axis=axis - 1)
            assert np.ptp(inner) == 0


def test_mixing_takes_the_share_of_both():
    partners = (tf.constant(WAVES[[1, 2, 3, 0]]), tf.constant(TARGETS[[1, 2, 3, 0]]), tf.constant([1, 2, 3, 0], tf.int64))
    images, targets = augmented(AudioAugment(mixup=1.0), partners=partners)
    share = targets[np.arange(4), np.arange(4)]
    np.testing.assert_allclose(targets.sum(axis=1), 1.0, atol=1e-6)
    assert np.ptp(share) > 0.1
    mixed = PLAIN * share[:, None, None, None] + PLAIN[[1, 2, 3, 0]] * (1 - share)[:, None, None, None]
    np.testing.assert_allclose(images, mixed, atol=1.5)

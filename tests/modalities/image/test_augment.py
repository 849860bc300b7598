"""Augmentation is a pure function of seed, view and index; each change does what its name says, within its limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from image_files import picture

import tfl
from tfl.modalities.image.augment import augmenter
from tfl.modalities.image.randaugment import _OPERATIONS, randaugment

IMAGE = np.asarray(picture(16, 24)).astype(np.float32)
ALL = {
    "flip": {"flip": "both"},
    "crop": {"crop": 0.5},
    "rotate": {"rotate_deg": 30.0},
    "brightness": {"brightness": 0.5},
    "contrast": {"contrast": 0.5},
    "saturation": {"saturation": 0.5},
    "hue": {"hue": 0.3},
    "randaugment": {"randaugment": 2},
    "mixup": {"mixup": 0.5},
    "cutmix": {"cutmix": 1.0},
    "everything": {
        "flip": "horizontal",
        "crop": 0.6,
        "rotate_deg": 10.0,
        "brightness": 0.2,
        "contrast": 0.2,
        "saturation": 0.2,
        "hue": 0.05,
        "randaugment": 1,
        "mixup": 0.2,
        "cutmix": 1.0,
    },
}


def batch(count: int = 8) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    images = np.stack([np.roll(IMAGE, index, axis=1) for index in range(count)])
    return images, np.eye(3, dtype=np.float32)[np.arange(count) % 3], np.arange(count)


def in_graph(
    *batch: tf.Tensor, seed: int = 0, view: int = 0, partners: Any = None, **options: Any
) -> tuple[tf.Tensor, tf.Tensor]:
    """Augmentation as the pipeline runs it."""
    run = augmenter(tfl.Augment(**options))
    return run(*batch, seed=tf.constant(seed, tf.int64), view=tf.constant(view, tf.int64), partners=partners)


def apply(
    options: dict[str, Any], *, seed: int = 0, view: int = 0, rows: Any = slice(None), **more: Any
) -> tuple[np.ndarray, np.ndarray]:
    images, labels, indices = (tf.constant(part[rows]) for part in batch())
    changed, soft = in_graph(images, labels, indices, seed=seed, view=view, **options)
    return changed.numpy(), soft.numpy()


def one_by_one(count: int, options: dict[str, Any]) -> np.ndarray:
    images = tf.repeat(tf.constant(IMAGE)[None], count, axis=0)
    return in_graph(images, tf.zeros((count, 2)), tf.range(count), seed=1, **options)[0].numpy()


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_it_is_a_function_of_seed_and_view(name: str) -> None:
    images, labels = apply(ALL[name])
    again, labels_again = apply(ALL[name])
    np.testing.assert_array_equal(images, again)
    np.testing.assert_array_equal(labels, labels_again)
    assert np.abs(images - apply(ALL[name], view=1)[0]).max() > 1
    assert np.abs(images - apply(ALL[name], seed=1)[0]).max() > 1


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_images_stay_images_and_labels_stay_shares(name: str) -> None:
    images, labels = apply(ALL[name])
    assert images.shape == (8, 16, 24, 3) and images.dtype == np.float32 and labels.dtype == np.float32
    assert np.isfinite(images).all() and images.min() >= 0 and images.max() <= 255
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)
    assert np.abs(images - batch()[0]).max() > 1


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ALL if name not in ("mixup", "cutmix", "everything")])
def test_an_image_does_not_depend_on_its_batch(name: str) -> None:
    whole, _ = apply(ALL[name])
    part, _ = apply(ALL[name], rows=[5, 2])
    np.testing.assert_allclose(part, whole[[5, 2]], atol=1e-4)


def test_nothing_asked_for_changes_nothing() -> None:
    images, labels = apply({})
    np.testing.assert_array_equal(images, batch()[0])
    np.testing.assert_array_equal(labels, batch()[1])


@pytest.mark.parametrize(
    ("flip", "axes"), [("horizontal", [(), (1,)]), ("vertical", [(), (0,)]), ("both", [(), (0,), (1,), (0, 1)])]
)
def test_a_flip_is_exact_and_every_one_occurs(flip: str, axes: list[tuple[int, ...]]) -> None:
    wanted = {np.flip(IMAGE, axis).astype(np.uint8).tobytes() for axis in axes}
    assert {image.astype(np.uint8).tobytes() for image in one_by_one(40, {"flip": flip})} == wanted


def test_a_crop_shows_a_part_enlarged() -> None:
    images = one_by_one(40, {"crop": 0.3})
    reach = images[..., 0].max(axis=(1, 2)) - images[..., 0].min(axis=(1, 2))
    whole = IMAGE[..., 0].max() - IMAGE[..., 0].min()
    assert reach.min() < 0.75 * whole and reach.max() > 0.85 * whole


def test_a_rotation_stays_within_its_limit() -> None:
    y, x = np.mgrid[0:41, 0:41] - 20.0
    spoke = np.repeat((255 * np.exp(-(((x - 14) ** 2 + y**2) / 8)))[..., None], 3, axis=-1).astype(np.float32)
    images = tf.repeat(tf.constant(spoke)[None], 60, axis=0)
    turned = in_graph(images, tf.zeros((60, 2)), tf.range(60), rotate_deg=20.0)[0].numpy()[..., 0]
    angles = np.degrees(np.arctan2((turned * y).sum((1, 2)), (turned * x).sum((1, 2))))
    assert np.abs(angles).max() <= 21 and angles.min() < -12 and angles.max() > 12


def test_brightness_scales_within_its_limit() -> None:
    factors = one_by_one(60, {"brightness": 0.3})[:, 8, 12, 1] / IMAGE[8, 12, 1]
    assert 0.69 < factors.min() < 0.78 and 1.22 < factors.max() < 1.31


def test_hue_and_saturation_leave_grey_grey() -> None:
    grey = np.repeat(IMAGE[..., :1], 3, axis=-1)
    images = tf.repeat(tf.constant(grey)[None], 8, axis=0)
    changed = in_graph(images, tf.zeros((8, 2)), tf.range(8), hue=0.5, saturation=1.0)[0].numpy()
    np.testing.assert_allclose(changed, images, atol=0.01)


def test_saturation_keeps_the_luma_and_hue_moves_colours_apart() -> None:
    images = tf.fill((40, 4, 4, 3), 0.0) + tf.constant([140.0, 120.0, 100.0])
    luma = np.array([0.299, 0.587, 0.114])
    for options in ({"saturation": 0.9}, {"hue": 0.5}):
        colours = in_graph(images, tf.zeros((40, 2)), tf.range(40), **options)[0].numpy()[:, 0, 0]
        np.testing.assert_allclose(colours @ luma, images.numpy()[0, 0, 0] @ luma, atol=0.1)
        assert np.ptp(colours[:, 0]) > 15


def flat(level: float) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Sixty-four images of one level, all of one class."""
    label = tf.one_hot([int(level > 100)] * 64, 2)
    return tf.fill((64, 16, 16, 3), level), label, tf.range(64)


@pytest.mark.parametrize("options", [{"mixup": 0.4}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 1.0}])
def test_labels_are_mixed_as_the_pixels_are(options: dict[str, Any]) -> None:
    images, labels = in_graph(*flat(0.0), partners=flat(255.0), **options)
    share = images.numpy().mean(axis=(1, 2, 3)) / 255
    np.testing.assert_allclose(labels.numpy()[:, 1], share, atol=1e-5)
    assert share.min() < 0.1 and share.max() > 0.6


def test_mixup_blends_and_cutmix_pastes() -> None:
    mixed = in_graph(*flat(0.0), partners=flat(255.0), mixup=1.0)[0].numpy()
    assert np.abs(mixed - mixed[:, :1, :1]).max() < 1e-3
    pasted = in_graph(*flat(0.0), partners=flat(255.0), cutmix=1.0)[0].numpy()
    assert set(np.unique(pasted)) == {0.0, 255.0}
    both = in_graph(*flat(0.0), partners=flat(255.0), mixup=1.0, cutmix=1.0)[0].numpy()
    pastes = np.array([set(np.unique(image)) <= {0.0, 255.0} for image in both])
    assert 16 < pastes.sum() < 48


def test_a_tiny_mixing_alpha_is_finite() -> None:
    images, labels = apply({"mixup": 0.001})
    assert np.isfinite(images).all() and np.isfinite(labels).all()


@pytest.mark.parametrize("operation", _OPERATIONS, ids=lambda operation: operation.__name__.strip("_"))
@pytest.mark.parametrize("signed", [0.8, -0.8])
def test_every_operation_of_randaugment_gives_an_image(operation: Any, signed: float) -> None:
    for image in (IMAGE, np.zeros_like(IMAGE), np.full_like(IMAGE, 255.0)):
        changed = operation(tf.constant(image), tf.constant(signed)).numpy()
        assert changed.shape == image.shape and np.isfinite(changed).all()
    changed = operation(tf.constant(IMAGE * 0.5 + 40), tf.constant(signed)).numpy()
    assert (np.abs(changed - (IMAGE * 0.5 + 40)).max() > 1) == (operation.__name__ != "_identity")


def test_operations_without_strength_change_nothing() -> None:
    gentle = [operation for operation in _OPERATIONS if operation.__name__ not in ("_autocontrast", "_equalize")]
    for operation in gentle:
        np.testing.assert_allclose(
            operation(tf.constant(IMAGE), tf.constant(0.0)).numpy(), IMAGE, atol=1e-3, err_msg=operation.__name__
        )


def test_randaugment_draws_different_operations() -> None:
    seeds = [tf.constant([index, 0], tf.int64) for index in range(40)]
    results = {randaugment(tf.constant(IMAGE), seed, operations=1, magnitude=0.7).numpy().tobytes() for seed in seeds}
    assert len(results) > 10

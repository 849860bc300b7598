"""The losses of SimCLR and VICReg against their formulas, and batches that are a function of seed and epoch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import tfl
from tfl.data.bundle import Bundle
from tfl.data.examples import Examples
from tfl.data.split import Split
from tfl.train.pretrain.compare import compare
from tfl.train.pretrain.losses import simclr, spread, vicreg
from tfl.train.pretrain.methods import TwoViews, Views

RNG = np.random.default_rng(0)
FIRST, SECOND = (RNG.normal(size=(6, 5)).astype(np.float32) for _ in range(2))


def test_simclr_is_the_mean_over_all_views_of_equation_1() -> None:
    both = np.concatenate([FIRST, SECOND]).astype(np.float64)
    unit = both / np.linalg.norm(both, axis=1, keepdims=True)
    alike = np.exp(unit @ unit.T / 0.3)
    expected = [-np.log(alike[i, (i + 6) % 12] / (alike[i].sum() - alike[i, i])) for i in range(12)]
    assert simclr(tf.constant(FIRST), tf.constant(SECOND), temperature=0.3).numpy() == pytest.approx(expected, rel=1e-5)


def test_vicreg_is_equation_6_with_the_mean_square_of_algorithm_1() -> None:
    def variance(z: Any) -> float:
        return float(np.maximum(0, 1 - np.sqrt(z.var(axis=0, ddof=1) + 1e-4)).mean())

    def covariance(z: Any) -> float:
        found = np.cov(z.T)
        return float((found**2).sum() - (np.diag(found) ** 2).sum()) / z.shape[1]

    expected = 2 * float(((FIRST - SECOND) ** 2).mean())
    expected += sum(3 * variance(z) + 0.5 * covariance(z) for z in (FIRST, SECOND))
    found = vicreg(tf.constant(FIRST), tf.constant(SECOND), similarity=2.0, variance=3.0, covariance=0.5)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_the_loop_gets_a_loss_and_the_spread_of_each_row() -> None:
    logits = tf.constant(np.concatenate([FIRST, SECOND]))
    for method in ("simclr", "vicreg"):
        task = TwoViews(tfl.Pretrain(method=method))  # type: ignore[arg-type]
        assert task.loss(None, logits).shape == task.step_score(None, logits).shape == (12,)
    assert float(spread(tf.constant(RNG.normal(size=(500, 40)), tf.float32))) == pytest.approx(1.0, abs=0.05)


def pool(count: int) -> Bundle:
    arrays = RNG.integers(0, 255, (count, 16, 16, 3)).astype(np.uint8)
    examples = Examples(class_names=("none",), labels=np.zeros(count, np.int32), arrays=arrays)
    none = np.zeros(0, np.int64)
    prints = [str(number) for number in range(count)]
    data = tfl.Data("none", image_size=(16, 16))
    return Bundle(
        examples=examples, split=Split(train=np.arange(count), val=none, test=none), data=data, seed=0, fingerprints=prints
    )


def test_two_views_of_whole_batches_that_repeat() -> None:
    augment = tfl.Augment(crop=0.5)
    views = Views(tfl.Pretrain(batch_size=8, augment=augment), pool(21), seed=3, width=4)
    batches = [list(views.epoch(1).as_numpy_iterator()) for _ in range(2)]
    assert views.steps == len(batches[0]) == 2 and views.rows == 16
    for (images, targets), (again, _) in zip(*batches, strict=True):
        assert images.shape == (16, 16, 16, 3) and targets.shape == (16, 4)
        assert np.array_equal(images, again) and not np.array_equal(images[:8], images[8:])
    assert sorted(views.order(1)) != sorted(views.order(2)) and len(set(views.order(1))) == 16


def test_rotations_of_each_image_with_their_turns() -> None:
    views = Views(tfl.Pretrain(method="rotation", batch_size=8, augment=tfl.Augment()), pool(5), seed=3, width=4)
    images, targets = next(iter(views.epoch(1).as_numpy_iterator()))
    assert views.steps == 2 and images.shape == (8, 16, 16, 3) and targets.argmax(1).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    for turns in range(4):
        assert np.array_equal(np.rot90(images[:2], turns, axes=(1, 2)), images[2 * turns : 2 * turns + 2])


def test_random_weights_are_kept_only_where_what_was_learned_is_worse() -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(60, dtype=np.int32) % 2
    arrays = rng.integers(0, 255, (60, 16, 16, 3)).astype(np.uint8)
    none = np.zeros(0, np.int64)
    bundle = Bundle(
        examples=Examples(class_names=("a", "b"), labels=labels, arrays=arrays),
        split=Split(train=np.arange(60), val=none, test=none),
        data=tfl.Data("none", image_size=(16, 16)),
        seed=0,
        fingerprints=[str(number) for number in range(60)],
    )
    recipe = tfl.Recipe(name="pretrain", data=bundle.data, backbone=tfl.Backbone("mini"), stages=(tfl.Stage("head"),))
    told = (rng.normal(size=(60, 4)) + 2 * labels[:, None]).astype(np.float32)
    noise = rng.normal(size=(60, 4)).astype(np.float32)

    def kept(before: Any, after: Any, alpha: float) -> bool:
        return bool(compare(before, after, bundle, recipe=recipe, alpha=alpha)["kept"])

    assert kept(noise, told, 0.05) and kept(noise, told, 1.0)
    assert kept(told, told, 1.0) and not kept(told, told, 0.5)  # no better and no worse: p = 1
    assert not kept(told, noise, 1.0)

"""Whether mirrored copies can be told from the originals: the statistics, on differences made for the purpose."""

import numpy as np
import pytest

from tfl.cli import mirror
from tfl.cli.mirror import ToldApart, enough_images, mirror_test, tell_apart
from tfl.data.examples import Examples
from tfl.data.source import load_source
from tfl.recipe import Data


def noise(count, width=30, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 1, 1, width)).astype(np.float32)


@pytest.mark.slow
def test_chance_is_not_told_apart():
    shares = [tell_apart([noise(200, seed=seed)], np.arange(200) % 4, seed=seed) for seed in range(20)]
    assert 0.45 < np.mean([found.share for found in shares]) < 0.55
    assert sum(found.interval[1] < 0.7 for found in shares) >= 19
    assert sum(bool(found.classes) for found in shares) <= 1


def test_one_direction_in_all_classes_is_found():
    found = tell_apart([noise(100) + 0.5], np.arange(100) % 2)
    assert found.share > 0.9 and found.interval[0] > 0.5 and found.classes == (0, 1)


def test_directions_that_cancel_over_the_classes_are_found():
    labels = np.arange(100) % 2
    found = tell_apart([noise(100) + 0.6 * (1 - 2 * labels[:, None, None, None])], labels)
    assert found.share > 0.9 and found.classes == (0, 1)


def test_one_class_of_many_is_named():
    labels = np.repeat(np.arange(10), 50)
    found = tell_apart([noise(500) + 1.0 * (labels == 7)[:, None, None, None]], labels)
    assert 7 in found.classes and len(found.classes) <= 2


def test_images_that_are_their_own_mirror_images_are_chance():
    found = tell_apart([np.zeros((120, 3, 3, 8), np.float32)], np.arange(120) % 2)
    assert found.share == 0.5 and not found.classes


@pytest.mark.parametrize(
    ("share", "interval", "classes", "named", "flip", "reason"),
    [
        (0.5, (0.45, 0.55), (), (0.6, 0.6, False), True, "cannot be told"),
        (0.55, (0.45, 0.66), (), (0.6, 0.6, False), False, "too few to decide"),
        (0.9, (0.85, 0.95), (0, 1), (0.9, 0.9, False), False, "found in 0.90 of 100 pairs"),
        (0.52, (0.48, 0.56), (1,), (0.9, 0.9, False), False, "some classes can be told from the originals: d"),
        (0.52, (0.48, 0.56), (), (0.9, 0.5, True), False, "right on 0.90 of the images and on 0.50 of their mirrored copies"),
        (0.52, (0.48, 0.56), (), None, True, "cannot be told"),
    ],
)
def test_the_decision_and_its_reason(share, interval, classes, named, flip, reason):
    found = mirror._decide(ToldApart(share, interval, classes), named, ("b", "d"), 100)
    assert found.flip is flip and reason in found.reason


def test_a_probe_of_classes_that_swap_does_worse_on_the_copies():
    labels = np.arange(100) % 2
    features = noise(100) + 3 * (1 - 2 * labels[:, None, None, None])
    named, mirrored, worse = mirror._named([features], [-features], labels, seed=0)
    assert named > 0.95 and mirrored < 0.05 and worse
    assert mirror._named([features], [features], labels, seed=0)[2] is False
    assert mirror._named([features[:6]], [features[:6]], labels[:6], seed=0) is None


def test_the_sample_leaves_test_images_alone_and_is_bounded():
    splits = np.array((["train"] * 30 + ["test"] * 10) * 100)
    many = Examples(
        class_names=tuple(f"c{label}" for label in range(100)),
        labels=np.repeat(np.arange(100), 40),
        arrays=np.zeros((4000, 4, 4), np.uint8),
        splits=splits,
    )
    drawn = mirror._drawn(many, seed=0)
    assert 900 < len(drawn) <= 1000 and set(splits[drawn]) == {"train"}
    assert set(np.bincount(many.labels[drawn])) == {0, 16}


def test_copies_of_one_image_are_no_evidence():
    images = np.repeat(np.random.default_rng(0).integers(0, 256, (10, 8, 8)).astype(np.uint8), 20, axis=0)
    found = mirror_test(Examples(class_names=("a", "b"), labels=np.arange(200) // 100, arrays=images, source="memory"))
    assert not enough_images(10) and not found.flip and found.reason.startswith("10 images are too few")


@pytest.mark.slow
@pytest.mark.real_photos
def test_flowers_are_flipped_and_clothes_that_point_one_way_are_not(photos):
    flowers = mirror_test(load_source(Data(str(photos / "flowers"), per_class=60)))
    assert flowers.flip and flowers.told_apart < 0.56
    clothes = mirror_test(load_source(Data(str(photos / "fashion_mnist"), per_class=25)))
    assert not clothes.flip and clothes.told_apart > 0.75

"""Sets of copies, and what they mean within a class, across classes and across splits."""

from __future__ import annotations

import numpy as np
from PIL import Image
from scenes import examples_of, pixels, scene

from tfl.audit.checks.duplicates import copy_findings
from tfl.copy_sets import exact_sets
from tfl.modalities.image.audit.copies import near_sets
from tfl.modalities.image.audit.thumbnails import make_thumbnails


def thumbnails_of(images):
    return make_thumbnails([(0, pixels(images))], len(images))


def sets_of(images, prints=None, **options):
    prints = prints or [str(index) for index in range(len(images))]
    return [members.tolist() for members in near_sets(prints, thumbnails_of(images), **options)]


def originals(count=8):
    return [scene(seed) for seed in range(count)]


def test_resized_and_mirrored_copies_are_one_set():
    images = originals()
    images += [images[2].resize((70, 70)), images[2].transpose(Image.Transpose.FLIP_LEFT_RIGHT), images[5].resize((150, 150))]
    assert sets_of(images) == [[2, 8, 9], [5, 10]]


def test_exact_copies_alone_are_no_near_set_but_stay_in_one():
    images = originals()
    images += [images[0], images[1], images[1].resize((64, 64))]
    prints = [str(index) for index in range(8)] + ["0", "1", "x"]
    assert [members.tolist() for members in exact_sets(prints)] == [[0, 8], [1, 9]]
    assert sets_of(images, prints) == [[1, 9, 10]]


def test_features_must_agree():
    images = originals()
    images.append(images[3].resize((70, 70)))
    features = np.random.default_rng(0).normal(size=(9, 16))
    assert sets_of(images, features=features) == []
    features[8] = features[3]
    assert sets_of(images, features=features) == [[3, 8]]


def test_features_find_what_the_hash_misses():
    image = scene(20, 160)
    images = [*originals(), image, image.crop((0, 0, 128, 128))]
    assert sets_of(images) == []
    features = np.random.default_rng(0).normal(size=(10, 16))
    features[9] = features[8]
    assert sets_of(images, features=features) == [[8, 9]]


def test_plain_and_tiny_pictures_are_not_compared():
    blank = [Image.new("RGB", (64, 64), (value,) * 3) for value in (10, 100, 200)]
    assert sets_of(blank) == []
    images = [scene(0), scene(0).resize((80, 80))]
    assert sets_of(images) == [[0, 1]]
    assert sets_of(images, large_enough=np.array([True, False])) == []


def test_what_sets_mean():
    examples = examples_of(originals(6), [0, 0, 0, 1, 1, 1])
    splits = np.array(["train", "train", "test", "train", "train", "val"])
    sets = [np.array([0, 1]), np.array([2, 3])]
    found = {finding.kind: finding for finding in copy_findings(examples, sets, how="near", splits=splits)}
    assert list(found) == ["near_leaks", "near_conflicting_labels", "near_duplicates"]
    assert [finding.severity for finding in found.values()] == ["error", "warning", "info"]
    assert found["near_leaks"].files == ("#2", "#3") and found["near_leaks"].captions == ("test and train",)
    assert found["near_conflicting_labels"].captions == ("ant or bee",)
    assert found["near_duplicates"].to_json()["groups"] == [["#0", "#1"], ["#2", "#3"]]


def test_unsplit_data_cannot_leak():
    examples = examples_of(originals(3), [0, 1, 1])
    kinds = [finding.kind for finding in copy_findings(examples, [np.array([0, 1])], how="exact", splits=None)]
    assert kinds == ["conflicting_labels", "exact_duplicates"]
    left_out = np.array(["train", "", ""])
    kinds = [finding.kind for finding in copy_findings(examples, [np.array([0, 1])], how="exact", splits=left_out)]
    assert "exact_leaks" not in kinds

"""Hashes of copies are near each other, those of other pictures are not, and mirroring is a matter of bits."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from scenes import pixels, scene

from tfl.data.cached import Cached
from tfl.modalities.image.audit.thumbnails import BITS, MIRROR, SIDE, make_thumbnails, perceptual_hash


def hash_of(image: Image.Image) -> np.uint64:
    return perceptual_hash(pixels([image], SIDE))[0]


def encoded_again(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


@pytest.mark.parametrize("seed", range(5))
def test_a_copy_hashes_alike(seed: int) -> None:
    image = scene(seed)
    for copy in (encoded_again(image, 30), image.resize((50, 50)), image.resize((200, 180))):
        assert np.bitwise_count(hash_of(image) ^ hash_of(copy)) <= 7


def test_other_pictures_hash_otherwise() -> None:
    hashes = perceptual_hash(pixels([scene(seed) for seed in range(40)], SIDE))
    apart = np.bitwise_count(hashes[:, None] ^ hashes)[np.triu_indices(40, 1)]
    assert apart.min() > 7 and 20 < apart.mean() < 40


def test_the_hash_of_the_mirror_image_needs_no_picture() -> None:
    image = scene(3)
    mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert np.bitwise_count(hash_of(mirrored) ^ hash_of(image) ^ MIRROR) <= 1
    assert np.bitwise_count(MIRROR) == 32 and BITS == 63


def test_thumbnails_are_made_batch_by_batch() -> None:
    images = pixels([scene(seed) for seed in range(5)], 64)
    images[4] = 120
    made = make_thumbnails([(0, images[:3]), (3, images[3:])], 5)
    assert made.pictures[np.arange(5)].shape == (5, SIDE, SIDE, 3)
    assert made.plain.tolist() == [False] * 4 + [True]
    assert (made.hashes[:4] == perceptual_hash(made.pictures[np.arange(4)])).all()


def test_without_room_on_the_disk_they_are_kept_in_memory() -> None:
    made = make_thumbnails([(0, pixels([scene(0)], 64))], 1, room=lambda count, shape: None)
    assert isinstance(made.pictures, np.ndarray) and made.pictures.any()


def test_where_there_is_room_they_are_kept_there() -> None:
    images = pixels([scene(seed) for seed in range(3)], 64)
    kept = make_thumbnails([(0, images)], 3, room=Cached.of).pictures
    assert isinstance(kept, Cached) and (kept[:] == make_thumbnails([(0, images)], 3).pictures).all()

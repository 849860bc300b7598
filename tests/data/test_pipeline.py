"""Bytes become the same pixels as in Pillow, whole numbers at the asked size, in an order that a seed decides."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from image_files import class_folders, encoded, noise, picture, with_exif
from PIL import Image

import tfl
from tfl.data.examples import Examples
from tfl.data.pipeline import cache_tensors, make_dataset
from tfl.data.source import load_source
from tfl.modalities.image.decode import decode_image
from tfl.modalities.image.modality import ImageModality
from tfl.modalities.image.resize import preprocess_batch, preprocess_bytes, resize_image

RGB = picture()
FRAMES = [RGB.quantize(64), RGB.transpose(Image.Transpose.ROTATE_180).quantize(64)]
FILES = {
    "jpeg": encoded(RGB, "JPEG", quality=95),
    "progressive jpeg": encoded(RGB, "JPEG", progressive=True),
    "subsampled jpeg": encoded(RGB, "JPEG", quality=40, subsampling=2),
    "grey jpeg": encoded(RGB.convert("L"), "JPEG"),
    "cmyk jpeg": encoded(RGB.convert("CMYK"), "JPEG", quality=95),
    "png": encoded(RGB, "PNG"),
    "grey png": encoded(RGB.convert("L"), "PNG"),
    "black and white png": encoded(RGB.convert("1"), "PNG"),
    "palette png": encoded(RGB.quantize(16), "PNG"),
    "palette png with a transparent colour": encoded(RGB.quantize(16), "PNG", transparency=3),
    "grey and alpha png": encoded(RGB.convert("LA"), "PNG"),
    "gif": encoded(FRAMES[0], "GIF"),
    "animated gif": encoded(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]),
    "bmp": encoded(RGB, "BMP"),
    "grey bmp": encoded(RGB.convert("L"), "BMP"),
    "palette bmp": encoded(RGB.convert("P"), "BMP"),
    "bmp with alpha": encoded(RGB.convert("RGBA"), "BMP"),
    "lossless webp": encoded(RGB, "WEBP", lossless=True),
    "webp": encoded(RGB, "WEBP", quality=80),
    "animated webp": encoded(RGB, "WEBP", save_all=True, append_images=[FRAMES[1].convert("RGB")], lossless=True),
}


def by_pillow(contents: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(contents)).convert("RGB"))


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_decodes_as_in_pillow(name: str) -> None:
    image = decode_image(tf.constant(FILES[name])).numpy()
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, by_pillow(FILES[name]))


def test_adobe_ycck_decodes_as_in_pillow() -> None:
    contents = bytearray(FILES["cmyk jpeg"])
    at = contents.index(b"Adobe\x00")
    contents[at + 11] = 2  # the transform flag: the same numbers, now meaning YCCK
    assert Image.open(io.BytesIO(bytes(contents))).mode == "CMYK"
    expected = by_pillow(bytes(contents))
    assert np.abs(expected.astype(int) - by_pillow(FILES["cmyk jpeg"])).max() > 50
    np.testing.assert_allclose(decode_image(tf.constant(bytes(contents))).numpy().astype(int), expected, atol=2)


def test_alpha_is_dropped_and_does_not_blend() -> None:
    half = RGB.copy()
    half.putalpha(Image.fromarray(np.tile(np.arange(60, dtype=np.uint8), (40, 1))))
    np.testing.assert_array_equal(decode_image(tf.constant(encoded(half, "PNG"))).numpy(), np.asarray(RGB))


@pytest.mark.parametrize(
    "options", [{"lossless": True}, {"quality": 80}, {"lossless": True, "exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"}]
)
def test_alpha_of_a_webp_is_dropped(options: dict[str, object]) -> None:
    half = RGB.copy()
    half.putalpha(Image.fromarray(np.tile(np.arange(60, dtype=np.uint8), (40, 1))))
    contents = encoded(half, "WEBP", exact=True, **options)
    assert Image.open(io.BytesIO(contents)).mode == "RGBA"
    np.testing.assert_array_equal(decode_image(tf.constant(contents)).numpy(), by_pillow(contents))


def test_16_bit_grey_keeps_its_high_byte() -> None:
    deep = (np.arange(40 * 60, dtype=np.uint16) * 27).reshape(40, 60)
    image = decode_image(tf.constant(encoded(Image.fromarray(deep), "PNG"))).numpy()
    np.testing.assert_array_equal(image, np.repeat((deep >> 8)[..., None], 3, axis=-1))
    assert len(np.unique(image)) > 200


@pytest.mark.parametrize(
    "contents",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"just a text", id="text"),
        pytest.param(FILES["jpeg"][:-20], id="jpeg cut short"),
        pytest.param(FILES["progressive jpeg"][:600], id="progressive jpeg cut short"),
        pytest.param(FILES["png"][:-30], id="png cut short"),
        pytest.param(FILES["gif"][: len(FILES["gif"]) // 2], id="gif cut short"),
        pytest.param(FILES["palette bmp"][:-200], id="bmp cut short"),
        pytest.param(FILES["palette bmp"][:60], id="bmp without pixels"),
        pytest.param(b"BM", id="two bytes of a bmp"),
        pytest.param(FILES["webp"][:100], id="webp cut short"),
        pytest.param(encoded(RGB.convert("1"), "BMP"), id="1-bit bmp"),
        pytest.param(encoded(RGB, "TIFF"), id="tiff"),
    ],
)
def test_what_is_no_whole_image_is_refused(contents: bytes) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_image(tf.constant(contents))


@pytest.mark.slow
def test_decoding_in_a_graph_is_decoding_outside() -> None:
    turned = with_exif(FILES["jpeg"], 6, big_endian=False)
    contents = tf.constant([turned, FILES["palette bmp"], FILES["animated webp"], FILES["gif"]])
    in_graph = tf.function(
        lambda batch: preprocess_batch(batch, (32, 48), "crop"), input_signature=[tf.TensorSpec([None], tf.string)]
    )
    alone = np.stack([preprocess_bytes(one, (32, 48), "crop").numpy() for one in contents])
    np.testing.assert_array_equal(in_graph(contents).numpy(), alone)


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (31, 31), (4, 500)])
def test_resizing_gives_the_size_in_whole_numbers(fit: str, shape: tuple[int, int]) -> None:
    image = resize_image(tf.constant(np.asarray(picture(*shape))), (24, 36), fit).numpy()
    assert image.shape == (24, 36, 3) and image.dtype == np.float32
    assert image.min() >= 0 and image.max() <= 255
    np.testing.assert_array_equal(image, np.round(image))


def test_resizing_antialiases_as_pillow_does() -> None:
    expected = np.asarray(RGB.resize((20, 10), Image.Resampling.BILINEAR)).astype(int)
    np.testing.assert_allclose(resize_image(tf.constant(np.asarray(RGB)), (10, 20)).numpy(), expected, atol=1)


def test_crop_keeps_the_middle_and_pad_adds_black() -> None:
    stripes = np.zeros((20, 60, 3), np.uint8)
    stripes[:, 20:40] = 200
    np.testing.assert_array_equal(resize_image(tf.constant(stripes), (20, 20), "crop").numpy(), 200)
    padded = resize_image(tf.constant(np.full((20, 60, 3), 200, np.uint8)), (60, 60), "pad").numpy()
    np.testing.assert_array_equal(padded[20:40], 200)
    np.testing.assert_array_equal(padded[:20], 0)
    np.testing.assert_array_equal(padded[40:], 0)


def drain(dataset: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    batches = [(images.numpy(), labels.numpy()) for images, labels in dataset]
    return np.concatenate([images for images, _ in batches]), np.concatenate([labels for _, labels in batches])


@pytest.fixture(scope="module")
def examples() -> Examples:
    """Twenty images, each of one grey level: its number."""
    images = np.tile(np.arange(20, dtype=np.uint8)[:, None, None], (1, 8, 8))
    return Examples(class_names=("even", "odd"), labels=np.arange(20) % 2, arrays=images)


DATA = tfl.Data("memory", image_size=(8, 8))


def test_batches_are_pixels_and_one_hot_labels_in_order(examples: Examples) -> None:
    dataset = make_dataset(examples, [3, 0, 18], modality=ImageModality(DATA), batch_size=2)
    assert int(dataset.cardinality()) == 2
    assert dataset.element_spec[0].shape.as_list() == [None, 8, 8, 3] and dataset.element_spec[1].shape.as_list() == [None, 2]
    images, labels = drain(dataset)
    assert images.dtype == np.float32 and images[:, 0, 0, 0].tolist() == [3, 0, 18]
    assert labels.tolist() == [[0, 1], [1, 0], [1, 0]]


def order_of(examples: Examples, **options: int) -> list[int]:
    return (
        drain(make_dataset(examples, np.arange(20), modality=ImageModality(DATA), batch_size=6, **options))[0][:, 0, 0, 0]
        .astype(int)
        .tolist()
    )


def test_the_end_of_an_epoch_waits_for_no_autotuner(examples: Examples) -> None:
    dataset = make_dataset(examples, [0, 1], modality=ImageModality(DATA), batch_size=2)
    assert dataset.options().autotune.enabled is False  # benchmarks/autotuner.py measures what it costs


def test_the_order_is_a_function_of_seed_and_epoch(examples: Examples) -> None:
    first = order_of(examples, shuffle_seed=1)
    assert first == order_of(examples, shuffle_seed=1) and sorted(first) == list(range(20))
    assert first != order_of(examples, shuffle_seed=1, epoch=1)
    assert first != order_of(examples, shuffle_seed=2)


@pytest.mark.slow
def test_augmentation_depends_on_the_example_and_not_on_the_order(examples: Examples) -> None:
    augment = tfl.Augment(brightness=0.5, mixup=0.4)
    options = {"modality": ImageModality(DATA), "batch_size": 6, "augment": augment, "augment_seed": 5}
    straight = drain(make_dataset(examples, np.arange(20), **options))
    order = np.random.default_rng([9, 0]).permutation(20)
    shuffled = drain(make_dataset(examples, np.arange(20), shuffle_seed=9, **options))
    np.testing.assert_array_equal(shuffled[0], straight[0][order])
    np.testing.assert_array_equal(shuffled[1], straight[1][order])
    other = drain(make_dataset(examples, np.arange(20), view=1, **options))
    assert np.abs(other[0] - straight[0]).max() > 0


def test_mixing_reaches_other_classes_even_where_a_batch_has_one(examples: Examples) -> None:
    evens_then_odds = np.concatenate([np.arange(0, 20, 2), np.arange(1, 20, 2)])
    options = {"modality": ImageModality(DATA), "batch_size": 5, "augment": tfl.Augment(mixup=1.0)}
    _, labels = drain(make_dataset(examples, evens_then_odds, **options))
    assert (labels.min(axis=1) > 0.01).sum() >= 5
    np.testing.assert_allclose(labels.sum(axis=1), 1, atol=1e-6)


@pytest.mark.slow
def test_kept_pixels_are_exactly_the_decoded_ones(tmp_path: Path) -> None:
    class_folders(tmp_path, {"a": 3, "b": 3}, kind="jpg")
    data = tfl.Data(str(tmp_path), image_size=(9, 7), fit="crop")
    files = load_source(data)
    pixels = cache_tensors(files, modality=ImageModality(data))
    assert pixels is not None and pixels.alone.shape == (6, 9, 7, 3)
    decoded = drain(make_dataset(files, np.arange(6), modality=ImageModality(data), batch_size=4))[0]
    kept = drain(make_dataset(files, np.arange(6), modality=ImageModality(data), batch_size=4, cached=pixels))[0]
    np.testing.assert_array_equal(decoded, kept)


def test_pixels_that_take_too_much_room_are_not_kept(examples: Examples) -> None:
    assert cache_tensors(examples, modality=ImageModality(DATA), limit_bytes=20 * 8 * 8 * 3 - 1) is None


def test_an_array_and_its_png_give_the_same_pixels() -> None:
    images = np.stack([np.asarray(noise(seed)) for seed in range(2)])
    examples = Examples(class_names=("a", "b"), labels=np.arange(2), arrays=images)
    data = tfl.Data("memory", image_size=(30, 31))
    direct = drain(make_dataset(examples, [0, 1], modality=ImageModality(data), batch_size=2))[0]
    served = preprocess_batch(tf.constant([examples.bytes_of(0), examples.bytes_of(1)]), (30, 31)).numpy()
    np.testing.assert_array_equal(direct, served)

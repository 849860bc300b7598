"""From bytes to pixels to batches: the one decode path, which training, evaluation, export and serving share.

Everything that turns bytes into pixels is a graph operation, so an exported model holds the same code; only files of formats
that TensorFlow does not decode are converted to PNG before it, by Pillow (`tfl.modalities.image.convert`). Pixels come out as
whole numbers 0..255 even after resizing: what is kept in memory as uint8 is then the same as what is computed anew.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import tensorflow as tf

from tfl.data.cached import Pixels
from tfl.data.examples import Examples
from tfl.errors import BadImageError
from tfl.modalities.image.augment import augmenter
from tfl.modalities.image.convert import IN_GRAPH, IN_GRAPH_BOXED, readable_by_graph
from tfl.modalities.image.decode import decode_image
from tfl.recipe import Augment, Data

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "cache_pixels",
    "decode_errors",
    "decode_image",
    "make_dataset",
    "preprocess_batch",
    "preprocess_bytes",
    "resize_image",
]

Fit = Literal["stretch", "crop", "pad"]
_as_it_is = tf.autograph.experimental.do_not_convert  # nothing here branches in Python on a tensor


def resize_image(image: tf.Tensor, size: tuple[int, int], fit: Fit = "stretch") -> tf.Tensor:
    """`image` at `size`: bilinear, antialiased when it shrinks, in whole numbers.

    Args:
        image: `(height, width, 3)`, 0..255.
        size: (height, width) in pixels.
        fit: `stretch` ignores the aspect ratio; `crop` keeps the middle; `pad` keeps all and adds black.

    Returns:
        `(*size, 3)` float32, whole numbers 0..255.
    """
    if fit == "crop":
        image = _crop_to_aspect(image, size)
    inner = _inner_size(image, size) if fit == "pad" else tf.constant(size)
    image = _resize_bilinear(image, inner)
    if fit == "pad":
        image = tf.image.resize_with_crop_or_pad(image, *size)
    return tf.ensure_shape(tf.clip_by_value(tf.round(image), 0.0, 255.0), (*size, 3))


def _resize_bilinear(image: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Antialiased where a side shrinks; where none does that would take several times as long to change next to nothing."""
    shrinks = tf.reduce_any(size < tf.shape(image)[:2])
    return tf.cond(
        shrinks,
        lambda: tf.image.resize(image, size, method="bilinear", antialias=True),
        lambda: tf.image.resize(image, size, method="bilinear"),
    )


def _crop_to_aspect(image: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    height, width = tf.shape(image)[0], tf.shape(image)[1]
    scale = tf.minimum(tf.cast(height, tf.float64) / size[0], tf.cast(width, tf.float64) / size[1])
    target = [
        tf.clip_by_value(tf.cast(tf.round(scale * side), tf.int32), 1, full)
        for side, full in zip(size, (height, width), strict=True)
    ]
    return tf.image.resize_with_crop_or_pad(image, *target)


def _inner_size(image: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    sides = tf.cast(tf.shape(image)[:2], tf.float64)
    scale = tf.reduce_min(tf.constant(size, tf.float64) / sides)
    return tf.clip_by_value(tf.cast(tf.round(sides * scale), tf.int32), 1, tf.constant(size))


def preprocess_bytes(contents: tf.Tensor, size: tuple[int, int], fit: Fit = "stretch", bits: int | None = None) -> tf.Tensor:
    """`(*size, 3)` float32 0..255 from the bytes of an image file: what every network here is fed with.

    Args:
        contents: Scalar string, the bytes of a file that the graph decodes (`decode_image`).
        size: (height, width) in pixels.
        fit: As `resize_image`.
        bits: As `decode_image`.
    """
    return resize_image(decode_image(contents, bits), size, fit)


def preprocess_batch(contents: tf.Tensor, size: tuple[int, int], fit: Fit = "stretch", bits: int | None = None) -> tf.Tensor:
    """`(batch, *size, 3)` float32 from `(batch,)` strings; for the serving signature."""
    return tf.map_fn(
        lambda one: preprocess_bytes(one, size, fit, bits), contents, fn_output_signature=tf.TensorSpec((*size, 3), tf.float32)
    )


def make_dataset(
    examples: Examples,
    indices: ArrayLike,
    *,
    data: Data,
    batch_size: int,
    shuffle_seed: int | None = None,
    epoch: int = 0,
    augment: Augment | None = None,
    augment_seed: int = 0,
    view: int = 0,
    mix_among: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    pixels: Pixels | None = None,
) -> tf.data.Dataset:
    """One pass over `examples` at `indices`, in batches of (images float32 0..255, one-hot labels float32).

    The order depends on `shuffle_seed` and `epoch` alone (None keeps the order of `indices`); what augmentation does to an
    example depends on `augment_seed`, `view` and its index alone, and, for MixUp and CutMix, on which other indices there are.

    Args:
        examples, indices: What to read.
        data: `image_size`, `fit` and `bits` are used.
        batch_size: Images a batch; the last may be smaller.
        shuffle_seed, epoch: Decide the order.
        augment, augment_seed, view: Random changes; None makes none.
        mix_among: The indices that MixUp and CutMix take partners from; None takes `indices`.
        label_smoothing: Share of each label that is spread over all classes.
        pixels: What `cache_pixels` returned for `examples`, or None to decode.

    Returns:
        A finite dataset of known length.
    """
    order = np.asarray(indices, np.int64)
    if shuffle_seed is not None:
        order = shuffled(order, seed=shuffle_seed, epoch=epoch)
    load = _loader(examples, data) if pixels is None else _reader(pixels)
    mixes = augment is not None and (augment.mixup > 0 or augment.cutmix > 0)
    columns = (order, _partners(order, order if mix_among is None else mix_among, augment_seed, view)) if mixes else (order,)
    labels = tf.constant(examples.labels)
    seed, drawn_view = tf.constant(augment_seed, tf.int64), tf.constant(view, tf.int64)
    classes = len(examples.class_names)

    def read(*rows: tf.Tensor) -> tuple[tuple[tf.Tensor, ...], ...]:
        return tuple((load(row), _soft(tf.one_hot(tf.gather(labels, row), classes), label_smoothing), row) for row in rows)

    def finish(first: tuple[tf.Tensor, ...], second: tuple[tf.Tensor, ...] | None = None) -> tuple[tf.Tensor, tf.Tensor]:
        images, one_hot, index = first
        if augment is None:
            return images, one_hot
        return augmenter(augment)(images, one_hot, index, seed=seed, view=drawn_view, partners=second)

    parallel = {"num_parallel_calls": tf.data.AUTOTUNE, "deterministic": True}
    dataset = tf.data.Dataset.from_tensor_slices(columns)
    if pixels is None:  # decoded one by one, read batch by batch
        dataset = dataset.map(_as_it_is(read), **parallel).batch(batch_size)
    else:
        dataset = dataset.batch(batch_size).map(_as_it_is(read), **parallel)
    return untuned(dataset.map(_as_it_is(finish), **parallel).prefetch(tf.data.AUTOTUNE))


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """`dataset` without tf.data's autotuner, so that `AUTOTUNE` is a call for each core, at most 16.

    With it the end of an epoch may wait: now and then TensorFlow 2.21 lets go of an iterator only when a pause of the tuner is
    over, and those pauses double up to a minute (`benchmarks/autotuner.py`).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def shuffled(indices: ArrayLike, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """`indices` in the order in which `make_dataset` reads them under that seed, in that epoch."""
    return np.random.default_rng([seed, epoch]).permutation(np.asarray(indices, np.int64))


def _soft(one_hot: tf.Tensor, smoothing: float) -> tf.Tensor:
    return one_hot * (1.0 - smoothing) + smoothing / one_hot.shape[-1] if smoothing else one_hot


def _partners(order: NDArray[np.int64], among: ArrayLike, seed: int, view: int) -> NDArray[np.int64]:
    """For MixUp and CutMix: the example that each one is mixed with. Drawn from all of them and not from the batch, which
    may be of one class, and independent of the order."""
    known = np.unique(np.asarray(among, np.int64))
    drawn = np.random.default_rng([seed, view, 61]).permutation(known)
    return drawn[np.searchsorted(known, order)]


def _reader(pixels: Pixels) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function from the indices of several examples to their images."""

    def read(indices: tf.Tensor) -> tf.Tensor:
        images = tf.numpy_function(pixels.__getitem__, [indices], tf.uint8, stateful=False)
        return tf.cast(tf.ensure_shape(images, (None, *pixels.shape[1:])), tf.float32)

    return read


def _loader(examples: Examples, data: Data) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function from an example's index to its image."""
    with tf.device("CPU:0"):
        if examples.images is not None:
            images = tf.constant(examples.images)
            return lambda index: resize_image(_as_rgb(tf.gather(images, index)), data.settled_size, data.fit)
        paths = tf.constant([] if examples.paths is None else examples.paths.tolist(), tf.string)
        preprocess = _preprocessor(data.settled_size, data.fit, data.bits)
        return lambda index: preprocess(_read(tf.gather(paths, index)))


def _read(path: tf.Tensor) -> tf.Tensor:
    """The bytes of a file as the graph decodes them: Python is called only for files of other formats."""
    contents = tf.io.read_file(path)
    start = tf.strings.substr(contents, 0, 2)
    in_graph = tf.reduce_any(tf.equal(start, tf.constant(IN_GRAPH)))
    boxed = tf.equal(tf.strings.substr(contents, 0, len(IN_GRAPH_BOXED)), IN_GRAPH_BOXED)
    return tf.cond(in_graph | boxed, lambda: contents, lambda: _converted(contents))


def _converted(contents: tf.Tensor) -> tf.Tensor:
    return tf.ensure_shape(tf.numpy_function(readable_by_graph, [contents], tf.string, stateful=False), ())


@functools.lru_cache(maxsize=1)
def _decoder() -> Callable[[tf.Tensor], tf.Tensor]:
    return tf.function(decode_image, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)


@functools.lru_cache(maxsize=32)
def _preprocessor(size: tuple[int, int], fit: Fit, bits: int | None) -> Callable[[tf.Tensor], tf.Tensor]:
    """`preprocess_bytes` at this size, traced once a process and not once an epoch."""
    signature = [tf.TensorSpec([], tf.string)]
    return tf.function(lambda contents: preprocess_bytes(contents, size, fit, bits), input_signature=signature, autograph=False)


def _as_rgb(image: tf.Tensor) -> tf.Tensor:
    return tf.repeat(image[..., None], 3, axis=-1) if image.shape.rank == 2 else image


def cache_pixels(examples: Examples, *, data: Data, limit_bytes: int | None = None) -> Pixels | None:
    """Every image decoded and resized once, so that epochs need not decode again.

    Returns:
        The pixels for `make_dataset(..., pixels=)`; None where there is no room (`Pixels.of`).
    """
    pixels = Pixels.of(len(examples), data.settled_size, limit_bytes=limit_bytes)
    if pixels is None:
        return None
    load = _loader(examples, data)
    dataset = tf.data.Dataset.range(len(examples)).map(
        _as_it_is(lambda index: tf.cast(load(index), tf.uint8)), num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    for index, image in enumerate(untuned(dataset.prefetch(16)).as_numpy_iterator()):
        pixels.write(index, image)
    return pixels


def decode_errors(
    examples: Examples, indices: ArrayLike, *, keep: Callable[[int, Any], None] | None = None, data: Data | None = None
) -> dict[int, str]:
    """Decodes the files at `indices` as training would, in parallel; what each that cannot be decoded says.

    Args:
        examples, indices: Which files.
        keep: Called with the index and the resized pixels (uint8) of each image; needs `data`.
        data: The size to resize to, and how.
    """
    order = np.asarray(indices, np.int64)
    paths = tf.constant([examples.name_of(int(index)) for index in order], tf.string)

    def read(position: tf.Tensor) -> tuple[tf.Tensor, ...]:
        contents = _read(tf.gather(paths, position))
        if data is None:
            return position, tf.shape(_decoder()(contents))
        return position, tf.cast(_preprocessor(data.settled_size, data.fit, data.bits)(contents), tf.uint8)

    dataset = tf.data.Dataset.range(len(order)).map(_as_it_is(read), num_parallel_calls=tf.data.AUTOTUNE, deterministic=False)
    fine = np.zeros(len(order), bool)
    for position, value in untuned(dataset.ignore_errors().prefetch(16)).as_numpy_iterator():
        fine[position] = True
        if keep is not None:
            keep(int(order[position]), value)
    return {int(order[position]): _decode_error(str(paths[position].numpy().decode())) for position in np.flatnonzero(~fine)}


def _decode_error(path: str) -> str:
    try:
        decode_image(tf.constant(readable_by_graph(tf.io.read_file(path).numpy())))
    except BadImageError as error:
        return str(error).removeprefix("damaged: ")
    except (tf.errors.OpError, ValueError) as error:
        text = str(getattr(error, "message", error))
        return text.split("}} ")[-1].split(" [Op:")[0].split("\n")[0]
    return "it could not be decoded at first, and could on a second try"

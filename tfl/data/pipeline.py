"""From examples to batches of tensors: the one way there, which training, evaluation, export and serving share.

What turns a content into tensors is the modality's (`tfl.modalities.base`), and consists of graph operations, so an exported
model holds the same code; only contents of forms that the graph does not decode are converted before it, by Python.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfl.data.cached import CachedTensors
from tfl.data.examples import Examples
from tfl.errors import BadImageError
from tfl.modalities.base import Modality, Tensors, TensorSpec
from tfl.modalities.several.packed import Packed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

as_it_is = tf.autograph.experimental.do_not_convert  # nothing here branches in Python on a tensor


def make_dataset(
    examples: Examples,
    indices: ArrayLike,
    *,
    modality: Modality,
    batch_size: int,
    targets: NDArray[np.float32] | None = None,
    shuffle_seed: int | None = None,
    epoch: int = 0,
    augment: Any = None,
    augment_seed: int = 0,
    view: int = 0,
    mix_among: ArrayLike | None = None,
    cached: CachedTensors | None = None,
) -> tf.data.Dataset:
    """One pass over `examples` at `indices`, in batches of (tensors, targets).

    The order depends on `shuffle_seed` and `epoch` alone (None keeps the order of `indices`); what augmentation does to an
    example depends on `augment_seed`, `view` and its index alone, and, where examples are mixed, on which other indices there
    are.

    Args:
        examples, indices: What to read.
        modality: How a content becomes tensors.
        batch_size: Examples per batch; the last batch may be smaller.
        targets: `(n, width)` float32, of all examples; None stands for one-hot labels.
        shuffle_seed, epoch: Decide the order.
        augment: Random changes, a part of the recipe that fits the modality; None makes none.
        augment_seed, view: Decide the random changes.
        mix_among: The indices that partners for mixing are taken from; None takes `indices`.
        cached: What `cache_tensors` returned for `examples`, or None to decode.

    Returns:
        A finite dataset of known length.
    """
    order = np.asarray(indices, np.int64)
    if shuffle_seed is not None:
        order = shuffled(order, seed=shuffle_seed, epoch=epoch)
    from_disk = cached is not None and (augment is None or not modality.finishes)
    load = _reader(cached) if from_disk and cached is not None else _loader(examples, modality)
    mixes = augment is not None and augment.mixes
    columns = (order, _partners(order, order if mix_among is None else mix_among, augment_seed, view)) if mixes else (order,)
    target_of = _targets_reader(examples, targets)
    seed, drawn_view = tf.constant(augment_seed, tf.int64), tf.constant(view, tf.int64)

    def read(*rows: tf.Tensor) -> tuple[tuple[Any, ...], ...]:
        return tuple((load(row), target_of(row), row) for row in rows)

    def finish(first: tuple[Any, ...], second: tuple[Any, ...] | None = None) -> tuple[Any, Any]:
        if from_disk and augment is None:
            return first[:2]
        (tensors, wanted, index), partners = decoded(first), None if second is None else decoded(second)
        if augment is None:
            return modality.finish(tensors), wanted
        return modality.augmenter(augment)(tensors, wanted, index, seed=seed, view=drawn_view, partners=partners)

    def decoded(part: tuple[Any, ...]) -> tuple[Any, ...]:
        return (_decoded_batch(part[0], modality), *part[1:]) if modality.finishes else part

    parallel = {"num_parallel_calls": tf.data.AUTOTUNE, "deterministic": True}
    dataset = tf.data.Dataset.from_tensor_slices(columns)
    if from_disk or (modality.finishes and examples.contents is not None):
        dataset = dataset.batch(batch_size).map(as_it_is(read), **parallel)
    else:  # files are read one by one, and decoded so where `finish` changes nothing
        dataset = dataset.map(as_it_is(read), **parallel).batch(batch_size)
    return untuned(dataset.map(as_it_is(finish), **parallel).prefetch(tf.data.AUTOTUNE))


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """`dataset` without tf.data's autotuner, so that `AUTOTUNE` is a call for each core, at most 16.

    With it the end of an epoch may wait: now and then TensorFlow 2.21 releases an iterator only when a pause of the tuner is
    over, and those pauses double up to a minute (`benchmarks/autotuner.py`).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def shuffled(indices: ArrayLike, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """`indices` in the order in which `make_dataset` reads them under that seed, in that epoch."""
    return np.random.default_rng([seed, epoch]).permutation(np.asarray(indices, np.int64))


def _partners(order: NDArray[np.int64], among: ArrayLike, seed: int, view: int) -> NDArray[np.int64]:
    """For mixing: the example that each one is mixed with. Drawn from all of them and not from the batch, which may be of one
    class, and independent of the order."""
    known = np.unique(np.asarray(among, np.int64))
    drawn = np.random.default_rng([seed, view, 61]).permutation(known)
    return drawn[np.searchsorted(known, order)]


def _targets_reader(examples: Examples, targets: NDArray[np.float32] | None) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function from indices to targets."""
    if targets is not None:
        with tf.device("CPU:0"):
            known = tf.constant(targets, tf.float32)
        return lambda rows: tf.gather(known, rows)
    labels, classes = tf.constant(examples.labels), len(examples.class_names)
    return lambda rows: tf.one_hot(tf.gather(labels, rows), classes)


def _reader(cached: CachedTensors) -> Callable[[tf.Tensor], Tensors]:
    """A function from the indices of several examples to their tensors."""

    def read_one(name: str, indices: tf.Tensor) -> tf.Tensor:
        column = cached.columns[name]
        rows = tf.numpy_function(column.__getitem__, [indices], tf.as_dtype(column.dtype), stateful=False)
        return tf.cast(tf.ensure_shape(rows, (None, *column.shape[1:])), cached.specs[name].dtype)

    if len(cached.columns) == 1:
        (name,) = cached.columns
        return lambda indices: read_one(name, indices)
    return lambda indices: {name: read_one(name, indices) for name in cached.columns}


def _loader(examples: Examples, modality: Modality) -> Callable[[tf.Tensor], Tensors]:
    """A function from an example's index to its decoded tensors, or to its content where a batch is decoded at once."""

    def decode(content: tf.Tensor) -> Tensors:
        return content if modality.finishes else modality.decode(modality.convert(content))

    with tf.device("CPU:0"):
        if examples.arrays is not None:
            arrays = tf.constant(examples.arrays)
            return lambda index: modality.decode_array(tf.gather(arrays, index))
        if isinstance(examples.contents, Packed):
            read = _packed_reader(examples.contents)
            return lambda index: decode(read(index))
        if examples.contents is not None:
            contents = tf.constant(list(examples.contents), tf.string)
            return lambda index: decode(tf.gather(contents, index))
        paths = tf.constant([] if examples.paths is None else examples.paths.tolist(), tf.string)
        return lambda index: decode(tf.io.read_file(tf.gather(paths, index)))


def _packed_reader(packed: Packed) -> Callable[[tf.Tensor], tf.Tensor]:
    """A function from the index of an example, or from several, to the contents."""

    def read(index: Any) -> Any:
        if not np.ndim(index):
            return packed[int(index)]
        contents = np.empty(len(index), object)
        contents[:] = [packed[int(one)] for one in index]
        return contents

    return lambda index: tf.ensure_shape(tf.numpy_function(read, [index], tf.string, stateful=False), index.shape)


def _decoded_batch(contents: tf.Tensor, modality: Modality) -> Tensors:
    """What `Modality.finish` takes."""
    return modality.decode(modality.convert(contents))


def cache_tensors(examples: Examples, *, modality: Modality, limit_bytes: int | None = None) -> CachedTensors | None:
    """Every example decoded once, so that epochs need not decode again.

    Returns:
        The tensors for `make_dataset(..., cached=)`; None where there is no room (`CachedTensors.of`).
    """
    cached = CachedTensors.of(len(examples), modality.spec(), limit_bytes=limit_bytes)
    if cached is None:
        return None
    load, specs = _loader(examples, modality), modality.spec()
    for index, tensors in enumerate(_decoded(len(examples), load, modality, specs).as_numpy_iterator()):
        cached.write(index, tensors)
    return cached


_FEW = 128
"""Contents that are decoded without a dataset, which TensorFlow optimises for half a second before it reads the first one."""
_UNDECODABLE = (BadImageError, tf.errors.OpError, ValueError, OSError)
_AT_ONCE = 32
"""Examples that are finished at once where finishing changes them."""


def _decoded(
    count: int, load: Callable[[tf.Tensor], Tensors], modality: Modality, specs: Mapping[str, TensorSpec]
) -> tf.data.Dataset:
    """Each example in the dtypes that it is kept in, in order."""
    parallel = {"num_parallel_calls": tf.data.AUTOTUNE, "deterministic": True}
    dataset = tf.data.Dataset.range(count)
    if modality.finishes:
        dataset = dataset.map(as_it_is(load), **parallel).batch(_AT_ONCE)
        finish = as_it_is(lambda contents: as_stored(modality.finish(_decoded_batch(contents, modality)), specs))
        dataset = dataset.map(finish, **parallel).unbatch()
    else:
        dataset = dataset.map(as_it_is(lambda index: as_stored(load(index), specs)), **parallel)
    return untuned(dataset.prefetch(16))


def as_stored(tensors: Tensors, specs: Mapping[str, TensorSpec]) -> Tensors:
    """Tensors in the dtypes that `CachedTensors` keeps them in."""
    if isinstance(tensors, Mapping):
        return {name: tf.cast(tensors[name], spec.stored_as or spec.dtype) for name, spec in specs.items()}
    (spec,) = specs.values()
    return tf.cast(tensors, spec.stored_as or spec.dtype)


def decode_errors(
    examples: Examples, indices: ArrayLike, *, modality: Modality, keep: Callable[[int, Any], None] | None = None
) -> dict[int, str]:
    """Decodes the contents at `indices` as training would, in parallel; what each that cannot be decoded says.

    Args:
        examples, indices: Which contents.
        modality: How they are decoded.
        keep: Called with the index and the tensors, in the dtypes that they are kept in, of each example.
    """
    order, specs = np.asarray(indices, np.int64), modality.spec()
    if len(order) <= _FEW and not modality.finishes:
        return _decode_few(examples, order.tolist(), modality, keep)
    load, rows = _loader(examples, modality), tf.constant(order)

    def read(position: tf.Tensor) -> tuple[tf.Tensor, Tensors]:
        tensors = load(tf.gather(rows, position))
        if modality.finishes:
            finished = modality.finish(_decoded_batch(tensors[None], modality))
            tensors = tf.nest.map_structure(lambda tensor: tensor[0], finished)
        return position, as_stored(tensors, specs)

    dataset = tf.data.Dataset.range(len(order)).map(as_it_is(read), num_parallel_calls=tf.data.AUTOTUNE, deterministic=False)
    fine = np.zeros(len(order), bool)
    for position, value in untuned(dataset.ignore_errors().prefetch(16)).as_numpy_iterator():
        fine[position] = True
        if keep is not None:
            keep(int(order[position]), value)
    return {int(order[at]): _decode_error(examples, int(order[at]), modality) for at in np.flatnonzero(~fine)}


def _decode_few(
    examples: Examples, indices: Sequence[int], modality: Modality, keep: Callable[[int, Any], None] | None
) -> dict[int, str]:
    """`decode_errors` of few contents."""
    specs = modality.spec()

    def decode(index: int) -> tuple[Any, str]:
        try:
            tensors = as_stored(_decode_one(examples, index, modality), specs)
        except _UNDECODABLE as error:
            return None, _why(error)
        return tf.nest.map_structure(lambda tensor: tensor.numpy(), tensors), ""

    errors = {}
    with ThreadPoolExecutor() as pool:  # the first one alone, since what it traces serves the others
        found = (of for part in (indices[:1], indices[1:]) for of in pool.map(decode, part))
        for index, (tensors, why) in zip(indices, found, strict=True):
            if why:
                errors[index] = why
            elif keep is not None:
                keep(index, tensors)
    return errors


def _decode_one(examples: Examples, index: int, modality: Modality) -> Tensors:
    if examples.arrays is not None:
        return modality.decode_array(tf.constant(examples.arrays[index]))
    content = tf.constant(modality.readable(examples.bytes_of(index)))
    return modality.finish(modality.decode(content[None])) if modality.finishes else modality.decode(content)


def _decode_error(examples: Examples, index: int, modality: Modality) -> str:
    try:
        _decode_one(examples, index, modality)
    except _UNDECODABLE as error:
        return _why(error)
    return "it could not be decoded at first, and could on a second try"


def _why(error: Exception) -> str:
    if isinstance(error, BadImageError):
        return str(error).removeprefix("damaged: ")
    text = str(getattr(error, "message", error))
    return text.split("}} ")[-1].split(" [Op:")[0].split("\n")[0]

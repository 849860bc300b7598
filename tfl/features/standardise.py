"""The input of a head with taps, brought to mean 0 and deviation 1 over the training examples, as in the probes for taps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from rich.progress import Progress

from tfl.data.bundle import Bundle
from tfl.features.cut import cut, cut_branches, features_name
from tfl.features.extract import extract
from tfl.features.joined import extractor_of
from tfl.modalities.several.modality import tensor_name
from tfl.model.assemble import Assembled
from tfl.model.head import STANDARD
from tfl.model.join import standard_name
from tfl.recipe import Features

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

LEAST_SHARE = 0.01
"""A number that varies less than this share of the average counts as varying that much: noise stays small."""
_ROWS = 4096


def standardise(assembled: Assembled, bundle: Bundle, *, features: Features, console: Console | None = None) -> None:
    """Sets the head's layer `STANDARD`, or that of each of several inputs, from the training examples, not augmented.

    Does nothing where the head has none.

    Once, before anything trains: fine-tuning later moves the features, and the head along with them. One pass over the training
    examples, whose result a first stage that trains the head alone, without augmentation, then finds in the store.

    Args:
        assembled: The network; changed in place.
        bundle: The data.
        features: Engine and dtype.
        console: Where progress is shown; None shows nothing.
    """
    if assembled.branches:
        _standardise_inputs(assembled, bundle, features=features, console=console)
        return
    layer = next((layer for layer in assembled.model.layers if layer.name == STANDARD), None)
    if layer is None:
        return
    prefix, _ = cut(assembled, len(assembled.blocks))
    shown = console is not None and console.is_terminal
    with Progress(console=console, transient=True, disable=not shown) as progress:
        task = progress.add_task("features to standardise", total=len(bundle.indices("train")))
        (vectors,) = extract(
            [prefix],
            bundle,
            "train",
            features=features,
            console=console,
            progress=lambda done: progress.update(task, completed=done),
        )
    set_moments(layer, *moments(vectors))


def _standardise_inputs(assembled: Assembled, bundle: Bundle, *, features: Features, console: Console | None) -> None:
    """Sets the layer that standardises each of several inputs, from the training examples that have it."""
    modality: Any = bundle.modality
    layers = {layer.name: layer for layer in assembled.model.layers}
    prefix, _ = cut_branches(assembled, {name: len(blocks) for name, blocks in assembled.groups().items()})
    train = bundle.indices("train")
    (made,), _ = extractor_of([prefix], bundle, features=features, console=console).run(train)
    contents: Any = bundle.examples.contents
    for name, part in modality.parts.items():
        there = contents.has(name)[train]
        if not there.any():
            continue
        layer = layers[standard_name(name)]
        if part.kind == "table":
            (tensor,) = part.spec()
            values = modality.light_values([tensor_name(name, tensor)], bundle.examples, train[there])
            _set_table_moments(layer, values[tensor_name(name, tensor)], part.of_numbers)
        else:
            set_moments(layer, *moments(_Some(made[features_name(name)], np.flatnonzero(there))))


class _Some:
    """Some rows of features, read when they are asked for."""

    def __init__(self, features: Any, places: NDArray[np.int64]) -> None:
        self._features, self._places = features, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        return np.asarray(self._features[self._places[rows]])


def _set_table_moments(layer: keras.layers.Normalization, values: NDArray[np.float32], of_numbers: NDArray[np.bool_]) -> None:
    """Mean and deviation of columns of numbers, over the cells that are there; what says a value stays 0 or 1."""
    known = np.where(np.isfinite(values), values, np.nan)[:, of_numbers].astype(np.float64)
    mean, variance = np.zeros(values.shape[1]), np.ones(values.shape[1])
    mean[of_numbers], own = np.nanmean(known, axis=0), np.nanvar(known, axis=0)
    variance[of_numbers] = np.where(own > 0, own, 1.0)
    layer.adapt_mean.assign(mean)
    layer.adapt_variance.assign(variance)
    layer.finalize_state()


def moments(vectors: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of each column of `(n, width)`, read some rows at a time."""
    shift = np.asarray(vectors[:_ROWS], np.float64).mean(axis=0)  # near the mean, so that squares stay small
    sums, squares = np.zeros_like(shift), np.zeros_like(shift)
    for start in range(0, len(vectors), _ROWS):
        rows = np.asarray(vectors[start : start + _ROWS], np.float64) - shift
        sums += rows.sum(axis=0)
        squares += np.square(rows).sum(axis=0)
    mean = sums / len(vectors)
    return shift + mean, np.maximum(squares / len(vectors) - mean**2, 0)


def set_moments(layer: keras.layers.Normalization, mean: NDArray[np.float64], variance: NDArray[np.float64]) -> None:
    """Lets the layer take `mean` off and divide by the deviation; by no less than `LEAST_SHARE` of the average one."""
    deviation = np.sqrt(variance)
    least = LEAST_SHARE * deviation.mean() or 1.0
    layer.adapt_mean.assign(mean)
    layer.adapt_variance.assign(np.maximum(deviation, least) ** 2)
    layer.finalize_state()

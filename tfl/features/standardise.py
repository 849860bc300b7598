"""The input of a head with taps, brought to mean 0 and deviation 1 over the training examples, as in the probes for taps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from rich.progress import Progress

from tfl.data.bundle import Bundle
from tfl.features.cut import cut
from tfl.features.extract import extract
from tfl.model.assemble import Assembled
from tfl.model.head import STANDARD
from tfl.recipe import Features

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

LEAST_SHARE = 0.01
"""A number that varies less than this share of the average counts as varying that much: noise stays small."""
_ROWS = 4096


def standardise(assembled: Assembled, bundle: Bundle, *, features: Features, console: Console | None = None) -> None:
    """Sets the head's layer `STANDARD` from the training examples, not augmented; does nothing where the head has none.

    Once, before anything trains: fine-tuning later moves the features, and the head along with them. One pass over the training
    examples, whose result a first stage that trains the head alone, without augmentation, then finds in the store.

    Args:
        assembled: The network; changed in place.
        bundle: The data.
        features: Engine and dtype.
        console: Where progress is shown; None shows nothing.
    """
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

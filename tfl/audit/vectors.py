"""What a pretrained network makes of every example, from the store: the ground for copies, labels, drift and costs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.data.bundle import Bundle
from tfl.features.extract import extract
from tfl.features.pooled import pooled_models
from tfl.model.assemble import assemble
from tfl.recipe import Head, Recipe
from tfl.tasks.base import task_of
from tfl.vectors import side_by_side

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray
    from rich.console import Console

MOST_FEATURES = 2048
"""As many of the last blocks are read side by side as have so many features in all: the last alone is made for another task."""


def vectors_of(
    recipe: Recipe,
    bundle: Bundle,
    *,
    console: Console | None = None,
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.float32]:
    """`(n, width)`: the pooled outputs of the last blocks of the recipe's backbone for every example of the bundle.

    They are stored under the same keys as those of `tfl probe`: whoever probes this network on these examples later computes
    nothing again.

    Args:
        recipe: Its backbone, pooling (`avg` where that is `flatten`), precision and way of storing features. Where the precision
            is `auto`, float32 is taken.
        bundle: The examples.
        console: Where to say which engine was chosen; None says nothing.
        progress: Called after each batch with how many examples are done.
    """
    precision = "float32" if recipe.precision == "auto" else recipe.precision
    names = bundle.examples.class_names if len(bundle.examples.class_names) > 1 else ("a", "b")
    pooling = "avg" if recipe.head.pooling == "flatten" else recipe.head.pooling
    recipe = dataclasses.replace(recipe, head=Head(pooling=pooling, taps=recipe.head.taps))
    assembled = assemble(recipe, names, modality=bundle.modality, task=task_of("classify"), precision=precision)
    models = _last_blocks(pooled_models(assembled, pooling))
    everything = np.arange(len(bundle.examples))
    stored: Any = extract(models, bundle, everything, features=recipe.features, console=console, progress=progress)
    vectors = [np.asarray(one.read_all(), np.float32) for one in stored]
    return side_by_side(vectors).astype(np.float32)


def _last_blocks(models: Sequence[keras.Model]) -> list[keras.Model]:
    widths = np.cumsum([model.output_shape[-1] for model in reversed(models)])
    return list(models[-max(1, int((widths <= MOST_FEATURES).sum())) :])

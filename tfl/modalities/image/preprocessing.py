"""Linear probes on a few training examples under each preprocessing, for a model file that does not state its own.

They inform and do not decide: on some tasks two ways score alike, and a wrong way can score well by chance.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.backbones.model_files import model_file
from tfl.modalities.image.backbones.settle import WAYS, preprocessing_of, undecided
from tfl.recipe import Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

MOST_EXAMPLES = 200
_FEWEST_OF_A_CLASS = 2
_BATCH = 32


Score = Callable[["NDArray[np.float32]", "NDArray[np.integer]"], float]
"""From features `(n, width)` and labels `(n,)` to the cross-validated accuracy of a linear probe."""


def refuse_undecided(recipe: Recipe, bundle: Any, console: Console | None = None, *, score: Score) -> None:
    """Makes sure that the preprocessing of the recipe's network is known.

    Args:
        recipe: `Recipe` with a settled input size.
        bundle: `Bundle`, the data. At most 200 training examples are used, and only where something is undecided.
        console: rich `Console` for messages.

    Raises:
        BackboneError: Only the user can say it; the message has the accuracy of a linear probe for each choice.
    """
    found = preprocessing_of(recipe.backbone)
    path = None if found.preprocessing is not None else model_file(recipe.backbone.name)
    if found.preprocessing is not None or path is None:
        return
    indices = few_of_each_class(np.asarray(bundle.examples.labels), bundle.indices("train"), seed=bundle.seed)
    if not len(indices):
        raise undecided(path, found.reason)
    if console is not None:
        console.print(f"         linear probes on {len(indices)} images for each preprocessing of {path}", markup=False)
    scores = probe_each(recipe, bundle, indices, score=score)
    shown = ", ".join(f"{name} {score:.3f}" for name, score in scores.items())
    chance = np.bincount(np.asarray(bundle.examples.labels)[indices]).max() / len(indices)
    raise undecided(
        path,
        found.reason,
        evidence=f"Accuracy of a linear probe on {len(indices)} training {bundle.modality.nouns} (largest class {chance:.3f}): "
        f"{shown}; this is a hint and no proof.",
    )


def few_of_each_class(labels: NDArray[np.integer], indices: NDArray[np.integer], *, seed: int) -> NDArray[np.int64]:
    """At most 200 of the examples at `indices`, evenly of the classes; none of a class that has a single one.

    Example:

    >>> import numpy as np
    >>> few_of_each_class(np.array([0, 0, 0, 1, 1, 2]), np.arange(6), seed=0).tolist()
    [0, 1, 2, 3, 4]
    """
    digest = hashlib.sha256(f"{seed}\x1fpreprocessing".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:4], "big") & 0x7FFFFFFF)
    by_class = [rng.permutation(indices[labels[indices] == label]) for label in np.unique(labels[indices])]
    by_class = [rows for rows in by_class if len(rows) >= _FEWEST_OF_A_CLASS]
    each = max(_FEWEST_OF_A_CLASS, MOST_EXAMPLES // max(1, len(by_class)))
    taken = [rows[:each] for rows in by_class][: MOST_EXAMPLES // _FEWEST_OF_A_CLASS]
    return np.sort(np.concatenate(taken)).astype(np.int64) if len(taken) > 1 else np.zeros(0, np.int64)


def probe_each(recipe: Recipe, bundle: Any, indices: NDArray[np.integer], *, score: Score) -> dict[str, float]:
    """The cross-validated accuracy of a linear probe on the pooled last feature map, for each preprocessing.

    Args:
        recipe: `Recipe` whose backbone is a model file, with a settled input size.
        bundle: `Bundle`, the data.
        indices: Integer array, positions of the examples to use, from at least two classes.
    """
    labels = np.unique(np.asarray(bundle.examples.labels)[indices], return_inverse=True)[1]
    batches = [batch for batch, _ in bundle.dataset(indices, batch_size=_BATCH, cached=None).as_numpy_iterator()]
    scores = {}
    for name in WAYS:
        features = _pooled(recipe, name, batches)
        usable = np.isfinite(features).all()
        scores[name] = score(features, labels) if usable else 0.0
    return scores


def _pooled(recipe: Recipe, preprocessing: str, batches: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """`(n, channels)` the mean over the last feature map."""
    import keras

    from tfl.modalities.image.backbones.build import build_backbone

    stated = dataclasses.replace(recipe.backbone, preprocessing=preprocessing)  # type: ignore[arg-type]
    backbone = build_backbone(stated, image_size=recipe.data.settled_size)
    model = keras.Model(backbone.input, keras.layers.GlobalAveragePooling2D()(backbone.output))
    return np.concatenate([np.asarray(model(batch, training=False), np.float32) for batch in batches])

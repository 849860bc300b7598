"""Where the head starts: at random, or at a probe of the features that the first stage finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.data.bundle import Bundle, derived_seed
from tfl.data.split import tied_together
from tfl.features.pooled import head_inputs
from tfl.features.standardise import moments, set_moments, standardise
from tfl.model.assemble import Assembled
from tfl.model.head import LOGITS, STANDARD
from tfl.model.neighbours import set_neighbours
from tfl.probes.head import LinearHead, linear_head
from tfl.probes.neighbours import nearest_neighbours
from tfl.recipe import Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console


def start_head(assembled: Assembled, bundle: Bundle, *, recipe: Recipe, console: Console | None = None) -> None:
    """Prepares the head before the first stage: its standardisation where it has one, and its weights with `Head.start="probe"`.

    A probe takes one pass over the training examples, not augmented, whose result a first stage that trains the head alone then
    finds in the store.

    Args:
        assembled: The network; changed in place.
        bundle: The data.
        recipe: Its head, its class weights and its seed.
        console: Where progress and the chosen strength are shown; None shows nothing.
    """
    if recipe.head.start != "probe":
        standardise(assembled, bundle, features=recipe.features, console=console)
        return
    vectors = head_inputs(assembled, bundle, "train", pooling=recipe.head.pooling, features=recipe.features, console=console)
    inputs, targets = standardised_inputs(assembled, vectors), bundle.task.scaled(bundle.targets_of("train"))
    units = tied_together(bundle.examples, bundle.fingerprints)[bundle.indices("train")]
    options: dict[str, Any] = {"balanced": recipe.class_weight == "balanced", "seed": derived_seed(recipe.seed, "probe")}
    if recipe.head.probe == "knn":
        near = nearest_neighbours(inputs, targets.argmax(axis=1), units, classes=targets.shape[1], **options)
        set_neighbours(assembled.model, near)
        if console is not None:
            which = f"the {near.number} nearest" if near.number > 1 else "the nearest"
            console.print(
                f"The head is {which} of {len(inputs)} training {bundle.modality.nouns}, k by cross-validation.", highlight=False
            )
        return
    found = linear_head(inputs, targets, units, task=bundle.task.name, method=recipe.head.probe, **options)
    set_head(assembled, found)
    if console is not None:
        few = sorted({f"{strength:.3g}" for strength in (min(found.strengths), max(found.strengths))}, key=float)
        how = f"{_METHODS.get(recipe.head.probe, _NAMES[bundle.task.name])} {' to '.join(few)}, by cross-validation"
        console.print(f"The head starts from a probe: {how}.", highlight=False)


def standardised_inputs(assembled: Assembled, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the last layer of the head takes for these vectors; a head that standardises them is set to first.

    Args:
        assembled: The network; the layer `STANDARD` of its head is changed in place, where there is one.
        vectors: Array of shape `(n, width)`, of `head_inputs`.
    """
    layer = next((layer for layer in assembled.model.layers if layer.name == STANDARD), None)
    if layer is None:
        return vectors
    set_moments(layer, *moments(vectors))
    return np.asarray(layer(vectors), np.float32)


def set_head(assembled: Assembled, found: LinearHead) -> None:
    """Gives the last layer of the head these weights."""
    next(layer for layer in assembled.model.layers if layer.name == LOGITS).set_weights([found.kernel, found.bias])


_METHODS = {"svm": "linear SVM with C =", "class_means": "class means at temperature"}
_NAMES = {
    "classify": "logistic regression with C =",
    "multilabel": "logistic regressions with C =",
    "regress": "ridge regression with alpha =",
}

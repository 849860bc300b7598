"""Where the head starts: at random, or at a probe of the features that the first stage finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.data.bundle import Bundle, derived_seed
from tfl.data.split import tied_together
from tfl.features.cut import cut
from tfl.features.extract import extract
from tfl.features.standardise import standardise
from tfl.model.assemble import Assembled
from tfl.model.head import LOGITS, STANDARD
from tfl.recipe import Recipe

if TYPE_CHECKING:
    from rich.console import Console


def start_head(assembled: Assembled, bundle: Bundle, *, recipe: Recipe, console: Console | None = None) -> None:
    """Prepares the head before the first stage: its standardisation where it has taps, and its weights with `Head.start="probe"`.

    A probe takes one pass over the training examples, not augmented, whose result a first stage that trains the head alone then
    finds in the store.

    Args:
        assembled: The network; changed in place.
        bundle: The data.
        recipe: Its head, its class weights and its seed.
        console: Where progress and the chosen strength are shown; None shows nothing.
    """
    standardise(assembled, bundle, features=recipe.features, console=console)
    if recipe.head.start != "probe":
        return
    from tfl.probes.head import linear_head

    prefix, _ = cut(assembled, len(assembled.blocks))
    stored: Any = extract([prefix], bundle, "train", features=recipe.features, console=console)[0]
    vectors = np.asarray(stored[:], np.float32)
    layers = {layer.name: layer for layer in assembled.model.layers}
    if STANDARD in layers:
        vectors = np.asarray(layers[STANDARD](vectors))
    indices = bundle.indices("train")
    found = linear_head(
        vectors,
        bundle.task.scaled(bundle.targets_of("train")),
        tied_together(bundle.examples, bundle.fingerprints)[indices],
        task=bundle.task.name,
        balanced=recipe.class_weight == "balanced",
        seed=derived_seed(recipe.seed, "probe"),
    )
    layers[LOGITS].set_weights([found.kernel, found.bias])
    if console is not None:
        few = sorted({f"{strength:.3g}" for strength in (min(found.strengths), max(found.strengths))}, key=float)
        how = f"{_NAMES[bundle.task.name]} {' to '.join(few)}, by cross-validation"
        console.print(f"The head starts from a probe: {how}.", highlight=False)


_NAMES = {
    "classify": "logistic regression with C =",
    "multilabel": "logistic regressions with C =",
    "regress": "ridge regression with alpha =",
}

"""Where the head starts: at random, at a probe of the features that the first stage finds, or as the classifier of the source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from rich.markup import escape
from rich.table import Table

from tfl.data.bundle import Bundle, derived_seed
from tfl.data.split import tied_together
from tfl.errors import RecipeError, listed
from tfl.features.cut import cut, tensor_at
from tfl.features.extract import extract
from tfl.features.joined import joined_vectors
from tfl.features.pooled import head_inputs
from tfl.features.standardise import moments, set_moments, standardise
from tfl.model.assemble import Assembled
from tfl.model.class_mapping import ClassMapping, map_classes
from tfl.model.head import LOGITS, POOL, STANDARD
from tfl.model.heads import logits_name
from tfl.model.neighbours import set_neighbours
from tfl.model.source_head import set_mapping
from tfl.probes.head import LinearHead, linear_head_of
from tfl.probes.neighbours import nearest_neighbours
from tfl.recipe import HEADS, Recipe
from tfl.tasks.heads import Heads

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console


_SHOWN = 15
"""Rows of the mapping that the console shows; the run keeps all."""


def start_head(assembled: Assembled, bundle: Bundle, *, recipe: Recipe, console: Console | None = None) -> ClassMapping | None:
    """Prepares the head before the first stage: its standardisation where it has taps or several inputs, its weights with
    `Head.start="probe"`, and the map of the classes with `"source"`.

    A probe and a map take one pass over the training examples, not augmented, whose result a first stage that trains the head
    alone then finds in the store.

    Args:
        assembled: The network; changed in place.
        bundle: The data.
        recipe: Its head, its class weights and its seed.
        console: Where progress and what was chosen are shown; None shows nothing.

    Returns:
        The map of the classes, where the head is the classifier of the source.
    """
    if recipe.head.start == "source":
        return _map_source(assembled, bundle, recipe=recipe, console=console)
    if recipe.head.start != "probe":
        standardise(assembled, bundle, features=recipe.features, console=console)
        return None
    if assembled.branches:
        standardise(assembled, bundle, features=recipe.features, console=console)
        vectors = joined_vectors(assembled, bundle, "train", features=recipe.features, console=console)
    else:
        pooling, features = recipe.head.pooling, recipe.features
        vectors = head_inputs(assembled, bundle, "train", pooling=pooling, features=features, console=console)
    inputs, targets = standardised_inputs(assembled, vectors), bundle.targets_of("train")
    train = bundle.indices("train")
    units = np.where(bundle.is_extra(train), -1, tied_together(bundle.examples, bundle.fingerprints)[train])
    options: dict[str, Any] = {"balanced": recipe.class_weight == "balanced", "seed": derived_seed(recipe.seed, "probe")}
    if recipe.head.probe == "knn":
        near = nearest_neighbours(inputs, targets.argmax(axis=1), units, classes=targets.shape[1], **options)
        set_neighbours(assembled.model, near)
        if console is not None:
            which = f"the {near.number} nearest" if near.number > 1 else "the nearest"
            console.print(
                f"The head is {which} of {len(inputs)} training {bundle.modality.nouns}, k by cross-validation.", highlight=False
            )
        return None
    given = recipe.head.strengths
    most = 1 if bundle.task.name == "classify" else targets.shape[1]
    if given and len(given) != most:
        raise RecipeError(
            "The head has another number of `strengths` than of regressions.",
            received=f"head.strengths={given}",
            allowed=f"{most} number{'s' if most > 1 else ''}, or none",
        )
    found = linear_head_of(bundle.task, inputs, targets, units, method=recipe.head.probe, strengths=given or None, **options)
    if isinstance(bundle.task, Heads):
        set_heads(assembled, found, bundle.task)
    else:
        set_head(assembled, found)
    if console is not None:
        few = sorted({f"{strength:.3g}" for strength in (min(found.strengths), max(found.strengths))}, key=float)
        name = _METHODS.get(recipe.head.probe, _NAMES[bundle.task.name])
        how = f"{name} {' to '.join(few)}{'' if given else ', by cross-validation'}"
        console.print(f"The head starts from a probe: {how}.", highlight=False)
    return None


def _map_source(assembled: Assembled, bundle: Bundle, *, recipe: Recipe, console: Console | None) -> ClassMapping:
    """Maps the classes of the source to those of the data, by what the source says of the training examples."""
    if (classifier := assembled.classifier) is None:
        raise ValueError("The network was assembled without the classifier of its source.")
    prefix, _ = cut(assembled, len(assembled.blocks))
    stored: Any = extract([prefix], bundle, "train", features=recipe.features, console=console)[0]
    above = keras.Model(tensor_at(assembled.model, POOL), classifier.probabilities)
    said = np.asarray(above.predict(np.asarray(stored.read_all(), np.float32), verbose=0), np.float32)
    found = map_classes(classifier.class_names, bundle.examples.class_names, said, bundle.labels("train"))
    set_mapping(assembled.model.layers, found.matrix)
    if console is not None:
        _show_mapping(found, console, nouns=bundle.modality.nouns)
    return found


def _show_mapping(found: ClassMapping, console: Console, *, nouns: str) -> None:
    how = "their names" if found.by == "names" else f"what it says of the training {nouns}"
    table = Table()
    for column in ("source", "class", "share"):
        table.add_column(column, justify="right" if column == "share" else "left")
    rows = found.rows
    console.print(f"The classes of the source network are mapped by {how}.", highlight=False)
    for row in rows[:_SHOWN]:
        table.add_row(escape(row["source"]), escape(row["target"]), f"{row['share']:.1%}")
    console.print(table)
    more = [f"{len(rows) - _SHOWN} more are in mapping.json."] if len(rows) > _SHOWN else []
    if left_out := len(found.source) - len(rows):
        more.append(f"{left_out} of {len(found.source)} classes of the source network are left out.")
    if found.without:
        more.append(f"No class of the source network stands for {listed(found.without)}, which is never predicted.")
    for words in more:
        console.print(words, highlight=False, markup=False)


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


def set_heads(assembled: Assembled, found: LinearHead, task: Heads) -> None:
    """Gives the last layer of each of several targets its part of these weights."""
    for part in task:
        layer = assembled.model.get_layer(logits_name(part.target))
        layer.set_weights([part.of(found.kernel), found.bias[part.start : part.stop]])


_METHODS = {"svm": "linear SVM with C =", "class_means": "class means at temperature"}
_NAMES = {
    "classify": "logistic regression with C =",
    "multilabel": "logistic regressions with C =",
    "regress": "ridge regression with alpha =",
    HEADS: "a regression for each target with C or alpha =",
}

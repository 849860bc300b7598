"""What training made a network forget: the accuracy of its own classifier on the task that it was trained for, before and after.

The classifier of the source stays as it is; its backbone has the weights of the source before training, and those of the trained
network after it. Residual adapters have no part in it: without them the network answers for the source task as before.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from rich.console import Console

from tfl.backbones.inputs import inputs_of
from tfl.backbones.model_files import model_file
from tfl.backbones.source_names import run_of
from tfl.data.bundle import Bundle
from tfl.data.listing import read_seen, short_fingerprint
from tfl.errors import DataError, RecipeError, listed
from tfl.evaluate.compare.paired import mcnemar, paired_difference
from tfl.model.assemble import Assembled, assemble_for
from tfl.model.class_mapping import same_names
from tfl.prepare import data_fingerprint, prepare
from tfl.recipe import Data, Head, Recipe, Stage
from tfl.tasks.intervals import wilson_interval

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BATCH, _SHOWN = 64, 5


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceTask:
    """The task that a network was trained for, with the network as it was.

    Args:
        bundle: The labelled examples of the source.
        assembled: The network with its own classifier and the weights of the source.
        rows: Positions of the examples that are measured.
        held_out: What these are, in words.
        columns: The output of the classifier for each class of the examples.
    """

    bundle: Bundle
    assembled: Assembled
    rows: NDArray[np.int64]
    held_out: str
    columns: NDArray[np.int64]

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the examples, their classes and their split."""
        return data_fingerprint(self.bundle)

    def measure(self, trained: Assembled) -> dict[str, Any]:
        """How often the classifier is right before training and after.

        Args:
            trained: The network after training. Blocks that it does not have count as unchanged.

        Returns:
            `source`, `held_out`, `classes`, `count`; `accuracy` before and after, each with its 95% Wilson interval in
            `intervals`; `only_before` and `only_after`, the numbers of examples on which only the one is right; `difference` with
            its 95% bootstrap `interval` over examples, and `p` of McNemar's exact test; `unchanged`, whether the backbone is the
            same bit for bit.
        """
        before = self._right()
        unchanged = not _take_weights(self.assembled, trained)
        after = before if unchanged else self._right()
        difference, interval = paired_difference(after, before)
        only_before, only_after = int((before & ~after).sum()), int((after & ~before).sum())
        count = len(before)
        return {
            "source": self.bundle.data.source,
            "held_out": self.held_out,
            "classes": len(self.columns),
            "count": count,
            "accuracy": [float(before.mean()), float(after.mean())],
            "intervals": [wilson_interval(float(right.sum()), count) for right in (before, after)],
            "only_before": only_before,
            "only_after": only_after,
            "difference": difference,
            "interval": interval,
            "p": mcnemar(only_before, only_after),
            "unchanged": unchanged,
        }

    def _right(self) -> NDArray[np.bool_]:
        classifier: Any = self.assembled.classifier
        model = keras.Model(inputs_of(self.assembled.model), classifier.probabilities)
        said = np.asarray(model.predict(self.bundle.dataset(self.rows, batch_size=_BATCH), verbose=0))
        return np.asarray(said.argmax(axis=1) == self.columns[np.asarray(self.bundle.examples.labels)[self.rows]])


def prepare_source_task(recipe: Recipe, untrained: Assembled, *, precision: str, console: Console) -> SourceTask:
    """The network of a recipe with its own classifier, and the examples of `source_data` that it is measured on.

    Of a run, these are all that it neither trained on nor validated on; of another network, the test split of `source_data`.

    Args:
        recipe: With `source_data`, and with everything stated that its network decides.
        untrained: Its network before training, whose backbone is the one to compare with: Keras Applications have files of their
            own with the classifier and without.
        precision: Name of the dtype policy.
        console: Where to say what is measured.

    Raises:
        BackboneError: The network has no classifier for one of several classes, or nothing says what its classes are called.
        DataError: The examples cannot be used, none of them is left, or their classes are not those of the classifier.
        WeightsNotFoundError: The weights of the classifier, or the names of its classes, are not on this machine.
    """
    if recipe.source_data is None:
        raise RecipeError("The recipe has no `source_data`.")
    asked = _recipe_of_source(recipe, recipe.source_data)
    bundle = prepare(asked, Console(quiet=True)).bundle
    assembled = assemble_for(asked, bundle, precision=precision)
    classifier: Any = assembled.classifier
    columns = _columns(bundle, classifier.class_names, network=recipe.backbone.name)
    _take_weights(assembled, untrained)
    rows, held_out = _held_out(bundle, model_file(recipe.backbone.name))
    console.print(f"[bold]source[/]   {len(rows)} {bundle.modality.nouns} of {bundle.class_count} classes {held_out}")
    return SourceTask(bundle=bundle, assembled=assembled, rows=rows, held_out=held_out, columns=columns)


def _recipe_of_source(recipe: Recipe, data: Data) -> Recipe:
    head, stages = Head(start="source"), (Stage("source", epochs=0),)
    backbone = dataclasses.replace(recipe.backbone, adapter_width=0)  # what is measured is the network beside its adapters
    return Recipe(name=recipe.name, data=data, backbone=backbone, head=head, stages=stages, seed=recipe.seed)


def _columns(bundle: Bundle, names: tuple[str, ...] | None, *, network: str) -> NDArray[np.int64]:
    """The output for each class of the examples, by its name.

    Raises:
        DataError: A class has no output, or more than one, or nothing says what the outputs are called.
    """
    wanted = bundle.examples.class_names
    if names is None:
        raise DataError(
            f"Nothing says what the classes of {network} are called, so `source_data` cannot be matched with them.",
            fix="Write their names, one in each line in the order of the outputs, into labels.txt next to the model file.",
        )
    found = same_names(names, wanted)
    unknown = [name for name, place in zip(wanted, found, strict=True) if place is None]
    places = [place for place in found if place is not None]
    if unknown or len(set(places)) < len(places):
        raise DataError(
            f"The classes of `source_data` are not those that {network} was trained for.",
            received=listed(unknown or wanted, limit=_SHOWN),
            allowed=f"{listed(list(names), limit=_SHOWN)}, each of them once",
            fix="Rename the classes, or choose those that the classifier knows with `source_data.labels`.",
        )
    return np.array(places, np.int64)


def _held_out(bundle: Bundle, path: Path | None) -> tuple[NDArray[np.int64], str]:
    """The examples that the source did not learn from, as far as that is known, and what they are in words.

    Raises:
        DataError: There are none.
    """
    listing = read_seen(folder) if path is not None and (folder := run_of(path)) is not None else None
    if listing is None:
        return bundle.indices("test"), f"in the test split of {bundle.data.source}"
    learnt = {row.fingerprint for row in listing if row.split in ("train", "val")}
    fresh = [place for place, one in enumerate(bundle.fingerprints) if short_fingerprint(one) not in learnt]
    if not fresh:
        raise DataError(
            f"{path} was trained or validated on all {bundle.modality.nouns} of `source_data`: they do not show what it forgets.",
            received=bundle.data.source,
            allowed=f"{bundle.modality.nouns} that it has not seen, such as those of its test split",
        )
    return np.array(fresh, np.int64), f"of {bundle.data.source} that the source network was neither trained nor validated on"


def _take_weights(source: Assembled, trained: Assembled) -> bool:
    """Gives the backbone of the source the weights of the trained one, layer by layer; returns whether any differ."""
    own = {layer.name: layer for block in source.blocks for layer in source.layers_of(block.name)}
    moved = False
    for block in trained.blocks:
        for layer in trained.layers_of(block.name):
            if layer.name not in own or not layer.weights:
                continue  # ConvNeXt without its classifier ends in a normalisation that belongs to the classifier otherwise
            for mine, theirs in zip(own[layer.name].weights, layer.weights, strict=True):
                value = keras.ops.convert_to_numpy(theirs)
                if not np.array_equal(keras.ops.convert_to_numpy(mine), value):
                    mine.assign(value)
                    moved = True
    return moved

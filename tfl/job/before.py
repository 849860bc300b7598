"""What is looked at before a run folder is made: the recipe, and its examples."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.errors import MissingExtraError, StorageError
from tfl.modalities.base import NOUNS, check_available
from tfl.prepare import Prepared, prepare
from tfl.recipe import Recipe

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

    from tfl.data.bundle import Bundle
    from tfl.data.examples import Examples
    from tfl.runs import Run


def check_recipe(recipe: Recipe) -> None:
    """Makes sure that what a recipe names next to its examples is there: the network, its weights file, the list of examples to
    leave out, formats of export, extras.

    Takes no TensorFlow, and milliseconds.

    Raises:
        RecipeError: A stage trains what was not matched, and no weights are.
        DataError: The list of examples to leave out is missing, or is no text.
        MissingExtraError: An extra that the recipe needs is not installed.
        BackboneError: There is no such network, no such model file, or (`WeightsNotFoundError`) no such weights file.
    """
    from tfl.audit.extra import check_extra
    from tfl.data.exclude import read_exclude
    from tfl.export.kinds import check_packages

    if recipe.data.exclude is not None:
        read_exclude(recipe.data.exclude, nouns=NOUNS[recipe.data.kind][1])
    check_packages(recipe.export)
    check_available(recipe)
    for stage in recipe.fixed_stages:
        if stage.train == "unmatched" and recipe.backbone.match == "exact":
            raise stage.nothing_matched()
    if recipe.features.engine == "openvino" and importlib.util.find_spec("openvino") is None:
        raise MissingExtraError.of("openvino", needed_for="features.engine=openvino")
    if recipe.data.audit == "deep":
        check_extra(imported=False)


def tell_if_not_stored(recipe: Recipe, console: Console, known: Run | None) -> None:
    """Says at once that the cache cannot be written; where the recipe cannot do without it, or the run that is resumed or
    repeated did not, that is an error."""
    from tfl.features.budget import check_store

    stages = known.state["stages"].values() if known else ()
    needed = recipe.data.audit == "deep" or any(stage.get("unstored") is False for stage in stages)
    if recipe.features.store == "never" and not needed:
        return
    try:
        check_store()
    except StorageError as error:
        if recipe.features.store == "always" or needed:
            raise
        console.print(
            f"warning: {error.what} Features are not stored: the frozen blocks run in every epoch. To store them, point "
            "TFL_CACHE to a folder that can be written.",
            highlight=False,
            markup=False,
        )


def prepare_data(
    recipe: Recipe, console: Console, *, examples: Examples | None = None, trained: bool = False
) -> tuple[Bundle, list[dict[str, Any]]]:
    """The recipe's examples: found, split and audited, with what the audit found.

    Args:
        recipe, console, examples, trained: See `tfl.prepare.prepare`.

    Raises:
        DataError: The source cannot be used as it is; where it is missing or has no classes, that is found before TensorFlow is
            imported.
        BackboneError: The preprocessing of the network cannot be decided; the message has what linear probes on some of the
            examples say.
    """
    prepared = prepare(recipe, console, examples=examples, trained=trained)
    return prepared.bundle, [*prepared.findings, *audit_before_run(recipe, prepared, console, trained=trained)]


def audit_before_run(asked: Recipe, prepared: Prepared, console: Console, *, trained: bool = False) -> list[dict[str, Any]]:
    """What the audit says of the examples that a run is about to use, and of their fit to its network.

    Args:
        asked: The recipe as it was written.
        prepared: Its data.
        console: Where to report what was found.
        trained: See `tfl.prepare.prepare`.

    Raises:
        BackboneError: The preprocessing of the network cannot be decided.
    """
    from tfl.audit.audit import findings_before_run
    from tfl.finding import Finding

    recipe, bundle = prepared.recipe, prepared.bundle
    notes: list[tuple[str, str]] = []
    if not trained:
        notes = bundle.modality.recipe_notes(asked)
        bundle.modality.refuse_undecided(recipe, bundle, console, score=_probe_score(bundle.seed))
    noted = [Finding(kind=kind, severity="info", files=(), note=note) for kind, note in notes]
    more = [*noted, *findings_before_run(recipe, bundle, console=console)]
    for one in more:
        console.print(f"         {one.severity}: {one.note}", markup=False)
    return [one.to_json() for one in more]


def _probe_score(seed: int) -> Callable[[NDArray[np.float32], NDArray[np.integer]], float]:
    """What a linear probe on features scores under cross-validation."""

    def score(features: NDArray[np.float32], labels: NDArray[np.integer]) -> float:
        from tfl.data.bundle import derived_seed
        from tfl.probes.folds import FOLDS, make_folds
        from tfl.probes.linear import held_out

        folds = make_folds(labels, np.arange(len(labels)), most=FOLDS, seed=derived_seed(seed, "probe"))
        return float((held_out(features, labels, folds).probabilities.argmax(axis=1) == labels).mean())

    return score

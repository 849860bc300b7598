"""One pass before the first trial: the features that trials read, at every depth of the space at once."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from tfl.errors import RecipeError
from tfl.features.budget import room_bytes
from tfl.features.extract import Extractor
from tfl.recipe import Choice, Recipe, Stage
from tfl.train.batches import storing, views_of
from tfl.train.stage_plan import StagePlan, plan_stage
from tfl.tuning.space import Space, depth_path

if TYPE_CHECKING:
    import keras
    from rich.console import Console

    from tfl.data.bundle import Bundle
    from tfl.model.assemble import Assembled

ROOM = 0.8
"""The pass fills at most this share of what the store has room for."""
_OTHER_FEATURES = ("backbone", "data", "precision", "features", "head.pooling", "head.taps")
"""Paths that, varied, give every trial frozen blocks or features of its own."""


def precompute_features(
    recipe: Recipe, space: Space, assembled: Assembled, bundle: Bundle, *, trials: int, console: Console | None = None
) -> tuple[int, ...]:
    """Stores the last stage's features at all depths of the space in one pass over the data, where that pays.

    Where trials differ in what comes before the cut, or an earlier stage trains it, each trial stores for itself.

    Args:
        recipe: `Recipe` that the search starts from.
        space: Dictionary, the search space by `--set` path.
        assembled: `Assembled`, the recipe's network before the first stage.
        bundle: `Bundle`, the data.
        trials: Int, the expected number of trials. Features that several trials read may cost more to store.
        console: rich `Console` for messages and progress. Defaults to None, which prints nothing.

    Returns:
        The first trainable block of each depth that is in the store now.
    """
    depths = space.get(depth_path(recipe))
    if not isinstance(depths, Choice) or _vary(recipe, space):
        return ()
    stages = [dataclasses.replace(recipe.fixed_stages[-1], train=str(depth)) for depth in depths.values]
    each = math.ceil(trials / len(stages))
    chosen: dict[int, Extractor] = {}
    room = ROOM * room_bytes()
    for first_trainable, plan in sorted(_unchanged(recipe, assembled, stages).items(), reverse=True):
        stage, one = plan.stage, plan.extractor(bundle, recipe=recipe)
        examples = len(bundle.indices("train")) * min(views_of(stage), stage.epochs) + len(bundle.indices("val"))
        needed = one.row_bytes(0) * examples
        if needed <= room and storing(one, dataclasses.replace(stage, epochs=stage.epochs * each)).stored:
            chosen[first_trainable] = one
            room -= needed
    if len(chosen) > 1:
        _run([one.models[0] for one in chosen.values()], recipe, bundle, console)
    return tuple(chosen) if len(chosen) > 1 else ()


def _run(models: list[keras.Model], recipe: Recipe, bundle: Bundle, console: Console | None) -> None:
    stage = recipe.fixed_stages[-1]
    if console is not None:
        console.print(
            f"features at {len(models)} depths, in one pass over the {bundle.modality.nouns}", highlight=False, markup=False
        )
    together = Extractor(models, bundle, features=recipe.features, console=console)
    for view in range(min(views_of(stage), stage.epochs)):
        together.run("train", augment=stage.augment, view=view)
    together.run("val")


def _vary(recipe: Recipe, space: Space) -> bool:
    """Whether features differ between trials in more than the depth."""
    last = f"stages.{recipe.fixed_stages[-1].name}."
    paths = [path for path in space if path != depth_path(recipe)]
    own = (f"{last}augment", f"{last}views", f"{last}batchnorm")
    earlier = [path for path in paths if path.startswith("stages.") and not path.startswith(last)]
    return bool(earlier) or any(path.startswith((*_OTHER_FEATURES, *own)) for path in paths)


def _unchanged(recipe: Recipe, assembled: Assembled, stages: list[Stage]) -> dict[int, StagePlan]:
    """The plans of the depths below whose cut no earlier stage trains, by their first trainable block."""
    lowest = min(
        (plan_stage(assembled, stage).lowest for stage in recipe.fixed_stages[:-1]), default=(len(assembled.blocks), False)
    )
    found = {}
    for stage in stages:
        try:
            plan = plan_stage(assembled, stage)
        except RecipeError:  # a trial of its own will say so
            continue
        if plan.has_prefix and plan.lowest <= lowest:
            found[plan.first_trainable_block] = plan
    return found

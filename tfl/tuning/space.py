"""The space of a search: `--set` paths with what to try, as KerasTuner's hyperparameters, and their values as recipes."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tfl.errors import RecipeError
from tfl.fields import as_plain
from tfl.modalities.base import check_available
from tfl.recipe import Augment, Between, Choice, Recipe, Stage

if TYPE_CHECKING:
    import keras_tuner

Space = Mapping[str, Choice | Between]
Values = dict[str, Any]
FIXED = ("name", "seed", "monitor", "export", "search")
"""What every trial must share, or their scores could not be compared."""
FREE_DATA = ("image_size", "fit", "train_per_class")
"""What of the data may differ between trials: the examples that they are evaluated on stay the same."""
DEEPEST = 0.75
"""The built space trains at most this share of the blocks: nearly all of a network's time, and of a store's bytes, is below."""


def space_of(recipe: Recipe, block_count: int) -> Space:
    """The recipe's own search space, or a default one.

    The built space has the blocks that the last stage trains, its learning rate and layer decay, the head's dropout, and one
    knob of the last stage's augmentation where it has one.

    Args:
        recipe: `Recipe` that the search starts from.
        block_count: Int, the number of blocks of its backbone.

    Example:

    >>> import tfl
    >>> recipe = tfl.Recipe(name="leaves", data=tfl.Sample("strawberry"), backbone=tfl.Backbone("mini"))
    >>> space_of(recipe, 17)["stages.head.train"].values
    ('head', 'top:1', 'top:2', 'top:4', 'top:7', 'top:13')
    """
    if recipe.search is not None and recipe.search.space:
        return recipe.search.space
    stage = recipe.fixed_stages[-1]
    path, rate = f"stages.{stage.name}", stage.learning_rate or 1e-4
    head = ("head",) if stage.weights == "all" else ()
    return {
        f"{path}.train": Choice(tuple(dict.fromkeys((*head, *_depths(block_count), stage.train)))),
        f"{path}.learning_rate": Between(rate / 10, rate * 3, log=True),
        f"{path}.layer_decay": Choice((1.0, 0.85, 0.7, 0.5)),
        "head.dropout": Choice((0.0, 0.2, 0.4)),
        **_augmentation(path, stage),
    }


def _depths(block_count: int) -> list[str]:
    """`top:K` for at most five K from 1 to three quarters of the blocks, each about as many times the one before."""
    most = max(1, round(DEEPEST * block_count))
    return [f"top:{count}" for count in sorted({round(most ** (step / 4)) for step in range(5)})]


def _augmentation(path: str, stage: Stage) -> dict[str, Choice]:
    """Half, once and one and a half times the first knob that the stage turns; each value is another set of views to compute."""
    if stage.augment is not None and not isinstance(stage.augment, Augment):
        return {}
    augment, off = stage.augment, Augment()
    for knob, most in (("magnitude", 1.0), ("rotate_deg", 180.0), ("brightness", 1.0), ("crop", 1.0)):
        value = getattr(augment or off, knob)
        if value == getattr(off, knob) and not (knob == "magnitude" and isinstance(augment, Augment) and augment.randaugment):
            continue
        tried = [1 - (1 - value) * share for share in (0.5, 1.0, 1.5)] if knob == "crop" else [value * s for s in (0.5, 1.0, 1.5)]
        return {f"{path}.augment.{knob}": Choice(tuple(dict.fromkeys(round(min(max(item, 0.05), most), 4) for item in tried)))}
    return {}


def check_space(recipe: Recipe, space: Space) -> None:
    """Checks that every value of a space fits its field.

    Raises:
        RecipeError: A path is no field, may not differ between trials, or a value does not fit; the path is named.
    """
    for path, tried in space.items():
        if not _may_differ(path.split(".")):
            raise RecipeError(
                f"`search.space` has `{path}`, which must be the same in every trial.", fix="Set it in the recipe itself."
            )
        for value in tried.values if isinstance(tried, Choice) else _limits(recipe, path, tried):
            changed = _override(recipe, path, value)
            if path.split(".")[0] == "backbone":
                check_available(changed)  # an unknown name is reported before the first trial


def check_trains(recipe: Recipe) -> None:
    """Checks that a trial of the recipe has epochs, whose metric is compared.

    Raises:
        RecipeError: Its last stage has none, or it has `extra_data`, `target_data`, `pretrain` or pseudo-labels, which trials do
            not use.
    """
    if recipe.learns_without_labels:
        raise RecipeError(
            "A search trains on `data` alone, and this recipe learns from examples without labels.",
            received="pretrain" if recipe.pretrain is not None else "pseudo_labels",
            fix="Pretrain in a run of its own (tfl run), name its pretrained.keras as the backbone, and search without both.",
        )
    for field in ("extra_data", "target_data"):
        if (other := getattr(recipe, field)) is not None:
            raise RecipeError(
                f"A search trains on `data` alone, and this recipe has `{field}`.",
                received=other.source,
                fix=f"Search without it, --set {field}=none, and give it to a run of the best recipe.",
            )
    if not recipe.fixed_stages:
        return  # what leaves them to `Auto` is refused by the search itself
    stage = recipe.fixed_stages[-1]
    searched = {} if recipe.search is None else recipe.search.space
    if not stage.epochs and f"stages.{stage.name}.epochs" not in searched:
        raise RecipeError(
            "A search compares what trials come to by training, and nothing trains in the last stage of this recipe.",
            received=f"stages.{stage.name}.epochs=0",
            allowed="1 or more",
            fix="Compare such heads with: tfl study RECIPE --strategy features --strategy svm --strategy knn",
        )


def _may_differ(words: list[str]) -> bool:
    if words[0] == "data":
        return len(words) > 1 and words[1] in FREE_DATA
    return len(words) > 2 if words[0] == "stages" else words[0] not in FIXED


def _override(recipe: Recipe, path: str, value: Any) -> Recipe:
    try:
        return recipe.override(path, value)
    except RecipeError as error:
        raise RecipeError(f"search.space, {path}={value}: {error}") from error


def _limits(recipe: Recipe, path: str, tried: Between) -> tuple[float, float]:
    """The limits, as whole numbers where the field is one."""
    if tried.low.is_integer() and tried.high.is_integer():
        try:
            recipe.override(path, tried.low)
        except RecipeError:
            return int(tried.low), int(tried.high)
    return tried.low, tried.high


def hyperparameters(recipe: Recipe, space: Space, *, own_first: bool = True) -> keras_tuner.HyperParameters:
    """The search space as KerasTuner hyperparameters.

    The values of a choice go as JSON text: KerasTuner's own service would round numbers to 32 bits, and knows no lists.

    Args:
        recipe: `Recipe` that the search starts from.
        space: Dictionary, the search space by `--set` path.
        own_first: Bool, whether a grid starts at the recipe's own value where the choice contains it.
    """
    import keras_tuner

    made = keras_tuner.HyperParameters()
    for path, tried in space.items():
        if isinstance(tried, Choice):
            words = [json.dumps(value) for value in tried.values]
            own = json.dumps(as_plain(value_at(recipe, path)))
            made.Choice(path, words, default=own if own_first and own in words else None)
            continue
        low, high = _limits(recipe, path, tried)
        sampling = "log" if tried.log else "linear"
        if isinstance(low, int):
            step = None if tried.step is None else int(tried.step)
            made.Int(path, low, high, step=step or (None if tried.log else 1), sampling=sampling)
        else:
            made.Float(path, low, high, step=tried.step, sampling=sampling)
    return made


def values_of(space: Space, sampled: Mapping[str, Any]) -> Values:
    """The values that KerasTuner sampled, as values of the recipe's fields; numbers are rounded to six digits.

    Example:

    >>> values_of({"head.dropout": Between(0.0, 1.0)}, {"head.dropout": 0.123456789, "tuner/epochs": 3})
    {'head.dropout': 0.123457}
    """
    found: Values = {}
    for path, tried in space.items():
        value = sampled[path]
        if isinstance(tried, Choice):
            value = json.loads(value)
        elif isinstance(value, float):
            value = min(max(float(f"{value:.6g}"), tried.low), tried.high)
        found[path] = value
    return found


def recipe_of(recipe: Recipe, values: Mapping[str, Any]) -> Recipe:
    """The recipe with these values, without its search.

    Raises:
        RecipeError: A value does not fit, or does not go together with the others; its path is named.
    """
    changed = recipe
    for path, value in values.items():
        changed = _override(changed, path, value)
    return dataclasses.replace(changed, search=None)


def value_at(recipe: Recipe, path: str) -> Any:
    """The value of the recipe's field at a `--set` path.

    Example:

    >>> import tfl
    >>> recipe = tfl.Recipe(name="leaves", data=tfl.Sample("strawberry"), backbone=tfl.Backbone("mini"))
    >>> value_at(recipe, "stages.head.epochs")
    10
    """
    found: Any = recipe
    for word in path.split("."):
        if isinstance(found, Mapping):
            found = found.get(word)
        elif isinstance(found, tuple):
            names = [getattr(item, "name", None) for item in found]
            found = found[names.index(word) if word in names else int(word)]
        else:
            found = getattr(found, word)
    return found


def depth_path(recipe: Recipe) -> str:
    """The `--set` path of the number of blocks that the last stage trains."""
    return f"stages.{recipe.fixed_stages[-1].name}.train"

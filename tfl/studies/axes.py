"""The axes of a study: what its rows and columns are. Checked when constructed; no TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tfl.errors import RecipeError, did_you_mean
from tfl.fields import as_plain, build
from tfl.recipe import Backbone, Recipe
from tfl.strategies import STRATEGIES

CHOICES = ("recipe", *STRATEGIES)
"""What a row can be trained by: the recipe's own head and stages, or a strategy by name."""
DEFAULT_STRATEGIES = ("features", "finetune", "lp_ft", "auto")
DEFAULT_SEEDS, MOST_SEEDS = 3, 100


@dataclass(frozen=True, kw_only=True)
class Source:
    """The data of a column, and the recipe that says everything about it.

    Args:
        name: String, how the column is called.
        recipe: `Recipe`; its head and stages are those of the strategy `recipe`.
        path: String, the file that the recipe was read from; empty for one that was made in Python.
    """

    name: str
    recipe: Recipe
    path: str = ""


@dataclass(frozen=True, kw_only=True)
class Axes:
    """What a study measures. In `backbones`, `blocks` and `train_per_class`, None stands for what the recipe or strategy says.

    Args:
        sources: Tuple of `Source`, one for each data set.
        strategies: Tuple of strings from `CHOICES`. `scratch` is a row of every network even if it is not among them.
        backbones: Tuple of `Backbone` or None.
        blocks: Tuple of ints or None, how many of the upper blocks the last stage trains, where it fine-tunes.
        train_per_class: Tuple of ints or None, training examples of each class.
        seeds: Int, the number of seeds, counted from the recipe's own.

    Raises:
        RecipeError: A value is not allowed, or two columns would have the same name.

    Example:

    >>> import tfl
    >>> from tfl.studies.axes import Axes, Source
    >>> recipe = tfl.Recipe(name="leaves", data=tfl.Sample("strawberry"), backbone=tfl.Backbone("mini"))
    >>> Axes(sources=(Source(name="leaves", recipe=recipe),), seeds=2).strategies
    ('features', 'finetune', 'lp_ft', 'auto')
    """

    sources: tuple[Source, ...]
    strategies: tuple[str, ...] = DEFAULT_STRATEGIES
    backbones: tuple[Backbone | None, ...] = (None,)
    blocks: tuple[int | None, ...] = (None,)
    train_per_class: tuple[int | None, ...] = (None,)
    seeds: int = DEFAULT_SEEDS

    def __post_init__(self) -> None:
        if not self.sources:
            raise RecipeError("A study needs a recipe.", allowed="one recipe or more")
        names = [source.name for source in self.sources]
        if len(set(names)) < len(names):
            raise RecipeError(
                "Two columns of the study have the same name.", received=names, fix="Give each recipe a name of its own."
            )
        for name in self.strategies:
            if name not in CHOICES:
                raise RecipeError(
                    "There is no such strategy.", received=name, allowed=CHOICES, fix=did_you_mean(str(name), CHOICES) or None
                )
        for backbone in self.backbones:
            if backbone is not None and not isinstance(backbone, Backbone):
                raise RecipeError("This is not a network.", received=backbone, allowed="a tfl.Backbone, or a title of one")
        _check_counts("blocks", self.blocks)
        _check_counts("train_per_class", self.train_per_class)
        _check_counts("seeds", (self.seeds,), most=MOST_SEEDS)
        for source in self.sources:
            replace(source.recipe, seed=source.recipe.seed + self.seeds - 1)  # the largest seed is checked here

    def as_plain(self) -> dict[str, Any]:
        """The axes as JSON has them; `from_plain` reads it."""
        return {
            "data": [{"name": one.name, "path": one.path, "recipe": as_plain(one.recipe)} for one in self.sources],
            "backbones": as_plain(self.backbones),
            "strategies": list(self.strategies),
            "blocks": list(self.blocks),
            "train_per_class": list(self.train_per_class),
            "seeds": self.seeds,
        }

    @classmethod
    def from_plain(cls, document: Mapping[str, Any]) -> Axes:
        """The axes that `as_plain` wrote."""
        sources = [
            Source(name=one["name"], path=one["path"], recipe=build(Recipe, one["recipe"], "recipe")) for one in document["data"]
        ]
        backbones = [None if one is None else build(Backbone, one, "backbone") for one in document["backbones"]]
        return cls(
            sources=tuple(sources),
            backbones=tuple(backbones),
            strategies=tuple(document["strategies"]),
            blocks=tuple(document["blocks"]),
            train_per_class=tuple(document["train_per_class"]),
            seeds=document["seeds"],
        )

    def with_more(self, **more: Any) -> Axes:
        """These axes with further values, behind those that are there; a number of seeds only grows.

        Args:
            **more: Fields of `Axes`; None for one that stays as it is.

        Raises:
            RecipeError: A column of the same name has another recipe.
        """
        changes: dict[str, Any] = {}
        for name, values in more.items():
            if values is None:
                continue
            now = getattr(self, name)
            changes[name] = max(now, values) if name == "seeds" else (*now, *[value for value in values if value not in now])
        if "sources" in changes:
            changes["sources"] = _joined(self.sources, more["sources"])
        return replace(self, **changes)


def _joined(before: Sequence[Source], more: Sequence[Source]) -> tuple[Source, ...]:
    known = {source.name: source for source in before}
    for source in more:
        if source.name in known and known[source.name].recipe != source.recipe:
            raise RecipeError(
                f"The column `{source.name}` of this study was measured with another recipe, data or settings.",
                fix="Resume it without naming the recipe, give the recipe another name, or start a new study in another folder.",
            )
    return (*before, *[source for source in more if source.name not in known])


def _check_counts(name: str, values: Sequence[int | None], *, most: int = 1_000_000) -> None:
    for value in values:
        if value is not None and (type(value) is not int or not 1 <= value <= most):
            raise RecipeError(f"`{name}` of a study is out of range.", received=value, allowed=f"1 to {most}")


def sources_of(recipes: Sequence[tuple[Recipe, str]], data: Sequence[str]) -> list[Source]:
    """The data sets of a study: one for each recipe, or the given ones for the only recipe.

    Args:
        recipes: Sequence of pairs of a `Recipe` and the file that it was read from.
        data: Sequence of strings, sources that replace that of the recipe.

    Raises:
        RecipeError: There are sources, and not exactly one recipe; or no recipe.
    """
    if not recipes:
        raise RecipeError("A study needs a recipe.", allowed="one recipe or more")
    if not data:
        return [Source(name=recipe.name, recipe=recipe, path=path) for recipe, path in recipes]
    if len(recipes) > 1:
        raise RecipeError(
            "Sources of data go with one recipe.", received=f"{len(recipes)} recipes", fix="Give each recipe its own source."
        )
    (recipe, path), names = recipes[0], [data] if isinstance(data, str) else dict.fromkeys(data)
    return [Source(name=name, recipe=replace(recipe, data=replace(recipe.data, source=name)), path=path) for name in names]

"""The cells of a study: a row, a column and a seed each, with the recipe that measures it. No TensorFlow."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tfl.backbones.titles import title_of
from tfl.errors import RecipeError
from tfl.recipe import Auto, Backbone, Recipe
from tfl.strategies import with_strategy
from tfl.studies.axes import Axes, Source

SCRATCH = "scratch"
_WITH_BLOCKS = ("finetune", "lp_ft", "wise_ft", "l2_sp", "bitfit", "adapters", "residual_adapters")
_KEY_DIGITS = 16


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of the table.

    Args:
        network: String, the title of the network.
        strategy: String, how it is trained.
        blocks: Int, how many of the upper blocks the last stage trains; None where the strategy or the recipe says it.
    """

    network: str
    strategy: str
    blocks: int | None = None

    @property
    def title(self) -> str:
        """The row in words."""
        return f"{self.network} {self.strategy}" + ("" if self.blocks is None else f" top:{self.blocks}")


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of the table.

    Args:
        data: String, the name of the data set.
        train_per_class: Int, training examples of each class; None where the recipe says it.
    """

    data: str
    train_per_class: int | None = None

    @property
    def title(self) -> str:
        """The column in words."""
        return self.data + ("" if self.train_per_class is None else f", {self.train_per_class} per class")


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One run of a study.

    Args:
        row: `Row`.
        column: `Column`.
        number: Int, which of the seeds it is, from 0.
        recipe: `Recipe` of the run.
    """

    row: Row
    column: Column
    number: int
    recipe: Recipe

    @property
    def key(self) -> str:
        """A hash of everything that decides the run: the name of its folder."""
        return hashlib.sha256(self.recipe.to_json().encode()).hexdigest()[:_KEY_DIGITS]

    @property
    def title(self) -> str:
        """The run in words."""
        return f"{self.column.title}: {self.row.title}, seed {self.recipe.seed}"


def columns_of(axes: Axes) -> list[Column]:
    """The columns of a study, in order: by data set, and the fewest training examples first."""
    counts = sorted(axes.train_per_class, key=lambda count: (count is None, count or 0))
    return [Column(data=source.name, train_per_class=count) for source in axes.sources for count in counts]


def rows_of(axes: Axes) -> list[Row]:
    """The rows of a study, in order: by network, `scratch` first."""
    found: list[Row] = []
    for source in axes.sources:
        found += [row for row, _ in _rows(axes, source) if row not in found]
    networks = list(dict.fromkeys(row.network for row in found))
    return sorted(found, key=lambda row: networks.index(row.network))


def cells_of(axes: Axes) -> list[Cell]:
    """The runs of a study in the order in which they are made: seed by seed, so that an unfinished study is balanced.

    Raises:
        RecipeError: A strategy or a number of blocks does not go together with a recipe.

    Example:

    >>> import tfl
    >>> from tfl.studies.axes import Axes, Source
    >>> from tfl.studies.cells import cells_of
    >>> recipe = tfl.Recipe(name="leaves", data=tfl.Sample("strawberry"), backbone=tfl.Backbone("mini"))
    >>> axes = Axes(sources=(Source(name="leaves", recipe=recipe),), strategies=("lp_ft",), blocks=(1, 3), seeds=1)
    >>> [cell.row.title for cell in cells_of(axes)]
    ['mini scratch', 'mini lp_ft top:1', 'mini lp_ft top:3']
    """
    if axes.blocks != (None,) and all(_blocks(axes, source, name) == (None,) for source in axes.sources for name in _names(axes)):
        raise RecipeError(
            "`blocks` of the study has no effect: none of its strategies has a last stage whose blocks can be chosen.",
            received=axes.strategies,
            allowed=f"{', '.join(_WITH_BLOCKS)}, or `recipe` where its last stage trains more than the head",
        )
    order = rows_of(axes)
    found = []
    for number in range(axes.seeds):
        for column in columns_of(axes):
            source = next(one for one in axes.sources if one.name == column.data)
            rows = sorted(_rows(axes, source), key=lambda pair: order.index(pair[0]))
            found += [
                Cell(row=row, column=column, number=number, recipe=_recipe(source.recipe, row, column, number, backbone))
                for row, backbone in rows
            ]
    return found


def _names(axes: Axes) -> list[str]:
    return [SCRATCH, *dict.fromkeys(name for name in axes.strategies if name != SCRATCH)]


def _rows(axes: Axes, source: Source) -> Iterator[tuple[Row, Backbone]]:
    """The rows that a data set has, each with its network as the recipe takes it."""
    networks = {title_of(one): one for one in (each or source.recipe.backbone for each in axes.backbones)}
    for title, backbone in networks.items():
        for name in _names(axes):
            for blocks in _blocks(axes, source, name):
                yield Row(network=title, strategy=name, blocks=blocks), backbone


def _blocks(axes: Axes, source: Source, name: str) -> tuple[int | None, ...]:
    stages = source.recipe.stages
    own = name == "recipe" and not isinstance(stages, Auto) and stages[-1].train != "head"
    return axes.blocks if own or name in _WITH_BLOCKS else (None,)


def _recipe(recipe: Recipe, row: Row, column: Column, number: int, backbone: Backbone) -> Recipe:
    """The recipe of a run: without exports, confidence and search, which do not decide how good its network is."""
    data = recipe.data
    if column.train_per_class is not None:
        data = replace(data, train_per_class=column.train_per_class)
    made = replace(recipe, data=data, backbone=backbone, seed=recipe.seed + number, export=(), confidence=None, search=None)
    if row.strategy != "recipe":
        made = with_strategy(made, row.strategy)
    if row.blocks is not None:
        last = replace(made.fixed_stages[-1], train=f"top:{row.blocks}")
        made = replace(made, stages=(*made.fixed_stages[:-1], last))
    return made

"""The prior of a search: the depths that linear probes suggest are tried first."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tfl.errors import RecipeError
from tfl.fields import as_plain
from tfl.recipe import Between, Choice, Recipe
from tfl.tuning.space import Space, depth_path, value_at

if TYPE_CHECKING:
    from tfl.model.assemble import Assembled

Profile = Mapping[str, float]
"""The score of a linear probe on each block's pooled output, by the block's name."""


def first_values(recipe: Recipe, space: Space, assembled: Assembled, profile: Profile, *, most: int) -> list[dict[str, Any]]:
    """The first trials of a search that has a depth profile: one at each depth, the most promising first.

    The rule: what stays frozen should serve the task as it is. A depth is as promising as the probe of the last block that it
    leaves frozen; of equals the shallower goes first, as it costs less. All else is as in the recipe, or the middle of its
    range where the recipe's own value is not in it. After these trials the algorithm chooses.

    Args:
        recipe: `Recipe` that the search starts from.
        space: Dictionary, the search space by `--set` path.
        assembled: `Assembled`, the recipe's network.
        profile: Dictionary from block names to probe scores; empty for a search without a prior.
        most: Int, the largest number of trials.

    Returns:
        Values as KerasTuner samples them; none where there is no profile, or the depth is not in the space.
    """
    path = depth_path(recipe)
    tried = space.get(path)
    if not profile or not isinstance(tried, Choice):
        return []
    rest = {other: _middle(recipe, other, item) for other, item in space.items() if other != path}
    return [{path: json.dumps(depth), **rest} for depth in promising(recipe, tried.values, assembled, profile)][: max(1, most)]


def promising(recipe: Recipe, depths: tuple[Any, ...], assembled: Assembled, profile: Profile) -> list[Any]:
    """The depths by the score of the last block that each leaves frozen, best first; depths that do not fit are left out."""
    from tfl.model.freeze import make_plan

    found = []
    for depth in depths:
        try:
            first = make_plan(assembled, dataclasses.replace(recipe.fixed_stages[-1], train=depth)).first_trainable_block
        except RecipeError:  # a trial of its own will say so
            continue
        score = profile.get(assembled.blocks[first - 1].name, 0.0) if first else 0.0
        found.append((-score, len(assembled.blocks) - first, depth))
    return [depth for _, _, depth in sorted(found, key=lambda item: item[:2])]


def _middle(recipe: Recipe, path: str, tried: Choice | Between) -> Any:
    own = value_at(recipe, path)
    if isinstance(tried, Choice):
        plain = json.dumps(as_plain(own))
        words = [json.dumps(value) for value in tried.values]
        return plain if plain in words else words[len(words) // 2]
    if tried.step is not None:
        return int(tried.low) if isinstance(own, int) else tried.low
    if isinstance(own, int | float) and tried.low <= own <= tried.high:
        return own
    middle = (tried.low * tried.high) ** 0.5 if tried.log else (tried.low + tried.high) / 2
    return round(middle) if isinstance(own, int) else middle

"""What `tfl tune` tries: `Search`, with a `Choice` or values `Between` two."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

from tfl.errors import RecipeError
from tfl.fields import as_plain, check_fields, number


@dataclass(frozen=True)
class Choice:
    """A field of the recipe takes one of these values in a search.

    Args:
        values: As `--set` takes them, or as Python values.
    """

    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.values:
            raise RecipeError("A `Choice` without values leaves nothing to try.", allowed="one value or more in parentheses")
        object.__setattr__(self, "values", _tuples(as_plain(self.values)))
        if any(value in self.values[:at] for at, value in enumerate(self.values)):
            raise RecipeError("A `Choice` has the same value twice.", received=list(self.values))


@dataclass(frozen=True)
class Between:
    """A field of the recipe takes a number from `low` to `high`, both inclusive, in a search.

    Args:
        low, high: The limits; whole numbers where the field is one.
        log: Whether each factor, rather than each difference, is as likely as another: for rates.
        step: Only `low`, `low + step`, ... (with `log`, `low * step`, ...); None tries any number, in a grid ten of them.
    """

    low: float
    high: float
    _: KW_ONLY
    log: bool = False
    step: float | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.low < self.high:
            raise RecipeError("`Between` needs a low that is below its high.", received=f"{self.low} and {self.high}")
        if self.log and self.low <= 0:
            raise RecipeError(
                "`Between` by factors begins above zero.", received=self.low, fix="Raise `low`, or leave out `log`."
            )
        least = 1.0 if self.log else 0.0
        if self.step is not None and self.step <= least:
            raise RecipeError("`Between.step` leads nowhere.", received=self.step, allowed=f"more than {least:g}")


@dataclass(frozen=True, kw_only=True)
class Search:
    """What `tfl tune` tries, and for how long. The objective is `recipe.monitor.metric`.

    Args:
        algorithm: `bayesian` (a Gaussian process), `hyperband` (Li et al. 2018: many short trials, the better ones go on),
            `random`, or `grid`.
        space: `--set` paths with what to try for each; empty builds one from the recipe and its network: how many blocks the last
            stage trains, its rate and layer decay, the head's dropout, and the strength of its augmentation where it augments.
        trials: At most this many; None leaves it to `minutes`, to the grid, or to Hyperband.
        minutes: Until the confirmation; a trial that is under way then is kept as it stands.
        seeds: How often the best recipes, and the recipe as it was, are trained again, each time from another seed: the winner
            is the best by these means. Zero trusts the trials.
        prior: `probe` tries first what linear probes at every block speak for; see `tfl probe`.
        stop_poor: Whether a trial ends when it is worse than the median of the others (Golovin et al. 2017); Hyperband has its
            own way.
    """

    algorithm: Literal["bayesian", "hyperband", "random", "grid"] = "bayesian"
    space: Mapping[str, Choice | Between] = dataclasses.field(default_factory=dict)
    trials: int | None = number(30, at_least=1)
    minutes: float | None = number(None, at_least=0.0)
    seeds: int = number(3, at_least=0, at_most=100)
    prior: Literal["probe"] | None = None
    stop_poor: bool = True

    def __post_init__(self) -> None:
        check_fields(self)
        if self.algorithm in ("bayesian", "random") and self.trials is None and self.minutes is None:
            raise RecipeError("The search would never end.", fix="Give it `trials` or `minutes`.")


def _tuples(value: Any) -> Any:
    """`value` with every list as a tuple, as JSON does not keep them apart."""
    if isinstance(value, tuple | list):
        return tuple(_tuples(item) for item in value)
    return {key: _tuples(item) for key, item in value.items()} if isinstance(value, Mapping) else value

"""The best recipes again, over several seeds: the winner's score is a mean, not the largest of many noisy ones."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tfl.errors import StorageError, TflError
from tfl.recipe import Recipe, Search
from tfl.storage import write_json
from tfl.tuning.folder import SearchFolder, drop_weights, progress, read_document
from tfl.tuning.space import recipe_of

if TYPE_CHECKING:
    from rich.console import Console

    from tfl.tuning.trial import TrialRunner

FINALISTS = 2
"""So many of the best trials are confirmed, beside the recipe as it was."""


def confirm(folder: SearchFolder, recipe: Recipe, runner: TrialRunner, *, console: Console) -> None:
    """Trains the finalists and the recipe as it was over seeds that no trial has seen; writes `confirmed.json`.

    All of them keep the split of the recipe, so that no example of its test split is ever trained or evaluated on.
    """
    seeds = (recipe.search or Search()).seeds
    rows = []
    for name, values in finalists(folder, recipe) if seeds else []:
        candidate = recipe_of(recipe, values)
        row = {"name": name, "values": values, **_scores(folder, candidate, runner, seeds)}
        rows.append(row)
        told = (
            row["reason"] or f"{recipe.monitor.metric} {row['mean']:.4f}{spread(row['interval'])} over {len(row['scores'])} seeds"
        )
        console.print(f"confirmed {name}: {told}", highlight=False, markup=False)
    write_json(folder.path("confirmed.json"), {"seeds": seeds, "rows": rows})


def finalists(folder: SearchFolder, recipe: Recipe) -> list[tuple[str, dict[str, Any]]]:
    """The recipe as it was, and the best trials that are other recipes, best first: their names and their values."""
    scored = [row for row in folder.outcomes() if row["value"] is not None and row["status"] in ("done", "stopped")]
    scored.sort(key=lambda row: row["value"], reverse=recipe.monitor.higher_is_better)
    found: list[tuple[str, dict[str, Any]]] = [("as it was", {})]
    seen = [recipe_of(recipe, {})]
    for row in scored:
        candidate = recipe_of(recipe, row["values"])
        if candidate not in seen and len(seen) <= FINALISTS:
            seen.append(candidate)
            found.append((f"trial {row['number']}", row["values"]))
    return found


def _scores(folder: SearchFolder, recipe: Recipe, runner: TrialRunner, seeds: int) -> dict[str, Any]:
    scores: list[float] = []
    depth = None
    split = dataclasses.replace(recipe.data, split_seed=recipe.split_seed)
    try:
        for number in range(1, seeds + 1):
            seeded = dataclasses.replace(recipe, seed=recipe.seed + number, data=split)
            place = folder.path("confirm", hashlib.sha256(seeded.to_json().encode()).hexdigest()[:16])
            if not (place / "score.json").is_file():
                runner.train(seeded, place / "run")
                write_json(place / "score.json", {"seed": seeded.seed, **progress(place / "run")})
                drop_weights(place / "run")
            found = read_document(place / "score.json")
            depth = found["depth"]
            scores.append(float(found["value"]))
    except StorageError:
        raise
    except TflError as error:
        return {"scores": scores, "depth": depth, "mean": None, "interval": None, "reason": str(error)}
    interval = t_interval(scores)
    if interval and recipe.monitor.is_share:
        interval = [max(0.0, interval[0]), min(1.0, interval[1])]
    return {"scores": scores, "depth": depth, "mean": statistics.fmean(scores), "interval": interval, "reason": ""}


def t_interval(scores: Sequence[float], *, level: float = 0.95) -> list[float] | None:
    """The interval of the mean by Student's t; None for fewer than two scores.

    Example:

    >>> [round(edge, 3) for edge in t_interval([0.8, 0.9, 1.0])]
    [0.652, 1.148]
    """
    from scipy import stats

    if len(scores) < 2:
        return None
    half = stats.t.ppf((1 + level) / 2, len(scores) - 1) * statistics.stdev(scores) / math.sqrt(len(scores))
    mean = statistics.fmean(scores)
    return [float(mean - half), float(mean + half)]


def spread(interval: Sequence[float] | None) -> str:
    """An interval for people, with a space before it; nothing for none."""
    return "" if interval is None else f" [{interval[0]:.4f}, {interval[1]:.4f}]"

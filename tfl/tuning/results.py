"""The results of a search: `trials.csv`, the summary in `search.json`, and `best_recipe.py`. No TensorFlow, no KerasTuner."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from tfl.fields import as_plain
from tfl.recipe import Recipe, load_recipe
from tfl.storage import write_atomically
from tfl.tuning.folder import SearchFolder, read_document
from tfl.tuning.source import recipe_source
from tfl.tuning.space import recipe_of

COLUMNS = ("trial", "status", "value", "epochs", "best_epoch", "depth", "seconds", "train_seconds", "feature_seconds")


def write_results(folder: SearchFolder, recipe: Recipe) -> None:
    """Writes `trials.csv`, and where a trial has a score `best_recipe.py`, with the winner in `search.json`."""
    rows = folder.outcomes()
    write_atomically(folder.path("trials.csv"), trials_csv(rows, list(folder.about["space"])))
    found = winner(folder, recipe)
    if found is None:
        return
    best = recipe_of(recipe, found["values"])
    file = folder.path("best_recipe.py")
    write_atomically(file, recipe_source(best, title=_title(found, recipe, len(rows))))
    if load_recipe(file) != best:
        raise RuntimeError(f"{file} does not say what the best recipe is")
    folder.update(best=found)


def trials_csv(rows: list[dict[str, Any]], paths: list[str]) -> str:
    """One line per trial: its status, score, time and values, and the reason if it did not finish."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *paths, "reason"])
    for row in rows:
        figures = [row["number"], row["status"], *(_cell(row.get(name)) for name in COLUMNS[2:])]
        writer.writerow([*figures, *(_cell(row["values"].get(path)) for path in paths), row["reason"]])
    return text.getvalue()


def winner(folder: SearchFolder, recipe: Recipe) -> dict[str, Any] | None:
    """The best recipe by its mean over seeds; without such means, the best trial; None if no trial has a score.

    Returns:
        `name` (`trial N`, or `as it was`), `values`, `score`, `interval`, `seeds`, and `trial_score`, of the trial itself.
    """
    file = folder.path("confirmed.json")
    confirmed = [row for row in read_document(file)["rows"] if row["mean"] is not None] if file.is_file() else []
    trials = [row for row in folder.outcomes() if row["value"] is not None and row["status"] in ("done", "stopped")]
    better = max if recipe.monitor.higher_is_better else min
    if confirmed:
        best = better(confirmed, key=lambda row: row["mean"])
        scores = {f"trial {row['number']}": row["value"] for row in trials}
        found = {"score": best["mean"], "interval": best["interval"], "seeds": len(best["scores"])}
        return {"name": best["name"], "values": best["values"], **found, "trial_score": scores.get(best["name"])}
    if not trials:
        return None
    best = better(trials, key=lambda row: row["value"])
    found = {"score": best["value"], "interval": None, "seeds": 0, "trial_score": best["value"]}
    return {"name": f"trial {best['number']}", "values": best["values"], **found}


def describe(row: Mapping[str, Any], recipe: Recipe, *, most: int | None) -> str:
    """The outcome of a trial, on one line."""
    of = f"/{most}" if most else ""
    values = ", ".join(f"{path.split('.')[-1]} {_short(value)}" for path, value in row["values"].items())
    score = f"{recipe.monitor.metric} {row['value']:.4f}" if row["value"] is not None else "no score"
    why = f", {row['status']}: {row['reason']}" if row["reason"] else ""
    return f"trial {row['number']}{of}  {score}  {values}  ({row['epochs']} epochs, {row['seconds']:.1f} s{why})"


def _title(found: Mapping[str, Any], recipe: Recipe, trials: int) -> str:
    metric, interval = recipe.monitor.metric, found["interval"]
    spread = f", 95% interval {interval[0]:.4f} to {interval[1]:.4f}" if interval else ""
    how = f"mean of {found['seeds']} seeds{spread}" if found["seeds"] else "one trial, not confirmed over seeds"
    came = "the recipe as it was: no trial was better" if found["name"] == "as it was" else found["name"]
    changed = [f"    {path} = {json.dumps(value)}" for path, value in found["values"].items()]
    lines = [
        f"{recipe.name}, after a search.",
        "",
        f"Came from  {came}, of {trials} trials around the recipe `{recipe.name}`, by `tfl tune`",
        f"Expected   {metric} {found['score']:.4f} on the validation split ({how})",
        *(["Changed", *changed] if changed else []),
    ]
    return "\n".join(lines)


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else value if isinstance(value, int | str) else json.dumps(as_plain(value))


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)

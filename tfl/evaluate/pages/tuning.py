"""The page of a search, made of its folder: score against depth, the values side by side, the time. No TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfl.evaluate.pages.tuning_charts import depth_chart, parallel_chart, time_chart
from tfl.evaluate.render import render
from tfl.fields import as_plain
from tfl.modalities.base import NOUNS
from tfl.storage import write_atomically
from tfl.tuning.folder import SearchFolder, read_document


def collect_tuning(folder: Path | str) -> dict[str, Any]:
    """Everything the page says, as plain data.

    Returns:
        `recipe`, `about` (search.json), `trials`, `confirmed`, `best`, `counts` by status, `seconds`, `validation` (how many
        examples), `nouns`, `sentence`, `source` of the best recipe.

    Raises:
        RunError: The folder holds no search, or a file of it is damaged.
    """
    search = SearchFolder(folder)
    about, trials = search.about, search.outcomes()
    file = search.path("confirmed.json")
    confirmed = read_document(file)["rows"] if file.is_file() else []
    best = about.get("best")
    counts = {name: sum(row["status"] == name for row in trials) for name in ("done", "stopped", "failed", "unfinished")}
    code = search.path("best_recipe.py")
    return {
        "folder": str(search.folder),
        "recipe": as_plain(search.recipe),
        "about": about,
        "trials": trials,
        "confirmed": confirmed,
        "best": best,
        "counts": counts,
        "seconds": about.get("seconds"),
        "validation": _validation_count(about),
        "nouns": NOUNS[search.recipe.data.kind][1],
        "sentence": _sentence(best, confirmed, about["metric"]),
        "source": code.read_text(encoding="utf-8") if code.is_file() else "",
    }


def write_tuning_page(folder: Path | str) -> Path:
    """Writes `tune.html` into the folder of a search: one file that opens offline.

    Raises:
        RunError: The folder holds no search, or a file of it is damaged.
    """
    document = collect_tuning(folder)
    trials, metric = document["trials"], document["about"]["metric"]
    drawn = {
        "depth": depth_chart(trials, document["confirmed"], metric=metric, count=document["validation"]),
        "parallel": parallel_chart(trials, metric=metric),
        "time": time_chart(trials, metric=metric),
    }
    figures = {name: figure for name, figure in drawn.items() if figure}
    return write_atomically(Path(folder) / "tune.html", render("tuning.html.j2", tuning=document, figures=figures))


def _sentence(best: Mapping[str, Any] | None, confirmed: Sequence[Mapping[str, Any]], metric: str) -> str:
    if best is None:
        return "No trial has come to a score yet."
    score = f"{100 * best['score']:.1f}%" if metric == "val_accuracy" else f"{best['score']:.3f}"
    if not best["seeds"]:
        return f"The best of the trials has {metric} {score}. It was trained once, so part of that may be luck."
    if best["name"] == "as it was":
        return f"No trial was better than the recipe as it was: {metric} {score}, mean of {best['seeds']} seeds."
    before = next((row for row in confirmed if row["name"] == "as it was" and row["mean"] is not None), None)
    if before is None:
        return f"The best recipe has {metric} {score}, mean of {best['seeds']} seeds."
    was = f"{100 * before['mean']:.1f}%" if metric == "val_accuracy" else f"{before['mean']:.3f}"
    return f"The best recipe has {metric} {score} where the recipe as it was has {was}, means of {best['seeds']} seeds."


def _validation_count(about: Mapping[str, Any]) -> int:
    """The number of validation examples; in earlier versions the counts stood under another name."""
    named = (part for part in about.values() if isinstance(part, Mapping) and set(part) == {"train", "val"})
    counts = about.get("examples") or next(named)
    return int(counts["val"])

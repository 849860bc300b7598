"""Several runs side by side on one page. No TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfl.evaluate.compare.collect import compare_runs
from tfl.evaluate.render import percent, render
from tfl.evaluate.report import charts
from tfl.evaluate.report.facts import time_facts
from tfl.evaluate.run_files import optional_json, read_history
from tfl.fields import as_plain
from tfl.runs import Run
from tfl.storage import write_atomically
from tfl.tasks.base import task_of


def write_comparison(run_folders: Sequence[Path | str], out: Path | str) -> Path:
    """Writes one page that compares runs: results with intervals, what differs in the recipes, validation curves.

    Args:
        run_folders: Sequence of paths, at least two run folders.
        out: Path of the HTML file.

    Raises:
        RunError: Fewer than two runs, or one that cannot be read.
        StorageError: `out` cannot be written.
    """
    document = collect_page(run_folders)
    metric = document["metric"]
    drawn = {
        "epochs": charts.runs_curve(document["runs"], x="step", column=metric),
        "seconds": charts.runs_curve(document["runs"], x="elapsed", column=metric),
    }
    figures = {name: figure for name, figure in drawn.items() if figure}
    return write_atomically(out, render("comparison.html.j2", comparison=document, figures=figures))


def collect_page(run_folders: Sequence[Path | str]) -> dict[str, Any]:
    """What the page shows: the comparison with the best run, and each run's recipe, test figures and curves.

    Returns:
        As of `tfl.evaluate.compare.collect.compare_runs`; each of `runs` also has `recipe`, `test`, `history` with `elapsed`
        seconds, and `total` seconds; `pairs` holds those on the very same test examples; `same_test` (whether all that were
        tested are among them), `sentence`, `metric` (of the curves) and `columns` (the figures of the test) come on top.

    Raises:
        RunError: Fewer than two runs, or one that cannot be read.
    """
    document = compare_runs(run_folders, reference="best")
    runs = [facts | _of_run(Run.open(facts["folder"])) for facts in document["runs"]]
    pairs = [pair for pair in document["pairs"] if pair.get("same_examples")]
    same_test = len(pairs) >= sum(1 for run in runs if run["test"]) - 1
    sentence = _sentence(runs, document, pairs, same_test=same_test)
    metric = task_of(runs[0]["recipe"]["task"]).default_metric
    columns = [row for row in document["figures"] if row["split"] == "test" and row["figure"] != "count"]
    return document | {
        "runs": runs,
        "pairs": pairs,
        "same_test": same_test,
        "sentence": sentence,
        "metric": metric,
        "columns": columns,
    }


def _of_run(run: Run) -> dict[str, Any]:
    metrics, history, elapsed = optional_json(run, "metrics.json"), read_history(run), 0.0
    for row in history:
        elapsed += row.get("seconds") or 0.0
        row["elapsed"] = elapsed
    return {
        "recipe": as_plain(run.recipe),
        "note": (run.manifest.get("data") or {}).get("note") or "",
        "test": metrics.get("test") or {},
        "history": history,
        "total": time_facts(metrics, [])["total"] or elapsed,
    }


def _sentence(
    runs: Sequence[Mapping[str, Any]], document: Mapping[str, Any], pairs: Sequence[Mapping[str, Any]], *, same_test: bool
) -> str:
    best, nouns = document["best"], document["nouns"][1]
    if best is None:
        one_task = len({run["recipe"]["task"] for run in runs}) == 1
        return "None of these runs has a test result yet." if one_task else "These runs have different tasks."
    test, task = runs[best]["test"], task_of(runs[best]["recipe"]["task"])
    if task.name == "classify":
        highest = f"{runs[best]['title']} scores highest: {percent(test['accuracy'])} of its test {nouns}."
    else:
        name = task.default_metric.removeprefix("val_")
        highest = f"{runs[best]['title']} is the best: {name.replace('_', ' ')} {test[name]:.4g} on its test {nouns}."
    if not pairs or not same_test:
        return f"{highest} The runs were not all tested on the same {nouns}, so the figures do not settle which is better."
    if all(pair["verdict"] == "better" for pair in pairs):
        return f"{highest} That is a clear lead over every other run."
    return f"{highest} Its lead over {'the other' if len(pairs) == 1 else 'some of the others'} could be chance."

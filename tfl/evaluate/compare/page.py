"""Several runs side by side on one page. No TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfl.evaluate.compare.collect import compare_runs
from tfl.evaluate.render import amount, percent, render
from tfl.evaluate.report import charts
from tfl.evaluate.report.facts import time_facts
from tfl.evaluate.report.sections import overall_rows
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
    column = task_of(document["runs"][0]["recipe"]["task"]).default_metric
    drawn = {
        "epochs": charts.runs_curve(document["runs"], x="step", column=column),
        "seconds": charts.runs_curve(document["runs"], x="elapsed", column=column),
    }
    figures = {name: figure for name, figure in drawn.items() if figure}
    return write_atomically(out, render("comparison.html.j2", comparison=document, figures=figures))


def collect_page(run_folders: Sequence[Path | str]) -> dict[str, Any]:
    """What the page shows: the comparison with the best run, and each run's recipe, test figures and curves.

    Returns:
        As of `tfl.evaluate.compare.collect.compare_runs`; each of `runs` also has `recipe`, `test`, `history` with `elapsed`
        seconds, and `total` seconds; `pairs` holds those on the very same test examples; `same_test` (whether all that were
        tested are among them) and `sentence` come on top.

    Raises:
        RunError: Fewer than two runs, or one that cannot be read.
    """
    document = compare_runs(run_folders, reference="best")
    runs = [facts | _of_run(Run.open(facts["folder"])) for facts in document["runs"]]
    pairs = [pair for pair in document["pairs"] if pair.get("same_examples")]
    same_test = len(pairs) >= sum(1 for run in runs if run["test"]) - 1
    sentence = _sentence(runs, document, pairs, same_test=same_test)
    return document | {"runs": runs, "pairs": pairs, "same_test": same_test, "sentence": sentence}


def _of_run(run: Run) -> dict[str, Any]:
    metrics, history, elapsed = optional_json(run, "metrics.json"), read_history(run), 0.0
    for row in history:
        elapsed += row.get("seconds") or 0.0
        row["elapsed"] = elapsed
    return {
        "recipe": as_plain(run.recipe),
        "note": (run.manifest.get("data") or {}).get("note") or "",
        "test": metrics.get("test") or {},
        "figures": overall_rows(run.recipe.task, metrics) if "test" in metrics else [],
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
    highest = f"{runs[best]['title']} scores highest: {percent(runs[best]['test'].get('accuracy'))} of its test {nouns}."
    if runs[best]["recipe"]["task"] != "classify":
        first = runs[best]["figures"][0]
        highest = f"{runs[best]['title']} does best: {first['name'].lower()} {amount(first['value'])} on its test {nouns}."
    if not pairs or not same_test:
        return f"{highest} The runs were not all tested on the same {nouns}, so the figures do not settle which is better."
    if all(pair["verdict"] == "better" for pair in pairs):
        return f"{highest} That is a clear lead over every other run."
    return f"{highest} Its lead over {'the other' if len(pairs) == 1 else 'some of the others'} could be chance."

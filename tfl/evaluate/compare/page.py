"""Several runs side by side on one page. No TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfl.errors import RunError
from tfl.evaluate.compare.changes import recipe_differences
from tfl.evaluate.compare.paired import compare_tests, holm, paired_difference, read_answers, verdict_of
from tfl.evaluate.render import percent, render
from tfl.evaluate.report import charts
from tfl.evaluate.report.facts import time_facts
from tfl.evaluate.run_files import optional_json, read_history
from tfl.fields import as_plain
from tfl.runs import Run
from tfl.storage import write_atomically

__all__ = ["collect_comparison", "paired_difference", "write_comparison"]


def collect_comparison(run_folders: Sequence[Path | str]) -> dict[str, Any]:
    """What several runs have in common and in which they differ, as plain data.

    Returns:
        `runs` (`title`, `folder`, `recipe`, `test`, `history` with `elapsed` seconds, `total`), `differences` (recipe fields
        whose values differ: `field`, `values`), `pairs` (the best run against each other one, on the same test images, as
        `tfl.evaluate.compare.paired.compare_tests` says it, with `p_corrected` for so many pairs),
        `same_test` (whether all that were tested were tested on the same images), `sentence`.

    Raises:
        RunError: Fewer than two runs, or one that cannot be read.
    """
    if len(run_folders) < 2:
        raise RunError(
            "A comparison needs at least two runs.", received=len(run_folders), fix="Name them all: tfl report RUN RUN"
        )
    opened = [Run.open(folder) for folder in run_folders]
    runs = [_run_facts(run, title) for run, title in zip(opened, run_titles(opened), strict=True)]
    judged = [at for at, run in enumerate(runs) if run["test"]]
    best = max(judged, key=lambda at: runs[at]["test"]["accuracy"], default=None)
    pairs = [] if best is None else _pairs_with(best, judged, opened, [run["title"] for run in runs])
    return {
        "runs": runs,
        "differences": recipe_differences([run["recipe"] for run in runs]),
        "pairs": pairs,
        "same_test": len(pairs) >= len(judged) - 1,
        "sentence": _sentence(runs, best, pairs),
    }


def write_comparison(run_folders: Sequence[Path | str], out: Path | str) -> Path:
    """Writes one page that compares runs: results with intervals, what differs in the recipes, validation curves.

    Args:
        run_folders: Two or more.
        out: The HTML file to write.

    Raises:
        RunError: Fewer than two runs, or one that cannot be read.
        StorageError: `out` cannot be written.
    """
    document = collect_comparison(run_folders)
    drawn = {
        "epochs": charts.runs_curve(document["runs"], x="step"),
        "seconds": charts.runs_curve(document["runs"], x="elapsed"),
    }
    figures = {name: figure for name, figure in drawn.items() if figure}
    return write_atomically(out, render("comparison.html.j2", comparison=document, figures=figures))


def run_titles(runs: Sequence[Run]) -> list[str]:
    """The folders' own names, with as many parents as it takes to tell them apart."""
    parts = [run.folder.absolute().parts for run in runs]
    for depth in range(1, max(map(len, parts)) + 1):
        titles = ["/".join(part[-depth:]) for part in parts]
        if len(set(titles)) == len(titles):
            return titles
    return [f"{'/'.join(part[-2:])} ({at})" for at, part in enumerate(parts, start=1)]


def _run_facts(run: Run, title: str) -> dict[str, Any]:
    metrics, history, elapsed = optional_json(run, "metrics.json"), read_history(run), 0.0
    for row in history:
        elapsed += row.get("seconds") or 0.0
        row["elapsed"] = elapsed
    return {
        "title": title,
        "folder": str(run.folder),
        "status": run.manifest["status"],
        "recipe": as_plain(run.recipe),
        "note": (run.manifest.get("data") or {}).get("note") or "",
        "test": metrics.get("test") or {},
        "history": history,
        "total": time_facts(metrics, [])["total"] or elapsed,
    }


def _pairs_with(best: int, judged: Sequence[int], runs: Sequence[Run], titles: Sequence[str]) -> list[dict[str, Any]]:
    """The best run against each other one that was tested on the very same images."""
    tests, pairs = {at: read_answers(runs[at].folder) for at in judged}, []
    for at in judged:
        leader, other = tests[best], tests[at]
        if at == best or leader is None or other is None:
            continue
        pair = compare_tests(other, leader)
        if pair and pair["same_images"]:
            pairs.append({"better": titles[best], "other": titles[at], **pair})
    for pair, p in zip(pairs, holm([pair["p"] for pair in pairs]), strict=True):
        pair["p_corrected"] = p
    return pairs


def _sentence(runs: Sequence[Mapping[str, Any]], best: int | None, pairs: Sequence[Mapping[str, Any]]) -> str:
    if best is None:
        return "None of these runs has a test result yet."
    ahead = f"{runs[best]['title']} scores highest: {percent(runs[best]['test']['accuracy'])} of its test images."
    others = sum(1 for run in runs if run["test"]) - 1
    clear = [pair for pair in pairs if verdict_of(pair) == "better"]
    if not pairs or len(pairs) < others:
        return f"{ahead} The runs were not all tested on the same images, so the figures do not settle which is better."
    if len(clear) == len(pairs):
        return f"{ahead} That is a clear lead over every other run."
    return f"{ahead} Its lead over {'the other' if others == 1 else 'some of the others'} could be chance."

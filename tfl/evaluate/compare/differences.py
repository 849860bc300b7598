"""`tfl compare`: what differs between runs in recipe, data, surroundings and result, each against the first. No TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfl.errors import RunError
from tfl.evaluate.compare.changes import input_changes, recipe_differences
from tfl.evaluate.compare.page import run_titles
from tfl.evaluate.compare.paired import Answers, compare_tests, holm, pair_in_words, read_answers, verdict_of
from tfl.evaluate.run_files import optional_json, readable
from tfl.fields import as_plain
from tfl.runs import Run

Figures = dict[tuple[str, str], tuple[float | None, list[float] | None]]
FIGURES = ("accuracy", "macro_f1", "loss", "calibration_error")


def compare_runs(run_folders: Sequence[Path | str]) -> dict[str, Any]:
    """Compares runs with the first of them.

    Args:
        run_folders: Two or more.

    Returns:
        `runs` (`title`, `folder`, `status`, `data`…), `recipe` (fields that differ: `field`, `values`), `changes` (one for each
        run after the first: `title`, and `changed` and `unknown` as of `tfl.evaluate.compare.changes.input_changes`), `figures`
        (`split`, `figure`, `values`, `intervals`), `pairs` (one for each run after the first: `first`, `second`, `sentence`
        and, where both were tested on common images, what `tfl.evaluate.compare.paired.compare_tests` returns, with
        `p_corrected` and `verdict`), and `notes`.

    Raises:
        RunError: Fewer than two runs, or one that cannot be read.
    """
    if len(run_folders) < 2:
        raise RunError(
            "A comparison needs at least two runs.", received=len(run_folders), fix="Name them all: tfl compare RUN RUN"
        )
    runs = [Run.open(folder) for folder in run_folders]
    titles = run_titles(runs)
    facts = [_facts(run, title) for run, title in zip(runs, titles, strict=True)]
    changes = [{"title": title, **input_changes(runs[0], run)} for run, title in zip(runs[1:], titles[1:], strict=True)]
    tests = [read_answers(run.folder) for run in runs]
    return {
        "runs": [fact for fact, _ in facts],
        "recipe": recipe_differences([as_plain(run.recipe) for run in runs]),
        "changes": changes,
        "figures": _rows([figures for _, figures in facts]),
        "pairs": _pairs(titles, tests),
        "notes": _notes(runs, titles),
    }


def _facts(run: Run, title: str) -> tuple[dict[str, Any], Figures]:
    """What is said of a run alone, and its figures."""
    manifest, metrics = run.manifest, optional_json(run, "metrics.json")
    with readable(run, "manifest.json", "metrics.json"):
        data = manifest.get("data") or {}
        facts = {
            "title": title,
            "folder": str(run.folder),
            **{key: manifest.get(key) for key in ("status", "created", "tfl", "precision")},
            "data": {key: data.get(key) for key in ("source", "count", "fingerprint", "hashes")},
            "counts": {split: sum(counts.values()) for split, counts in (data.get("counts") or {}).items()},
            "seconds": (metrics.get("seconds") or {}).get("total"),
        }
        return facts, _figures(metrics)


def _figures(metrics: Mapping[str, Any]) -> Figures:
    """Each figure of test and validation with its 95% interval, by split and name."""
    found: Figures = {}
    for split in ("test", "validation"):
        part = metrics.get(split) or {}
        for name in FIGURES:
            if part.get(name) is not None:
                interval = part.get(f"{name}_interval")
                found[split, name] = float(part[name]), [float(edge) for edge in interval] if interval else None
        if part:
            found[split, "count"] = int(part["count"]), None
    return found


def _rows(figures: Sequence[Figures]) -> list[dict[str, Any]]:
    """A row for each figure that any of the runs has; None where one has it not."""
    rows = []
    for split, name in dict.fromkeys(key for one in figures for key in one):
        cells = [one.get((split, name), (None, None)) for one in figures]
        values, intervals = [value for value, _ in cells], [interval for _, interval in cells]
        rows.append({"split": split, "figure": name, "values": values, "intervals": intervals})
    return rows


def _pairs(titles: Sequence[str], tests: Sequence[Answers | None]) -> list[dict[str, Any]]:
    found = [_pair(tests[0], test) for test in tests[1:]]
    corrected = iter(holm([pair["p"] for pair in found if pair]))
    pairs = []
    for title, test, pair in zip(titles[1:], tests[1:], found, strict=True):
        row: dict[str, Any] = {"first": titles[0], "second": title}
        if pair:
            row |= {**pair, "p_corrected": next(corrected)}
            row["verdict"] = verdict_of(row)
            row["sentence"] = pair_in_words(titles[0], title, row) + _about_images(row)
        else:
            row["sentence"] = _why_not(titles[0], title, tests[0], test)
        pairs.append(row)
    return pairs


def _pair(first: Answers | None, second: Answers | None) -> dict[str, Any] | None:
    return None if first is None or second is None else compare_tests(first, second)


def _about_images(pair: Mapping[str, Any]) -> str:
    if pair["same_images"]:
        return (
            "" if pair["matched_by"] == "content" else " The images were matched by name: older runs did not keep their content."
        )
    words = " Their test images are not the same; this is about those that both have."
    if pair["relabelled"]:
        words += f" {pair['relabelled']} that the two label differently are left out."
    return words


def _why_not(first: str, second: str, one: Answers | None, other: Answers | None) -> str:
    missing = [title for title, test in ((first, one), (second, other)) if test is None]
    if missing:
        return f"Nothing can be said of {second} against {first}: {' and '.join(missing)} has no test result."
    by = "" if one and other and one.contents and other.contents else ", and one of them kept only names"
    return f"Nothing can be said of {second} against {first}: they share no test image{by}. Their figures are about other images."


def _notes(runs: Sequence[Run], titles: Sequence[str]) -> list[str]:
    """What a reader should know before reading figures."""
    notes = [
        f"{title} did not end well ({run.manifest['status']})."
        for run, title in zip(runs, titles, strict=True)
        if run.manifest["status"] != "done"
    ]
    if len(runs) > 2:
        notes.append(f"p is corrected for {len(runs) - 1} comparisons by Holm's method.")
    return notes

"""What differs between runs in recipe, data, surroundings and result: for `tfl compare` and for the page. No TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from tfl.errors import RunError
from tfl.evaluate.compare.changes import input_changes, nouns_of, recipe_differences
from tfl.evaluate.compare.paired import Answers, compare_tests, holm, pair_in_words, read_answers, verdict_of
from tfl.evaluate.run_files import optional_json, readable
from tfl.fields import as_plain
from tfl.recipe import DETECT, HEADS
from tfl.runs import Run
from tfl.tasks.base import Task, task_of_run

Figures = dict[tuple[str, str], tuple[float | None, list[float] | None]]


def compare_runs(run_folders: Sequence[Path | str], *, reference: Literal["first", "best"] = "first") -> dict[str, Any]:
    """Compares runs with one of them.

    Args:
        run_folders: Sequence of paths, at least two run folders.
        reference: String, the run that every other one is tested against: `first`, or `best` for the best test result. Defaults
            to `first`.

    Returns:
        `runs` (`title`, `folder`, `status`, `data`…), `recipe` (fields that differ: `field`, `values`), `changes` (one for each
        run after the first: `title`, and `changed` and `unknown` as of `tfl.evaluate.compare.changes.input_changes`), `figures`
        (`split`, `figure`, `values`, `intervals`), `best` (the position of the best run, or None), `pairs` and `notes`.

        `pairs` has one entry for each run but the reference: `first`, `second` (the reference is the first of the two where it
        is the first run, the second where it is the best), `sentence`, and, where both were tested on common examples, what
        `tfl.evaluate.compare.paired.compare_tests` returns, with `p_corrected` and `verdict`.

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
    figures = [figures for _, figures in facts]
    tests = [read_answers(run.folder) for run in runs]
    best = _best(runs, figures)
    at = None if _of_boxes(runs) else best if reference == "best" else 0
    nouns = nouns_of(runs[0]) if len({run.recipe.data.kind for run in runs}) == 1 else ("example", "examples")
    return {
        "runs": [fact for fact, _ in facts],
        "recipe": recipe_differences([as_plain(run.recipe) for run in runs]),
        "changes": changes,
        "nouns": list(nouns),
        "figures": _rows(figures),
        "best": best,
        "pairs": _pairs(titles, tests, at, last=reference == "best", nouns=nouns),
        "notes": _notes(runs, titles),
    }


def _of_boxes(runs: Sequence[Run]) -> bool:
    return any(run.recipe.task == DETECT for run in runs)


def run_titles(runs: Sequence[Run]) -> list[str]:
    """The folders' own names, with as many parents as it takes to tell them apart."""
    parts = [run.folder.absolute().parts for run in runs]
    for depth in range(1, max(map(len, parts)) + 1):
        titles = ["/".join(part[-depth:]) for part in parts]
        if len(set(titles)) == len(titles):
            return titles
    return [f"{'/'.join(part[-2:])} ({at})" for at, part in enumerate(parts, start=1)]


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
        return facts, _figures(metrics, task_of_run(run))


def _figures(metrics: Mapping[str, Any], task: Task) -> Figures:
    """Each figure of test and validation with its 95% interval, by split and name."""
    found: Figures = {}
    for split in ("test", "validation"):
        part = metrics.get(split) or {}
        for name in task.figures:
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


def _best(runs: Sequence[Run], figures: Sequence[Figures]) -> int | None:
    """The position of the run with the best test result by the task's own metric; None if none has one or the tasks differ."""
    if len({run.recipe.task for run in runs}) > 1:
        return None
    task = task_of_run(runs[0])
    if task.name == HEADS:  # no one figure says which is best
        return None
    name, sign = task.default_metric.removeprefix("val_"), 1 if task.metrics[task.default_metric] else -1
    scores = {at: one["test", name][0] for at, one in enumerate(figures) if ("test", name) in one}
    known = {at: sign * score for at, score in scores.items() if score is not None}
    return max(known, key=lambda at: known[at], default=None)


def _pairs(
    titles: Sequence[str], tests: Sequence[Answers | None], at: int | None, *, last: bool, nouns: tuple[str, str]
) -> list[dict[str, Any]]:
    """The run at `at` with each other one; as the second of the two where `last`."""
    if at is None:
        return []
    orders = [(other, at) if last else (at, other) for other in range(len(titles)) if other != at]
    found = [_pair(tests[first], tests[second]) for first, second in orders]
    corrected = iter(holm([pair["p"] for pair in found if pair]))
    pairs = []
    for (first, second), pair in zip(orders, found, strict=True):
        row: dict[str, Any] = {"first": titles[first], "second": titles[second]}
        if pair:
            row |= {**pair, "p_corrected": next(corrected)}
            row["verdict"] = verdict_of(row)
            row["sentence"] = pair_in_words(titles[first], titles[second], row, nouns=nouns) + _about_examples(row, nouns[1])
        else:
            row["sentence"] = _why_not(titles[first], titles[second], tests[first], tests[second], nouns)
        pairs.append(row)
    return pairs


def _pair(first: Answers | None, second: Answers | None) -> dict[str, Any] | None:
    return None if first is None or second is None else compare_tests(first, second)


def _about_examples(pair: Mapping[str, Any], nouns: str) -> str:
    if pair["same_examples"]:
        by_name = f" The {nouns} were matched by name: older runs did not keep their content."
        return "" if pair["matched_by"] == "content" else by_name
    words = f" Their test {nouns} are not the same; this is about those that both have."
    if pair["relabelled"]:
        words += f" {pair['relabelled']} that the two label differently are left out."
    return words


def _why_not(first: str, second: str, one: Answers | None, other: Answers | None, nouns: tuple[str, str]) -> str:
    missing = [title for title, test in ((first, one), (second, other)) if test is None]
    start = f"Nothing can be said of {second} against {first}:"
    if one is None or other is None:
        return f"{start} {' and '.join(missing)} has no test result."
    if one.task != other.task:
        return f"{start} they predict different things, {one.task} and {other.task}."
    if one.task == HEADS:
        return f"{start} they predict several targets, and pairs are compared by one. Their figures stand above."
    by = "" if one.contents and other.contents else ", and one of them kept only names"
    return f"{start} they share no test {nouns[0]}{by}. Their figures are about other {nouns[1]}."


def _notes(runs: Sequence[Run], titles: Sequence[str]) -> list[str]:
    """What a reader should know before reading figures."""
    notes = [
        f"{title} did not end well ({run.manifest['status']})."
        for run, title in zip(runs, titles, strict=True)
        if run.manifest["status"] != "done"
    ]
    if _of_boxes(runs):
        notes.append(
            "Average precision is of all test examples together: runs that find boxes are compared by their figures alone."
        )
    elif len(runs) > 2:
        notes.append(f"p is corrected for {len(runs) - 1} comparisons by Holm's method.")
    return notes

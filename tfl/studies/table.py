"""What a study came to, as plain data: its rows, its columns, every run, and the table with means, intervals and marks."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfl.data.listing import read_listing
from tfl.errors import RunError
from tfl.evaluate.compare.paired import Answers, read_answers
from tfl.modalities.base import NOUNS
from tfl.recipe import OF_NUMBERS
from tfl.runs import Run
from tfl.studies.axes import Axes
from tfl.studies.cells import Cell, Column, Row, cells_of, columns_of, rows_of
from tfl.studies.compare import Scores, mark_column
from tfl.studies.folder import StudyFolder
from tfl.tuning.confirm import t_interval

METRICS = {"classify": "accuracy", "multilabel": "all labels right"}
"""What the score of a test is, by task; for numbers it is the mean absolute error."""
ERROR = "mean absolute error"
NOT_RUN = "not run"
_STATUSES = ("failed", "unavailable", NOT_RUN)


def collect_study(folder: StudyFolder, axes: Axes, outcomes: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    """The results of a study, from the run folders of its cells.

    Args:
        folder: `StudyFolder`.
        axes: `Axes` of the study.
        outcomes: Mapping from the key of a cell that has no result to its `status` and `reason`.

    Returns:
        Dictionary with `rows`, `columns`, `table` (one cell for each row and column) and `cells` (one for each seed as well).

    Raises:
        RunError: A file of a finished run is damaged.
    """
    rows, columns, cells = rows_of(axes), columns_of(axes), cells_of(axes)
    found = {cell.key: _result(folder.run(cell.key), outcomes.get(cell.key)) for cell in cells}
    tests: dict[Column, dict[Row, dict[int, Scores]]] = defaultdict(lambda: defaultdict(dict))
    for cell in cells:
        if (test := found[cell.key][1]) is not None:
            tests[cell.column][cell.row][cell.number] = test
    runs = [_run_of(cell, rows, columns, found[cell.key][0]) for cell in cells]
    described = [
        _column(axes, column, tests[column], [run for run in runs if run["column"] == at]) for at, column in enumerate(columns)
    ]
    return {
        "rows": [{"title": row.title, "network": row.network, "strategy": row.strategy, "blocks": row.blocks} for row in rows],
        "columns": described,
        "table": tabulate(
            runs, described, [{rows.index(row): found for row, found in tests[column].items()} for column in columns]
        ),
        "cells": runs,
    }


def tabulate(
    runs: Sequence[Mapping[str, Any]], columns: Sequence[Mapping[str, Any]], tests: Sequence[Mapping[int, Mapping[int, Scores]]]
) -> list[dict[str, Any]]:
    """The cells of the table, with means over seeds, intervals and marks.

    Args:
        runs: Sequence of dictionaries, one for each cell and seed.
        columns: Sequence of dictionaries with `lower_is_better` and `is_share`.
        tests: For each column its tests, by row and by seed.
    """
    marks = [mark_column(found, lower_is_better=column["lower_is_better"]) for column, found in zip(columns, tests, strict=True)]
    grouped: dict[tuple[int, int], list[Mapping[str, Any]]] = defaultdict(list)
    for run in runs:
        grouped[(run["row"], run["column"])].append(run)
    nothing = {"mark": None, "behind": None, "p": None, "p_corrected": None}
    return [
        {"row": row, "column": column, **_summary(group, columns[column]), **marks[column].get(row, nothing)}
        for (row, column), group in sorted(grouped.items())
    ]


def _summary(group: Sequence[Mapping[str, Any]], column: Mapping[str, Any]) -> dict[str, Any]:
    """The mean of a cell over its seeds; one of which nothing is done says why."""
    done = [run for run in group if run["status"] == "done"]
    scores = [run["score"] for run in done]
    interval = t_interval(scores)
    if interval is not None:
        interval = [max(0.0, interval[0]), min(1.0, interval[1]) if column["is_share"] else interval[1]]
    left = next((run for status in _STATUSES for run in group if run["status"] == status), None)
    return {
        "status": "done" if done else left["status"] if left else NOT_RUN,
        "reason": left["reason"] if left else "",
        "scores": scores,
        "mean": statistics.fmean(scores) if scores else None,
        "interval": interval,
        "seeds": len(done),
        "of_seeds": len(group),
        **{name: _mean_of(done, name) for name in ("train_seconds", "feature_seconds")},
        "parameters": max((run["parameters"] for run in done if run["parameters"] is not None), default=None),
    }


def _mean_of(runs: Sequence[Mapping[str, Any]], name: str) -> float | None:
    values = [run[name] for run in runs if run[name] is not None]
    return statistics.fmean(values) if values else None


def _column(
    axes: Axes, column: Column, tests: Mapping[Row, Mapping[int, Scores]], runs: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    recipe = next(source.recipe for source in axes.sources if source.name == column.data)
    sizes = sorted({len(test.values) for by_seed in tests.values() for test in by_seed.values()})
    data: dict[int, set[str]] = defaultdict(set)
    for run in runs:
        if run["data"] is not None:
            data[run["seed"]].add(run["data"])
    return {
        "title": column.title,
        "data": column.data,
        "train_per_class": column.train_per_class or recipe.data.train_per_class,
        "task": recipe.task,
        "metric": METRICS.get(recipe.task, ERROR),
        "is_share": recipe.task not in OF_NUMBERS,
        "lower_is_better": recipe.task in OF_NUMBERS,
        "nouns": NOUNS[recipe.data.kind][1],
        "test_examples": sizes,
        "train_examples": sorted({run["train_examples"] for run in runs if run["train_examples"] is not None}),
        "seeds_compared": max((len(by_seed) for by_seed in tests.values()), default=0),
        "data_changed": any(len(prints) > 1 for prints in data.values()),
    }


def _run_of(cell: Cell, rows: Sequence[Row], columns: Sequence[Column], result: Mapping[str, Any]) -> dict[str, Any]:
    place = {"row": rows.index(cell.row), "column": columns.index(cell.column), "seed": cell.recipe.seed}
    return {**place, "run": f"cells/{cell.key}", **result}


_UNKNOWN: dict[str, Any] = dict.fromkeys(
    ("score", "train_seconds", "feature_seconds", "parameters", "train_examples", "test_examples", "data")
)


def _result(run: Run, outcome: Mapping[str, str] | None) -> tuple[dict[str, Any], Scores | None]:
    """What a run came to, and its test; where it has no result, why."""
    test = read_scores(run) if is_done(run) else None
    if test is None:
        about = dict(outcome or {"status": NOT_RUN, "reason": ""})
        return {"status": about["status"], "reason": about["reason"], **_UNKNOWN}, None
    seconds, data, recipe = run.read_json("metrics.json")["seconds"], run.manifest.get("data", {}), run.recipe
    stages = [stage.name for stage in recipe.fixed_stages]
    last = run.read_json("plans.json")[stages[-1]]
    return {
        "status": "done",
        "reason": "",
        "score": test.mean,
        "train_seconds": sum(seconds.get(name, 0.0) for name in ("choice", *stages)),
        "feature_seconds": 0.0 if "features" in stages else seconds.get("features", 0.0),  # a stage of that name has both
        "parameters": sum(row.get("trained", row["parameters"]) for row in last["rows"] if row["trainable"]),
        "train_examples": sum(one.split == "train" for one in read_listing(run.folder) or ()),
        "test_examples": len(test.values),
        "data": data.get("fingerprint"),
    }, test


def is_done(run: Run) -> bool:
    """Whether the run of a cell came to its end."""
    return run.path("manifest.json").is_file() and run.path("metrics.json").is_file() and run.manifest["status"] == "done"


def read_scores(run: Run) -> Scores:
    """The test of a finished run.

    Raises:
        RunError: It has no test, or its files are damaged.
    """
    answers = read_answers(run.folder)
    if answers is None:
        raise RunError(f"{run.folder} has no test examples.", fix="Give the recipe a share of them: data.test.")
    return scores_of(answers)


def scores_of(answers: Answers) -> Scores:
    """The test of a run: whether each example was answered right, or how far off, and its content."""
    values = answers.errors if answers.task in OF_NUMBERS else answers.right
    contents = answers.contents if answers.contents is not None else answers.predictions.files
    return Scores(contents=contents, values=np.asarray(values, np.float64))

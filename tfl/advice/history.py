"""Advice beside what came of it: the expected accuracy and that of the runs on the same data. No TensorFlow."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfl.errors import RunError
from tfl.runs import Run

ADVICE = "advice.json"
_DECIDE = ("backbone", "head", "stages")
"""Fields of a recipe by which a run is known to follow the advice."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A run on the data of some advice.

    Args:
        advice: String, the folder of the advice.
        source: String, the data.
        run: String, the run folder.
        followed: Bool, whether the run has the network, the head and the stages that were advised.
        metric: String, `accuracy` or `balanced accuracy`.
        expected, low, high: Floats, the advised option's accuracy, and its 90% interval.
        found: Float, the run's accuracy on its test examples.
        count: Int, the number of test examples.
    """

    advice: str
    source: str
    run: str
    followed: bool
    metric: str
    expected: float
    low: float
    high: float
    found: float
    count: int

    @property
    def inside(self) -> bool:
        """Whether the outcome is within the interval."""
        return self.low <= self.found <= self.high


def history(runs: Path, *, source: str | None = None) -> list[Outcome]:
    """Advice and finished runs below a folder that have the same data, by their fingerprint; the oldest advice first.

    Args:
        runs: Path, the folder, such as `runs`.
        source: String, only advice for this source. Defaults to None: all.

    Raises:
        RunError: Advice is damaged.

    Example:

    >>> import tempfile
    >>> from pathlib import Path
    >>> from tfl.advice.history import history
    >>> history(Path(tempfile.mkdtemp()))
    []
    """
    finished = list(_finished(runs))
    found = []
    for file in sorted(runs.rglob(ADVICE), key=lambda file: file.stat().st_mtime):
        advice = _read(file)
        if source is not None and advice["source"] != source:
            continue
        expected = next(option for option in advice["options"] if option["recommended"])["expected"]
        for run, metrics in finished:
            if run.manifest["data"].get("fingerprint") != advice["fingerprint"]:
                continue
            found.append(
                Outcome(
                    advice=str(file.parent),
                    source=advice["source"],
                    run=str(run.folder),
                    followed=_followed(run, advice["recipe"]),
                    metric=advice["metric"],
                    expected=expected["mean"],
                    low=expected["low"],
                    high=expected["high"],
                    found=_value(metrics["test"], advice["metric"]),
                    count=metrics["test"]["count"],
                )
            )
    return found


def _finished(runs: Path) -> Iterator[tuple[Run, dict[str, Any]]]:
    for file in sorted(runs.rglob("metrics.json")):
        if not file.with_name("manifest.json").is_file():
            continue
        run = Run(file.parent)
        if run.manifest.get("status") == "done" and run.recipe.task == "classify":
            yield run, run.read_json("metrics.json")


def _read(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        missing = [key for key in ("source", "options", "fingerprint", "metric", "recipe") if key not in document]
    except (ValueError, TypeError) as error:
        raise RunError(f"{file} is damaged: {error}.", fix="Delete it.") from error
    if missing:
        raise RunError(f"{file} is damaged: it has no {missing[0]}.", fix="Delete it.")
    return dict(document)


def _followed(run: Run, advised: Mapping[str, Any]) -> bool:
    ran = json.loads(run.asked.to_json())
    return all(ran[name] == advised[name] for name in _DECIDE)


def _value(test: Mapping[str, Any], metric: str) -> float:
    if metric == "accuracy":
        return float(test["accuracy"])
    return statistics.mean(row["recall"] for row in test["per_class"].values())

"""The report's section on several targets: the figures of each, of its classes, labels or numbers, and what is fitted of it."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from tfl.evaluate.figures import Figure
from tfl.evaluate.predictions import Predictions, known_rows
from tfl.evaluate.report import charts
from tfl.evaluate.report.alone import alone_facts
from tfl.evaluate.report.confidence import confidence_facts
from tfl.evaluate.report.sections import Section, rows_of_task
from tfl.recipe import TASK_OF_KIND
from tfl.tasks.base import task_of

_MOST_ROWS = 40
_CHARTS = {
    "confusion": "Confusion matrix: rows are what is true, columns what was predicted.",
    "precision_recall": "Precision over recall at every threshold, one line for each of the most frequent labels.",
    "scatter_0": "Predicted over true; on the dashed line a prediction is right.",
    "residuals_0": "Predicted minus true over predicted.",
}
"""The figures of one target that are shown, and what they show."""


def section(metrics: Mapping[str, Any], test: Predictions) -> Section:
    """What the report says of a run that predicts several targets.

    Args:
        metrics: `metrics.json`.
        test: The predictions on the test split.

    Returns:
        Facts: `targets`, one for each with `name`, `kind`, `sentence`, `figures`, `columns` and `rows` of its classes, labels or
        numbers, `said` (what is fitted of it) and `charts`; `alone`, each trained alone beside them together; `weights`, what
        their losses came to count. Figures by target and name.
    """
    figures: dict[str, Figure] = {}
    facts = []
    for name in metrics["test"]["targets"]:
        found, drawn = _target(metrics, test, name)
        figures |= drawn
        facts.append(found)
    weights = [f"{name} {value:.3g}" for name, value in (metrics.get("loss_weights") or {}).items()]
    return Section(facts={"targets": facts, "alone": alone_facts(metrics), "weights": weights}, figures=figures)


def _target(metrics: Mapping[str, Any], test: Predictions, name: str) -> tuple[dict[str, Any], dict[str, Figure]]:
    of_split = {split: (metrics.get(split) or {}).get("targets", {}).get(name, {}) for split in ("test", "validation")}
    own, confidence = of_split["test"], _confidence(metrics, name)
    task = task_of(own["task"])
    drawn = _figures({**of_split, "confidence": confidence}, test, name)
    said = confidence_facts({"confidence": confidence}) if confidence else {}
    rows = list(own[task.each].items())[:_MOST_ROWS]
    return {
        "name": name,
        "kind": next(kind for kind, one in TASK_OF_KIND.items() if one == task.name),
        "count": own["count"],
        "sentence": task.sentence(own, noun="example", nouns="examples"),
        "figures": rows_of_task(task, of_split),
        "columns": list(task.columns),
        "rows": [{"name": one, "values": [figures.get(column) for column in task.columns]} for one, figures in rows],
        "more": len(own[task.each]) - len(rows),
        "said": [words for key, words in said.items() if key.endswith("_sentence") and not key.startswith("out_of") and words],
        "charts": [{"figure": f"{name}_{key}", "says": _CHARTS[key]} for key in _CHARTS if f"{name}_{key}" in drawn],
    }, drawn


def _figures(own: Mapping[str, Any], test: Predictions, name: str) -> dict[str, Figure]:
    """The figures that the target has where it is the only one, of the examples that have it."""
    task = own["test"]["task"]
    if task == "classify":
        found: Mapping[str, Any] = {"confusion": charts.confusion(own["test"])}
    else:
        module: Any = importlib.import_module(f"tfl.evaluate.report.sections.{task}")
        found = module.section(own, known_rows(test.parts[name])).figures
    return {f"{name}_{key}": figure for key, figure in found.items() if figure and key in _CHARTS}


def _confidence(metrics: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What was fitted of one target, with what is said of all examples, as of a run on that target alone."""
    figures, start = metrics.get("confidence") or {}, f"{name}."
    own = {part.removeprefix(start): rows for part, rows in figures.items() if part.startswith(start)}
    return {**own, "out_of_distribution": figures["out_of_distribution"]} if own else {}

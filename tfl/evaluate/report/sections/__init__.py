"""What the report says of one task: a module and a template for each, found by the name of the task. No TensorFlow."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tfl.evaluate.metric_names import as_title, metric_words
from tfl.evaluate.predictions import NAME, read_predictions
from tfl.recipe import DETECT, HEADS
from tfl.tasks.base import Task, task_of

if TYPE_CHECKING:
    from tfl.evaluate.figures import Figure
    from tfl.runs import Run

_NAMES = {
    "accuracy": "Right labels",
    "subset_accuracy": "Examples with all labels right",
    "loss": "Log loss",
    "spearman": "Rank correlation",
    "perplexity": "Perplexity for each byte",
    "bits_per_byte": "Bits for each byte",
}
"""What figures are called here instead of by `tfl.evaluate.metric_names`."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """What a task adds to the report.

    Args:
        facts: Plain data, for `report.json` and the template.
        figures: Plotly figures by name.
    """

    facts: Mapping[str, Any]
    figures: Mapping[str, Figure] = field(default_factory=dict)


def section_of(run: Run, name: str, metrics: Mapping[str, Any]) -> Section:
    """The section of the task called `name`; empty where the run has no test result, and for classes, which need none.

    Raises:
        RunError: A file of the run is damaged.
    """
    if name == "classify" or "test" not in metrics or not run.path(NAME).is_file():
        return Section(facts={})
    module: Any = importlib.import_module(f"{__name__}.{name}")
    if name == DETECT:
        from tfl.evaluate.boxes import read_boxes

        made: Section = module.section(metrics, read_boxes(run.folder, list(metrics["test"]["per_kind"]))["test"])
    else:
        made = module.section(metrics, read_predictions(run.folder)["test"])
    facts = {"name": name, "figures": overall_rows(name, metrics), **made.facts}
    return Section(facts=facts, figures={key: figure for key, figure in made.figures.items() if figure})


def overall_rows(name: str, metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The overall figures: `name`, `value` and `interval` on the test split, and `validation`; of several targets one each."""
    if name == HEADS:
        rows = []
        for target, own in metrics["test"]["targets"].items():
            of_split = {split: (metrics.get(split) or {}).get("targets", {}).get(target, {}) for split in ("test", "validation")}
            first = rows_of_task(task_of(own["task"]), of_split)[0]
            rows.append(
                {**first, "key": f"{target}_{first['key']}", "name": f"{target}: {first['name'][0].lower()}{first['name'][1:]}"}
            )
        return rows
    return rows_of_task(task_of(name), metrics)


def rows_of_task(task: Task, metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for each figure of a task of one target."""
    test, validation = metrics["test"], metrics.get("validation") or {}
    words = {"accuracy": "Accuracy"} if task.name == "classify" else {}
    return [
        {
            "key": key,
            "name": {**_NAMES, **words}.get(key, as_title(metric_words(key))),
            "value": test.get(key),
            "interval": test.get(f"{key}_interval"),
            "validation": validation.get(key),
        }
        for key in task.figures
    ]

"""The report's section on boxes: average precision class by class, precision over recall, and test images with boxes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfl.evaluate.boxes import FoundBoxes
from tfl.evaluate.figures import AXIS, Figure, layout_of, titled
from tfl.evaluate.report.sections import Section
from tfl.modalities.image.boxes import COLOURS
from tfl.tasks.box_metrics import RECALLS, matched_at, precision_at_recalls
from tfl.tasks.detect import SHOWN

_CURVES = 8


def section(metrics: Mapping[str, Any], test: FoundBoxes) -> Section:
    """What the report says of a run that finds boxes.

    Args:
        metrics: `metrics.json`, and under `drawn` the document `boxes.json`.
        test: The boxes of the test images.

    Returns:
        Facts: `rows`, one for each class, `shown`, the counts at the score from which on detections are shown, and `drawn`.
        Figures: `precision_recall` at an overlap of 0.5.
    """
    names = list(metrics["test"]["per_kind"])
    rows = [
        {"name": name, "colour": COLOURS[at % len(COLOURS)], **metrics["test"]["per_kind"][name]} for at, name in enumerate(names)
    ]
    return Section(
        facts={"rows": rows, "shown": _at_score(test), "drawn": metrics.get("drawn") or {}},
        figures={"precision_recall": _curves(test, names)},
    )


def _at_score(test: FoundBoxes) -> dict[str, Any]:
    """How many detections have the score from which on they are shown, and how many of them are right."""
    found = [one.from_score(SHOWN) for one in test.found]
    right = sum(matched_at(true, one) for true, one in zip(test.truths, found, strict=True))
    return {
        "score": SHOWN,
        "true": sum(len(one.classes) for one in test.truths),
        "found": sum(len(one.classes) for one in found),
        "right": right,
    }


def _curves(test: FoundBoxes, names: list[str]) -> Figure:
    lines = []
    for at, name in enumerate(names[:_CURVES]):
        precision = precision_at_recalls(test.truths, test.found, at)
        if precision is not None:
            lines.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    "name": name,
                    "x": RECALLS.tolist(),
                    "y": precision.tolist(),
                    "line": {"color": COLOURS[at % len(COLOURS)], "width": 2},
                    "hovertemplate": "recall %{x:.2f}, precision %{y:.2f}<extra>%{fullData.name}</extra>",
                }
            )
    layout = layout_of(
        xaxis={**AXIS, **titled("recall"), "range": [0, 1.01]},
        yaxis={**AXIS, **titled("precision"), "range": [0, 1.02]},
        margin={"l": 10, "r": 28, "t": 10, "b": 10},
        legend={"orientation": "h", "y": 1.12},
    )
    return {"data": lines, "layout": layout, "height": 420}

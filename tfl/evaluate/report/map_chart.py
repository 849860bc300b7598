"""The map of a report: test and validation examples in two dimensions, coloured by label, mistakes marked. No TensorFlow."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tfl.evaluate.figures import AXIS, CLASS_COLOURS, COLOURS, Figure, layout_of, shortened
from tfl.evaluate.predictions import Predictions
from tfl.evaluate.report.verdicts import groups_of, verdict
from tfl.recipe import HEADS, OF_NUMBERS

_SPLITS = {"test": "test", "val": "validation"}
_LONGEST = 60


def map_points(projection: Mapping[str, Any], predictions: Mapping[str, Predictions]) -> list[dict[str, Any]]:
    """The points of the map: each `x`, `y`, `split`, `file`, `label`, `predicted`, `right` (None of numbers) and `group`.

    Args:
        projection: What `tfl.evaluate.projection` kept.
        predictions: By split, of the same run. Examples of which there is no prediction are left out.
    """
    points: list[dict[str, Any]] = []
    for split, places in projection.get("splits", {}).items():
        found = predictions.get(split)
        if found is None or split not in _SPLITS:
            continue
        at = {int(index): row for row, index in enumerate(found.indices)}
        groups = _groups(found)
        for index, x, y in zip(places["index"], places["x"], places["y"], strict=True):
            if (row := at.get(index)) is None:
                continue
            said = verdict(found.task, found.class_names, found.outputs[row], found.targets[row])
            point = {"x": x, "y": y, "split": split, "file": found.files[row], "group": groups[row] or said["label"]}
            points.append({**point, "label": said["label"], "predicted": said["predicted"], "right": said["right"]})
    return points


def _groups(found: Predictions) -> list[str]:
    """What each example is coloured by, where that is not its label: the range that its first number is in."""
    groups = [""] * len(found.files)
    if found.task.name in (*OF_NUMBERS, HEADS):
        for name, inside in groups_of(found.task, found.class_names, found.targets):
            for row in np.flatnonzero(inside).tolist():
                groups[row] = name
    return groups


def examples_map(points: Sequence[Mapping[str, Any]]) -> Figure | None:
    """The map: a colour for each label, filled points of the test split and hollow ones of the validation split, a ring around
    each mistake. Of more labels than colours, those with the most mistakes are told apart.

    Args:
        points: Of `map_points`.
    """
    if not points:
        return None
    named = _named(points)
    others = {point["group"] for point in points} - set(named)
    traces = []
    for name, colour in [*zip(named, CLASS_COLOURS, strict=False), *([(None, COLOURS["muted"])] if others else [])]:
        inside = [point for point in points if (point["group"] == name if name is not None else point["group"] in others)]
        title = f"{len(others)} other labels" if name is None else shortened(name, 28)
        for split in _SPLITS:
            traces.append(_points([one for one in inside if one["split"] == split], split, title, colour))
    shown: set[str] = set()
    for trace in traces:  # one entry of the legend for each label
        trace["showlegend"] = bool(trace["x"]) and trace["legendgroup"] not in shown
        shown |= {trace["legendgroup"]} if trace["x"] else set()
    mistakes = [point for point in points if point["right"] is False]
    if mistakes:
        traces.append(_rings(mistakes))
    bare = {**AXIS, "showgrid": False, "showticklabels": False, "showline": False, "range": [-1.08, 1.08]}
    layout = layout_of(
        xaxis=bare,
        yaxis=bare,
        legend={"orientation": "h", "y": -0.02, "yanchor": "top", "x": 0, "font": {"color": COLOURS["ink"]}},
        margin={"l": 6, "r": 6, "t": 6, "b": 6},
        hovermode="closest",
    )
    rows = 1 + len([trace for trace in traces if trace["showlegend"]]) // 4
    return {"data": [trace for trace in traces if trace["x"]], "layout": layout, "height": 540 + 22 * rows}


def _named(points: Sequence[Mapping[str, Any]]) -> list[str]:
    """The labels that get a colour, in their order: all, or those with the most mistakes and then the most examples."""
    counts = Counter(str(point["group"]) for point in points)
    wrong = Counter(str(point["group"]) for point in points if point["right"] is False)
    order = list(dict.fromkeys(str(point["group"]) for point in points))
    if points[0]["right"] is not None:
        order.sort()
    if len(counts) <= len(CLASS_COLOURS):
        return order
    chosen = sorted(counts, key=lambda name: (-wrong[name], -counts[name], name))[: len(CLASS_COLOURS)]
    return [name for name in order if name in chosen]


def _points(points: Sequence[Mapping[str, Any]], split: str, title: str, colour: str) -> dict[str, Any]:
    test = split == "test"
    marker: dict[str, Any] = {"color": colour, "size": 8 if test else 7, "opacity": 0.85}
    marker["symbol"] = "circle" if test else "circle-open"
    if not test:
        marker["line"] = {"width": 1.5}
    return {
        "type": "scatter",
        "mode": "markers",
        "name": html.escape(title),
        "legendgroup": html.escape(title),
        "x": [point["x"] for point in points],
        "y": [point["y"] for point in points],
        "marker": marker,
        "text": [_told(point) for point in points],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _rings(mistakes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "mistake",
        "legendgroup": " mistake",
        "showlegend": True,
        "x": [point["x"] for point in mistakes],
        "y": [point["y"] for point in mistakes],
        "marker": {"symbol": "circle-open", "size": 13, "color": COLOURS["ink"], "line": {"width": 1.3}},
        "hoverinfo": "skip",
    }


def _told(point: Mapping[str, Any]) -> str:
    """What is shown of a point: its file, its label and the prediction."""
    file = str(point["file"])
    file = file if len(file) <= _LONGEST else f"…{file[1 - _LONGEST :]}"
    lines = [file, f"is {point['label']}", f"predicted {point['predicted']}", f"{_SPLITS[point['split']]} example"]
    return "<br>".join(html.escape(shortened(line, 2 * _LONGEST)) for line in lines)

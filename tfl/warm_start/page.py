"""The page of `tfl warm`: accuracy on old and new rows by step, for each model. Made of the document alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfl.evaluate.figures import AXIS, COLOURS, Figure, layout_of, titled
from tfl.evaluate.render import render
from tfl.storage import write_atomically

TITLES = {
    "logistic": "logistic regression",
    "svm": "linear SVM",
    "boosting": "gradient boosting",
    "net": "small network",
}
WAYS = {
    "old": "old rows alone",
    "new": "new rows alone",
    "both": "both together",
    "warm": "warm start",
    "replay": "warm start with replay",
    "ewc": "warm start with EWC",
}
_DASHES = {"warm": "solid", "replay": "dot", "ewc": "dash"}
_SIDES = {"old": COLOURS["cool"], "new": COLOURS["bad"]}


def write_warm_page(document: Mapping[str, Any], path: Path) -> Path:
    """Writes one file that opens offline.

    Args:
        document: The contents of `warm.json`.
        path: Where to.
    """
    models = list(dict.fromkeys(row["model"] for row in document["rows"]))
    figures = {f"curve-{model}": curve([row for row in document["rows"] if row["model"] == model]) for model in models}
    page = render(
        "warm.html.j2",
        warm=document,
        models=models,
        titles=TITLES,
        ways=WAYS,
        figures=figures,
        stops=[_key(row) for row in document["stops"]],
        key=_key,
        headline=headline(document),
        forgotten=forgotten(document),
    )
    return write_atomically(path, page)


def _key(row: Mapping[str, Any]) -> str:
    return f"{row['model']} {row['way']} {row['step']}"


def forgotten(document: Mapping[str, Any]) -> float:
    """By how much the chosen model is worse on old test rows than the same model of old rows alone; below 0 where better."""
    chosen = document["chosen"]
    before = next(row for row in document["rows"] if row["model"] == chosen["model"] and row["way"] == "old")
    return float(before["test"]["old"] - chosen["test"]["old"])


def headline(document: Mapping[str, Any]) -> str:
    """What was chosen, as a sentence.

    Example:

    >>> from tfl.warm_start.page import headline
    >>> headline({"chosen": {"model": "net", "way": "ewc", "step": 4}})
    'Small network, warm start with EWC, 4 steps'
    """
    chosen = document["chosen"]
    model = TITLES[chosen["model"]]
    model = model[0].upper() + model[1:]
    if not chosen["step"]:
        return f"{model} of old rows alone: no step on new rows was better"
    return f"{model}, {WAYS[chosen['way']]}, {chosen['step']} step{'s' if chosen['step'] > 1 else ''}"


def curve(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Test accuracy on old and new rows by step, a line for each way, and both together as a level."""
    before = next(row for row in rows if row["way"] == "old")
    ways = [way for way in _DASHES if any(row["way"] == way for row in rows)]
    steps = sorted({row["step"] for row in rows})
    data = []
    for way in ways:
        points = [before, *(row for row in rows if row["way"] == way)]
        for side, colour in _SIDES.items():
            data.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": f"{WAYS[way]}, {side} rows",
                    "x": [steps.index(row["step"]) for row in points],
                    "y": [row["test"][side] for row in points],
                    "line": {"color": colour, "width": 2, "dash": _DASHES[way]},
                    "marker": {"size": 6},
                    "hovertemplate": f"{WAYS[way]}, {side} rows: %{{y:.1%}}<extra></extra>",
                }
            )
    together = next(row for row in rows if row["way"] == "both")
    for side, colour in _SIDES.items():
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"both together, {side} rows",
                "x": [0, len(steps) - 1],
                "y": [together["test"][side]] * 2,
                "line": {"color": colour, "width": 1, "dash": "dashdot"},
                "hovertemplate": f"both together, {side} rows: %{{y:.1%}}<extra></extra>",
            }
        )
    ticks = {"tickmode": "array", "tickvals": list(range(len(steps))), "ticktext": [str(step) for step in steps]}
    layout = layout_of(
        xaxis={**AXIS, **titled("steps on new rows"), **ticks, "showgrid": False},
        yaxis={**AXIS, **titled("accuracy on test rows"), "tickformat": ".0%"},
        legend={"orientation": "h", "y": -0.22, "x": 0, "font": {"color": COLOURS["ink"]}},
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        hovermode="x unified",
    )
    return {"data": data, "layout": layout, "height": 420}

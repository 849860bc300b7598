"""The charts of a study's page: learning curves, and score against time. Plain Plotly figures."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tfl.evaluate.figures import AXIS, CLASS_COLOURS, COLOURS, Figure, layout_of, titled

_LEGEND = {"orientation": "h", "y": -0.24, "x": 0, "font": {"color": COLOURS["ink"]}, "groupclick": "togglegroup"}
_MARGIN = {"l": 10, "r": 10, "t": 10, "b": 10}
_DASHES, _SYMBOLS = ("solid", "dash", "dot", "dashdot"), ("circle", "square", "diamond", "cross")
_BY_FACTORS = 8
"""An axis is logarithmic where its largest value is so many times its smallest one."""


def curve_chart(document: Mapping[str, Any], data: str) -> Figure | None:
    """The mean score of each row over the number of training examples, with its interval as a band; None for one number.

    Args:
        document: Dictionary, the contents of `study.json`.
        data: String, the name of the data set.
    """
    columns = _columns(document, data)
    per_class = all(column["train_per_class"] for _, column in columns)
    places = {at: _place(column, per_class=per_class) for at, column in columns}
    rows = {row: [cell for cell in cells if places[cell["column"]]] for row, cells in _scored(document, data).items()}
    if len({place for place in places.values() if place}) < 2 or not any(rows.values()):
        return None
    traces = []
    for row, cells in rows.items():
        ordered = sorted(cells, key=lambda cell: places[cell["column"]] or 0)
        traces += _curve(document, row, ordered, [places[cell["column"]] for cell in ordered])
    ticks = sorted({place for place in places.values() if place})
    title = "training examples of each class" if per_class else "training examples"
    layout = layout_of(
        xaxis={
            **AXIS,
            **titled(title),
            **_scale(ticks),
            "tickmode": "array",
            "tickvals": ticks,
            "ticktext": [f"{tick:,}" for tick in ticks],
        },
        yaxis=_score_axis(document, data),
        legend=_LEGEND,
        margin=_MARGIN,
    )
    return {"data": traces, "layout": layout, "height": 440}


def time_chart(document: Mapping[str, Any], data: str) -> Figure | None:
    """The mean score of each cell over its mean seconds of training; the more training examples, the larger the dot.

    Args:
        document: Dictionary, the contents of `study.json`.
        data: String, the name of the data set.
    """
    order = [at for at, _ in _columns(document, data)]
    traces = []
    for row, all_cells in _scored(document, data).items():
        cells = [cell for cell in all_cells if cell["train_seconds"]]
        if not cells:
            continue
        colour, _, symbol = _look(row)
        name = html.escape(document["rows"][row]["title"])
        titles = [html.escape(document["columns"][cell["column"]]["title"]) for cell in cells]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": [cell["train_seconds"] for cell in cells],
                "y": [cell["mean"] for cell in cells],
                "marker": {"color": colour, "symbol": symbol, "size": [9 + 3 * order.index(cell["column"]) for cell in cells]},
                "customdata": titles,
                "hovertemplate": f"{name}, %{{customdata}}: %{{y:{_form(document, data)}}} in %{{x:.1f}} s<extra></extra>",
            }
        )
    if not traces:
        return None
    seconds = [value for trace in traces for value in trace["x"]]
    layout = layout_of(
        xaxis={**AXIS, **titled("seconds of training, mean over seeds"), **_scale(seconds)},
        yaxis=_score_axis(document, data),
        legend=_LEGEND,
        margin=_MARGIN,
    )
    return {"data": traces, "layout": layout, "height": 440}


def _columns(document: Mapping[str, Any], data: str) -> list[tuple[int, Mapping[str, Any]]]:
    return [(at, column) for at, column in enumerate(document["columns"]) if column["data"] == data]


def _scored(document: Mapping[str, Any], data: str) -> dict[int, list[Mapping[str, Any]]]:
    """The cells with a mean, by row."""
    wanted = [at for at, _ in _columns(document, data)]
    found: dict[int, list[Mapping[str, Any]]] = {}
    for cell in document["table"]:
        if cell["column"] in wanted and cell["mean"] is not None:
            found.setdefault(cell["row"], []).append(cell)
    return dict(sorted(found.items()))


def _place(column: Mapping[str, Any], *, per_class: bool) -> int | None:
    sizes = column["train_examples"]
    return column["train_per_class"] if per_class else sizes[-1] if sizes else None


def _curve(
    document: Mapping[str, Any], row: int, cells: Sequence[Mapping[str, Any]], places: Sequence[int | None]
) -> list[dict[str, Any]]:
    """A line, and behind it the band of its intervals where all its cells have one."""
    colour, dash, symbol = _look(row)
    name = html.escape(document["rows"][row]["title"])
    form = _form(document, document["columns"][cells[0]["column"]]["data"]) if cells else ""
    line: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "legendgroup": name,
        "x": list(places),
        "y": [cell["mean"] for cell in cells],
        "line": {"color": colour, "width": 2.5, "dash": dash},
        "marker": {"symbol": symbol, "size": 8},
        "hovertemplate": f"{name}: %{{y:{form}}}<extra></extra>",
    }
    edges = [cell["interval"] for cell in cells]
    if not edges or not all(edges):
        return [line]
    band = {
        "type": "scatter",
        "mode": "lines",
        "x": [*places, *reversed(places)],
        "y": [*(edge[1] for edge in edges), *(edge[0] for edge in reversed(edges))],
        "fill": "toself",
        "fillcolor": _pale(colour),
        "line": {"width": 0},
        "legendgroup": name,
        "showlegend": False,
        "hoverinfo": "skip",
    }
    return [band, line]


def _look(row: int) -> tuple[str, str, str]:
    """Colour, dash and symbol of a row; rows beyond the colours begin again with another dash and symbol."""
    colour, turn = row % len(CLASS_COLOURS), row // len(CLASS_COLOURS)
    return CLASS_COLOURS[colour], _DASHES[turn % len(_DASHES)], _SYMBOLS[turn % len(_SYMBOLS)]


def _pale(colour: str) -> str:
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.1)"


def _scale(values: Sequence[float]) -> dict[str, Any]:
    low, high = min(values), max(values)
    if low <= 0 or high / low < _BY_FACTORS:
        return {"rangemode": "tozero"}
    powers = range(math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1)
    ticks = [step * 10.0**power for power in powers for step in (1, 2, 5)]
    return {"type": "log", "tickmode": "array", "tickvals": ticks, "ticktext": [f"{tick:,.4g}" for tick in ticks]}


def _form(document: Mapping[str, Any], data: str) -> str:
    return ".1%" if _columns(document, data)[0][1]["is_share"] else ".4~g"


def _score_axis(document: Mapping[str, Any], data: str) -> dict[str, Any]:
    """The axis of the score, about the means: few seeds have intervals that would leave no room for them."""
    column = _columns(document, data)[0][1]
    means = [cell["mean"] for cells in _scored(document, data).values() for cell in cells]
    room = max(0.15 * (max(means) - min(means)), 0.03 * max(means)) if means else 0.0
    edges = [max(0.0, min(means) - room), max(means) + room] if means else [0.0, 1.0]
    if column["is_share"]:
        return {**AXIS, **titled(column["metric"]), "tickformat": ".1~%", "range": [edges[0], min(1.01, edges[1])]}
    return {**AXIS, **titled(f"{column['metric']} (lower is better)"), "range": edges}

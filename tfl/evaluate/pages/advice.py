"""The page of `tfl advise`, made of its document: options, networks, what more labels would bring, the recipe. No TensorFlow."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfl.evaluate.figures import AXIS, COLOURS, RUN_COLOURS, Figure, layout_of, titled
from tfl.evaluate.render import render
from tfl.storage import write_atomically

_MARGIN = {"l": 10, "r": 10, "t": 10, "b": 10}
_LEGEND = {"orientation": "h", "y": -0.24, "x": 0, "font": {"color": COLOURS["ink"]}}
_BAND = "rgba(47, 109, 179, 0.18)"


def write_advice_page(document: Mapping[str, Any], file: Path, *, source: str) -> Path:
    """Writes the page: one file that opens offline.

    Args:
        document: Dictionary, as `advice.json` has it.
        file: Path of the page.
        source: String, the text of the recipe that is advised.
    """
    drawn = {"depth": depth_chart(document), "labels": curve_chart(document), "time": time_chart(document)}
    figures = {name: figure for name, figure in drawn.items() if figure}
    best = next(option for option in document["options"] if option["recommended"])
    return write_atomically(
        file,
        render(
            "advice.html.j2", advice=document, best=best, count=sum(document["counts"].values()), source=source, figures=figures
        ),
    )


def depth_chart(document: Mapping[str, Any]) -> Figure | None:
    """The accuracy of a linear probe at each block of each network, over the share of its blocks."""
    measured = [network for network in document["networks"] if network["depth"]]
    data = []
    for number, network in enumerate(measured):
        names, values = zip(*network["depth"], strict=True)
        last = max(1, len(values) - 1)
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": html.escape(network["title"]),
                "x": [place / last for place in range(len(values))],
                "y": list(values),
                "customdata": [html.escape(name) for name in names],
                "hovertemplate": "%{customdata}: %{y:.1%}<extra></extra>",
                "line": {"color": RUN_COLOURS[number % len(RUN_COLOURS)], "width": 2},
                "marker": {"size": 6},
            }
        )
    if not data:
        return None
    layout = layout_of(
        xaxis={**AXIS, **titled("depth, from the input to the last block"), "tickformat": ".0%"},
        yaxis={**AXIS, **titled(f"{document['metric']} of a linear probe"), "tickformat": ".1~%"},
        legend=_LEGEND,
        margin=_MARGIN,
    )
    return {"data": data, "layout": layout, "height": 360}


def curve_chart(document: Mapping[str, Any]) -> Figure | None:
    """What was measured with fewer labels, and what is forecast for more, with its band."""
    curve = document["curve"]
    if curve is None:
        return None
    ahead = curve["forecasts"]
    counts = [row["count"] for row in ahead]
    band = {
        "type": "scatter",
        "mode": "lines",
        "x": counts + counts[::-1],
        "y": [row["high"] for row in ahead] + [row["low"] for row in reversed(ahead)],
        "fill": "toself",
        "fillcolor": _BAND,
        "line": {"width": 0},
        "hoverinfo": "skip",
        "name": "90% band",
    }
    forecast = {
        "type": "scatter",
        "mode": "lines",
        "x": counts,
        "y": [row["mean"] for row in ahead],
        "line": {"color": COLOURS["cool"], "width": 2, "dash": "dash"},
        "name": "fitted and forecast",
        "hovertemplate": "%{x} examples: %{y:.1%}<extra></extra>",
    }
    measured = {
        "type": "scatter",
        "mode": "markers",
        "x": curve["sizes"],
        "y": curve["means"],
        "marker": {"color": COLOURS["bad"], "size": 9},
        "name": "measured",
        "hovertemplate": "%{x} examples: %{y:.1%}<extra></extra>",
    }
    layout = layout_of(
        xaxis={**AXIS, **titled(f"labelled {document['nouns']} to train on"), "type": "log"},
        yaxis={**AXIS, **titled(document["metric"]), "tickformat": ".1~%"},
        legend=_LEGEND,
        margin=_MARGIN,
    )
    return {"data": [band, forecast, measured], "layout": layout, "height": 340}


def time_chart(document: Mapping[str, Any]) -> Figure | None:
    """The expected accuracy of each option over the time it takes."""
    rows = [row for row in document["options"] if row["expected"] is not None and row["seconds"]]
    if not rows:
        return None
    data = []
    for number, title in enumerate(dict.fromkeys(row["title"] for row in rows)):
        own = [row for row in rows if row["title"] == title]
        means = [row["expected"]["mean"] for row in own]
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": html.escape(title),
                "x": [row["seconds"] for row in own],
                "y": means,
                "customdata": [html.escape(row["name"]) for row in own],
                "hovertemplate": "%{customdata}: %{y:.1%} in %{x:.0f} s<extra></extra>",
                "marker": {
                    "color": RUN_COLOURS[number % len(RUN_COLOURS)],
                    "size": [14 if row["recommended"] else 9 for row in own],
                    "symbol": ["star" if row["recommended"] else "circle" for row in own],
                },
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": [row["expected"]["high"] - mean for row, mean in zip(own, means, strict=True)],
                    "arrayminus": [mean - row["expected"]["low"] for row, mean in zip(own, means, strict=True)],
                    "thickness": 1,
                    "width": 3,
                },
            }
        )
    layout = layout_of(
        xaxis={**AXIS, **titled("seconds of training on this machine"), "type": "log"},
        yaxis={**AXIS, **titled(f"expected {document['metric']}"), "tickformat": ".1~%"},
        legend=_LEGEND,
        margin=_MARGIN,
    )
    return {"data": data, "layout": layout, "height": 360}

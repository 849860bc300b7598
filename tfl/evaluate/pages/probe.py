"""The page of a depth profile: score against depth with its interval. Made of the profile's document alone; no TensorFlow."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfl.evaluate.figures import AXIS, COLOURS, Figure, layout_of, shortened, titled
from tfl.evaluate.metric_names import metric_words
from tfl.evaluate.render import render
from tfl.storage import write_atomically

_INTERVALS = {"accuracy": "interval", "macro_f1": "macro_f1_interval"}


def write_probe_page(document: Mapping[str, Any], path: Path | str) -> Path:
    """Writes the page of `Profile.as_json()` (with `recipe` beside it): one file that opens offline."""
    figures = {"depth": depth_profile_chart(document)}
    return write_atomically(
        Path(path), render("probe.html.j2", profile=document, figures=figures, word=metric_words(document["metric"]))
    )


def depth_profile_chart(document: Mapping[str, Any]) -> Figure:
    """The metric of the profile by block, input side first, with its 95% interval as a band, and the best blocks together.

    Args:
        document: Dictionary, from `Profile.as_json()`.
    """
    rows, metric = document["rows"], document["metric"]
    names = [html.escape(row["block"]) for row in rows]
    values = [row[metric] for row in rows]
    low, high = zip(*(row[_INTERVALS[metric]] for row in rows), strict=True)
    places = list(range(len(rows)))
    best = next(place for place in places if rows[place]["block"] == document["best"])
    data = [
        _line(places, high, {"width": 0}, hoverinfo="skip", showlegend=False),
        _line(
            places,
            low,
            {"width": 0},
            fill="tonexty",
            fillcolor="rgba(47,109,179,0.18)",
            name="95% interval",
            hoverinfo="skip",
        ),
        _line(
            places,
            values,
            {"color": COLOURS["cool"], "width": 2.5},
            mode="lines+markers",
            name=metric_words(metric),
            customdata=[[name, *edges] for name, *edges in zip(names, low, high, strict=True)],
            hovertemplate="%{customdata[0]}: %{y:.1%} (%{customdata[1]:.1%} to %{customdata[2]:.1%})<extra></extra>",
        ),
        {
            "type": "scatter",
            "mode": "markers",
            "name": "best",
            "x": [best],
            "y": [values[best]],
            "marker": {"symbol": "star", "size": 15, "color": COLOURS["bad"], "line": {"color": COLOURS["surface"], "width": 1}},
            "hoverinfo": "skip",
        },
    ]
    ends = [0, len(rows) - 1]
    if (together := document["together"]) is not None:
        label = html.escape(f"{len(together['taps'])} blocks side by side")
        line = {"color": COLOURS["good"], "width": 2, "dash": "dash"}
        data.append(_line(ends, [together[metric]] * 2, line, name=label, hovertemplate=f"{label}: %{{y:.1%}}<extra></extra>"))
    if metric == "accuracy":
        line = {"color": COLOURS["muted"], "width": 1.5, "dash": "dot"}
        data.append(_line(ends, [document["commonest"]] * 2, line, name="always the commonest class", hoverinfo="skip"))
    ticks = {"tickmode": "array", "tickvals": places, "ticktext": [html.escape(shortened(row["block"], 22)) for row in rows]}
    layout = layout_of(
        xaxis={**AXIS, **titled("block, input side first"), **ticks, "tickangle": -40, "showgrid": False},
        yaxis={**AXIS, **titled(f"{metric_words(metric)} of a linear probe"), "tickformat": ".0%"},
        legend={
            "traceorder": "normal",
            "orientation": "h",
            "y": 1.02,
            "yanchor": "bottom",
            "x": 0,
            "font": {"color": COLOURS["ink"]},
        },
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
    )
    return {"data": data, "layout": layout, "height": 430}


def _line(x: Sequence[float], y: Sequence[float], line: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    return {"type": "scatter", "mode": "lines", "x": list(x), "y": list(y), "line": dict(line), **options}

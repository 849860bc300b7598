"""The charts of a search's page: score against depth, parallel coordinates, score against time. Plain Plotly figures."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tfl.evaluate.charts import _AXIS, COLOURS, Figure, _layout, _short, _titled

_LEGEND = {"orientation": "h", "y": -0.24, "x": 0, "font": {"color": COLOURS["ink"]}}
_MARGIN = {"l": 10, "r": 10, "t": 10, "b": 10}
_LOOKS = {"done": ("trial", "circle"), "stopped": ("stopped early", "circle-open"), "unfinished": ("unfinished", "x-thin-open")}


def depth_chart(
    trials: Sequence[Mapping[str, Any]], confirmed: Sequence[Mapping[str, Any]], *, metric: str, images: int
) -> Figure | None:
    """Each trial's score over the number of blocks it trained, and the means over seeds.

    The best trial at each depth has the 95% interval that so many validation images allow (Wilson 1927), where the metric is
    the accuracy; a mean has the interval over its seeds.

    Args:
        trials: Rows with `status`, `depth`, `value`, `number`.
        confirmed: Rows with `name`, `depth`, `mean`, `interval`.
        metric: The name of the score.
        images: How many validation images there are.
    """
    scored = [row for row in trials if row["value"] is not None and row["depth"] is not None]
    if not scored:
        return None
    best = _best_by_depth(scored, higher=metric != "val_loss")
    data = []
    for status, (name, symbol) in _LOOKS.items():
        rows = [row for row in scored if row["status"] == status]
        if not rows:
            continue
        trace = _dots([row["depth"] for row in rows], [row["value"] for row in rows], name, COLOURS["cool"], symbol, 9)
        trace["customdata"] = [row["number"] for row in rows]
        trace["hovertemplate"] = "trial %{customdata}: %{y:.4f}, %{x} blocks<extra></extra>"
        if metric == "val_accuracy":
            edges = [wilson(row["value"], images) if row is best[row["depth"]] else None for row in rows]
            trace["error_y"] = _bars([row["value"] for row in rows], edges)
        data.append(trace)
    means = [row for row in confirmed if row["mean"] is not None and row["depth"] is not None]
    if means:
        trace = _dots(
            [row["depth"] + 0.12 for row in means], [row["mean"] for row in means], "mean over seeds", COLOURS["bad"], "star", 14
        )
        trace["customdata"] = [html.escape(row["name"]) for row in means]
        trace["hovertemplate"] = "%{customdata}: mean %{y:.4f}<extra></extra>"
        trace["error_y"] = _bars([row["mean"] for row in means], [row["interval"] for row in means])
        data.append(trace)
    layout = _layout(
        xaxis={**_AXIS, **_titled("blocks that train above the frozen ones"), "rangemode": "tozero"},
        yaxis={**_AXIS, **_titled(_words(metric)), **_form(metric)},
        legend=_LEGEND,
        margin=_MARGIN,
    )
    return {"data": data, "layout": layout, "height": 380}


def parallel_chart(trials: Sequence[Mapping[str, Any]], *, metric: str) -> Figure | None:
    """Every scored trial as a line through its values, coloured by its score. One trial draws none."""
    rows = [row for row in trials if row["value"] is not None]
    if len(rows) < 2:
        return None
    paths = list(rows[0]["values"])
    dimensions = [_dimension(path, [row["values"].get(path) for row in rows]) for path in paths]
    scores = [row["value"] for row in rows]
    dimensions.append({"label": html.escape(_words(metric)), "values": scores})
    ends = [COLOURS["line"], COLOURS["good"]] if metric != "val_loss" else [COLOURS["good"], COLOURS["line"]]
    trace = {
        "type": "parcoords",
        "dimensions": dimensions,
        "line": {"color": scores, "colorscale": [[0, ends[0]], [1, ends[1]]]},
        "labelfont": {"color": COLOURS["ink"], "size": 12},
        "tickfont": {"color": COLOURS["muted"], "size": 11},
        "rangefont": {"color": "rgba(0,0,0,0)", "size": 1},
    }
    return {"data": [trace], "layout": _layout(margin={"l": 60, "r": 50, "t": 50, "b": 20}), "height": 380}


def time_chart(trials: Sequence[Mapping[str, Any]], *, metric: str) -> Figure | None:
    """The score of each trial at the moment it ended, and the best so far."""
    rows = sorted((row for row in trials if row["value"] is not None and row.get("ended_s")), key=lambda row: row["ended_s"])
    if not rows:
        return None
    better = min if metric == "val_loss" else max
    so_far, best = [], rows[0]["value"]
    for row in rows:
        best = better(best, row["value"])
        so_far.append(best)
    seconds = [row["ended_s"] for row in rows]
    line: dict[str, Any] = {"type": "scatter", "mode": "lines", "name": "best so far", "x": seconds, "y": so_far}
    line |= {"line": {"color": COLOURS["good"], "width": 2, "shape": "hv"}, "hoverinfo": "skip"}
    dots = _dots(seconds, [row["value"] for row in rows], "trial", COLOURS["cool"], "circle", 8)
    dots["customdata"] = [row["number"] for row in rows]
    dots["hovertemplate"] = "trial %{customdata}: %{y:.4f} after %{x:.0f} s<extra></extra>"
    layout = _layout(
        xaxis={**_AXIS, **_titled("seconds of search"), "rangemode": "tozero"},
        yaxis={**_AXIS, **_titled(_words(metric)), **_form(metric)},
        legend=_LEGEND,
        margin=_MARGIN,
    )
    return {"data": [line, dots], "layout": layout, "height": 340}


def wilson(share: float, count: int, *, z: float = 1.959964) -> list[float]:
    """The 95% interval of a share of `count` images, after Wilson 1927.

    Example:

    >>> [round(edge, 3) for edge in wilson(0.9, 100)]
    [0.826, 0.945]
    """
    if count < 1:
        return [0.0, 1.0]
    scale = 1 + z * z / count
    centre = (share + z * z / (2 * count)) / scale
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / scale
    return [max(0.0, centre - half), min(1.0, centre + half)]


def _best_by_depth(rows: Sequence[Mapping[str, Any]], *, higher: bool) -> dict[int, Mapping[str, Any]]:
    best: dict[int, Mapping[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row["value"], reverse=higher):
        best.setdefault(row["depth"], row)
    return best


def _dots(x: Sequence[float], y: Sequence[float], name: str, colour: str, symbol: str, size: int) -> dict[str, Any]:
    marker = {"color": colour, "symbol": symbol, "size": size}
    return {"type": "scatter", "mode": "markers", "name": name, "x": list(x), "y": list(y), "marker": marker}


def _bars(values: Sequence[float], edges: Sequence[Sequence[float] | None]) -> dict[str, Any]:
    above = [edge[1] - value if edge else 0 for value, edge in zip(values, edges, strict=True)]
    below = [value - edge[0] if edge else 0 for value, edge in zip(values, edges, strict=True)]
    return {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 1.2, "width": 4}


def _dimension(path: str, values: Sequence[Any]) -> dict[str, Any]:
    """One axis: numbers as they are, or by their logarithm where they span more than a factor of 20; all else as categories."""
    label = html.escape(_short(".".join(path.split(".")[-2:]), 28))
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        known = sorted(set(values))
        if len(known) <= 6 or known[0] <= 0 or known[-1] / known[0] < 20:
            return {"label": label, "values": list(values), **({"tickvals": known} if len(known) <= 6 else {})}
        powers = range(math.floor(math.log10(known[0])), math.ceil(math.log10(known[-1])) + 1)
        ticks = {"tickvals": list(powers), "ticktext": [f"{10.0**power:g}" for power in powers]}
        return {"label": label, "values": [math.log10(value) for value in values], **ticks}
    words = sorted({str(value) for value in values}, key=_order)
    places = [words.index(str(value)) for value in values]
    return {
        "label": label,
        "values": places,
        "tickvals": list(range(len(words))),
        "ticktext": [html.escape(word) for word in words],
    }


def _order(word: str) -> tuple[int, int, str]:
    """`head`, then `top:K` by K, then `all`: from the shallow to the deep."""
    kind, _, count = word.partition(":")
    rank = {"head": 0, "top": 1, "all": 3}.get(kind, 2)
    return rank, int(count) if kind == "top" and count.isdigit() else 0, word


def _words(metric: str) -> str:
    return metric.replace("val_", "validation ").replace("macro_f1", "macro-F1").replace("_", " ")


def _form(metric: str) -> dict[str, Any]:
    return {"tickformat": ".0%"} if metric == "val_accuracy" else {}

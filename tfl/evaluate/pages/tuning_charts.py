"""The charts of a search's page: score against depth, parallel coordinates, score against time. Plain Plotly figures."""

from __future__ import annotations

import html
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from tfl.evaluate.figures import AXIS, COLOURS, Figure, layout_of, shortened, titled
from tfl.evaluate.metric_names import metric_words
from tfl.recipe import Monitor
from tfl.tasks.intervals import wilson_interval

_LEGEND = {"orientation": "h", "y": -0.24, "x": 0, "font": {"color": COLOURS["ink"]}}
_TICK_ROOM, _BESIDE = 0.07, 0.1
_MARGIN = {"l": 10, "r": 10, "t": 10, "b": 10}
_LOOKS = {"done": ("trial", "circle"), "stopped": ("stopped early", "circle-open"), "unfinished": ("unfinished", "x-thin-open")}


def depth_chart(
    trials: Sequence[Mapping[str, Any]], confirmed: Sequence[Mapping[str, Any]], *, metric: str, count: int
) -> Figure | None:
    """Each trial's score over the number of blocks it trained, and the means over seeds.

    The best trial at each depth has the 95% interval that so many validation examples allow (Wilson 1927), where the metric is
    the accuracy; a mean has the interval over its seeds.

    Args:
        trials: Sequence of dictionaries with `status`, `depth`, `value` and `number`.
        confirmed: Sequence of dictionaries with `name`, `depth`, `mean` and `interval`.
        metric: String, the name of the score.
        count: Int, the number of validation examples.
    """
    scored = [row for row in trials if row["value"] is not None and row["depth"] is not None]
    if not scored:
        return None
    best = _best_by_depth(scored, higher=Monitor(metric).higher_is_better)
    data = []
    for status, (name, symbol) in _LOOKS.items():
        rows = [row for row in scored if row["status"] == status]
        if not rows:
            continue
        trace = _dots([row["depth"] for row in rows], [row["value"] for row in rows], name, COLOURS["cool"], symbol, 9)
        trace["customdata"] = [row["number"] for row in rows]
        trace["hovertemplate"] = "trial %{customdata}: %{y:.4f}, %{x} blocks<extra></extra>"
        if metric == "val_accuracy":
            edges = [wilson_interval(row["value"] * count, count) if row is best[row["depth"]] else None for row in rows]
            trace["error_y"] = _bars([row["value"] for row in rows], edges)
        data.append(trace)
    means = [row for row in confirmed if row["mean"] is not None and row["depth"] is not None]
    if means:
        trace = _dots(
            [row["depth"] + _BESIDE for row in means],
            [row["mean"] for row in means],
            "mean over seeds",
            COLOURS["bad"],
            "star",
            14,
        )
        trace["customdata"] = [html.escape(row["name"]) for row in means]
        trace["hovertemplate"] = "%{customdata}: mean %{y:.4f}<extra></extra>"
        trace["error_y"] = _bars([row["mean"] for row in means], [row["interval"] for row in means])
        data.append(trace)
    layout = layout_of(
        xaxis={**AXIS, **titled("blocks that train above the frozen ones"), **_whole_blocks(scored)},
        yaxis={**AXIS, **titled(metric_words(metric, split=True)), **_form(metric)},
        legend=_LEGEND,
        margin=_MARGIN,
    )
    return {"data": data, "layout": layout, "height": 380}


def parallel_chart(trials: Sequence[Mapping[str, Any]], *, metric: str) -> Figure | None:
    """Every scored trial as a line through its values to its score; the better, the stronger. One trial draws none.

    Drawn from plain lines: Plotly's own parallel coordinates need WebGL, which a printed page and some browsers do not have.
    """
    lower = not Monitor(metric).higher_is_better
    rows = sorted((row for row in trials if row["value"] is not None), key=lambda row: row["value"], reverse=lower)
    if len(rows) < 2:
        return None
    axes = [_axis(path, [row["values"].get(path) for row in rows]) for path in rows[0]["values"]]
    axes.append(_axis(metric_words(metric, split=True), [row["value"] for row in rows]))
    data = [_line(row, axes, at, share=at / (len(rows) - 1)) for at, row in enumerate(rows)]
    notes = [_note(at, 1.06, axis["label"], "ink", anchor="bottom", side="center") for at, axis in enumerate(axes)]
    notes += [_note(at, place, word, "muted") for at, axis in enumerate(axes) for place, word in axis["ticks"]]
    poles = [
        {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "line": {"color": COLOURS["line"], "width": 1}, "layer": "below"}
        for at in range(len(axes))
    ]
    layout = layout_of(
        xaxis={**AXIS, "visible": False, "range": [-0.45, len(axes) - 0.5]},
        yaxis={**AXIS, "visible": False, "range": [-0.06, 1.18]},
        annotations=notes,
        shapes=poles,
        margin=_MARGIN,
    )
    return {"data": data, "layout": layout, "height": 400}


def _line(row: Mapping[str, Any], axes: Sequence[Mapping[str, Any]], at: int, *, share: float) -> dict[str, Any]:
    says = "<br>".join(html.escape(f"{path}: {value}") for path, value in row["values"].items())
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "x": list(range(len(axes))),
        "y": [axis["places"][at] for axis in axes],
        "line": {"color": COLOURS["good"], "width": 1 + 2 * share},
        "marker": {"size": 5},
        "opacity": 0.15 + 0.85 * share**2,
        "hovertemplate": f"trial {row['number']}: {row['value']:.4f}<br>{says}<extra></extra>",
    }


def _note(x: float, y: float, text: str, role: str, *, anchor: str = "middle", side: str = "right") -> dict[str, Any]:
    font = {"color": COLOURS[role], "size": 12 if role == "ink" else 11}
    place = {"x": x, "y": y, "xanchor": side, "yanchor": anchor, "xshift": -6 if side == "right" else 0}
    return {"text": text, "showarrow": False, "font": font, "bgcolor": COLOURS["surface"], **place}


def time_chart(trials: Sequence[Mapping[str, Any]], *, metric: str) -> Figure | None:
    """The score of each trial at the moment it ended, and the best so far."""
    rows = sorted((row for row in trials if row["value"] is not None and row.get("ended_s")), key=lambda row: row["ended_s"])
    if not rows:
        return None
    better = max if Monitor(metric).higher_is_better else min
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
    layout = layout_of(
        xaxis={**AXIS, **titled("seconds of search"), "rangemode": "tozero"},
        yaxis={**AXIS, **titled(metric_words(metric, split=True)), **_form(metric)},
        legend=_LEGEND,
        margin=_MARGIN,
    )
    return {"data": [line, dots], "layout": layout, "height": 340}


def _whole_blocks(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Ticks at whole numbers, and room beside the shallowest and the deepest."""
    low, high = min(row["depth"] for row in rows), max(row["depth"] for row in rows)
    room = 0.4 + (high - low) / 20
    return {"range": [low - room, high + room], "tickmode": "linear", "tick0": 0, "dtick": max(1, round((high - low) / 10))}


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


def _axis(path: str, values: Sequence[Any]) -> dict[str, Any]:
    """One axis: where each value lies on it, 0 to 1, and its ticks.

    Numbers lie as they are, or by their logarithm where they span more than a factor of 20; all else as categories.
    """
    label = html.escape(shortened(".".join(path.split(".")[-2:]), 26))
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        low, high = min(values), max(values)
        by_log = low > 0 and high / low >= 20
        scaled = [math.log(value) if by_log else float(value) for value in values]
        places = dict(zip(values, (_between(value, scaled) for value in scaled), strict=True))
        near = any(places[b] - places[a] < _TICK_ROOM for a, b in itertools.pairwise(sorted(places)))
        ticks = [(places[value], f"{value:.3g}") for value in ((low, high) if near else sorted(places))]
        return {"label": label, "places": [_between(value, scaled) for value in scaled], "ticks": ticks}
    words = sorted({str(value) for value in values}, key=_order)
    last = max(1, len(words) - 1)
    ticks = [(at / last, html.escape(shortened(word, 16))) for at, word in enumerate(words)]
    return {"label": label, "places": [words.index(str(value)) / last for value in values], "ticks": ticks}


def _between(value: float, scaled: Sequence[float]) -> float:
    low, high = min(scaled), max(scaled)
    return 0.5 if high == low else (value - low) / (high - low)


def _order(word: str) -> tuple[int, int, str]:
    """`head`, then `top:K` by K, then `all`: from the shallow to the deep."""
    kind, _, count = word.partition(":")
    rank = {"head": 0, "top": 1, "all": 3}.get(kind, 2)
    return rank, int(count) if kind == "top" and count.isdigit() else 0, word


def _form(metric: str) -> dict[str, Any]:
    return {"tickformat": ".1~%"} if metric == "val_accuracy" else {}

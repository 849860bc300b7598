"""The interactive charts of a report, as plain Plotly figures (data and layout). Plotly itself is not imported here.

Colours are those of the light page; the page's script replaces each by its dark twin where the reader prefers dark.
Every text that comes from data is escaped, since Plotly reads tags in its texts.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from tfl.evaluate.figures import AXIS, COLOURS, RUN_COLOURS, Figure, layout_of, shortened, titled
from tfl.evaluate.metric_names import metric_words


def curve(
    history: Sequence[Mapping[str, Any]],
    stages: Sequence[Mapping[str, Any]],
    *,
    train: str,
    validation: str,
    title: str,
    also: str | None = None,
) -> Figure | None:
    """One quantity over all epochs of all stages, on training and validation examples, the best epochs marked.

    Args:
        history: Rows of `tfl.evaluate.report.facts.read_history`.
        stages: Of `tfl.evaluate.report.facts.stage_facts`.
        train: The column for the training split; empty where there is none.
        validation: The column for the validation split.
        title: Of the vertical axis.
        also: A further column of the validation split.

    Returns:
        A figure, or None where the history has no such column.
    """
    if not any(row.get(validation) is not None for row in history):
        return None
    lines = [
        *([_line(history, train, "training", {"color": COLOURS["cool"], "width": 1.5, "dash": "dot"})] if train else []),
        _line(history, validation, "validation", {"color": COLOURS["good"], "width": 2.5}),
        _best_markers(history, stages, validation),
    ]
    if also:
        style = {"color": COLOURS["muted"], "width": 1.5, "dash": "dash"}
        lines.insert(len(lines) - 1, _line(history, also, f"validation, {metric_words(also)}", style))
    shapes, notes = _stage_bands(history)
    share = train == "accuracy"
    layout = layout_of(
        xaxis={**AXIS, **titled("epoch"), "showgrid": False, **_whole_ticks(len(history))},
        yaxis={**AXIS, **titled(title), **({"tickformat": ".0%"} if share else {"rangemode": "tozero"})},
        shapes=shapes,
        annotations=notes,
        legend={"orientation": "h", "y": -0.24, "x": 0, "font": {"color": COLOURS["ink"]}},
        margin={"l": 10, "r": 10, "t": 30, "b": 10},
        hovermode="x unified",
    )
    return {"data": lines, "layout": layout, "height": 330}


def _whole_ticks(epochs: int) -> dict[str, Any]:
    """At most nine ticks, at whole epochs."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, epochs) if epochs / step <= 9)
    return {"tickmode": "linear", "tick0": 0 if step > 1 else 1, "dtick": step}


def _line(history: Sequence[Mapping[str, Any]], column: str, name: str, line: Mapping[str, Any]) -> dict[str, Any]:
    form = ":.1%" if "accuracy" in column or "f1" in column else ":.3f"
    return {
        "type": "scatter",
        "mode": "lines+markers" if len(history) < 3 else "lines",
        "name": name,
        "x": [row["step"] for row in history],
        "y": [row.get(column) for row in history],
        "line": dict(line),
        "customdata": [f"{html.escape(row['stage'])}, epoch {row['epoch']}" for row in history],
        "hovertemplate": f"{name} %{{y{form}}} <i>(%{{customdata}})</i><extra></extra>",
    }


def _best_markers(history: Sequence[Mapping[str, Any]], stages: Sequence[Mapping[str, Any]], column: str) -> dict[str, Any]:
    by_step = {row["step"]: row for row in history}
    best = [by_step[stage["best_step"]] for stage in stages if stage.get("best_step") in by_step]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "best, kept",
        "x": [row["step"] for row in best],
        "y": [row.get(column) for row in best],
        "marker": {"symbol": "star", "size": 14, "color": COLOURS["bad"], "line": {"color": COLOURS["surface"], "width": 1}},
        "hoverinfo": "skip",
    }


def _stage_bands(history: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """A shaded band behind every other stage, and each stage's name above its epochs."""
    shapes, notes = [], []
    for position, name in enumerate(dict.fromkeys(row["stage"] for row in history)):
        steps = [row["step"] for row in history if row["stage"] == name]
        low, high = min(steps) - 0.5, max(steps) + 0.5
        if position % 2:
            band = {"type": "rect", "xref": "x", "yref": "paper", "x0": low, "x1": high, "y0": 0, "y1": 1}
            shapes.append({**band, "fillcolor": COLOURS["shade"], "line": {"width": 0}, "layer": "below"})
        text = {
            "text": html.escape(shortened(str(name), 18)),
            "showarrow": False,
            "font": {"color": COLOURS["muted"], "size": 12},
        }
        notes.append({**text, "x": (low + high) / 2, "y": 1.0, "xref": "x", "yref": "paper", "yanchor": "bottom"})
    return shapes, notes


def confusion(test: Mapping[str, Any]) -> Figure | None:
    """The confusion matrix: rows the truth, columns the prediction; right answers in one colour, mistakes in another."""
    counts, names = test.get("confusion"), [str(name) for name in test.get("per_class") or ()]
    if not counts:
        return None
    size = len(names)
    labels = [html.escape(shortened(name, 20)) for name in names]
    axis = {**AXIS, "showgrid": False, "tickmode": "array", "tickvals": list(range(size)), "ticktext": labels}
    if size > 40:
        axis = {**axis, "tickmode": "auto", "tickvals": None, "ticktext": None, "showticklabels": False}
    layout = layout_of(
        xaxis={
            **axis,
            **titled("predicted"),
            "autotickangles": [0, -40, -90],
            "constrain": "domain",
            "range": [-0.5, size - 0.5],
        },
        yaxis={**axis, **titled("true class"), "range": [size - 0.5, -0.5]},
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
    )
    data = [_cells(counts, names, right=right) for right in (True, False)]
    return {"data": data, "layout": layout, "height": int(min(900, 150 + size * (48 if size < 12 else 26)))}


def _cells(counts: Sequence[Sequence[int]], names: Sequence[str], *, right: bool) -> dict[str, Any]:
    shown = [[(row == column) is right for column in range(len(names))] for row in range(len(names))]
    shares = [
        [(count / max(1, sum(line))) if shown[row][column] and (right or count) else None for column, count in enumerate(line)]
        for row, line in enumerate(counts)
    ]
    hover = [
        [
            f"{html.escape(names[row])} taken for {html.escape(names[column])}: {count} of {sum(line)}"
            for column, count in enumerate(line)
        ]
        for row, line in enumerate(counts)
    ]
    return {
        "type": "heatmap",
        "z": shares,
        "zmin": 0,
        "zmax": 1 if right else 0.5,
        "colorscale": [[0, COLOURS["good_pale" if right else "bad_pale"]], [1, COLOURS["good_fill" if right else "bad_fill"]]],
        "showscale": False,
        "text": [
            [str(count) if shown[row][column] and (right or count) else "" for column, count in enumerate(line)]
            for row, line in enumerate(counts)
        ],
        **({"texttemplate": "%{text}", "textfont": {"color": COLOURS["ink"]}} if len(names) <= 25 else {}),
        "customdata": hover,
        "hovertemplate": "%{customdata}<extra></extra>",
        "hoverongaps": False,
        "xgap": 2 if len(names) <= 40 else 0,
        "ygap": 2 if len(names) <= 40 else 0,
    }


def reliability(bins: Sequence[Mapping[str, Any]], *, nouns: str = "examples") -> Figure | None:
    """Promised against delivered: the accuracy in each bin of confidence, and below it how many examples are in the bin."""
    held = [row for row in bins if row["count"]]
    if not held:
        return None
    centres = [(row["low"] + row["high"]) / 2 for row in held]
    width = held[0]["high"] - held[0]["low"]
    share = {**AXIS, "tickformat": ".0%"}
    bars = {
        "type": "bar",
        "x": centres,
        "y": [row["accuracy"] for row in held],
        "width": width * 0.92,
        "marker": {"color": COLOURS["good"]},
        "customdata": [[row["count"], row["confidence"]] for row in held],
        "hovertemplate": f"said %{{customdata[1]:.1%}}, right %{{y:.1%}}, %{{customdata[0]}} {nouns}<extra></extra>",
        "showlegend": False,
    }
    ideal = {
        "type": "scatter",
        "mode": "lines",
        "x": [0, 1],
        "y": [0, 1],
        "line": {"color": COLOURS["bad"], "dash": "dash", "width": 1.5},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    counts = {
        "type": "bar",
        "x": centres,
        "y": [row["count"] for row in held],
        "width": width * 0.92,
        "yaxis": "y2",
        "marker": {"color": COLOURS["cool"]},
        "hovertemplate": f"%{{y}} {nouns}<extra></extra>",
        "showlegend": False,
    }
    layout = layout_of(
        xaxis={**share, **titled("how sure it was"), "range": [0, 1], "dtick": 0.2, "anchor": "y2"},
        yaxis={**share, **titled("how often right"), "range": [0, 1.02], "domain": [0.32, 1]},
        yaxis2={**AXIS, **titled(nouns), "domain": [0, 0.2], "nticks": 3},
        margin={"l": 10, "r": 28, "t": 10, "b": 10},
        bargap=0,
    )
    return {"data": [bars, ideal, counts], "layout": layout, "height": 420}


def runs_curve(runs: Sequence[Mapping[str, Any]], *, x: str, column: str = "val_accuracy") -> Figure | None:
    """One validation curve a run: `x` is `step` (epochs) or `elapsed` (seconds); each run has `title` and `history`."""
    data = []
    for position, run in enumerate(runs):
        rows = [row for row in run["history"] if row.get(column) is not None and row.get(x) is not None]
        name = html.escape(shortened(str(run["title"]), 40))
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": name,
                "x": [row[x] for row in rows],
                "y": [row[column] for row in rows],
                "line": {"color": RUN_COLOURS[position % len(RUN_COLOURS)], "width": 2},
                "marker": {"size": 4},
                "hovertemplate": f"{name}: %{{y:{'.1%' if column == 'val_accuracy' else '.4g'}}}<extra></extra>",
            }
        )
    if not any(trace["x"] for trace in data):
        return None
    layout = layout_of(
        xaxis={**AXIS, **titled("epoch" if x == "step" else "seconds of training"), "rangemode": "tozero"},
        yaxis={
            **AXIS,
            **titled(metric_words(column, split=True)),
            **({"tickformat": ".0%"} if column == "val_accuracy" else {}),
        },
        legend={"orientation": "h", "y": -0.24, "x": 0, "font": {"color": COLOURS["ink"]}},
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
    )
    return {"data": data, "layout": layout, "height": 360}

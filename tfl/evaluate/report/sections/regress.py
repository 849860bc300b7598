"""The report's section on numbers: predicted against true, residuals, how well the intervals hold, and the largest errors."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.evaluate.figures import AXIS, COLOURS, Figure, layout_of, shortened, titled
from tfl.evaluate.predictions import Predictions
from tfl.evaluate.report.sections import Section

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHARTS, _POINTS, _LARGEST, _BINS = 4, 1500, 12, 5


def section(metrics: Mapping[str, Any], test: Predictions) -> Section:
    """What the report says of a run that predicts numbers.

    Args:
        metrics: `metrics.json`.
        test: The predictions on the test split.

    Returns:
        Facts: `rows`, one for each number with its intervals' coverage and width where they were fitted, `bins` (coverage by the
        size of the predicted number), `largest` (the largest errors), and `charts`, the numbers that have figures. Figures:
        `scatter_N` and `residuals_N` of the first numbers.
    """
    intervals = (metrics.get("confidence") or {}).get("intervals")
    rows = [{**figures, "name": name} for name, figures in metrics["test"]["per_target"].items()]
    if intervals:
        for row, found in zip(rows, intervals["test"]["per_target"], strict=True):
            row |= {"coverage": found["coverage"], "coverage_interval": found["coverage_interval"], "width": found["mean_width"]}
    shown = range(min(_CHARTS, len(test.class_names)))
    figures: dict[str, Figure] = {}
    for column in shown:
        figures[f"scatter_{column}"] = _scatter(test, column)
        figures[f"residuals_{column}"] = _residuals(test, column)
    return Section(
        facts={
            "rows": rows,
            "promised": intervals["promised"] if intervals else None,
            "bins": _coverage_by_size(test) if intervals else [],
            "largest": _largest(test),
            "charts": [test.class_names[column] for column in shown],
        },
        figures=figures,
    )


def _known(test: Predictions, column: int) -> NDArray[np.intp]:
    """Examples whose number is known, evenly thinned to what a chart shows."""
    known = np.flatnonzero(np.isfinite(test.targets[:, column]))
    return known[np.unique(np.linspace(0, len(known) - 1, min(_POINTS, len(known))).round().astype(int))] if len(known) else known


def _scatter(test: Predictions, column: int) -> Figure:
    at = _known(test, column)
    truth, values = test.targets[at, column], test.outputs[at, column]
    low, high = float(min(truth.min(), values.min())), float(max(truth.max(), values.max()))
    ideal = {
        "type": "scatter",
        "mode": "lines",
        "x": [low, high],
        "y": [low, high],
        "line": {"color": COLOURS["bad"], "dash": "dash", "width": 1.5},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    points = {
        **_points(test, at, truth, values),
        "hovertemplate": "%{customdata}<br>true %{x:.4g}, predicted %{y:.4g}<extra></extra>",
    }
    if test.edges is not None:
        lower, upper = (edge[at, column] for edge in test.edges)
        points["error_y"] = {
            "type": "data",
            "symmetric": False,
            "array": (upper - values).tolist(),
            "arrayminus": (values - lower).tolist(),
            "color": COLOURS["line"],
            "thickness": 1,
            "width": 0,
        }
    layout = layout_of(
        xaxis={**AXIS, **titled("true")},
        yaxis={**AXIS, **titled("predicted")},
        margin={"l": 10, "r": 28, "t": 10, "b": 10},
    )
    return {"data": [points, ideal], "layout": layout, "height": 420}


def _residuals(test: Predictions, column: int) -> Figure:
    at = _known(test, column)
    values = test.outputs[at, column]
    points = {
        **_points(test, at, values, values - test.targets[at, column]),
        "hovertemplate": "%{customdata}<br>predicted %{x:.4g}, off by %{y:.4g}<extra></extra>",
    }
    layout = layout_of(
        xaxis={**AXIS, **titled("predicted")},
        yaxis={**AXIS, **titled("predicted minus true"), "zeroline": True, "zerolinecolor": COLOURS["bad"]},
        margin={"l": 10, "r": 28, "t": 10, "b": 10},
    )
    return {"data": [points], "layout": layout, "height": 420}


def _points(test: Predictions, at: NDArray[np.intp], x: NDArray[np.float64], y: NDArray[np.float64]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": x.tolist(),
        "y": y.tolist(),
        "marker": {"size": 6, "color": COLOURS["cool"], "opacity": 0.6},
        "customdata": [html.escape(shortened(test.files[index].split("/")[-1], 40)) for index in at.tolist()],
        "showlegend": False,
    }


def _coverage_by_size(test: Predictions) -> list[dict[str, Any]]:
    """Of each number, in equally many examples from the smallest to the largest prediction: coverage and mean width."""
    if test.edges is None:
        return []
    rows = []
    for column, name in enumerate(test.class_names):
        known = np.flatnonzero(np.isfinite(test.targets[:, column]))
        order = known[np.argsort(test.outputs[known, column], kind="stable")]
        for part in np.array_split(order, _BINS):
            if not len(part):
                continue
            truth, lower, upper = (table[part, column] for table in (test.targets, *test.edges))
            rows.append(
                {
                    "name": name,
                    "low": float(test.outputs[part[0], column]),
                    "high": float(test.outputs[part[-1], column]),
                    "count": len(part),
                    "coverage": float(((truth >= lower) & (truth <= upper)).mean()),
                    "width": float((upper - lower).mean()),
                }
            )
    return rows


def _largest(test: Predictions) -> list[dict[str, Any]]:
    """The examples that are furthest off, in deviations of their number."""
    errors = np.abs(test.outputs - test.targets)
    spread = np.nanstd(test.targets, axis=0)
    scaled = np.nan_to_num(errors / np.where(spread > 0, spread, 1.0), nan=-1.0)
    order = np.argsort(-scaled, axis=None, kind="stable")[:_LARGEST]
    places = [divmod(int(place), scaled.shape[1]) for place in order]
    return [
        {
            "file": test.files[row],
            "name": test.class_names[column],
            "true": float(test.targets[row, column]),
            "predicted": float(test.outputs[row, column]),
            "error": float(test.outputs[row, column] - test.targets[row, column]),
        }
        for row, column in places
        if scaled[row, column] >= 0
    ]

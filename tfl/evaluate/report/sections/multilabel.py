"""The report's section on several labels: label by label, thresholds, precision and recall, and which errors come together."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.evaluate.figures import AXIS, COLOURS, RUN_COLOURS, Figure, layout_of, shortened, titled
from tfl.evaluate.predictions import Predictions
from tfl.evaluate.report.sections import Section

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CURVES, _PAIRS, _POINTS, _MOST_CELLS = 12, 8, 200, 30


def section(metrics: Mapping[str, Any], test: Predictions) -> Section:
    """What the report says of a run that predicts labels.

    Args:
        metrics: `metrics.json`.
        test: The predictions on the test split.

    Returns:
        Facts: `rows`, one for each label at its threshold, and `instead`, the labels that are most often given in the place of a
        missed one. Figures: `precision_recall` and `errors`.
    """
    thresholds = (metrics.get("confidence") or {}).get("thresholds")
    names, count = test.class_names, len(test.class_names)
    chosen = thresholds["values"] if thresholds else [0.5] * count
    at_chosen = thresholds["test"]["per_label"] if thresholds else list(metrics["test"]["per_label"].values())
    errors = _errors(test, metrics)
    rows = [
        {**figures, "name": name, "threshold": threshold}
        for name, threshold, figures in zip(names, chosen, at_chosen, strict=True)
    ]
    return Section(
        facts={"rows": rows, "fitted": bool(thresholds), "instead": _instead(names, errors)},
        figures={"precision_recall": _precision_recall(test), "errors": _error_matrix(names, errors)},  # type: ignore[dict-item]
    )


def precision_recall_points(scores: NDArray[np.floating], truth: NDArray[np.bool_]) -> tuple[list[float], list[float]]:
    """Recall and precision at every threshold, from the highest on.

    Example:

    >>> import numpy as np
    >>> precision_recall_points(np.array([0.9, 0.8, 0.1]), np.array([True, False, True]))
    ([0.5, 0.5, 1.0], [1.0, 0.5, 0.6666666666666666])
    """
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(truth[order])
    ends = np.flatnonzero(np.diff(scores[order], append=-np.inf))
    return (hits[ends] / max(int(hits[-1]), 1)).tolist(), (hits[ends] / (ends + 1)).tolist()


def _precision_recall(test: Predictions) -> Figure | None:
    """A curve for each of the labels that are most frequent on the test split."""
    truth = test.targets > 0.5
    frequent = np.argsort(-truth.sum(axis=0), kind="stable")[:_CURVES]
    data = []
    for position, column in enumerate(int(column) for column in frequent):
        known = np.isfinite(test.targets[:, column])
        if not truth[known, column].any():
            continue
        recall, precision = precision_recall_points(test.outputs[known, column], truth[known, column])
        keep = np.unique(np.linspace(0, len(recall) - 1, min(_POINTS, len(recall))).round().astype(int))
        name = html.escape(shortened(test.class_names[column], 30))
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": name,
                "x": [recall[at] for at in keep],
                "y": [precision[at] for at in keep],
                "line": {
                    "color": RUN_COLOURS[position % len(RUN_COLOURS)],
                    "width": 2,
                    "dash": "solid" if position < len(RUN_COLOURS) else "dot",
                },
                "hovertemplate": f"{name}: recall %{{x:.1%}}, precision %{{y:.1%}}<extra></extra>",
            }
        )
    if not data:
        return None
    share = {**AXIS, "tickformat": ".0%", "range": [0, 1.02]}
    layout = layout_of(
        xaxis={**share, **titled("recall")},
        yaxis={**share, **titled("precision")},
        legend={"orientation": "h", "y": -0.2, "x": 0, "font": {"color": COLOURS["ink"]}},
        margin={"l": 10, "r": 28, "t": 10, "b": 10},
    )
    return {"data": data, "layout": layout, "height": 420}


def _errors(test: Predictions, metrics: Mapping[str, Any]) -> NDArray[np.int64]:
    """`(labels, labels)`: of the examples whose row label was missed, how many were given the column label wrongly."""
    truth, known = test.targets > 0.5, np.isfinite(test.targets)
    given = test.predicted_labels
    missed, added = (truth & ~given).astype(np.int64), (known & ~truth & given).astype(np.int64)
    return np.asarray(missed.T @ added)


def _instead(names: tuple[str, ...], errors: NDArray[np.int64]) -> list[dict[str, Any]]:
    order = np.argsort(-errors, axis=None, kind="stable")[:_PAIRS]
    places = [divmod(int(place), len(names)) for place in order]
    return [{"missed": names[i], "given": names[j], "count": int(errors[i, j])} for i, j in places if errors[i, j] > 0]


def _error_matrix(names: tuple[str, ...], errors: NDArray[np.int64]) -> Figure | None:
    size = len(names)
    if not errors.any() or size > _MOST_CELLS:
        return None
    labels = [html.escape(shortened(name, 20)) for name in names]
    axis = {**AXIS, "showgrid": False, "tickmode": "array", "tickvals": list(range(size)), "ticktext": labels}
    hover = [
        [f"{count} × {html.escape(names[i])} missed and {html.escape(names[j])} given" for j, count in enumerate(row)]
        for i, row in enumerate(errors.tolist())
    ]
    cells = {
        "type": "heatmap",
        "z": [[count or None for count in row] for row in errors.tolist()],
        "colorscale": [[0, COLOURS["bad_pale"]], [1, COLOURS["bad_fill"]]],
        "showscale": False,
        "text": [[str(count) if count else "" for count in row] for row in errors.tolist()],
        "texttemplate": "%{text}",
        "textfont": {"color": COLOURS["ink"]},
        "customdata": hover,
        "hovertemplate": "%{customdata}<extra></extra>",
        "hoverongaps": False,
        "xgap": 2,
        "ygap": 2,
    }
    layout = layout_of(
        xaxis={**axis, **titled("given wrongly"), "constrain": "domain", "range": [-0.5, size - 0.5]},
        yaxis={**axis, **titled("missed"), "range": [size - 0.5, -0.5]},
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
    )
    return {"data": [cells], "layout": layout, "height": int(min(900, 150 + size * (48 if size < 12 else 26)))}

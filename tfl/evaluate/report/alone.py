"""What is said of several targets: each trained alone beside all of them together. No TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfl.evaluate.metric_names import metric_words
from tfl.evaluate.render import percent

_SHARES = ("accuracy", "macro_f1", "micro_f1", "mean_average_precision")


def alone_facts(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Each target together and alone, for the page: `lead` and `rows` of text; empty where that was not asked for.

    Example:

    >>> alone_facts({})
    {}
    """
    found = metrics.get("alone")
    if not found:
        return {}
    rows = [
        {
            "name": row["target"],
            "metric": metric_words(row["metric"]),
            "together": _value(row["together"], row["metric"]),
            "alone": _value(row["alone"], row["metric"]),
            "gain": gain_text(row),
            "count": row["count"],
        }
        for row in found["rows"]
    ]
    return {"lead": alone_sentence(metrics), "rows": rows}


def alone_sentence(metrics: Mapping[str, Any]) -> str:
    """Which targets are better together and which alone, as a sentence; empty where that was not measured.

    Example:

    >>> row = {"target": "disease", "metric": "accuracy", "gain": 0.1, "interval": [0.02, 0.2]}
    >>> alone_sentence({"alone": {"rows": [row]}})
    'Better together: disease.'
    """
    rows = (metrics.get("alone") or {}).get("rows") or ()
    better = [row["target"] for row in rows if row["interval"][0] > 0]
    worse = [row["target"] for row in rows if row["interval"][1] < 0]
    even = [row["target"] for row in rows if row["interval"][0] <= 0 <= row["interval"][1]]
    parts = (("Better together", better), ("Better alone", worse), ("No difference shown", even))
    return " ".join(f"{words}: {', '.join(names)}." for words, names in parts if names)


def gain_text(row: Mapping[str, Any]) -> str:
    """By how much a target is better together than alone, with its interval; below zero it is worse.

    Example:

    >>> gain_text({"metric": "accuracy", "gain": 0.1, "interval": [0.02, 0.2]})
    '+10.0 points (+2.0 to +20.0)'
    """
    low, high = row["interval"]
    if row["metric"] in _SHARES:
        return f"{100 * row['gain']:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"
    return f"{row['gain']:+.4g} ({low:+.4g} to {high:+.4g})"


def _value(value: float, metric: str) -> str:
    return percent(value) if metric in _SHARES else f"{value:.4g}"

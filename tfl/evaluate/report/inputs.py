"""What is said of several inputs: each alone, all together, and what a missing one costs. No TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfl.evaluate.metric_names import metric_words
from tfl.evaluate.render import percent


def input_facts(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """What each input is worth, for the page: `lead`, `metric`, `all` and `rows` of text; empty where there is one input.

    Example:

    >>> input_facts({})
    {}
    """
    found = metrics.get("inputs")
    if not found:
        return {}
    show = _shown(found["metric"])
    rows = [
        {
            "name": row["name"],
            "there": f"{row['there']} of {found['count']}",
            "alone": show(row["alone"]),
            "own_head": show(row["own_head"]),
            "without": show(row["without"]),
            "cost": cost_text(row, found["metric"]),
        }
        for row in found["rows"]
    ]
    return {"lead": input_sentence(metrics), "metric": metric_words(found["metric"]), "all": show(found["all"]), "rows": rows}


def input_sentence(metrics: Mapping[str, Any]) -> str:
    """All inputs together beside the best single one, as a sentence; empty where there is one input.

    Example:

    >>> row = {"name": "note", "own_head": 0.6, "alone": 0.55, "without": 0.5, "cost": 0.4, "interval": [0.3, 0.5], "there": 9}
    >>> input_sentence({"inputs": {"metric": "accuracy", "higher_is_better": True, "all": 0.9, "count": 10, "rows": [row]}})
    'All inputs together: accuracy 90.0%. The best input alone, note with a head of its own: 60.0%.'
    """
    found = metrics.get("inputs")
    if not found:
        return ""
    pick, show = max if found["higher_is_better"] else min, _shown(found["metric"])
    best = pick(found["rows"], key=lambda row: row["own_head"])
    name, metric = best["name"], metric_words(found["metric"])
    return (
        f"All inputs together: {metric} {show(found['all'])}. The best input alone, {name} with a head of its own: "
        f"{show(best['own_head'])}."
    )


def cost_text(row: Mapping[str, Any], metric: str) -> str:
    """By how much the metric is worse without an input, with its interval.

    Example:

    >>> cost_text({"cost": 0.317, "interval": [0.183, 0.45]}, "accuracy")
    '+31.7 points (+18.3 to +45.0)'
    """
    low, high = row["interval"]
    if _is_share(metric):
        return f"{100 * row['cost']:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"
    return f"{row['cost']:+.4g} ({low:+.4g} to {high:+.4g})"


def _shown(metric: str) -> Any:
    return percent if _is_share(metric) else lambda value: f"{value:.4g}"


def _is_share(metric: str) -> bool:
    return metric in ("accuracy", "macro_f1", "micro_f1", "mean_average_precision")

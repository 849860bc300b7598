"""What `Auto` tried and what each candidate brought, as rows of a table. No TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfl.evaluate.metric_names import metric_words
from tfl.recipe import LOWER_IS_BETTER, OF_NUMBERS, Monitor


def choice_facts(document: Mapping[str, Any], *, task: str, nouns: str) -> dict[str, Any]:
    """What `auto.json` says, for the report; empty where the recipe stated its stages.

    Returns:
        `lead`, a sentence on how the candidates were compared; `metric`, its name in words; `rows`, each with `name`, `kind`,
        `value`, `gain`, `interval` (two texts), `p`, `verdict` and `seconds`; and `note`, a sentence on the figures of the
        validation split, where it is one.

    Example:

    >>> tried = [{"kind": "probe", "name": "the last block", "value": 0.9, "gain": None, "kept": True, "count": 40}]
    >>> document = {"metric": "val_accuracy", "folds": 5, "examples": 40, "of": 40, "alpha": 0.2, "refit": True, "tried": tried}
    >>> choice_facts(document, task="classify", nouns="examples")["rows"][0]["value"]
    '90.0%'
    """
    if not document:
        return {}
    metric, sampled = str(document["metric"]), document["examples"] < document["of"]
    of = f"{document['examples']:,} of {document['of']:,}" if sampled else f"{document['of']:,}"
    note = ""
    if document["refit"]:
        note = (
            f"The final network was trained on the training and the validation {nouns}. The figures of the validation split are "
            "those of the networks of the cross-validation, which did not train on it."
        )
    return {
        "lead": (
            f"Each candidate answered for the same {of} training and validation {nouns}, under {document['folds']} folds: for "
            "those that its network was not trained on. A candidate replaced the best one before it where a paired one-sided "
            f"test of the loss found it better with p ≤ {document['alpha']:g}, and its {metric_words(metric)} was no worse; for "
            "the first fine-tuning, which is slow, less is asked."
        ),
        "metric": metric_words(metric),
        "rows": [_row(tried, metric) for tried in document["tried"]],
        "note": note,
        "loss": "scaled error" if task in OF_NUMBERS else "calibrated loss",
    }


def _row(tried: Mapping[str, Any], metric: str) -> dict[str, Any]:
    gain = tried.get("gain") or {}
    row: dict[str, Any] = {
        "name": str(tried["name"]),
        "kind": "probe" if tried["kind"] == "probe" else "fine-tuning",
        "value": "" if tried.get("value") is None else as_figure(tried["value"], metric),
        "gain": "",
        "loss": "",
        "p": "",
        "verdict": _verdict(tried),
        "kept": bool(tried["kept"]),
        "seconds": float(tried.get("seconds") or 0.0),
    }
    if tried["kind"] == "probe":
        row["name"] = f"probe of {row['name']}"
    if gain:
        low, high = gain["interval"]
        row["gain"] = as_change(gain["metric"], metric)
        edges = "" if low is None or high is None else f" [{low:+.3f}, {high:+.3f}]"
        row |= {"loss": f"{gain['mean']:+.3f}{edges}", "p": f"{gain['p']:.2g}"}
    elif row["kept"]:
        row["verdict"] = "the start"
    return row


def _verdict(tried: Mapping[str, Any]) -> str:
    if "skipped" in tried:
        return f"not tried: {tried['skipped']}"
    if tried.get("by_default"):
        return "kept: accuracy not shown to be worse"
    return "kept" if tried["kept"] else "not better"


def _is_share(metric: str) -> bool:
    return Monitor(metric).is_share


def as_figure(value: float, metric: str) -> str:
    """A value of a metric."""
    return f"{value:.1%}" if _is_share(metric) else f"{value:.4g}"


def as_change(value: float, metric: str) -> str:
    """A gain in a metric, as the change of its value."""
    if _is_share(metric):
        return f"{100 * value:+.1f} points"
    return f"{-value if metric in LOWER_IS_BETTER else value:+.4g}"

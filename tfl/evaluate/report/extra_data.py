"""What a report says of the extra examples: how like the target's they are, and whether some of them train. No TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfl.evaluate.metric_names import metric_words
from tfl.evaluate.report.choice import as_change, as_figure

_BY = {"likeness": "drawn by likeness", "chance": "drawn at random"}


def extra_facts(document: Mapping[str, Any], *, nouns: str) -> dict[str, Any]:
    """What `extra.json` says, for the report; empty where the recipe has no extra examples.

    Returns:
        `source`; `sentence`, whether some train; `likeness`, how alike both sets are, in a sentence; `lead`, how the draws were
        compared; `notes`, what was left out; `metric`, its name in words; and `rows`, the draws, none first, each with `name`,
        `count`, `value`, `gain`, `loss`, `p` and `verdict`.
    """
    if not document:
        return {}
    metric = str(document["metric"])
    return {
        "source": document["source"],
        "sentence": extra_sentence(document, nouns=nouns),
        "likeness": likeness_sentence(document, nouns=nouns),
        "lead": (
            f"Linear probes on features of the frozen network answered for the same {document['examples']:,} training {nouns} of "
            f"the target, under {document['folds']} folds, with the extra {nouns} of a row in the training part of each fold. "
            "The row with the lowest loss is used where a paired one-sided test finds it better than none with p ≤ "
            f"{document['alpha']:g}, and its {metric_words(metric)} is no worse."
        ),
        "notes": list(document["notes"]),
        "metric": metric_words(metric),
        "rows": [_row(tried, metric) for tried in document["tried"]],
    }


def extra_sentence(document: Mapping[str, Any], *, nouns: str) -> str:
    """Whether extra examples train, and on what evidence.

    Example:

    >>> none = {"level": 0, "by": "chance", "count": 0, "value": 0.5, "gain": None}
    >>> document = {"metric": "val_accuracy", "tried": [none], "best": 0, "count": 0, "usable": 90, "examples": 40}
    >>> extra_sentence(document, nouns="texts")
    'The extra texts are not used: on 40 held-out training texts no draw of them had a lower loss than none.'
    """
    metric, best = str(document["metric"]), document["tried"][document["best"]]
    on = f"on {document['examples']:,} held-out training {nouns}"
    if best["gain"] is None:
        return f"The extra {nouns} are not used: {on} no draw of them had a lower loss than none."
    gain = best["gain"]
    found = (
        f"{metric_words(metric)} {as_figure(document['tried'][0]['value'], metric)} without and "
        f"{as_figure(best['value'], metric)} with them, calibrated loss {-gain['mean']:+.3f}, p = {gain['p']:.2g}"
    )
    of = f"{best['count']:,} of the {document['usable']:,} extra {nouns}, {_BY[best['by']]}"
    if not document["count"]:
        return f"The extra {nouns} are not used: {on} they are not shown to help. The best draw was {of}: {found}."
    return f"Training takes {of}: {on} probes had {found}."


def likeness_sentence(document: Mapping[str, Any], *, nouns: str) -> str:
    """How like the target's the extra examples are.

    Example:

    >>> document = {"likeness": {"auc": 0.93, "distance": 1.4, "effective": 31.4}, "usable": 90}
    >>> likeness_sentence(document, nouns="texts").partition(": ")[0]
    'A classifier tells extra texts from those of the target with an AUC of 0.93 (0.5'
    """
    alike = document["likeness"]
    return (
        f"A classifier tells extra {nouns} from those of the target with an AUC of {alike['auc']:.2f} (0.5: alike, 1: nothing in "
        f"common; proxy A-distance {alike['distance']:.2f} of 2). Weighted by likeness, the {document['usable']:,} extra {nouns} "
        f"are worth {alike['effective']:,.0f}."
    )


def _row(tried: Mapping[str, Any], metric: str) -> dict[str, Any]:
    gain = tried["gain"]
    row: dict[str, Any] = {
        "name": "none" if gain is None else f"{tried['level']} per target example, {_BY[tried['by']]}",
        "count": tried["count"],
        "value": as_figure(tried["value"], metric),
        "gain": "",
        "loss": f"{tried['loss']:.3f}",
        "p": "",
        "kept": bool(tried["kept"]),
        "verdict": "used" if tried["kept"] else "",
    }
    if gain is not None:
        row |= {"gain": as_change(gain["metric"], metric), "p": f"{gain['p']:.2g}"}
    return row

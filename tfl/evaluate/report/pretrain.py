"""What a report says of the training without labels: what was trained, its loss, and whether it is kept. No TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfl.evaluate.figures import AXIS, COLOURS, Figure, layout_of, titled
from tfl.evaluate.metric_names import metric_words
from tfl.evaluate.report.choice import as_figure

_NAMES = {"simclr": "SimCLR", "vicreg": "VICReg", "rotation": "Rotation prediction"}


def pretrain_facts(document: Mapping[str, Any], *, nouns: str) -> dict[str, Any]:
    """What `pretrain.json` says, for the report; empty where nothing was learned without labels.

    Returns:
        `sentence`, whether it is kept; `trained`, what was trained; `lead`, how both were compared; `collapse`; `notes`, what
        was left out; `metric`, its name in words; `rows`, before and after, each with `name`, `value`, `loss`, `spread` and
        `verdict`; `history`.
    """
    if not document:
        return {}
    metric, kept, alpha = str(document["metric"]), document["kept"], document["alpha"]
    kept_where = f"a paired one-sided test of the loss has p ≤ {alpha:g}, and the {metric_words(metric)} is no worse"
    kept_where = f"the loss or the {metric_words(metric)} is no worse" if alpha == 1 else kept_where
    return {
        "sentence": pretrain_sentence(document, nouns=nouns),
        "trained": trained_sentence(document, nouns=nouns),
        "lead": (
            f"Linear probes on the pooled output of the last block answered for the same {document['examples']:,} training "
            f"{nouns}, under {document['folds']} folds. The new weights are used where {kept_where}."
        ),
        "collapse": collapse_sentence(document),
        "notes": list(document["notes"]),
        "metric": metric_words(metric),
        "rows": [
            {
                "name": f"{name} training without labels",
                "value": as_figure(document[name]["value"], metric),
                "loss": f"{document[name]['loss']:.3f}",
                "spread": f"{document[name]['spread']:.2f}",
                "verdict": "used" if kept == (name == "after") else "",
            }
            for name in ("before", "after")
        ],
        "history": list(document["history"]),
    }


def pretrain_sentence(document: Mapping[str, Any], *, nouns: str) -> str:
    """Whether the stages begin from the new weights, and on what evidence.

    Example:

    >>> gain = {"p": 0.001}
    >>> document = {"kept": True, "metric": "val_accuracy", "examples": 100, "gain": gain, "method": "simclr"}
    >>> said = pretrain_sentence({**document, "before": {"value": 0.5}, "after": {"value": 0.75}}, nouns="texts")
    >>> said.partition(": ")[2]
    'probes on 100 held-out training texts had accuracy 50.0% before and 75.0% after (p = 0.001).'
    """
    metric, name = str(document["metric"]), _NAMES[document["method"]]
    name = name if name != "Rotation prediction" else "rotation prediction"
    found = (
        f"probes on {document['examples']:,} held-out training {nouns} had {metric_words(metric)} "
        f"{as_figure(document['before']['value'], metric)} before and {as_figure(document['after']['value'], metric)} after "
        f"(p = {document['gain']['p']:.2g})"
    )
    if document["kept"]:
        return f"The stages begin from what {name} learned without labels: {found}."
    return f"What {name} learned without labels is not used, and the weights before it are kept: {found}."


def trained_sentence(document: Mapping[str, Any], *, nouns: str) -> str:
    """What was trained, on what, for how long."""
    others = document["pool"] - document["own"]
    of = f"{others:,} {nouns} without labels and the {document['own']:,} training {nouns}" if others else f"the training {nouns}"
    history = document["history"]
    losses = f"the loss went from {history[0]['loss']:.3f} to {history[-1]['loss']:.3f}"
    epochs = (
        f"{document['epochs']} epoch{'' if document['epochs'] == 1 else 's'} of {document['steps'] // document['epochs']} steps"
    )
    return f"{_NAMES[document['method']]} on {of}, {epochs} ({document['seconds']:.0f} s): {losses}."


def collapse_sentence(document: Mapping[str, Any]) -> str:
    """Whether the embedding tells examples apart at all.

    Example:

    >>> collapse_sentence({"before": {"spread": 0.3}, "after": {"spread": 0.6}, "collapsed": False})
    'The spread of the pooled features is 0.60, and was 0.30 before (0: all examples have the same; 1: spread evenly).'
    """
    after, before = document["after"]["spread"], document["before"]["spread"]
    said = f"The spread of the pooled features is {after:.2f}, and was {before:.2f} before"
    said += " (0: all examples have the same; 1: spread evenly)."
    advice = " The embedding has collapsed: lower pretrain.learning_rate, or take another method."
    return said + (advice if document["collapsed"] else "")


def pretrain_chart(facts: Mapping[str, Any]) -> Figure | None:
    """The loss of each epoch; None where nothing was learned without labels."""
    if not facts:
        return None
    history = facts["history"]
    line = {
        "type": "scatter",
        "mode": "lines" if len(history) > 2 else "lines+markers",
        "name": "loss without labels",
        "x": [row["epoch"] for row in history],
        "y": [row["loss"] for row in history],
        "line": {"color": COLOURS["cool"], "width": 2.5},
    }
    layout = layout_of(
        xaxis={**AXIS, **titled("epoch"), "showgrid": False},
        yaxis={**AXIS, **titled("loss")},
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
    )
    return {"data": [line], "layout": layout, "height": 240}

"""What a report says of the source network's own classifier: how classes were mapped, what was forgotten. No TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfl.errors import listed
from tfl.evaluate.compare.paired import ALPHA
from tfl.evaluate.render import percent


def mapping_facts(document: Mapping[str, Any], *, nouns: str) -> dict[str, Any]:
    """What `mapping.json` says, for the report; empty where the head is not the classifier of the source network.

    Returns:
        `lead`, how classes were mapped, as sentences; `notes`, what is left out, as sentences; `rows` with `source`, `target` and
        `share`.

    Example:

    >>> row = {"index": 0, "source": "tabby", "target": "cat", "share": 0.8}
    >>> document = {"by": "names", "source_classes": 5, "left_out": 4, "rows": [row], "without": []}
    >>> mapping_facts(document, nouns="texts")["notes"]
    ['4 of 5 classes of the source network stand for no class of the data and are left out.']
    """
    if not document:
        return {}
    how = "by their names"
    if document["by"] == "assignment":
        how = (
            f"by assignment: each goes to the class whose training {nouns} give it the largest mean probability, unless that is "
            "below an even share"
        )
    notes = []
    if document["left_out"]:
        notes.append(
            f"{document['left_out']} of {document['source_classes']} classes of the source network stand for no class of the "
            "data and are left out."
        )
    if document["without"]:
        notes.append(f"No class of the source network stands for {listed(document['without'])}, which is never predicted.")
    lead = (
        f"Nothing was trained: the classifier of the source network answers, and its classes were mapped {how}. The probability "
        "of a class is the sum over the classes of the source network that stand for it, divided by that over all classes of the "
        "data."
    )
    return {"lead": lead, "notes": notes, "rows": [dict(row) for row in document["rows"]]}


def forgetting_facts(metrics: Mapping[str, Any], *, nouns: str) -> dict[str, Any]:
    """What `metrics.json` says of the source task, for the report; empty where it was not measured.

    Returns:
        The figures of `SourceTask.measure`, and `sentence`.
    """
    found = metrics.get("source") or {}
    return {**found, "sentence": forgetting_sentence(found, nouns=nouns)} if found else {}


def forgetting_sentence(found: Mapping[str, Any], *, nouns: str) -> str:
    """The accuracy on the source task before and after, in one sentence or two.

    Example:

    >>> found = {"count": 50, "accuracy": [0.9, 0.9], "unchanged": True, "difference": 0.0}
    >>> forgetting_sentence(found, nouns="texts").split(": ")[1]
    'its backbone is the same bit for bit.'
    """
    before, after = found["accuracy"]
    start = f"On {found['count']} {nouns} of the source task the classifier of the source network is right for {percent(before)}"
    if found["unchanged"]:
        return f"{start}, before and after: its backbone is the same bit for bit."
    low, high = found["interval"]
    points = f"{100 * found['difference']:+.1f} points (95% interval {100 * low:+.1f} to {100 * high:+.1f})"
    weak = "" if found["p"] < ALPHA or not found["difference"] else f" That could be chance (McNemar p = {found['p']:.2g})."
    return f"{start} before training, and with the trained backbone for {percent(after)}: {points}.{weak}"

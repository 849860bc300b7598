"""What a report says of classes that are named by their attributes. No TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfl.evaluate.render import percent

NAMES = {"dap": "direct attribute prediction", "eszsl": "ESZSL"}


def zero_shot_facts(document: Mapping[str, Any], *, nouns: str) -> dict[str, Any]:
    """What `zero_shot.json` says, for the report; empty where there is none.

    Returns:
        `sentences`; `attributes`, their names; `figures`, with and without calibrated stacking, each with `name`, `seen`,
        `unseen` and `harmonic`; and `rows`, the unseen classes. Without `unseen_data` the last two are empty.
    """
    if not document:
        return {}
    measured = document["unseen"] or {}
    figures = [
        {"name": words, **{part: percent(measured[key][part]) for part in ("seen", "unseen", "harmonic")}}
        for key, words in (("generalised", "logits of seen classes lowered"), ("uncalibrated", "logits as they are"))
        if measured
    ]
    rows = [
        {**row, "accuracy": percent(row["accuracy"]), "taken_for": row["taken_for"] or ""} for row in measured.get("rows", ())
    ]
    return {
        "sentences": zero_shot_sentences(document, nouns=nouns),
        "attributes": ", ".join(document["attributes"]),
        "figures": figures,
        "rows": rows,
    }


def zero_shot_sentences(document: Mapping[str, Any], *, nouns: str) -> list[str]:
    """Which method names classes, and how often it is right.

    Example:

    >>> tried = [{"method": "dap", "accuracy": 0.75, "chance": 0.5}]
    >>> document = {"method": "dap", "setting": "", "tried": tried, "attributes": ["striped"], "seen": "abcd", "unseen": None}
    >>> zero_shot_sentences(document, nouns="sounds")[1]
    'No `unseen_data` is given, so how often unseen classes are named is not measured.'
    """
    own = next(row for row in document["tried"] if row["method"] == document["method"])
    setting = f" ({document['setting']})" if document["setting"] else ""
    count, seen = len(document["attributes"]), len(document["seen"])
    by = (
        f"{count} attribute{'s' * (count != 1)} of {seen} classes are learned by {NAMES[document['method']]}{setting}: seen "
        f"classes that were held out are named right in {percent(own['accuracy'])} (chance {percent(own['chance'])})."
    )
    measured = document["unseen"]
    if not measured:
        return [by, "No `unseen_data` is given, so how often unseen classes are named is not measured."]
    interval, whole = measured["interval"], measured["generalised"]
    between = f" (95% interval {percent(interval[0])} to {percent(interval[1])})" if interval else ""
    return [
        f"Of {measured['count']} {nouns} of {len(measured['rows'])} classes that were not trained on, "
        f"{percent(measured['accuracy'])} are named right among these classes{between}; chance is {percent(measured['chance'])}.",
        f"Where all classes can be the answer: seen ones {percent(whole['seen'])}, unseen ones {percent(whole['unseen'])}, "
        f"harmonic mean {percent(whole['harmonic'])}.",
        by,
    ]

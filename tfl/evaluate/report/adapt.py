"""What a report says of the adaptation to unlabelled examples: every method, the choice, and its regret. No TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfl.evaluate.render import percent

NAMES = {
    "source_only": "source only",
    "adabn": "AdaBN",
    "coral": "CORAL",
    "deep_coral": "Deep CORAL",
    "dann": "DANN",
    "self_training": "self-training",
    "tent": "TENT",
}
CRITERIA = {
    "snd": "soft neighbourhood density",
    "information": "information in the answers",
    "source": "accuracy on the source's validation examples",
}


def name_in_words(name: str) -> str:
    """What a candidate is called for people.

    Example:

    >>> name_in_words("adabn + coral")
    'AdaBN + CORAL'
    """
    return " + ".join(NAMES[one] for one in name.split(" + "))


def adapt_facts(document: Mapping[str, Any], *, nouns: str) -> dict[str, Any]:
    """What `adapt.json` says, for the report; empty where the network was not adapted.

    Returns:
        `source`; `sentences`, what was done and what it gained; `lead`, how the choice was made; `criterion`, its name, empty
        where there was no choice; `labelled`, whether target accuracies are known; `notes`; and `rows`, the candidates, each
        with `name`, `criterion`, `validation`, `accuracy`, `interval`, `gain`, `seconds`, `kept` and `verdict`.
    """
    if not document:
        return {}
    return {
        "source": document["source"],
        "sentences": adapt_sentences(document, nouns=nouns),
        "lead": _lead(document, nouns=nouns),
        "criterion": CRITERIA.get(str(document["criterion"]), ""),
        "labelled": document["regret"] is not None,
        "notes": [*document["notes"], *(f"{NAMES[row['method']]} is left out: {row['why']}." for row in document["skipped"])],
        "rows": [_row(row) for row in document["tried"]],
    }


def adapt_sentences(document: Mapping[str, Any], *, nouns: str) -> list[str]:
    """What was chosen, what it gained, and the regret of the choice, as far as labels say it.

    Example:

    >>> row = {"name": "source_only", "kept": True, "accuracy": None}
    >>> document = {"chosen": "source_only", "tried": [row], "count": 90, "criterion": "snd", "regret": None}
    >>> adapt_sentences(document, nouns="texts")[0]
    'The network stays as it was trained: of all candidates it has the highest soft neighbourhood density.'
    """
    chosen, count = str(document["chosen"]), f"{document['count']:,} {nouns} of the target"
    by = f" is chosen by the {CRITERIA[document['criterion']]}" if document["criterion"] else " is taken, as asked for"
    if chosen == "source_only":
        said = [f"The network stays as it was trained: of all candidates it has the highest {CRITERIA[document['criterion']]}."]
    else:
        said = [f"{name_in_words(chosen)} on {count}{by}."]
    regret = document["regret"]
    if regret is None:
        return [*said, "The target has no labels, so how often the network is right there is not known."]
    kept, first = next(row for row in document["tried"] if row["kept"]), document["tried"][0]
    on = f"{regret['count']:,} labelled {nouns} of the target"
    on += " that were not adapted to" if regret["held_out"] else ""
    low, high = kept["gain_interval"]
    said.append(
        f"On {on} it is right in {percent(kept['accuracy'])}, source only in {percent(first['accuracy'])}: "
        f"a gain of {_points(kept['gain'])} [{_points(low)}, {_points(high)}]."
    )
    if len(document["tried"]) > 1:
        low, high = regret["interval"]
        said.append(
            f"The best of all, known by these labels alone, is {name_in_words(regret['best'])}: the regret of the choice is "
            f"{_points(regret['regret'], sign=False)} [{_points(low, sign=False)}, {_points(high, sign=False)}]."
        )
    return said


def _points(share: float, *, sign: bool = True) -> str:
    return f"{100 * share:+.1f} points" if sign else f"{100 * share:.1f} points"


def _lead(document: Mapping[str, Any], *, nouns: str) -> str:
    labels = "Labels of the target, where it has any, are in no part of it."
    if not document["criterion"]:
        return f"The recipe names one method, so that there was no choice. {labels}"
    return (
        f"The candidate with the highest {CRITERIA[document['criterion']]} is taken, of those whose accuracy on the "
        f"{document['validation']:,} validation {nouns} of the source is at most {percent(document['guard'])} below that of "
        f"source only. {labels}"
    )


def _row(row: Mapping[str, Any]) -> dict[str, Any]:
    found = {
        "name": name_in_words(str(row["name"])),
        "criterion": f"{row['criterion']:.3f}",
        "validation": "" if row["validation"] is None else percent(row["validation"]),
        "accuracy": "",
        "interval": "",
        "gain": "",
        "seconds": f"{row['seconds']:.1f}",
        "kept": bool(row["kept"]),
        "verdict": "taken" if row["kept"] else str(row["out"]),
    }
    if row["accuracy"] is not None:
        low, high = row["interval"]
        found |= {"accuracy": percent(row["accuracy"]), "interval": f"{percent(low)} to {percent(high)}"}
        if row["gain_interval"] is not None and row["name"] != "source_only":
            found["gain"] = (
                f"{100 * row['gain']:+.1f} [{100 * row['gain_interval'][0]:+.1f}, {100 * row['gain_interval'][1]:+.1f}]"
            )
    return found

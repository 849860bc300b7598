"""What the report and the console say of a language model that learned from an author. No TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tfl.errors import listed
from tfl.evaluate.render import percent


def style_sentences(document: Mapping[str, Any]) -> list[str]:
    """`style.json` in sentences: the perplexity before and after, what is copied, and whose style it is.

    Args:
        document: Of `tfl.language.measure.measure_style`.
    """
    before, after, change = document["perplexity"]["before"], document["perplexity"]["after"], document["change"]
    low, high = change["interval"]
    start = "of the network as it was before" if document["trained_before"] else "of random weights"
    sentences = [
        f"Perplexity for each byte of the held-out text by {listed(document['authors'])}: {before['value']:.3f} {start}, "
        f"{after['value']:.3f} after: {change['value']:+.1%} (95% interval {low:+.1%} to {high:+.1%})."
    ]
    copied = document["copied"]
    sentences.append(
        f"The longest run that what it writes shares with the training books has {copied['after']['longest']} characters "
        f"({copied['before']['longest']} before; {copied['real']['longest']} in the author's own held-out text); "
        f"{percent(copied['after']['share'])} of the characters lie in shared runs of {copied['least']} or more."
    )
    return [*sentences, whose_sentence(document)]


def whose_sentence(document: Mapping[str, Any]) -> str:
    """How often a classifier of authors takes what was written for the author's."""
    whose, authors = document["whose"], document["authors"]
    if "refused" in whose:
        return f"Whose style? Not asked. {whose['refused']}"
    own = {name: sum(whose[name].get(author, 0) for author in authors) for name in ("before", "after", "real")}
    count = {name: sum(whose[name].values()) for name in own}
    return (
        f"Whose style? A classifier of {len(whose['authors'])} authors, right on {percent(whose['accuracy'])} of "
        f"{whose['count']} held-out passages, answers {listed(authors)} for {own['before']} of {count['before']} continuations "
        f"before, {own['after']} of {count['after']} after, and {own['real']} of {count['real']} passages by the author."
    )


def style_facts(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the page shows: the sentences, the tables and the continuations; empty where nothing was measured."""
    if not document:
        return {}
    whose = document["whose"]
    answers = (
        []
        if "refused" in whose
        else [
            {
                "author": name,
                "recall": whose["recall"][name],
                **{part: whose[part].get(name, 0) for part in ("before", "after", "real")},
            }
            for name in whose["authors"]
        ]
    )
    return {
        "sentences": style_sentences(document),
        "perplexity": document["perplexity"],
        "copied": document["copied"],
        "settings": document["settings"],
        "continuations": document["continuations"],
        "answers": answers,
    }

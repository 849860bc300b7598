"""Copies, garbled and foreign texts, and words that tell the label, planted and found; and none where there are none."""

from __future__ import annotations

import numpy as np
import pytest

from tfl.data.examples import Examples
from tfl.modalities.base import Audited
from tfl.modalities.text.audit import text_findings
from tfl.modalities.text.checks import TextChecks
from tfl.modalities.text.copies import near_sets
from tfl.modalities.text.language import is_mojibake, language_of, script_of

SUBJECTS = ("the film", "this story", "the whole cast", "her last novel", "that long evening", "the music")
VERBS = ("moved me", "bored us", "never ends", "is about a war", "was made for children", "won nothing")
REST = ("and that is all", "in the end", "as they say", "with some songs", "at the very least", "for two hours")


def plain(count: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [" ".join(str(rng.choice(words)) for words in (SUBJECTS, VERBS, REST)) + f" {rng.integers(1e9)}" for _ in range(count)]


def examples(texts: list[str], labels: list[int] | None = None) -> Examples:
    contents = np.array([text.encode() for text in texts], object)
    given = np.arange(len(texts)) % 2 if labels is None else labels
    return Examples(class_names=("dull", "fine"), labels=given, contents=contents, source="planted")


def found(texts: list[str], labels: list[int] | None = None) -> dict[str, list[str]]:
    return {finding["kind"]: finding["files"] for finding in text_findings(examples(texts, labels))}


def test_nothing_is_said_of_plain_texts() -> None:
    assert found(plain(60)) == {}


def test_what_was_planted_is_found() -> None:
    texts = plain(60)
    texts[3], texts[7] = "Bravo!", "a cafÃ© in the end, and that is all"
    texts[11] = "это было очень скучно и долго"
    texts[13] = "das ist nicht der Film, auf den wir mit großer Freude gewartet haben"
    assert found(texts) == {
        "short_texts": ["#3"],
        "mojibake": ["#7"],
        "other_script": ["#11"],
        "other_language": ["#13"],
    }


def test_a_word_that_tells_the_class() -> None:
    texts = [text + (" [sic]" if index % 2 else "") for index, text in enumerate(plain(60))]
    (finding, *_) = text_findings(examples(texts))
    assert (
        finding["kind"] == "telling_word"
        and len(finding["files"]) == 30
        and "30 of the 30 texts of the class fine" in finding["note"]
    )


def test_several_labels_have_no_telling_words() -> None:
    contents = np.array([f"{text} {'x' * (index % 2)}".encode() for index, text in enumerate(plain(40))], object)
    several = Examples(class_names=("a", "b"), targets=np.ones((40, 2)), contents=contents)
    assert text_findings(several) == []


def test_near_copies() -> None:
    texts = plain(400)
    texts[50] = texts[2].upper() + " !!!"
    texts[300] = texts[2].replace("the", "The")
    long = " ".join(plain(30, seed=1))
    texts[60], texts[61] = long, long.replace("evening", "night", 1)
    assert [members.tolist() for members in near_sets(texts)] == [[2, 50, 300], [60, 61]]


def test_copies_of_two_sources_are_found_by_their_prints() -> None:
    here, there = plain(20), plain(5, seed=2)
    there[3] = here[7].upper()
    first, second = (TextChecks(Audited(examples=examples(some), batches=iter)) for some in (here, there))
    prints = [str(index) for index in range(25)]
    assert [members.tolist() for members in (first.prints + second.prints).near_sets(prints)] == [[7, 23]]
    assert [finding.kind for finding in first.findings()] == [] and first.deep_findings() == []


def test_short_texts_are_copies_only_where_they_are_the_same() -> None:
    assert [members.tolist() for members in near_sets(["bad", "mad", "Bad.", "", "", "?!"])] == [[0, 2]]
    assert near_sets([]) == [] and near_sets(["a film"]) == []


@pytest.mark.parametrize(
    ("text", "script", "language"),
    [
        ("The film was not as long as they said it would be", "LATIN", "English"),
        ("Le film est très long et les acteurs ne sont pas dans leur rôle", "LATIN", "French"),
        ("映画はとても長かった", "HIRAGANA", None),
        ("no charm , no laughs , no fun , no reason to watch", "LATIN", None),
    ],
)
def test_scripts_and_languages(text: str, script: str, language: str | None) -> None:
    assert (script_of(text), language_of(text)) == (script, language)


@pytest.mark.parametrize("text", ["naïve café", "10 €", "Ärger über Öl", "“quoted” – dashes…", "смешной фильм", "日本語"])
def test_good_text_is_not_garbled(text: str) -> None:
    assert not is_mojibake(text)
    assert is_mojibake(text.encode().decode("latin-1"))

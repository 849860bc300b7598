"""What can be wrong with labelled texts besides copies and labels: short, garbled and foreign ones, words that tell the label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.modalities.text.language import is_mojibake, language_of, script_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHORTEST_WORDS = 2
PURE, COVERS = 0.98, 0.5
"""A word gives a class away where at least so many of the texts with it are of the class, and so many of the class have it."""
FEWEST_WITH_WORD = 8
PLURALITY = 0.8
"""A share of the texts in one script or language, from which others are worth a look."""


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Texts as the checks read them.

    Args:
        names: What the audit calls each.
        texts: The texts.
        labels: `(n,)` the class of each; None where examples have several labels or numbers.
        class_names: The name of each class.
    """

    names: Sequence[str]
    texts: Sequence[str]
    labels: NDArray[np.int32] | None
    class_names: Sequence[str]

    @classmethod
    def of(cls, examples: Any) -> Texts:
        """The texts of a `tfl.data.examples.Examples`."""
        some = range(len(examples))
        return cls(
            names=[examples.name_of(index) for index in some],
            texts=[examples.bytes_of(index).decode("utf-8", "replace") for index in some],
            labels=examples.labels if examples.targets is None else None,
            class_names=examples.class_names,
        )


def text_findings(examples: Any) -> list[dict[str, Any]]:
    """What is wrong with the texts of a source, as dictionaries of `kind`, `severity`, `files` and `note`.

    Args:
        examples: A `tfl.data.examples.Examples` whose contents were checked.

    Example:

    >>> import numpy as np
    >>> from tfl.data.examples import Examples
    >>> from tfl.modalities.text.audit import text_findings
    >>> contents = np.array([b"fine", b"all in all a dull film"], object)
    >>> [found["kind"] for found in text_findings(Examples(class_names=("a", "b"), labels=[0, 1], contents=contents))]
    ['short_texts']
    """
    texts = Texts.of(examples)
    return [finding for look in (short_texts, mojibake, other_scripts, other_languages, telling_words) for finding in look(texts)]


def short_texts(texts: Texts) -> list[dict[str, Any]]:
    """Texts of a single word."""
    short = [at for at, text in enumerate(texts.texts) if len(text.split()) < SHORTEST_WORDS]
    return _finding("short_texts", "info", texts, short, "{count} of a single word.")


def mojibake(texts: Texts) -> list[dict[str, Any]]:
    """Texts whose encoding was mistaken before they were written."""
    garbled = [at for at, text in enumerate(texts.texts) if is_mojibake(text)]
    note = "{count} garbled: UTF-8 that was read in another encoding, or characters that were lost. Write the source again."
    return _finding("mojibake", "warning", texts, garbled, note)


def other_scripts(texts: Texts) -> list[dict[str, Any]]:
    """Texts in other letters than nearly all."""
    return _unlike_the_rest("other_script", "letters", texts, [script_of(text) for text in texts.texts])


def other_languages(texts: Texts) -> list[dict[str, Any]]:
    """Texts in another language than nearly all, by their commonest words."""
    return _unlike_the_rest("other_language", "language", texts, [language_of(text) for text in texts.texts])


def telling_words(texts: Texts) -> list[dict[str, Any]]:
    """Words, numbers or signs that nearly all texts of a class have and no others: the label may have leaked into the text."""
    if texts.labels is None or len(texts.texts) < 2 * FEWEST_WITH_WORD or len(np.unique(texts.labels)) < 2:
        return []
    from sklearn.feature_extraction.text import CountVectorizer

    words = CountVectorizer(binary=True, token_pattern=r"(?u)\w+|[^\w\s]", min_df=FEWEST_WITH_WORD)
    try:
        rows = words.fit_transform(texts.texts)
    except ValueError:  # no word is so frequent
        return []
    names, total = words.get_feature_names_out(), np.asarray(rows.sum(axis=0)).ravel()
    findings = []
    for label, class_name in enumerate(texts.class_names):
        of_class = np.flatnonzero(texts.labels == label)
        within = np.asarray(rows[of_class].sum(axis=0)).ravel()
        telling = np.flatnonzero(
            (within >= PURE * total) & (within >= COVERS * max(len(of_class), 1)) & (within >= FEWEST_WITH_WORD)
        )
        for word in telling[np.argsort(-within[telling])][:3]:
            having = of_class[rows[of_class][:, word].toarray().ravel() > 0]
            note = (
                f"`{names[word]}` is in {within[word]:,} of the {len(of_class):,} texts of the class {class_name}, and in "
                f"{total[word] - within[word]:,} others: the label may have leaked into the text."
            )
            findings += _finding("telling_word", "warning", texts, having.tolist(), note)
    return findings


def _unlike_the_rest(kind: str, what: str, texts: Texts, found: Sequence[str | None]) -> list[dict[str, Any]]:
    counted = Counter(one for one in found if one is not None)
    if not counted:
        return []
    usual, count = counted.most_common(1)[0]
    if count < PLURALITY * counted.total():
        return []
    others = [at for at, one in enumerate(found) if one not in (None, usual)]
    shown = ", ".join(f"{name.title()} {number:,}" for name, number in counted.most_common(6)[1:])
    return _finding(kind, "info", texts, others, f"{{count}} in another {what} than {usual.title()}: {shown}.")


def _finding(kind: str, severity: str, texts: Texts, at: Sequence[int], note: str) -> list[dict[str, Any]]:
    if not len(at):
        return []
    said = note.replace("{count}", f"{len(at):,} {'text is' if len(at) == 1 else 'texts are'}")
    return [{"kind": kind, "severity": severity, "files": [texts.names[one] for one in at], "note": said}]

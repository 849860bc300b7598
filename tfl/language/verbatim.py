"""How much of a text is copied word for word from others: the runs of characters that both have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

LEAST = 30
"""Characters of a run that counts as copied: some five words."""


@dataclass(frozen=True)
class Copied:
    """What texts share with others.

    Args:
        longest: Characters of the longest run that both have.
        text: That run.
        share: Share of the characters that lie in runs of at least `LEAST` characters.
    """

    longest: int
    text: str
    share: float


def copied_from(texts: Sequence[str], source: str) -> Copied:
    """What some texts share with a source, exactly.

    At each place the longest run that the source has is found from the one at the place before, which is at most one longer: so
    the number of searches grows as the length of the texts.

    Args:
        texts: What was written.
        source: What it may have been copied from.

    Example:

    >>> from tfl.language.verbatim import copied_from
    >>> found = copied_from(["she sells shells"], "he sells sea shells by the shore")
    >>> found.longest, found.text, found.share
    (10, 'he sells s', 0.0)
    """
    best, inside, total = "", 0, 0
    for text in texts:
        length, covered = 0, 0
        for start in range(len(text)):
            length = max(length - 1, 0)
            while start + length < len(text) and text[start : start + length + 1] in source:
                length += 1
            if length > len(best):
                best = text[start : start + length]
            if length >= LEAST:
                inside += start + length - max(covered, start)
                covered = start + length
        total += len(text)
    return Copied(len(best), best, inside / max(total, 1))

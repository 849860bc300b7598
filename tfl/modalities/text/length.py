"""How many tokens a text may have: chosen from the training texts, and said. No TensorFlow is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

STEP = 8
"""Lengths are multiples of this, which suits the vector units of processors."""
COVERED = 0.99
"""The share of the texts that is to be read whole."""


@dataclass(frozen=True, kw_only=True)
class Length:
    """A chosen length.

    Args:
        tokens: Integer, tokens of each text, special tokens included.
        cut: Integer, how many of the texts are longer.
        count: Integer, how many texts there were.
        longest: Integer, tokens of the longest text.
        limited: Boolean, whether the network's maximum decided it.
    """

    tokens: int
    cut: int
    count: int
    longest: int
    limited: bool = False

    def __str__(self) -> str:
        why = "the most that the network takes" if self.limited else f"enough for {1 - self.cut / max(self.count, 1):.1%} of them"
        cut = f"{self.cut:,} of {self.count:,} texts lose their end" if self.cut else f"all {self.count:,} texts are read whole"
        return f"length: {self.tokens} tokens, {why}; {cut} (the longest has {self.longest:,})"


def choose_length(counts: ArrayLike, *, maximum: int) -> Length:
    """The smallest multiple of 8 that covers 99% of the texts, at most what the network takes.

    Args:
        counts: `(n,)` tokens of each text, special tokens included.
        maximum: Integer, tokens that the network takes.

    Example:

    >>> from tfl.modalities.text.length import choose_length
    >>> str(choose_length([10] * 99 + [300], maximum=512))
    'length: 16 tokens, enough for 99.0% of them; 1 of 100 texts lose their end (the longest has 300)'
    """
    given = np.asarray(counts, np.int64)
    longest = int(given.max(initial=0))
    wanted = int(np.quantile(given, COVERED, method="inverted_cdf")) if len(given) else STEP
    tokens = max(-(-wanted // STEP) * STEP, STEP)
    limited = tokens > maximum
    tokens = min(tokens, maximum)
    return Length(tokens=tokens, cut=int((given > tokens).sum()), count=len(given), longest=longest, limited=limited)


def length_groups(lengths: ArrayLike, batch_size: int) -> list[NDArray[np.int64]]:
    """Batches of rows of similar length, the longest first, so that a batch holds little padding.

    The longest come first so that what needs most memory is tried at once.

    Args:
        lengths: `(n,)` tokens in use of each row.
        batch_size: Integer, rows of a batch of the longest. Batches of shorter rows hold as many rows, no more.

    Returns:
        Positions of the rows of each batch; together they hold every row once.

    Example:

    >>> from tfl.modalities.text.length import length_groups
    >>> [group.tolist() for group in length_groups([5, 20, 6, 21, 7], 2)]
    [[3, 1], [4, 2], [0]]
    """
    order = np.argsort(-np.asarray(lengths, np.int64), kind="stable")
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def padded_length(lengths: ArrayLike, *, most: int) -> int:
    """The length that a batch is cut to: that of its longest row, rounded up to a multiple of 8.

    Args:
        lengths: Tokens in use of each row of the batch.
        most: Integer, the length of the rows as they are.

    Example:

    >>> from tfl.modalities.text.length import padded_length
    >>> padded_length([5, 13], most=64), padded_length([61], most=60)
    (16, 60)
    """
    longest = int(np.max(np.asarray(lengths, np.int64), initial=1))
    return min(-(-longest // STEP) * STEP, most)

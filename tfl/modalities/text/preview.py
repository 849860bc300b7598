"""How a person sees a text: escaped, its tokens shaded by how much each speaks for the answer. No TensorFlow is imported here."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from tfl.modalities.base import Preview

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

SHOWN, LINE = 1000, 80
"""Characters of a text that a page shows, and that a terminal shows."""
_MARKS = (("##", ""), ("▁", " "), ("Ġ", " "))
"""How tokenizers mark that a word goes on (WordPiece) or begins (SentencePiece, byte-level BPE)."""


def preview(content: bytes, *, tokens: Sequence[str] = (), attribution: ArrayLike | None = None) -> Preview:
    """The text, or its tokens with a background that says how much each speaks for the answer.

    Args:
        content: The text as UTF-8.
        tokens: Each token in use, as the tokenizer writes it.
        attribution: `(tokens,)` how much each token speaks for the answer (green) or against it (red); any scale. None shades
            nothing.

    Example:

    >>> from tfl.modalities.text.preview import preview
    >>> preview(b"<b>fine</b>").html
    '<span class="text">&lt;b&gt;fine&lt;/b&gt;</span>'
    """
    text = content.decode("utf-8", "replace").removeprefix("\ufeff")
    if attribution is None or not len(tokens):
        shown = html.escape(text if len(text) <= SHOWN else text[:SHOWN] + " …")
        return Preview(html=f'<span class="text">{shown}</span>', text=one_line(text))
    return Preview(html=f'<span class="text">{_shaded(tokens, attribution)}</span>', text=one_line(text))


def one_line(text: str, *, width: int = LINE) -> str:
    """The beginning of a text on one line, without control characters.

    Example:

    >>> from tfl.modalities.text.preview import one_line
    >>> one_line("a  long\\nfilm about nothing", width=12)
    'a long film…'
    """
    words = "".join(letter if letter.isprintable() else " " for letter in text[: 20 * width])
    line = " ".join(words.split())
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def _shaded(tokens: Sequence[str], attribution: ArrayLike) -> str:
    values = np.asarray(attribution, np.float64).reshape(-1)[: len(tokens)]
    largest = float(np.abs(values).max(initial=0.0)) or 1.0
    joined = any(token.startswith(("▁", "Ġ")) for token in tokens)
    parts = []
    for token, value in zip(tokens, values / largest, strict=False):
        colour = "30,160,70" if value >= 0 else "210,50,50"
        space, written = _written(token, joined)
        style = f"background:rgba({colour},{abs(value):.2f})"
        parts.append(f'{space}<span style="{style}" title="{value:+.2f}">{html.escape(written)}</span>')
    return "".join(parts).strip()


def _written(token: str, joined: bool) -> tuple[str, str]:
    """What stands before a token, and the token without its mark.

    Args:
        token: As the tokenizer writes it.
        joined: Whether words begin with a mark; else all tokens do but those that go on.
    """
    for mark, space in _MARKS:
        if token.startswith(mark) and len(token) > len(mark):
            return space, token[len(mark) :]
    return ("" if joined else " "), token

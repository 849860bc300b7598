"""In which script and language a text is written, as far as letters and the commonest words tell."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

FUNCTION_WORDS = {
    "Dutch": "de het een en van is dat niet met op te voor zijn ook maar aan die er wordt werd",
    "English": "the and of to is that it in was this with for not but are you have his they be",
    "French": "le la les des et est une que pas pour dans ce qui sur au plus avec il elle sont",
    "German": "der die das und ist nicht ein eine zu mit von auf den für sich auch es dem war im",
    "Italian": "il la che di e un una per non è con del sono come ma gli anche della nel si",
    "Portuguese": "o que de e um uma para não com os as do da em por mais mas foi ao são",
    "Spanish": "el la que de y los las una para no con por del es se lo como más pero su",
}
"""The commonest words of languages in Latin letters."""
FEWEST_WORDS, FEWEST_FOUND = 8, 3
_WORDS = {language: frozenset(words.split()) for language, words in FUNCTION_WORDS.items()}


def script_of(text: str) -> str | None:
    """The script of most letters, such as `LATIN` or `CYRILLIC`; None where there are fewer than five letters.

    Example:

    >>> from tfl.modalities.text.language import script_of
    >>> script_of("an example"), script_of("например"), script_of("42!")
    ('LATIN', 'CYRILLIC', None)
    """
    letters = [letter for letter in text[:2000] if letter.isalpha()]
    if len(letters) < 5:
        return None
    names = Counter(unicodedata.name(letter, "UNKNOWN").split(" ")[0] for letter in letters)
    return names.most_common(1)[0][0]


def language_of(text: str) -> str | None:
    """The language of which a text has by far the most of the commonest words, each counted once; None where none stands out.

    Example:

    >>> from tfl.modalities.text.language import language_of
    >>> language_of("Das ist nicht der Film, auf den wir mit Freude gewartet haben.")
    'German'
    """
    words = re.findall(r"[^\W\d_]+", text[:4000].lower())
    if len(words) < FEWEST_WORDS:
        return None
    found = Counter({language: len(known.intersection(words)) for language, known in _WORDS.items()})
    (first, most), (_, second) = found.most_common(2)
    return first if most >= FEWEST_FOUND and most >= 2 * second else None


def is_mojibake(text: str) -> bool:
    """Whether a text holds UTF-8 that was read as Windows-1252 or Latin-1, or characters that were lost.

    Example:

    >>> from tfl.modalities.text.language import is_mojibake
    >>> is_mojibake("a cafÃ© in ZÃ¼rich"), is_mojibake("a café in Zürich"), is_mojibake("a caf\\ufffd")
    (True, False, True)
    """
    return "\ufffd" in text or any(_was_utf8(run) for run in re.findall(r"[^\x00-\x7f]{2,}", text[:20000]))


def _was_utf8(run: str) -> bool:
    for encoding in ("cp1252", "latin-1"):
        try:
            run.encode(encoding).decode("utf-8")
        except UnicodeError:
            continue
        return True
    return False

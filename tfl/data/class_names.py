"""Whether the names of the classes, labels or numbers of a source can be used, and whether each class has examples."""

from __future__ import annotations

import unicodedata

from tfl.data.examples import Examples, is_text, listed
from tfl.errors import DataError

MOST_CHARACTERS = 200
"""Of a class name."""


def _check_name(name: str, source: str) -> None:
    """A name becomes a line of `labels.txt` and a word in tables: one of several lines would shift the labels after it."""
    if name.strip() and len(name) <= MOST_CHARACTERS and is_text(name) and not any(map(_breaks_lines, name)):
        return
    raise DataError(
        f"A class of {source} has a name that cannot be used.",
        received=repr(name[:MOST_CHARACTERS]),
        allowed=f"1 to {MOST_CHARACTERS} characters, without line breaks and other control characters",
        fix="Rename the class.",
    )


def _breaks_lines(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Zl", "Zp")


def folded(name: str) -> str:
    """A name as it is compared: the case of its letters, and how Unicode writes them, do not count.

    Example:

    >>> folded("Straße") == folded("STRASSE")
    True
    """
    return unicodedata.normalize("NFC", name).casefold()


def check_names(examples: Examples) -> None:
    """Makes sure that the names of classes, labels or numbers can be used and told apart.

    Raises:
        DataError: A name is empty, too long or has a line break, or two differ only by case.
    """
    same: dict[str, str] = {}
    for name in examples.class_names:
        _check_name(name, examples.source)
        compared = folded(name)
        if (twin := same.get(compared)) is not None:
            raise DataError(
                f"Two classes of {examples.source} have names that "
                + ("are the same." if twin == name else "differ only by case."),
                received=f"`{twin}` and `{name}`",
                fix="Rename one, or merge them: some file systems cannot tell them apart.",
            )
        same[compared] = name


def check_classes_of(examples: Examples) -> None:
    """Makes sure that the classes of a source are fit for training.

    Raises:
        DataError: A name cannot be used, a class has no example, or there are fewer than two.
    """
    check_names(examples)
    names = examples.class_names
    empty = [name for name, count in examples.counts().items() if count == 0]
    if empty:
        raise DataError(
            f"Of the classes of {examples.source}, these have no {examples.noun}: {listed(empty)}.",
            fix=f"Add {examples.nouns}, remove the class, or choose the others with `data.labels`.",
        )
    if len(names) < 2:
        raise DataError(
            f"{examples.source} has fewer than two classes, and a classifier needs at least two.",
            received=listed(names) or "none",
            allowed="two classes or more",
            fix="Each class is a folder (or a label in the CSV file) of its own.",
        )

"""Whether the cells of a label column are classes, or sets of labels, or numbers to predict."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from tfl.data.examples import listed
from tfl.errors import DataError, MismatchError

FEWEST = 3
"""Examples that a class needs to be in a training, a validation and a test split."""
MISSING = frozenset(("", "nan", "<na>", "#n/a", "na", "n/a", "none", "null"))
"""What stands for a number or a mark that nobody knows, in lower case."""
_MOST_DECIMALS, _FEWEST_INTEGERS, _SMALL_SHARE = 30, 10, 0.25


def check_labels(cells: Sequence[str], *, where: str, noun: str = "example", nouns: str = "examples") -> None:
    """Raises where the cells look like several labels each, or like numbers to predict.

    Args:
        cells: The label of each row, as text.
        where: The table and its column, for the message.
        noun, nouns: What the message calls an example, and several.

    Raises:
        MismatchError: They do not look like classes.

    Example:

    >>> from tfl.data.label_values import check_labels
    >>> check_labels(["salt & pepper", "5-10", "3"], where="list.csv, column `label`")
    >>> check_labels(["daisy;wild", "daisy", "rose;wild"], where="list.csv, column `label`")
    Traceback (most recent call last):
    ...
    tfl.errors.MismatchError: list.csv, column `label`: the cells look like several labels per example, separated by `;`. ...
    """
    counts = Counter(cell for cell in cells if cell)
    if (mark := separator_of_sets(list(counts))) is not None:
        raise _several(counts, mark, where, noun)
    if looks_like_numbers(counts):
        raise _numbers(counts, where, noun, nouns)


def separator_of_sets(values: Sequence[str]) -> str | None:
    """The mark between the labels of a cell, when the distinct `values` look like sets of labels; None when they look like names.

    The parts of sets recur in combinations. The parts of names do so too (`Pepper, bell` and `Pepper, chili`), but each at its
    own place: so a comma or a blank counts only when most parts also occur alone or at several places.

    Example:

    >>> from tfl.data.label_values import separator_of_sets
    >>> separator_of_sets(["a|b", "b", "a"]), separator_of_sets(["cat, dog", "cat", "dog"]), separator_of_sets(["['a', 'b']"])
    ('|', ',', ',')
    >>> separator_of_sets(["Pepper, bell", "Pepper, chili", "Corn, sweet"]), separator_of_sets(["Mammals|Cats", "Mammals|Dogs"])
    (None, None)
    """
    inner = [value.strip() for value in values]
    brackets = [value for value in inner if value[:1] + value[-1:] in ("[]", "{}", "()")]
    if brackets and len(brackets) == len(inner) and any("," in value for value in brackets):
        return ","
    for mark in (";", "|"):
        if _recur(_split(inner, mark), least_share=0.0):
            return mark
    if _recur(_split(inner, ","), least_share=0.5):
        return ","
    parts = _split(inner, " ")
    many = len(inner) > 1.5 * len({part for cell in parts for part in cell})
    return " " if many and _recur(parts, least_share=0.8) else None


def _split(values: Sequence[str], mark: str) -> list[list[str]]:
    return [[part.strip() for part in value.split(mark) if part.strip()] for value in values]


def _recur(cells: list[list[str]], *, least_share: float) -> bool:
    """Whether parts of cells recur elsewhere than as a common beginning, and that share of them at no fixed place."""
    multiple = {part for cell in cells if len(cell) > 1 for part in cell}
    places: dict[str, set[int]] = {part: set() for part in multiple}
    alone, within = set[str](), Counter[str]()
    for cell in cells:
        within.update(set(cell) & multiple)
        for place, part in enumerate(cell):
            if part in multiple:
                places[part].add(place)
        if len(cell) == 1:
            alone.add(cell[0])
    recurring = {part for part in multiple if within[part] > 1}
    if least_share == 0.0:
        return any(part in alone or places[part] != {0} for part in recurring)
    free = {part for part in recurring if part in alone or len(places[part]) > 1}
    return bool(free) and len(free) >= least_share * len(multiple)


def looks_like_numbers(counts: Counter[str]) -> bool:
    """Whether labels, counted, look like a number to predict: decimals or a long range of integers, most with too few examples.

    Numbers that name classes are few, or number them without gaps, and have several examples each.

    Example:

    >>> from collections import Counter
    >>> from tfl.data.label_values import looks_like_numbers
    >>> looks_like_numbers(Counter(str(value / 7) for value in range(42))), looks_like_numbers(Counter({"1.0": 9, "2.0": 12}))
    (True, False)
    >>> looks_like_numbers(Counter({str(year): 20 for year in range(1990, 2020)}))
    False
    """
    numbers = [number_of(text) for text in counts]
    if len(numbers) < FEWEST or any(value is None for value in numbers):
        return False
    values = [value for value in numbers if value is not None]
    if any(value != int(value) for value in values):
        return len(values) > _MOST_DECIMALS or counts.total() / len(values) < 5
    numbered = min(values) in (0, 1) and len(values) >= 0.9 * (max(values) - min(values) + 1)
    small = sum(count < FEWEST for count in counts.values())
    return len(values) >= _FEWEST_INTEGERS and not numbered and small >= _SMALL_SHARE * len(values)


def number_of(text: str) -> float | None:
    """The number that a cell says; None for other text, and for what is not finite.

    Example:

    >>> from tfl.data.label_values import number_of
    >>> number_of("-3.5e2"), number_of("inf"), number_of("1_000"), number_of("cat")
    (-350.0, None, None, None)
    """
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in text else None


def mark_of(text: str) -> float | None:
    """1 or 0 for a cell that says whether an example has a label; None for another cell.

    Example:

    >>> from tfl.data.label_values import mark_of
    >>> mark_of("1.0"), mark_of("False"), mark_of("2")
    (1.0, 0.0, None)
    """
    return {"1": 1.0, "1.0": 1.0, "true": 1.0, "0": 0.0, "0.0": 0.0, "false": 0.0}.get(text.lower())


def _several(counts: Counter[str], mark: str, where: str, noun: str) -> DataError:
    shown = {" ": "blanks"}.get(mark, f"`{mark}`")
    combined = {value: count for value, count in counts.items() if mark in value.strip("[](){}")}
    examples = listed([f"`{value[:60]}` ({count})" for value, count in list(combined.items())[:3]])
    return MismatchError(
        f"{where}: the cells look like several labels per {noun}, separated by {shown}.",
        received=f"{sum(combined.values())} of {counts.total()} cells combine labels, such as {examples}",
        allowed=f"one class per {noun} where the task is classify",
        fix=f"To train on several labels per {noun}: --set task=multilabel. Otherwise write one label in each cell, or name "
        f"another column with --set data.label_column=NAME. If these are names of classes, write them without {shown}.",
    ).suggesting({"task": "multilabel"})


def _numbers(counts: Counter[str], where: str, noun: str, nouns: str) -> DataError:
    values = sorted(counts, key=lambda text: float(text))
    return MismatchError(
        f"{where}: the cells look like a number to predict (regression), not like classes.",
        received=f"{len(counts)} different numbers from {values[0]} to {values[-1]} in {counts.total()} rows",
        allowed=f"one class per {noun}, each with at least {FEWEST} {nouns}, where the task is classify",
        fix="To predict the number: --set task=regress. Otherwise write ranges as names of classes, such as `0-10` and `10-20`, "
        "or name another column with --set data.label_column=NAME.",
    ).suggesting({"task": "regress"})

"""What sets of copies mean: harmless within a class, contradicting across classes, leaks across splits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tfl.audit.targets import target_words
from tfl.data.examples import Examples
from tfl.finding import Finding, Severity, of_groups, plural

if TYPE_CHECKING:
    from numpy.typing import NDArray

Sets = Sequence["NDArray[np.int64]"]
_KINDS = {
    "exact": ("exact_duplicates", "conflicting_labels", "exact_leaks"),
    "near": ("near_duplicates", "near_conflicting_labels", "near_leaks"),
}
_EXACT = "have the same content"


def copy_findings(
    examples: Examples,
    sets: Sets,
    *,
    how: Literal["exact", "near"],
    splits: NDArray[Any] | None,
    drawn: bool = False,
    same: str = _EXACT,
) -> list[Finding]:
    """Findings about sets of copies: all of them, those under several labels, and those in several splits.

    Args:
        examples: What the positions in `sets` are of.
        sets: Positions of the members of each set.
        how: Whether they are exact or near copies.
        splits: `(n,)` the split of each, empty where it is in none; None where nothing is split yet.
        drawn: Whether tfl drew these splits, and keeps exact copies in one of them.
        same: How they are the same, as the end of a sentence. Defaults to the same content.
    """
    duplicates, conflicts, leaks = _KINDS[how]
    together = "each such set stays in one split" if how == "exact" else "a split may tear them apart"
    torn = [] if splits is None else [members for members in sets if len(_splits_of(splits, members)) > 1]
    several = [members for members in sets if len(_labels_of(examples, members)) > 1]
    rows: list[tuple[str, Severity, Sets, str]] = [
        (leaks, "error", torn, f"{same}, in several splits: scores look better than they are"),
        (conflicts, "warning", several, f"{same} under different labels; at least one label is wrong"),
        (duplicates, "info", sets, f"{same}; {together}" if drawn or splits is None else same),
    ]
    captions: dict[str, Callable[[NDArray[np.int64]], str]] = {
        leaks: lambda members: " and ".join(_splits_of(splits, members)),
        conflicts: lambda members: " or ".join(_labels_of(examples, members)),
        duplicates: lambda members: " and ".join(_labels_of(examples, members)),
    }
    return [_finding(examples, kind, severity, some, text, captions[kind]) for kind, severity, some, text in rows if some]


def _finding(
    examples: Examples, kind: str, severity: Severity, sets: Sets, text: str, caption: Callable[[NDArray[np.int64]], str]
) -> Finding:
    count = sum(len(members) for members in sets)
    return of_groups(
        kind,
        severity,
        [[examples.name_of(int(index)) for index in members] for members in sets],
        f"{plural(count, examples.noun, examples.nouns)} in {plural(len(sets), 'set')} {text}.",
        captions=[caption(members) for members in sets],
    )


def _splits_of(splits: NDArray[Any] | None, members: NDArray[np.int64]) -> list[str]:
    return [] if splits is None else [str(name) for name in np.unique(splits[members]) if name]


def _labels_of(examples: Examples, members: NDArray[np.int64]) -> list[str]:
    return sorted({target_words(examples, int(index)) for index in members}, key=str)

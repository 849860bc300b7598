"""Classes that will give trouble: rare beside others, too small to split, named differently in different splits."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tfl.data.examples import SPLITS, Examples, listed
from tfl.finding import Finding, plural

if TYPE_CHECKING:
    from numpy.typing import NDArray

IMBALANCED = 3
"""A class this many times as large as another one makes a set imbalanced."""
VERY_IMBALANCED = 10
FEWEST = 3
"""One to train, one to validate, one to test."""
FEW = 10


def class_findings(examples: Examples, units: NDArray[np.int64]) -> list[Finding]:
    """`class_imbalance`, `classes_too_small` and `classes_small`; nothing where each example has not one class.

    Args:
        examples: The usable ones.
        units: `(n,)` what stays together in a split: groups, and exact copies.
    """
    if examples.targets is not None:
        return []
    return [*_imbalance(examples), *_small(examples, units)]


def _imbalance(examples: Examples) -> list[Finding]:
    counts = {name: count for name, count in examples.counts().items() if count}
    if len(counts) < 2 or max(counts.values()) < IMBALANCED * min(counts.values()):
        return []
    few, many = min(counts, key=lambda name: counts[name]), max(counts, key=lambda name: counts[name])
    times = counts[many] / counts[few]
    note = (
        f"Class `{many}` has {counts[many]:,} {examples.nouns}, {times:.1f} times those of `{few}` ({counts[few]:,}): accuracy "
        "says little about the rare classes. Watch `val_macro_f1`, and consider `class_weight=balanced`."
    )
    return [Finding(kind="class_imbalance", severity="warning" if times >= VERY_IMBALANCED else "info", files=(), note=note)]


def _small(examples: Examples, units: NDArray[np.int64]) -> list[Finding]:
    """By what can be put apart: examples of one group, and exact copies, count once."""
    pieces = [len(np.unique(units[examples.labels == label])) for label in range(len(examples.class_names))]
    found = []
    kinds = (
        ("classes_too_small", "error", 0, FEWEST, "cannot be in a training, a validation and a test split"),
        ("classes_small", "warning", FEWEST, FEW, f"have so few {examples.nouns} that a score on them is mostly luck"),
    )
    for kind, severity, low, high, text in kinds:
        small = [label for label, count in enumerate(pieces) if low <= count < high]
        if not small:
            continue
        shown = listed(
            [f"`{examples.class_names[label]}` ({plural(pieces[label], examples.noun, examples.nouns)})" for label in small]
        )
        files = tuple(examples.name_of(int(index)) for index in np.flatnonzero(np.isin(examples.labels, small)))
        words = plural(len(small), "class", "classes")
        note = (
            f"{words} {text}: {shown}. {examples.nouns.capitalize()} of one group, and exact copies, count once. "
            f"Add {examples.nouns}, or leave the class out "
            "with `data.labels`."
        )
        found.append(Finding(kind=kind, severity=severity, files=files, note=note))  # type: ignore[arg-type]
    return found


def alike(name: str) -> str:
    """What is left of a class's name without case, spaces, hyphens and underscores.

    Example:

    >>> from tfl.audit.checks.classes import alike
    >>> alike("Leaf_Scorch") == alike("leaf scorch ")
    True
    """
    return re.sub(r"[\s_\-]+", "", unicodedata.normalize("NFC", name)).casefold()


def merge_variants(examples: Examples) -> tuple[Examples, list[Finding]]:
    """One class for all spellings of its name, that of the training split, and `class_names_differ`: what was merged, and which
    classes a split of the source does not have at all.

    A run refuses such a source: a class that is missing in a split would shift every index.
    """
    if examples.targets is not None:
        return examples, []
    spellings: dict[str, list[int]] = {}
    for label, name in enumerate(examples.class_names):
        spellings.setdefault(alike(name), []).append(label)
    chosen = {key: _most_trained(examples, labels) for key, labels in spellings.items()}
    merged = tuple(sorted(examples.class_names[label] for label in chosen.values()))
    places = np.array([merged.index(examples.class_names[chosen[alike(name)]]) for name in examples.class_names], np.int32)
    one = replace(examples, class_names=merged, labels=places[examples.labels])
    sentences, files = _spelled_differently(examples, spellings)
    missing, more = _missing(one)
    if not sentences and not missing:
        return one, []
    note = " ".join([*sentences, *missing]) + " A run refuses this: rename the folders or labels."
    return one, [Finding(kind="class_names_differ", severity="error", files=(*files, *more), note=note)]


def _most_trained(examples: Examples, labels: list[int]) -> int:
    train = np.ones(len(examples), bool) if examples.splits is None else np.isin(examples.splits, ("train", ""))
    counts = np.bincount(examples.labels[train], minlength=len(examples.class_names))
    return max(labels, key=lambda label: (counts[label], -label))


def _spelled_differently(examples: Examples, spellings: dict[str, list[int]]) -> tuple[list[str], tuple[str, ...]]:
    several = [labels for labels in spellings.values() if len(labels) > 1]
    sentences = []
    for labels in several:
        names = [f"`{examples.class_names[label]}`{_where(examples, label)}" for label in labels]
        sentences.append(f"{' and '.join(names)} look like one class under different names.")
    odd = [label for labels in several for label in labels if label != _most_trained(examples, labels)]
    return sentences, tuple(examples.name_of(int(index)) for index in np.flatnonzero(np.isin(examples.labels, odd)))


def _where(examples: Examples, label: int) -> str:
    if examples.splits is None:
        return ""
    names = [name for name in SPLITS if np.any(examples.splits[examples.labels == label] == name)]
    return f" (in {' and '.join(names)})" if names else ""


def _missing(examples: Examples) -> tuple[list[str], tuple[str, ...]]:
    """Classes that a split of the source lacks, and the examples of those classes elsewhere."""
    if examples.splits is None:
        return [], ()
    sentences, lacking = [], set()
    for split in SPLITS:
        inside = examples.splits == split
        if not inside.any():
            continue
        absent = [label for label, name in enumerate(examples.class_names) if not np.any(examples.labels[inside] == label)]
        absent = [label for label in absent if np.any(examples.labels == label)]
        if absent and len(absent) < len(examples.class_names):
            lacking.update(absent)
            names = listed([f"`{examples.class_names[label]}`" for label in absent])
            sentences.append(f"The {split} split has no {examples.nouns} of {names}.")
    return sentences, tuple(examples.name_of(int(index)) for index in np.flatnonzero(np.isin(examples.labels, sorted(lacking))))

"""Parts of the examples of a source: some of its classes or labels, or a few examples of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.data.examples import Examples, matching_names
from tfl.data.targets import are_labels

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BINS = 5
"""Parts of the range of a number that examples are drawn from alike."""


def choose_labels(examples: Examples, patterns: Sequence[str]) -> Examples:
    """Only the classes whose name is, or as a glob fits, one of `patterns`; they keep their order.

    Where examples have labels, numbers or boxes, all examples stay, with the targets of these names alone.

    Raises:
        DataError: A pattern fits no class.
    """
    names = examples.class_names
    chosen_names = matching_names(names, patterns, source=examples.source)
    kept = [index for index, name in enumerate(names) if name in chosen_names]
    if examples.boxes:
        return boxes_of(examples, chosen_names)
    if examples.targets is not None:
        return replace(examples, class_names=chosen_names, targets=examples.targets[:, kept])
    renumbered = np.full(len(names), -1, np.int32)
    renumbered[kept] = np.arange(len(kept))
    chosen = examples.take(np.flatnonzero(renumbered[examples.labels] >= 0))
    return replace(chosen, class_names=chosen_names, labels=renumbered[chosen.labels])


def boxes_of(examples: Examples, names: Sequence[str]) -> Examples:
    """The examples with the boxes of the classes `names` alone, numbered in that order; a class may have none.

    Args:
        examples: Their targets are boxes.
        names: Strings.
    """
    rows = examples.box_rows.copy()
    number = np.array([names.index(name) if name in names else np.nan for name in examples.class_names], np.float32)
    there = np.isfinite(rows[..., 0])
    rows[there, 0] = number[rows[there, 0].astype(np.int64)]
    rows[np.isnan(rows[..., 0])] = np.nan
    return replace(examples, class_names=tuple(names), targets=rows.reshape(len(rows), -1))


def draw_per_class(examples: Examples, count: int, *, seed: int) -> Examples:
    """At most `count` examples of each class, drawn by `seed`, in their old order; a source's own splits keep their shares.

    An example of several labels counts for the rarest of them; numbers count by fifths of the examples in their order.
    """
    labels = examples.labels if examples.targets is None else _groups(examples)
    rng = np.random.default_rng(seed)
    splits = np.zeros(len(examples), "U1") if examples.splits is None else examples.splits
    rank = np.empty(len(examples))
    for label in np.unique(labels):
        for split in np.unique(splits):
            members = rng.permutation(np.flatnonzero((labels == label) & (splits == split)))
            rank[members] = np.arange(len(members)) / max(1, len(members))
    order = np.lexsort((rank, labels))
    starts = np.searchsorted(labels[order], labels[order])
    return examples.take(np.sort(order[np.arange(len(order)) - starts < count]))


def choose_evenly(labels: NDArray[np.integer], *, count: int, seed: int) -> NDArray[np.int64]:
    """At most `count` positions, as many of each class as there are or as fit, drawn by the seed; ascending.

    Example:

    >>> import numpy as np
    >>> from tfl.data.subset import choose_evenly
    >>> np.bincount(np.array([0] * 90 + [1] * 3)[choose_evenly(np.array([0] * 90 + [1] * 3), count=10, seed=0)]).tolist()
    [7, 3]
    """
    labels = np.asarray(labels)
    order = np.random.default_rng(seed).permutation(len(labels))
    turn = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        of_class = order[labels[order] == label]
        turn[of_class] = np.arange(len(of_class))
    return np.sort(order[np.argsort(turn[order], kind="stable")][:count])


def _groups(examples: Examples) -> NDArray[np.int32]:
    """A group number for each example: its rarest label, or the part of the range that its first number is in."""
    targets: Any = examples.targets
    if examples.boxes:  # by the rarest class that has a box
        has = (examples.box_rows[..., 0, None] == np.arange(len(examples.class_names))).any(axis=1)
        rarity = np.where(has, has.sum(axis=0), np.inf)
        return np.where(has.any(axis=1), rarity.argmin(axis=1), -1).astype(np.int32)
    if examples.heads:  # by the classes and labels of all targets, or else by the first number
        of_names = [at for at, name in enumerate(examples.class_names) if "=" in name]
        if of_names:
            has = np.nan_to_num(targets[:, of_names]) > 0
            rarity = np.where(has, has.sum(axis=0), np.inf)
            return np.where(has.any(axis=1), rarity.argmin(axis=1), -1).astype(np.int32)
    if are_labels(examples):
        targets = np.nan_to_num(targets)
        rarity = np.where(targets > 0, targets.sum(axis=0), np.inf)
        return np.where(targets.any(axis=1), rarity.argmin(axis=1), -1).astype(np.int32)
    first = targets[:, 0]
    edges = np.nanquantile(first, np.linspace(0, 1, _BINS + 1)[1:-1]) if np.isfinite(first).any() else []
    return np.where(np.isnan(first), -1, np.searchsorted(edges, first)).astype(np.int32)

"""What was true of an example and what was said of it, by task: for samples, mistakes and explanations. NumPy only."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.recipe import OF_NUMBERS
from tfl.tasks.base import Task
from tfl.tasks.heads import Heads, Part

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BINS = 4


def groups_of(task: Task, names: Sequence[str], targets: NDArray[np.floating]) -> list[tuple[str, NDArray[np.bool_]]]:
    """Groups of examples that are shown together, with `(n,)` which examples are in each: classes, labels, or ranges of the first
    number with the same count each.

    Example:

    >>> import numpy as np
    >>> from tfl.evaluate.report.verdicts import groups_of
    >>> from tfl.tasks.base import task_of
    >>> [(name, inside.tolist()) for name, inside in groups_of(task_of("classify"), ["a", "b"], np.eye(2, dtype=np.float32))]
    [('a', [True, False]), ('b', [False, True])]
    """
    if isinstance(task, Heads):
        part = _first_with_names(task)
        return groups_of(part.task, part.names, part.of(targets))
    if task.name not in OF_NUMBERS:
        return [(name, targets[:, column] > 0.5) for column, name in enumerate(names)]
    first = targets[:, 0]
    known = first[np.isfinite(first)]
    if not len(known):
        return []
    edges = np.unique(np.quantile(known, np.linspace(0, 1, _BINS + 1)))
    bins = np.where(np.isfinite(first), np.clip(np.searchsorted(edges, first, "right") - 1, 0, max(len(edges) - 2, 0)), -1)
    ranges = [f"{names[0]} {low:.4g} to {high:.4g}" for low, high in itertools.pairwise(edges.tolist())]
    return [(name, bins == at) for at, name in enumerate(ranges)]


def mistakes_of(task: Task, outputs: NDArray[np.floating], targets: NDArray[np.floating], *, limit: int) -> NDArray[np.intp]:
    """The rows whose answer is wrong, the clearest first: the most confident ones, or those furthest off.

    Args:
        task: What was predicted.
        outputs: `(n, width)`.
        targets: `(n, width)`; missing ones are nobody's mistake.
        limit: Integer, at most so many.

    Example:

    >>> import numpy as np
    >>> from tfl.evaluate.report.verdicts import mistakes_of
    >>> from tfl.tasks.base import task_of
    >>> said, true = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]]), np.array([[0, 1], [0, 1], [0, 1]])
    >>> mistakes_of(task_of("classify"), said, true, limit=12).tolist()
    [0, 1]
    """
    if isinstance(task, Heads):
        return _mistakes_of_heads(task, outputs, targets, limit=limit)
    if task.name == "classify":
        wrong = np.flatnonzero(outputs.argmax(axis=1) != targets.argmax(axis=1))
        order = -outputs.max(axis=1)
    elif task.name == "multilabel":
        off = np.nan_to_num(np.abs(outputs - targets)).max(axis=1)
        wrong, order = np.flatnonzero(off > 0.5), -off
    else:
        scale = np.maximum(np.nanstd(targets, axis=0), 1e-12)
        off = np.nan_to_num(np.abs(outputs - targets) / scale).max(axis=1)
        wrong, order = np.flatnonzero(off > 0), -off
    return wrong[np.argsort(order[wrong], kind="stable")][:limit]


def verdict(task: Task, names: Sequence[str], row: NDArray[np.floating], target: NDArray[np.floating]) -> dict[str, Any]:
    """`label`, `predicted` and `right`; of one class among several, `probability` and `probability_of_label` too."""
    if isinstance(task, Heads):
        return _verdict_of_heads(task, row, target)
    if task.name == "classify":
        best, label = int(row.argmax()), int(target.argmax())
        said = {"label": names[label], "predicted": names[best], "right": best == label}
        return {**said, "probability": float(row[best]), "probability_of_label": float(row[label])}
    if task.name == "multilabel":
        true, said_ = _chosen(names, target), _chosen(names, row)
        return {"label": true, "predicted": said_, "right": true == said_}
    pairs = [(name, float(true), float(value)) for name, true, value in zip(names, target, row, strict=True) if np.isfinite(true)]
    return {
        "label": ", ".join(f"{name} {true:.4g}" for name, true, _ in pairs) or "missing",
        "predicted": ", ".join(f"{name} {value:.4g}" for name, value in zip(names, row.tolist(), strict=True)),
        "right": None,
    }


def explained_columns(task: Task, outputs: NDArray[np.floating]) -> NDArray[np.intp]:
    """Which output of each example is explained: the largest; of several targets that of the first one with classes or labels."""
    if not isinstance(task, Heads):
        return np.asarray(outputs.argmax(axis=1))
    part = _first_with_names(task)
    return np.asarray(part.of(outputs).argmax(axis=1) + part.start)


def _first_with_names(task: Heads) -> Part:
    """The first target with classes or labels, or the first one."""
    return next((part for part in task if part.task.name not in OF_NUMBERS), task.parts[0])


def _mistakes_of_heads(
    task: Heads, outputs: NDArray[np.floating], targets: NDArray[np.floating], *, limit: int
) -> NDArray[np.intp]:
    """The mistakes of each target in turns, the clearest first; numbers take part only where there is nothing else."""
    parts = [part for part in task if part.task.name not in OF_NUMBERS] or list(task)
    ranked = []
    for part in parts:
        rows = np.flatnonzero(part.known(targets))
        found = mistakes_of(part.task, part.of(outputs)[rows], part.of(targets)[rows], limit=limit)
        ranked.append(rows[found].tolist())
    order = [row for turn in itertools.zip_longest(*ranked) for row in turn if row is not None]
    return np.array(list(dict.fromkeys(order))[:limit], np.intp)


def _verdict_of_heads(task: Heads, row: NDArray[np.floating], target: NDArray[np.floating]) -> dict[str, Any]:
    """What is known and what was said of each target, in one line; right where every class and set of labels is."""
    labels, predicted, right = [], [], []
    for part in task:
        own, truth = row[part.start : part.stop], target[part.start : part.stop]
        known = np.isfinite(truth)
        said = verdict(part.task, part.names, own, np.where(known, truth, 0.0) if part.task.name == "classify" else truth)
        number = part.task.name in OF_NUMBERS
        predicted.append(said["predicted"] if number else f"{part.target} {said['predicted']}")
        if known.any():
            labels.append(said["label"] if number else f"{part.target} {said['label']}")
            right += [] if said["right"] is None else [said["right"]]
    return {"label": "; ".join(labels), "predicted": "; ".join(predicted), "right": all(right) if right else None}


def _chosen(names: Sequence[str], row: NDArray[np.floating]) -> str:
    return ", ".join(name for name, value in zip(names, row, strict=True) if value > 0.5) or "no label"

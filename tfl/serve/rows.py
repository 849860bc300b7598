"""The outputs for one example as a row of plain data, by task: what `tfl predict` and the page show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfl.recipe import DETECT, HEADS
from tfl.tasks.base import NAMES, task_of
from tfl.tasks.detect import SHOWN

MAIN = {name: task_of(name).output for name in NAMES}
"""Name of each task's output."""
_THRESHOLD = 0.5


def row_of(task: str, outputs: Mapping[str, Any], names: Sequence[str], content: bytes = b"") -> dict[str, Any]:
    """The answer for one example.

    Args:
        task: Its name.
        outputs: A row of each output.
        names: Of the columns of the task's output.
        content: The example, whose size says where boxes are. Defaults to none.

    Returns:
        For several classes `label`, `probability`, `probabilities` by class; for several labels `labels`, `probabilities` by
        label; for numbers `values` by name, and `lower` and `upper` where there are intervals. For several targets `targets`, by
        name the same of each; of a number `value`, `lower` and `upper`. For boxes `detections`, the highest score first, each
        with `label`, `score` and what `tfl.modalities.image.boxes.placed_in` adds to its `box`; those below
        `tfl.tasks.detect.SHOWN` are left out.

    Example:

    >>> import numpy as np
    >>> from tfl.serve.rows import row_of
    >>> row_of("multilabel", {"probabilities": np.array([0.9, 0.2])}, ("cat", "dog"))["labels"]
    ['cat']
    """
    if task == DETECT:
        return {"detections": _detections(outputs, names, content)}
    if task == HEADS:
        return {"targets": {target: _row_of_target(target, outputs, own) for target, own in targets_in(names).items()}}
    main = by_name(names, outputs[MAIN[task]])
    if task == "classify":
        best = int(outputs["probabilities"].argmax())
        return {"label": names[best], "probability": main[names[best]], "probabilities": main}
    if task == "multilabel":
        given = outputs.get("is_label")
        inside = [value >= _THRESHOLD for value in main.values()] if given is None else [bool(one) for one in given]
        calibrated = outputs.get("calibrated_probabilities")
        shares = main if calibrated is None else by_name(names, calibrated)
        return {"labels": [name for name, one in zip(names, inside, strict=True) if one], "probabilities": shares}
    ends = {end: by_name(names, outputs[end]) for end in ("lower", "upper") if end in outputs}
    return {"values": main, **ends}


def _detections(outputs: Mapping[str, Any], names: Sequence[str], content: bytes) -> list[dict[str, Any]]:
    from tfl.modalities.image.boxes import placed_in

    rows = zip(outputs["classes"], outputs["scores"], outputs["boxes"], strict=True)
    found = [
        {"label": names[int(at)], "score": float(score), "box": [float(edge) for edge in box]}
        for at, score, box in rows
        if score >= SHOWN
    ]
    return placed_in(content, found)


def targets_in(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The names of the columns of each of several targets, from those of all: classes and labels are called `target=name`.

    Example:

    >>> from tfl.serve.rows import targets_in
    >>> targets_in(["kind=ant", "kind=bee", "size"])
    {'kind': ('ant', 'bee'), 'size': ()}
    """
    found: dict[str, tuple[str, ...]] = {}
    for name in names:
        target, equals, own = name.partition("=")
        found[target] = (*found.get(target, ()), *((own,) if equals else ()))
    return found


def _row_of_target(target: str, outputs: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The answer for one of several targets."""
    start = f"{target}_"
    more = {name.removeprefix(start): value for name, value in outputs.items() if name.startswith(start)}
    if not names:
        return {"value": float(outputs[target][0]), **{end: float(more[end][0]) for end in ("lower", "upper") if end in more}}
    task = "multilabel" if "is_label" in more else "classify"
    return row_of(task, {MAIN[task]: outputs[target], **more}, names)


def width_of(task: str, widths: Mapping[str, int], names: Sequence[str]) -> int:
    """How many columns the outputs of a task have together.

    Args:
        task: Its name.
        widths: The last axis of each output.
        names: Of the columns, as an export says them.
    """
    if task == DETECT:  # the boxes do not say how many classes there are
        return len(names)
    return sum(widths[target] for target in targets_in(names)) if task == HEADS else widths[MAIN[task]]


def by_name(names: Sequence[str], values: Any) -> dict[str, float]:
    """Numbers by the name of their column."""
    return {name: float(value) for name, value in zip(names, values, strict=True)}

"""Test images with their true boxes and the detections, for the report of a run that finds boxes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.modalities.image.boxes import DrawnBox, drawn
from tfl.storage import write_atomically, write_json
from tfl.tasks.box_metrics import Boxes, Detections, matched_at
from tfl.tasks.detect import SHOWN, detections, true_boxes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tfl.data.bundle import Bundle

NAME = "boxes.json"
WORST, OTHERS = 6, 6
"""Test images with the most errors, and others, drawn by the seed."""


def save_drawn(run_folder: Path | str, bundle: Bundle, outputs: NDArray[np.floating], *, seed: int) -> None:
    """Writes `boxes.json` and the pictures it names into a run folder.

    Args:
        run_folder: Of the run.
        bundle: Its examples and their split.
        outputs: `(n, detections, 6)`, of the test images, in their order.
        seed: Decides which images are shown beside those with the most errors.
    """
    test = bundle.indices("test")
    truths, found = true_boxes(bundle.targets_of("test")), detections(outputs, least=SHOWN)
    errors = [_errors(true, said) for true, said in zip(truths, found, strict=True)]
    ranked = sorted(range(len(test)), key=lambda at: -sum(errors[at]))[:WORST]
    rest = [int(at) for at in np.random.default_rng(seed).permutation(len(test)) if int(at) not in ranked][:OTHERS]
    rows: dict[str, list[dict[str, Any]]] = {}
    for group, places in (("worst", ranked), ("others", sorted(rest))):
        rows[group] = []
        for at in places:
            index, file = int(test[at]), f"report/boxes-{int(test[at])}.html"
            missed, wrong = errors[at]
            says = f"{len(truths[at].classes)} true boxes, {missed} missed, {wrong} found that are not true"
            content = bundle.examples.bytes_of(index)
            picture = drawn(content, [*_true(truths[at]), *_said(found[at])], says=says)
            write_atomically(Path(run_folder) / file, picture)
            rows[group].append({"file": file, "name": bundle.examples.name_of(index), "says": says})
    write_json(Path(run_folder) / NAME, {"format": 1, **rows})


def _true(one: Boxes) -> list[DrawnBox]:
    return [DrawnBox(int(name), "", box.tolist(), dashed=True) for name, box in zip(one.classes, one.corners, strict=True)]


def _said(one: Detections) -> list[DrawnBox]:
    rows = zip(one.classes, one.scores, one.corners, strict=True)
    return [DrawnBox(int(name), f"{score:.2f}", box.tolist()) for name, score, box in rows]


def _errors(true: Boxes, found: Detections) -> tuple[int, int]:
    """How many true boxes were missed, and how many detections are of none, at an overlap of 0.5."""
    hits = matched_at(true, found)
    return len(true.classes) - hits, len(found.classes) - hits

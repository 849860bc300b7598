"""Average precision of detected boxes by the rules of COCO, with bootstrap intervals over images. NumPy only.

The rules are those of `COCOeval` in pycocotools for boxes of every area and without crowds
(https://cocodataset.org/#detection-eval): of an image and class the 100 best detections count; each, the best score first, takes
the free true box that it overlaps most, if their intersection over union reaches the threshold; precision is made monotone and
read at 101 values of recall; classes without a true box are left out of the mean.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tfl.errors import DataError

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MOST_DETECTIONS = 100
NAMES = ("map_50", "map_50_95")


@dataclass(frozen=True)
class Boxes:
    """The true boxes of one image.

    Args:
        corners: float `(n, 4)`: left, top, right, bottom, in any one unit.
        classes: int `(n,)`: index of the class of each box.

    Raises:
        DataError: The arrays do not have these shapes.
    """

    corners: NDArray[np.float64]
    classes: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.corners.shape != (len(self.classes), 4):
            raise DataError(
                "The boxes of an image do not fit together.",
                received=f"corners of shape {self.corners.shape} and {len(self.classes)} classes",
                allowed="corners of shape (n, 4) and n classes",
                fix="Give left, top, right, bottom and one class for each box.",
            )


@dataclass(frozen=True)
class Detections(Boxes):
    """The detected boxes of one image.

    Args:
        scores: float `(n,)`: the higher, the surer; in any order.

    Raises:
        DataError: The arrays do not have these shapes.
    """

    scores: NDArray[np.float64]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scores.shape != self.classes.shape:
            raise DataError(
                "The scores of detections do not fit their boxes.",
                received=f"{len(self.scores)} scores and {len(self.classes)} boxes",
                allowed="one score for each box",
                fix="Give as many scores as boxes.",
            )

    def from_score(self, least: float) -> Detections:
        """Those whose score is at least this."""
        kept = self.scores >= least
        return Detections(self.corners[kept], self.classes[kept], self.scores[kept])


@dataclass(frozen=True)
class _Matched:
    """Detections of one image and class: `scores` `(d,)`, `hits` `(thresholds, d)`, and the number of true boxes."""

    scores: NDArray[np.float64]
    hits: NDArray[np.bool_]
    true: int


def overlap(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of each of `first` `(n, 4)` with each of `second` `(m, 4)`: `(n, m)`; 0 where both are empty.

    Example:
        >>> overlap(np.array([[0.0, 0.0, 2.0, 2.0]]), np.array([[1.0, 0.0, 3.0, 2.0]])).round(4).tolist()
        [[0.3333]]
    """
    start = np.maximum(first[:, None, :2], second[None, :, :2])
    end = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.clip(end - start, 0.0, None).prod(axis=2)
    areas = [np.clip(boxes[:, 2:] - boxes[:, :2], 0.0, None).prod(axis=1) for boxes in (first, second)]
    union = areas[0][:, None] + areas[1][None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def average_precision(
    truths: Sequence[Boxes], detections: Sequence[Detections], classes: int, *, samples: int = 0, seed: int = 0
) -> dict[str, Any]:
    """Mean average precision over classes at an overlap of 0.5, and its mean over 0.5, 0.55 … 0.95.

    Args:
        truths: The true boxes of each image.
        detections: The detected boxes of each image, in the same order of images.
        classes: How many classes there are.
        samples: How many bootstrap samples of images the 95% intervals are from; 0 for none.
        seed: Of the bootstrap samples.

    Returns:
        `map_50`, `map_50_95`, and `per_class`, a list with the same of each class and `count`, its true boxes; with `samples`
        also `map_50_interval` and `map_50_95_interval`, each `[low, high]`. None where there is no true box.

    Raises:
        DataError: The numbers of images differ.

    Example:
        >>> true = Boxes(np.array([[0.0, 0.0, 10.0, 10.0]]), np.array([0]))
        >>> found = Detections(np.array([[0.0, 0.0, 10.0, 8.0]]), np.array([0]), np.array([0.9]))
        >>> figures = average_precision([true], [found], 1)
        >>> round(figures["map_50"], 3), round(figures["map_50_95"], 3), figures["per_class"][0]["count"]
        (1.0, 0.7, 1)
    """
    if len(truths) != len(detections):
        raise DataError(
            "Detections cannot be compared with the true boxes.",
            received=f"{len(truths)} images with true boxes, {len(detections)} with detections",
            allowed="as many of the one as of the other",
            fix="Give the detections of every image, with no boxes where none were found.",
        )
    matched = [[_match(true, found, index) for true, found in zip(truths, detections, strict=True)] for index in range(classes)]
    point = _of_classes(matched, range(len(truths)))
    draws = None
    if samples:
        random = np.random.default_rng(seed)
        draws = np.stack([_of_classes(matched, random.integers(len(truths), size=len(truths))) for _ in range(samples)])
    rows = [
        {
            **_figures(point[[index]], None if draws is None else draws[:, [index]]),
            "count": sum(one.true for one in matched[index]),
        }
        for index in range(classes)
    ]
    return {**_figures(point, draws), "per_class": rows}


def matched_at(truth: Boxes, found: Detections) -> int:
    """How many detections of one image are of a true box of their class, at an overlap of 0.5."""
    classes = np.unique(truth.classes)
    return sum(int(_match(truth, found, int(index)).hits[0].sum()) for index in classes)


def precision_at_recalls(truths: Sequence[Boxes], detections: Sequence[Detections], index: int) -> NDArray[np.float64] | None:
    """The precision of one class at `RECALLS`, at an overlap of 0.5: `(101,)`; None without a true box.

    Args:
        truths, detections: As of `average_precision`.
        index: Of the class.
    """
    found = _precision([_match(true, said, index) for true, said in zip(truths, detections, strict=True)])
    return None if found is None else found[0]


def _figures(point: NDArray[np.float64], draws: NDArray[np.float64] | None) -> dict[str, Any]:
    """The means over classes `(classes, 2)`, and the middle 95% of those of resamples `(samples, classes, 2)`."""
    figures: dict[str, Any] = dict.fromkeys(NAMES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a class without a true box has no mean
        for column, name in enumerate(NAMES):
            value = float(np.nanmean(point[:, column]))
            figures[name] = None if np.isnan(value) else value
            if draws is not None:
                ends = np.nanpercentile(np.nanmean(draws[:, :, column], axis=1), [2.5, 97.5])
                figures[f"{name}_interval"] = None if np.isnan(ends).any() else ends.tolist()
    return figures


def _match(truth: Boxes, found: Detections, index: int) -> _Matched:
    true = truth.corners[truth.classes == index]
    of_class = np.flatnonzero(found.classes == index)
    best = of_class[np.argsort(-found.scores[of_class], kind="stable")][:MOST_DETECTIONS]
    overlaps = overlap(found.corners[best], true)
    hits = np.zeros((len(THRESHOLDS), len(best)), bool)
    near = np.flatnonzero((overlaps >= THRESHOLDS[0]).any(axis=1)) if len(true) else ()
    for row, threshold in enumerate(THRESHOLDS if len(near) else ()):
        free = np.ones(len(true), bool)
        for place in near:
            left = np.where(free, overlaps[place], -1.0)
            chosen = len(left) - 1 - int(np.argmax(left[::-1]))  # of equal overlaps pycocotools takes the last
            if left[chosen] >= threshold:
                free[chosen] = False
                hits[row, place] = True
    return _Matched(found.scores[best], hits, len(true))


def _of_classes(matched: Sequence[Sequence[_Matched]], images: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float64]:
    """`(classes, 2)`: of each class the average precision at 0.5, and its mean over the thresholds; NaN without a true box."""
    rows = []
    for of_images in matched:
        found = _precision([of_images[image] for image in images])
        means = None if found is None else found.mean(axis=1)
        rows.append((np.nan, np.nan) if means is None else (means[0], means.mean()))
    return np.array(rows, np.float64).reshape(-1, 2)


def _precision(images: Sequence[_Matched]) -> NDArray[np.float64] | None:
    """`(thresholds, recalls)`: the largest precision at a recall or above it; None without a true box."""
    true = sum(image.true for image in images)
    if not true:
        return None
    order = np.argsort(-np.concatenate([image.scores for image in images]), kind="stable")
    hits = np.concatenate([image.hits for image in images], axis=1)[:, order].cumsum(axis=1)
    precision = hits / np.arange(1, hits.shape[1] + 1)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    padded = np.concatenate([envelope, np.zeros((len(THRESHOLDS), 1))], axis=1)
    places = [np.searchsorted(row / true, RECALLS, side="left") for row in hits]
    return np.array([row[place] for row, place in zip(padded, places, strict=True)])

"""The samples `cells` and `cells_dark`: blood cells of three kinds, drawn as discs, with the box around each.

Red cells are paler in the middle and lie over each other; white cells are larger, with a dark nucleus in parts; platelets are
small and dark. Of `cells_dark` the pictures are others, and look as if there were little light. The cells are drawn, not
photographed: no evidence about real blood.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tfl.modalities.image.drawing import noise
from tfl.modalities.image.other_domain import at_night

if TYPE_CHECKING:
    from numpy.typing import NDArray

CLASSES = ("platelet", "red_cell", "white_cell")
PICTURES = {"cells": 200, "cells_dark": 60}
SEED, SIDE = 20261130, 128
MOST = 20
"""Cells of a picture, at most."""
LEAST_VISIBLE = 0.4
"""Of a cell that the edge of the picture cuts, the share of its box that has to be inside."""
MOST_HIDDEN = 0.4
"""Of the smaller one of two cells, the share of its box that the other may cover."""
_DRAWN = 2
"""Pixels drawn for each one that is left, along a side."""
_COUNTS = {"red_cell": (4, 12), "white_cell": (0, 2), "platelet": (0, 4)}
_RADII = {"red_cell": (8.0, 12.0), "white_cell": (15.0, 22.0), "platelet": (3.0, 5.0)}
_LIGHT = 0.5
"""Of `cells_dark`, the share of the light that is left."""


def draw_cells(sample: str) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """One of the samples, the same at every call.

    Args:
        sample: A key of `PICTURES`.

    Returns:
        Images `(n, 128, 128, 3)` uint8; and for each `(n, 20, 5)` float32: the index of the class of each cell, then left, top,
        right and bottom as shares of the picture; NaN where there is no further cell.

    Example:

    >>> images, boxes = draw_cells("cells_dark")
    >>> images.shape, boxes.shape
    ((60, 128, 128, 3), (60, 20, 5))
    """
    first = sum(PICTURES[name] for name in list(PICTURES)[: list(PICTURES).index(sample)])
    drawn = [draw_picture(np.random.default_rng((SEED, first + number))) for number in range(PICTURES[sample])]
    images, boxes = np.stack([image for image, _ in drawn]), np.stack([rows for _, rows in drawn])
    return (at_night(images, seed=SEED, light=_LIGHT, noise=8.0) if sample == "cells_dark" else images), boxes


def draw_picture(rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """One picture, `(128, 128, 3)` uint8, and its boxes, `(20, 5)` float32."""
    ground = tuple(int(value) for value in np.array([226, 208, 206]) + rng.integers(-16, 17, 3))
    picture = Image.new("RGB", (SIDE * _DRAWN, SIDE * _DRAWN), ground)
    rows: list[tuple[float, ...]] = []
    for name, (fewest, most) in _COUNTS.items():
        for _ in range(int(rng.integers(fewest, most + 1))):
            box = _draw_cell(picture, rng, name, [row[1:] for row in rows])
            if box is not None:
                rows.append((CLASSES.index(name), *box))
    boxes = np.full((MOST, 5), np.nan, np.float32)
    boxes[: len(rows)] = rows
    small = picture.filter(ImageFilter.GaussianBlur(_DRAWN * 0.5)).resize((SIDE, SIDE), Image.Resampling.BOX)
    light = rng.uniform(0.88, 1.08) + 0.16 * noise(rng, SIDE, 3)[..., None] - 0.08 + rng.normal(0, 0.02, (SIDE, SIDE, 1))
    return np.clip(np.asarray(small, np.float32) * light, 0, 255).astype(np.uint8), boxes


def _draw_cell(
    picture: Image.Image, rng: np.random.Generator, name: str, others: list[tuple[float, ...]]
) -> tuple[float, ...] | None:
    """Draws one cell somewhere, and gives its box in shares; None, and nothing drawn, where too little of it, or of one that it
    lies over, would be seen."""
    size = picture.width
    x, y = rng.uniform(0, size, 2)
    half = rng.uniform(*_RADII[name]) * _DRAWN * rng.uniform(0.88, 1.14, 2)
    whole = np.array([x - half[0], y - half[1], x + half[0], y + half[1]])
    inside = np.clip(whole, 0, size)
    if (inside[2:] - inside[:2]).prod() < LEAST_VISIBLE * (whole[2:] - whole[:2]).prod():
        return None
    share = inside / size
    if any(_hidden(share, np.array(other)) > MOST_HIDDEN for other in others):
        return None
    draw = ImageDraw.Draw(picture)
    shade = rng.integers(-14, 15, 3)
    _PAINT[name](draw, rng, whole, shade)
    return tuple(share.tolist())


def _hidden(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """How much of the smaller of two boxes the other one covers."""
    shared = np.clip(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0, None).prod()
    return float(shared / min((one[2:] - one[:2]).prod(), (other[2:] - other[:2]).prod()))


def _red(draw: ImageDraw.ImageDraw, rng: np.random.Generator, box: NDArray[np.float64], shade: NDArray[np.int64]) -> None:
    draw.ellipse(box.tolist(), fill=_colour((206, 142, 140), shade), outline=_colour((176, 104, 106), shade), width=3)
    inner = (box[2:] - box[:2]) * rng.uniform(0.24, 0.32)
    middle = (box[2:] + box[:2]) / 2
    draw.ellipse([*(middle - inner / 2), *(middle + inner / 2)], fill=_colour((226, 182, 178), shade))


def _white(draw: ImageDraw.ImageDraw, rng: np.random.Generator, box: NDArray[np.float64], shade: NDArray[np.int64]) -> None:
    draw.ellipse(box.tolist(), fill=_colour((198, 184, 214), shade), outline=_colour((168, 152, 190), shade), width=2)
    half, middle = (box[2:] - box[:2]) / 2, (box[2:] + box[:2]) / 2
    for _ in range(int(rng.integers(2, 5))):
        at = middle + rng.uniform(-0.4, 0.4, 2) * half
        lobe = rng.uniform(0.25, 0.45) * half
        draw.ellipse([*(at - lobe), *(at + lobe)], fill=_colour((104, 70, 150), shade))


def _platelet(draw: ImageDraw.ImageDraw, rng: np.random.Generator, box: NDArray[np.float64], shade: NDArray[np.int64]) -> None:
    draw.ellipse(box.tolist(), fill=_colour((132, 92, 168), shade))


_PAINT = {"red_cell": _red, "white_cell": _white, "platelet": _platelet}


def _colour(base: tuple[int, int, int], shade: NDArray[np.int64]) -> tuple[int, int, int]:
    red, green, blue = (int(np.clip(value + change, 0, 255)) for value, change in zip(base, shade, strict=True))
    return red, green, blue

"""Where the boxes of a picture lie once it is resized or flipped. NumPy only; the arithmetic is that of `resize.py`."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Fit = Literal["stretch", "crop", "pad"]


def resize_boxes(
    boxes: NDArray[np.float64], image: tuple[int, int], size: tuple[int, int], fit: Fit = "stretch"
) -> NDArray[np.float64]:
    """`boxes` of a picture of `image` pixels, as they lie after `resize_image(picture, size, fit)`.

    Args:
        boxes: float `(n, 4)`: left, top, right, bottom in pixels of the picture.
        image: (height, width) of the picture.
        size: (height, width) that it is resized to.
        fit: As in `resize_image`.

    Returns:
        float `(n, 4)`, clipped to `size`: a box that a crop cuts off whole is empty.

    Example:
        >>> resize_boxes(np.array([[0.0, 0.0, 640.0, 480.0]]), (480, 640), (320, 320), "pad").tolist()
        [[0.0, 40.0, 320.0, 280.0]]
    """
    sides, target = np.array(image, float), np.array(size, float)
    cut, margin, inner = np.zeros(2), np.zeros(2), target
    if fit == "crop":
        kept = np.clip(np.rint((sides / target).min() * target), 1, sides)
        cut, sides = (sides - kept) // 2, kept
    elif fit == "pad":
        inner = np.clip(np.rint((target / sides).min() * sides), 1, target)
        margin = (target - inner) // 2
    cut, margin, scale, limit = (np.tile(pair[::-1], 2) for pair in (cut, margin, inner / sides, target))
    return np.clip((boxes - cut) * scale + margin, 0.0, limit)


def flip_boxes(boxes: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """`boxes` `(n, 4)` of a picture of `width`, as they lie once left and right are exchanged.

    Example:
        >>> flip_boxes(np.array([[10.0, 5.0, 30.0, 20.0]]), 100.0).tolist()
        [[70.0, 5.0, 90.0, 20.0]]
    """
    return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)

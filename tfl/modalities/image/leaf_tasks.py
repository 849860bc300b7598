"""Strawberry leaves with three targets: which disease, which other signs, and how much of the leaf is diseased.

A leaf is drawn as those of `tfl.modalities.image.leaves`, one to a picture. The share of its area that is diseased is measured on
the drawing. As in tables that several people filled in, some targets of some leaves are missing, and some leaves have none.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from tfl.modalities.image.drawing import draw_ground, lay, light_and_lens, paint_leaf, shape_leaf
from tfl.modalities.image.leaves import DISEASES, MARKS

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEED = 20261129
LEAVES = 320
SIZE_PX = 96
SIGNS = dict(zip(("dew", "holes", "yellowing"), (MARKS[1], MARKS[2], MARKS[4]), strict=True))
SIGN_CHANCE = 0.35
MISSING = {"disease": 0.1, "signs": 0.2, "severity": 0.3}
"""The share of the leaves of which each target is missing."""
_CHANGED = 0.12
"""How much the colour of a diseased place differs at least from that of the healthy leaf, from 0 to 1."""


def draw_leaf_tasks(class_names: tuple[str, ...]) -> tuple[NDArray[np.uint8], NDArray[np.int32], dict[str, list[str]]]:
    """Draw the whole sample, the same at every call.

    Args:
        class_names: Keys of `DISEASES`; their order gives the labels.

    Returns:
        Images `(n, 96, 96, 3)` uint8, labels `(n,)` int32, and the cells of the columns `disease`, `signs` (separated by `;`, or
        `none`) and `severity` (in percent of the leaf's area), empty where one is missing.
    """
    labels = np.tile(np.arange(len(class_names), dtype=np.int32), LEAVES // len(class_names))
    images, columns = [], dict[str, list[str]](disease=[], signs=[], severity=[])
    for number, label in enumerate(labels):
        rng = np.random.default_rng((SEED, number))
        image, signs, severity = draw_leaf_with_signs(rng, class_names[label])
        images.append(image)
        cells = {"disease": class_names[label], "signs": ";".join(signs) or "none", "severity": f"{100 * severity:.1f}"}
        for name, share in MISSING.items():
            columns[name].append("" if rng.random() < share else cells[name])
    return np.stack(images), labels, columns


def draw_leaf_with_signs(
    rng: np.random.Generator, disease: str, *, size: int = SIZE_PX
) -> tuple[NDArray[np.uint8], list[str], float]:
    """One picture of one leaf.

    Args:
        rng: Decides everything but the disease.
        disease: A key of `DISEASES`.
        size: Height and width in pixels.

    Returns:
        The picture, `(size, size, 3)` uint8; the names of its other signs; and the share of its area that is diseased, 0 to 1.
    """
    blur = rng.uniform(0.008, 0.03) * size
    ground = ndimage.gaussian_filter(draw_ground(rng, size), (blur, blur, 0))
    x, y = rng.uniform(-0.15, 0.15, 2)
    leaf = shape_leaf(rng, size, centre=(float(x), float(y)), scale=rng.uniform(0.85, 1.2), angle=rng.uniform(0, 2 * math.pi))
    healthy = paint_leaf(rng, leaf)
    blade, alpha = DISEASES[disease](rng, leaf, healthy), leaf.alpha
    inside = alpha > 0.5
    severity = float((np.abs(blade - healthy).max(axis=-1) > _CHANGED)[inside].mean()) if inside.any() else 0.0
    signs = [name for name in SIGNS if rng.random() < SIGN_CHANCE]
    for name in signs:
        blade, alpha = SIGNS[name](rng, leaf, blade, alpha)
    image = lay(ground, np.clip(blade, 0, 1), alpha, rng=rng)
    return np.rint(light_and_lens(rng, image) * 255).astype(np.uint8), signs, severity

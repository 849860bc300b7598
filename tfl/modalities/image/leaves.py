"""Strawberry leaves, healthy and with three diseases that differ by the texture of their lesions.

What tells the classes apart is small and local. What does not is large and in every class alike: the leaf's green,
yellowing and reddening, the ground, light, white balance, pose, blur, and marks of no meaning (soil splashes, dew,
holes eaten by insects, dust).

The looks follow common descriptions of the diseases: leaf scorch (*Diplocarpon earlianum*) as irregular dark purple
blotches that run together from the margin; leaf spot (*Mycosphaerella fragariae*) as small round spots with a pale
centre and a dark rim; powdery mildew (*Podosphaera aphanis*) as diffuse whitish patches.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tfl.modalities.image.drawing import (
    Field,
    Leaf,
    Random,
    blend,
    colour,
    draw_ground,
    lay,
    light_and_lens,
    noise,
    paint_leaf,
    shape_leaf,
    step,
)

SEED = 20250517
IMAGES_PER_CLASS = 150
SIZE_PX = 128
MARK_CHANCE = 0.1


def draw_strawberry(class_names: tuple[str, ...]) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Draw the whole sample, the same at every call.

    Args:
        class_names: keys of `DISEASES`; their order gives the labels.

    Returns:
        Images `(n, 128, 128, 3)` uint8 and labels `(n,)` int32, classes taking turns.
    """
    labels = np.tile(np.arange(len(class_names), dtype=np.int32), IMAGES_PER_CLASS)
    drawn = [draw_leaf_photo(np.random.default_rng((SEED, number)), class_names[label]) for number, label in enumerate(labels)]
    return np.stack(drawn), labels


def draw_leaf_photo(rng: Random, disease: str, *, size: int = SIZE_PX) -> NDArray[np.uint8]:
    """One picture: a large leaf, often others below and above it, all with the same disease.

    Args:
        rng: decides everything but the disease.
        disease: a key of `DISEASES`.
        size: height and width in pixels.

    Returns:
        `(size, size, 3)` uint8.
    """
    out_of_focus_px = rng.uniform(0.008, 0.03) * size
    image = ndimage.gaussian_filter(draw_ground(rng, size), (out_of_focus_px, out_of_focus_px, 0))
    below, above = rng.choice([0, 1, 2, 3], p=[0.4, 0.3, 0.2, 0.1]), int(rng.random() < 0.2)
    for _ in range(below):
        image = _add_leaf(rng, image, disease, spread=0.8, scale=rng.uniform(0.4, 0.8))
    image = _add_leaf(rng, image, disease, spread=0.2, scale=rng.uniform(0.85, 1.2))
    for _ in range(above):
        image = _add_leaf(rng, image, disease, spread=1.1, scale=rng.uniform(0.3, 0.5))
    return np.rint(light_and_lens(rng, image) * 255).astype(np.uint8)


def _add_leaf(rng: Random, image: Field, disease: str, *, spread: float, scale: float) -> Field:
    centre = tuple(rng.uniform(-spread, spread, 2))
    leaf = shape_leaf(rng, len(image), centre=(centre[0], centre[1]), scale=scale, angle=rng.uniform(0, 2 * math.pi))
    blade = DISEASES[disease](rng, leaf, paint_leaf(rng, leaf))
    alpha = leaf.alpha
    for mark in MARKS:
        if rng.random() < MARK_CHANCE:
            blade, alpha = mark(rng, leaf, blade, alpha)
    return lay(image, np.clip(blade, 0, 1), alpha, rng=rng)


# ------------------------------------------------------------------------------------------------------------- diseases


def healthy(rng: Random, leaf: Leaf, blade: Field) -> Field:
    return blade


def leaf_scorch(rng: Random, leaf: Leaf, blade: Field) -> Field:
    """Irregular dark blotches without a pale centre, from the margin inwards, running together."""
    field = noise(rng, len(blade), 7 / leaf.scale, octaves=3) - np.float32(rng.uniform(0.3, 1.0)) * np.clip(leaf.margin, 0, 0.4)
    edge = _level(field, leaf, covered=math.exp(rng.uniform(math.log(0.14), math.log(0.45))))
    dark = colour(rng, (0.92, 1.06), (0.3, 0.7), (0.1, 0.32))
    halo = colour(rng, (-0.03, 0.12), (0.4, 0.7), (0.4, 0.65))
    blade = blend(blade, halo, step(field - edge + 0.05, soft=0.08) * np.float32(rng.uniform(0.35, 0.8)))
    mottled = dark * (0.7 + 0.6 * noise(rng, len(blade), 20 / leaf.scale))[..., None]
    return blend(blade, mottled, step(field - edge, soft=0.06) * np.float32(rng.uniform(0.7, 0.95)))


def leaf_spot(rng: Random, leaf: Leaf, blade: Field) -> Field:
    """Small round spots, a dark rim round a pale centre."""
    count = int(rng.integers(8, 30))
    rim, heart = colour(rng, (0.92, 1.06), (0.3, 0.7), (0.15, 0.42)), colour(rng, (0.05, 0.13), (0.05, 0.3), (0.65, 0.95))
    strength = np.float32(rng.uniform(0.8, 0.97))
    away = _nearest_spot(rng, leaf, count, radius=(0.05, 0.11))
    blade = blend(blade, rim, step(1 - away, soft=0.3) * strength)
    return blend(blade, heart, step(np.float32(rng.uniform(0.45, 0.65)) - away, soft=0.25) * strength)


def powdery_mildew(rng: Random, leaf: Leaf, blade: Field) -> Field:
    """Diffuse patches of whitish, granular growth, through which the leaf shows."""
    field = noise(rng, len(blade), 4 / leaf.scale, octaves=2)
    edge = _level(field, leaf, covered=rng.uniform(0.25, 0.7))
    powder = np.clip(0.4 + 2.2 * (noise(rng, len(blade), 32 / leaf.scale, octaves=2) - 0.4), 0, 1)
    amount = step(field - edge, soft=rng.uniform(0.1, 0.3)) * powder * np.float32(rng.uniform(0.7, 0.95))
    return blend(blade, colour(rng, (0.1, 0.6), (0.0, 0.08), (0.75, 0.97)), amount)


DISEASES: dict[str, Callable[[Random, Leaf, Field], Field]] = {
    "healthy": healthy,
    "leaf_scorch": leaf_scorch,
    "leaf_spot": leaf_spot,
    "powdery_mildew": powdery_mildew,
}


def _level(field: Field, leaf: Leaf, *, covered: float) -> float:
    """The value that this share of the leaf's visible part lies above."""
    inside = field[leaf.alpha > 0.5]
    return float(np.quantile(inside, 1 - covered)) if inside.size else 1.0


def _nearest_spot(rng: Random, leaf: Leaf, count: int, *, radius: tuple[float, float]) -> Field:
    """How far each pixel is from the nearest of some round spots, in radii of that spot."""
    along, across = rng.uniform(-0.85, 0.85, count), rng.uniform(-0.6, 0.6, count)
    nearest = np.full(leaf.along.shape, np.float32(9))
    for u, v in zip(along, across, strict=True):
        size = np.float32(rng.uniform(*radius))
        nearest = np.minimum(nearest, np.hypot(leaf.along - np.float32(u), leaf.across - np.float32(v)) / size)
    return nearest


# ------------------------------------------------------------------------------- marks of no meaning, in every class alike


def _soil_splashes(rng: Random, leaf: Leaf, blade: Field, alpha: Field) -> tuple[Field, Field]:
    away = _nearest_spot(rng, leaf, int(rng.integers(3, 12)), radius=(0.012, 0.05))
    ragged = away + noise(rng, len(blade), 30 / leaf.scale) * 1.2 - 0.6
    return blend(blade, colour(rng, (0.03, 0.12), (0.2, 0.6), (0.2, 0.5)), step(1 - ragged, soft=0.5) * 0.85), alpha


def _dew(rng: Random, leaf: Leaf, blade: Field, alpha: Field) -> tuple[Field, Field]:
    away = _nearest_spot(rng, leaf, int(rng.integers(3, 16)), radius=(0.015, 0.045))
    blade = blade * (1 - 0.35 * step(1 - away, soft=0.3) * step(away - 0.5, soft=0.5))[..., None]
    return blend(blade, (0.95, 0.97, 1.0), step(0.4 - away, soft=0.3) * np.float32(0.9)), alpha


def _holes(rng: Random, leaf: Leaf, blade: Field, alpha: Field) -> tuple[Field, Field]:
    away = _nearest_spot(rng, leaf, int(rng.integers(1, 6)), radius=(0.03, 0.1))
    ragged = away + noise(rng, len(blade), 14 / leaf.scale) - 0.5
    blade = blend(blade, (0.45, 0.33, 0.15), step(1.25 - ragged, soft=0.3) * np.float32(rng.uniform(0, 0.8)))
    return blade, alpha * (1 - step(1 - ragged, soft=0.2))


def _dust(rng: Random, leaf: Leaf, blade: Field, alpha: Field) -> tuple[Field, Field]:
    specks = step(noise(rng, len(blade), len(blade) / 2) - np.float32(rng.uniform(0.75, 0.9)), soft=0.1)
    return blend(blade, colour(rng, (0.05, 0.6), (0.0, 0.15), (0.7, 0.95)), specks * np.float32(rng.uniform(0.2, 0.7))), alpha


def _yellow_blotches(rng: Random, leaf: Leaf, blade: Field, alpha: Field) -> tuple[Field, Field]:
    field = noise(rng, len(blade), 4 / leaf.scale, octaves=2)
    where = step(field - _level(field, leaf, covered=rng.uniform(0.1, 0.5)), soft=rng.uniform(0.1, 0.3))
    return blend(blade, colour(rng, (0.1, 0.2), (0.4, 0.7), (0.5, 0.85)), where * np.float32(rng.uniform(0.2, 0.6))), alpha


MARKS = (_soil_splashes, _dew, _holes, _dust, _yellow_blotches)

"""Pictures drawn from numbers: noise, grounds such as soil or cloth, leaf and flower shapes, light, lens and sensor.

Everything is a function of a NumPy random generator and a size in pixels, vectorised over the pixels of one picture.
`draw_scene` puts the parts together at random; the sample (`tfl.modalities.image.sample`) puts them together on purpose.

Images are `(size, size, 3)` float32 in 0..1; fields and masks are `(size, size)` float32. Coordinates run from -1 to 1
across the picture, x to the right and y down.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Field = NDArray[np.floating[Any]]
Random = np.random.Generator


# ---------------------------------------------------------------------------------------------------------- small parts


def grid(size: int) -> tuple[Field, Field]:
    """The x and y coordinate of every pixel's centre."""
    line = ((np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1).astype(np.float32)
    return np.broadcast_to(line[None, :], (size, size)), np.broadcast_to(line[:, None], (size, size))


def noise(rng: Random, size: int, cells: float, *, octaves: int = 1, aspect: float = 1.0) -> Field:
    """Smooth random values in about 0..1: `cells` bumps across the picture, then twice as many at half the height...

    `aspect` above 1 stretches the bumps along x.
    """
    total, weight, height = np.zeros((size, size), np.float32), 0.0, 1.0
    for octave in range(octaves):
        count = cells * 2**octave
        columns, rows = max(2, round(count / aspect)), max(2, round(count))
        small = Image.fromarray(rng.random((min(rows, size), min(columns, size)), np.float32))
        total += height * np.asarray(small.resize((size, size), Image.Resampling.BICUBIC))
        weight, height = weight + height, height * 0.55
    return total / np.float32(weight)


def step(values: Field, *, soft: float) -> Field:
    """0 below zero and 1 above, over a ramp `soft` wide."""
    return np.clip(values / np.float32(max(soft, 1e-6)) + np.float32(0.5), 0, 1)


def blend(below: Field, above: Field | tuple[float, ...], amount: Field) -> Field:
    """`above`, a picture or one colour, over `below` where `amount` is 1."""
    amount = amount[..., None]
    return below * (1 - amount) + np.asarray(above, np.float32) * amount


def colour(rng: Random, hue: tuple[float, float], saturation: tuple[float, float], value: tuple[float, float]) -> Field:
    """A random RGB colour within ranges of hue, saturation and value."""
    return np.array(colorsys.hsv_to_rgb(rng.uniform(*hue) % 1, rng.uniform(*saturation), rng.uniform(*value)), np.float32)


def cell_pattern(rng: Random, size: int, count: int) -> tuple[Field, NDArray[np.int64]]:
    """Random cells (a Voronoi diagram): how near each pixel is to a border, 0 on it, and the number of its cell."""
    from scipy.spatial import cKDTree

    x, y = grid(size)
    points = rng.uniform(-1.1, 1.1, (count, 2))
    distances, owners = cKDTree(points).query(np.stack([x.ravel(), y.ravel()], -1), k=2)
    border = (distances[:, 1] - distances[:, 0]).reshape(size, size) * math.sqrt(count) / 2
    return border.astype(np.float32), owners[:, 0].reshape(size, size)


# -------------------------------------------------------------------------------------------------------------- grounds


def soil(rng: Random, size: int) -> Field:
    """Crumbs of earth, brown to grey, with a few pale grains."""
    earth = colour(rng, (0.03, 0.12), (0.2, 0.6), (0.2, 0.55))
    crumbs = noise(rng, size, rng.uniform(8, 24), octaves=4)
    image = earth * (0.35 + 1.3 * crumbs)[..., None]
    grains = step(noise(rng, size, size / 3) - 0.86, soft=0.1)
    return blend(image, (0.75, 0.7, 0.62), grains * np.float32(rng.uniform(0, 0.8)))


def mulch(rng: Random, size: int) -> Field:
    """Straw and bark: stretched noise in two directions, laid over each other."""
    straw = colour(rng, (0.06, 0.14), (0.25, 0.65), (0.4, 0.85))
    layers = []
    for _ in range(2):
        strands = noise(rng, size, rng.uniform(24, 48), octaves=2, aspect=rng.uniform(5, 10))
        layers.append(ndimage.rotate(strands, rng.uniform(0, 180), reshape=False, order=1, mode="reflect"))
    over = step(noise(rng, size, 6) - 0.5, soft=0.2)
    strands = layers[0] * over + layers[1] * (1 - over)
    return straw * (2.2 * np.clip(strands - 0.2, 0, 1))[..., None]


def cloth(rng: Random, size: int) -> Field:
    """A weave or woven stripes with soft folds."""
    x, y = grid(size)
    angle, threads = rng.uniform(0, math.pi), rng.uniform(14, 40)
    along, across = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    weave = np.sin(along * threads * 3) * np.sin(across * threads * 3)
    stripes = step(np.sin(along * rng.uniform(2, 9)), soft=0.3) * np.float32(rng.choice([0.0, 1.0]))
    first, second = (colour(rng, (0, 1), (0, 0.6), (0.2, 0.95)) for _ in range(2))
    dye = blend(np.broadcast_to(first, (size, size, 3)), second, stripes)
    return dye * (0.75 + 0.08 * weave + 0.4 * noise(rng, size, 3, octaves=2))[..., None]


def gravel(rng: Random, size: int) -> Field:
    """Rounded stones, each of its own grey, dark in the joints."""
    count = int(rng.integers(60, 400))
    border, owner = cell_pattern(rng, size, count)
    greys, cast = rng.uniform(0.3, 0.9, count), colour(rng, (0.0, 0.7), (0.0, 0.15), (0.9, 1.0))
    tones = greys[:, None] * (cast + rng.normal(0, 0.04, (count, 3)))
    rough = 0.8 + 0.4 * noise(rng, size, size / 4, octaves=2)
    return (tones[owner] * (np.clip(border * 2.5, 0, 1) ** 0.6 * rough)[..., None]).astype(np.float32)


def distance_blur(rng: Random, size: int) -> Field:
    """What lies far behind, out of focus: sky, hedges, other plants."""
    first, second = colour(rng, (0.15, 0.65), (0.1, 0.6), (0.3, 0.95)), colour(rng, (0.15, 0.65), (0.1, 0.7), (0.1, 0.7))
    mix = step(noise(rng, size, rng.uniform(2, 6), octaves=2) - 0.5, soft=rng.uniform(0.1, 0.6))
    return blend(np.broadcast_to(first, (size, size, 3)), second, mix)


def table(rng: Random, size: int) -> Field:
    """A flat or wood-grained surface, as under a leaf that was picked to be photographed."""
    grain = noise(rng, size, rng.uniform(10, 30), octaves=3, aspect=rng.uniform(4, 12))
    surface = colour(rng, (0.0, 1.0), (0.0, 0.3), (0.3, 0.95))
    image = surface * (1 + rng.uniform(0.05, 0.6) * (grain - 0.5))[..., None]
    return np.rot90(image, int(rng.integers(4))).astype(np.float32)


GROUNDS: tuple[Callable[[Random, int], Field], ...] = (soil, mulch, cloth, gravel, distance_blur, table)


def draw_ground(rng: Random, size: int) -> Field:
    """One of the grounds, more or less in focus."""
    image = np.clip(GROUNDS[rng.integers(len(GROUNDS))](rng, size), 0, 1).astype(np.float32)
    blur_px = rng.choice([0.0, rng.uniform(0, 0.02)]) * size
    return ndimage.gaussian_filter(image, (blur_px, blur_px, 0)) if blur_px > 0.3 else image


# --------------------------------------------------------------------------------------------------------------- leaves


@dataclass(frozen=True, kw_only=True)
class Leaf:
    """One leaf as fields over the picture: `along` runs from stalk (-1) to tip (1), `across` from side to side.

    `margin` is the distance to the edge in leaf lengths, positive inside; `vein` is 1 on a vein; `scale` is half the
    leaf's length in picture units.
    """

    along: Field
    across: Field
    margin: Field
    vein: Field
    bulge: Field
    alpha: Field
    scale: float


def shape_leaf(rng: Random, size: int, *, centre: tuple[float, float], scale: float, angle: float) -> Leaf:
    """A toothed, pinnately veined leaflet, somewhat bent and tilted."""
    x, y = grid(size)
    x, y = (x - np.float32(centre[0])) / np.float32(scale), (y - np.float32(centre[1])) / np.float32(scale)
    along = x * np.float32(math.cos(angle)) + y * np.float32(math.sin(angle))
    across = y * np.float32(math.cos(angle)) - x * np.float32(math.sin(angle))
    across = across - np.float32(rng.uniform(-0.18, 0.18)) * (along**2 - 0.5)
    across = across + 0.04 * (noise(rng, size, 4 / scale) - 0.5)
    veins, slant = rng.integers(6, 10) / 2, rng.uniform(0.5, 0.9)
    phase = (along - np.float32(slant) * np.abs(across)) * np.float32(veins)
    half = np.clip(1 - along**2, 0, 1) ** np.float32(rng.uniform(0.5, 0.8)) * np.float32(rng.uniform(0.5, 0.78))
    half = half * (1 + np.float32(rng.uniform(0.0, 0.25)) * along)
    teeth = np.float32(rng.uniform(0.07, 0.14)) * (phase * 2 % 1)
    stalk = np.where((along < -0.9) & (along > -2.5), np.float32(0.025), np.float32(0))
    margin = np.maximum(half * (1 - teeth), stalk) - np.abs(across) - np.clip(along - 0.97, 0, 1)
    from_vein = np.abs(phase % 1 - 0.5) / np.float32(veins)
    thin = np.float32(rng.uniform(0.010, 0.018)) * np.clip(margin * 4, 0.2, 1)
    lateral = np.exp(-((from_vein / thin) ** 2)) * np.clip(margin * 6, 0, 1)
    midrib = np.exp(-((across / (0.022 * np.clip(1.2 - 0.8 * along, 0.3, 2))) ** 2))
    alpha = step(margin, soft=2.5 / (size * scale))
    bulge = np.cos(2 * math.pi * (phase % 1 - 0.5)).astype(np.float32)
    vein = np.maximum(lateral, midrib)
    return Leaf(along=along, across=across, margin=margin, vein=vein, bulge=bulge, alpha=alpha, scale=scale)


def paint_leaf(rng: Random, leaf: Leaf) -> Field:
    """The healthy blade: green of any shade, sometimes yellowing or reddening, quilted between the veins, glossy."""
    size = len(leaf.along)
    blade = colour(rng, (0.19, 0.39), (0.3, 0.8), (0.25, 0.75))
    tone = noise(rng, size, 3 / leaf.scale, octaves=3)
    image = blade * (0.7 + 0.6 * tone)[..., None]
    ageing = colour(rng, (0.0, 0.17), (0.4, 0.8), (0.4, 0.8))
    where = step(noise(rng, size, 2 / leaf.scale) + np.float32(rng.uniform(-0.2, 0.2)) - leaf.margin - 0.5, soft=0.5)
    image = blend(image, ageing, where * np.float32(rng.choice([0.0, rng.uniform(0, 0.75)])))
    ribs = np.minimum(blade * 1.3 + rng.uniform(0.05, 0.25), 1)
    image = blend(image, ribs, leaf.vein * np.float32(rng.uniform(0.3, 0.85)))
    light = 1 - rng.uniform(0.03, 0.16) * leaf.bulge + rng.uniform(-0.25, 0.25) * np.tanh(leaf.across * 8)
    image = image * light[..., None]
    gloss = np.clip(noise(rng, size, 3 / leaf.scale) - leaf.bulge * 0.06 - 0.55, 0, 1) * np.float32(rng.uniform(0, 1.4))
    return np.clip(image + gloss[..., None] * np.array([0.9, 0.95, 1.0], np.float32), 0, 1)


def shape_flower(rng: Random, size: int, *, centre: tuple[float, float], scale: float) -> tuple[Field, Field]:
    """Petals round a disc: the picture and its mask."""
    x, y = grid(size)
    x, y = (x - np.float32(centre[0])) / np.float32(scale), (y - np.float32(centre[1])) / np.float32(scale)
    y = y * np.float32(rng.uniform(1, 1.6))
    radius, angle = np.hypot(x, y), np.arctan2(y, x) + np.float32(rng.uniform(0, 6.3))
    petals, sharp = rng.integers(4, 26), rng.uniform(0.3, 2.0)
    around = np.abs(np.cos(angle * petals / 2)) ** np.float32(sharp)
    outline = rng.uniform(0.4, 0.8) + (1 - rng.uniform(0.4, 0.8)) * around
    alpha = step(outline - radius, soft=2.5 / (size * scale))
    petal, heart = colour(rng, (0, 1), (0.0, 0.9), (0.5, 1.0)), colour(rng, (0.0, 0.2), (0.3, 0.9), (0.2, 0.9))
    image = petal * ((0.55 + 0.45 * around) * (0.75 + 0.4 * radius))[..., None]
    image = image * (0.85 + 0.3 * noise(rng, size, 40 / scale, octaves=2))[..., None]
    disc = step(np.float32(rng.uniform(0.05, 0.45)) - radius, soft=0.06)
    seeds = heart * (0.5 + noise(rng, size, 25 / scale, octaves=2))[..., None]
    return np.clip(blend(image, seeds, disc), 0, 1).astype(np.float32), alpha


def lay(below: Field, above: Field, alpha: Field, *, rng: Random) -> Field:
    """Lay one thing on the picture, with its shadow."""
    size = len(alpha)
    offset = rng.uniform(-0.04, 0.04, 2) * size
    shadow = ndimage.gaussian_filter(ndimage.shift(alpha, offset, order=1), rng.uniform(0.005, 0.04) * size)
    return blend(below * (1 - rng.uniform(0.1, 0.7) * shadow)[..., None], above, alpha)


# ---------------------------------------------------------------------------------------------------- light and camera


def light_and_lens(rng: Random, image: Field) -> Field:
    """Sun and shade, white balance, exposure, blur, sensor noise: `(size, size, 3)` float32 in 0..1, back to the same."""
    size = len(image)
    x, y = grid(size)
    angle = rng.uniform(0, 2 * math.pi)
    slope = 1 + np.float32(rng.uniform(0, 0.35)) * (x * math.cos(angle) + y * math.sin(angle))
    if rng.random() < 0.35:
        shade = step(noise(rng, size, rng.uniform(2, 7)) - rng.uniform(0.4, 0.65), soft=rng.uniform(0.03, 0.4))
        slope = slope * (1 - np.float32(rng.uniform(0.2, 0.55)) * shade)
    warmth = rng.normal(0, 0.11)
    balance = np.array([1 + warmth, 1 + rng.normal(0, 0.05), 1 - warmth]) * math.exp(rng.normal(0, 0.25))
    image = image * slope[..., None] * balance.astype(np.float32)
    blur_px = abs(rng.normal(0, 0.0045)) * size
    image = ndimage.gaussian_filter(image, (blur_px, blur_px, 0)) if blur_px > 0.25 else image
    image = np.clip(image, 0, 1) ** np.float32(math.exp(rng.normal(0, 0.18)))
    grain = rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(0.004, 0.035))
    return np.clip(image + grain, 0, 1).astype(np.float32)


# --------------------------------------------------------------------------------------------------------------- scenes


def draw_scene(rng: Random, size: int) -> Field:
    """A picture for pretraining: healthy leaves, flowers and blobs on a ground. No lesion of the sample is among them."""
    image = draw_ground(rng, size)
    for _ in range(rng.integers(0, 6)):
        centre, scale = tuple(rng.uniform(-0.8, 0.8, 2)), math.exp(rng.uniform(math.log(0.12), math.log(0.95)))
        kind = rng.random()
        if kind < 0.4:
            leaf = shape_leaf(rng, size, centre=centre, scale=scale, angle=rng.uniform(0, 2 * math.pi))
            image = lay(image, paint_leaf(rng, leaf), leaf.alpha, rng=rng)
        elif kind < 0.7:
            flower, alpha = shape_flower(rng, size, centre=centre, scale=scale)
            image = lay(image, flower, alpha, rng=rng)
        else:
            x, y = grid(size)
            radius = np.hypot(x - centre[0], (y - centre[1]) * rng.uniform(1, 2)) / scale
            wobble = noise(rng, size, rng.uniform(2, 12)) * np.float32(rng.uniform(0, 1.2))
            alpha = step((0.5 + wobble - radius).astype(np.float32), soft=rng.uniform(0.02, 0.4))
            image = lay(image, draw_ground(rng, size), alpha, rng=rng)
    return light_and_lens(rng, image)

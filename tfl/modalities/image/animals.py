"""The sample `animals`: animals drawn in a few strokes, whose attributes can be seen: stripes, spots, horns, wings and so on.

Fourteen kinds, of which no two have the same attributes. They are drawn, not photographed, and no evidence about real animals.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tfl.modalities.image.drawing import noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

ANIMALS: dict[str, tuple[str, ...]] = {
    "horse": ("orange", "long_legs", "long_tail"),
    "tiger": ("striped", "orange", "long_tail"),
    "leopard": ("spotted", "orange", "long_tail"),
    "giraffe": ("spotted", "orange", "long_neck", "long_legs", "horns"),
    "goat": ("horns",),
    "bat": ("dark", "wings"),
    "bee": ("striped", "orange", "wings"),
    "ostrich": ("dark", "long_neck", "long_legs", "wings"),
    "cat": ("dark", "long_tail"),
    "cow": ("spotted", "horns"),
    "zebra": ("striped", "long_legs", "long_tail"),
    "swan": ("long_neck", "wings"),
    "bull": ("dark", "horns"),
    "butterfly": ("spotted", "orange", "wings"),
}
"""The attributes of each kind, as the recipe `zero_shot_animals` has them."""
EACH, SIDE = 40, 96
_DRAWN = 3
"""Pixels drawn for each one that is left, along a side."""
_GROUNDS = ((150, 180, 120), (200, 185, 140), (170, 190, 205), (185, 170, 160))


def draw_animals() -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """The pictures, `(n, 96, 96, 3)` uint8, and their classes, `(n,)` int32, places in `ANIMALS`, which take turns."""
    pictures, labels = [], []
    for number in range(EACH):
        for label, has in enumerate(ANIMALS.values()):
            pictures.append(_animal(np.random.default_rng((2024, number, label)), has))
            labels.append(label)
    return np.stack(pictures), np.array(labels, np.int32)


def _animal(rng: np.random.Generator, has: tuple[str, ...]) -> NDArray[np.uint8]:
    """One animal from the side, on a ground with noise, looking to the left or to the right."""
    size = SIDE * _DRAWN
    picture = Image.new("RGB", (size, size), _shifted(rng, _GROUNDS[rng.integers(len(_GROUNDS))], 20))
    base = (70, 62, 58) if "dark" in has else (205, 125, 50) if "orange" in has else (232, 226, 214)
    coat = _shifted(rng, base, 14)
    mark = (225, 215, 200) if "dark" in has else (45, 35, 30)
    shade = tuple(int(0.75 * value) for value in coat)
    unit = size * rng.uniform(0.85, 1.1) / 100
    x, y = size * rng.uniform(0.47, 0.55), size * (rng.uniform(0.5, 0.58) - (0.06 if "long_legs" in has else 0.0))
    length, height = 22 * unit * rng.uniform(0.9, 1.1), 12 * unit * rng.uniform(0.9, 1.1)
    draw = ImageDraw.Draw(picture)
    leg = (30 if "long_legs" in has else 11) * unit * rng.uniform(0.9, 1.1)
    for place in (-0.7, -0.35, 0.4, 0.75):
        foot = x + place * length + rng.uniform(-3, 3) * unit
        draw.line((x + place * length, y + 0.6 * height, foot, y + 0.7 * height + leg), fill=shade, width=round(3.4 * unit))
    if "long_tail" in has:
        bend = rng.uniform(-8, 10) * unit
        tail = [
            (x + length * 0.9, y - 2 * unit),
            (x + length + 10 * unit, y - 8 * unit + bend),
            (x + length + 15 * unit, y + 8 * unit + bend),
        ]
        draw.line(tail, fill=shade, width=round(2.6 * unit), joint="curve")
    reach = (26 if "long_neck" in has else 8) * unit * rng.uniform(0.9, 1.1)
    tilt = math.radians(rng.uniform(48, 68) if "long_neck" in has else rng.uniform(20, 45))
    head = (x - 0.8 * length - reach * math.cos(tilt), y - 0.4 * height - reach * math.sin(tilt))
    draw.line((x - 0.7 * length, y - 0.2 * height, *head), fill=coat, width=round(6.5 * unit))
    body = Image.new("L", picture.size)
    ImageDraw.Draw(body).ellipse((x - length, y - height, x + length, y + height), fill=255)
    picture.paste(coat, mask=body)
    _coat_marks(rng, picture, body, has, mark, (x, y, length, height, unit))
    draw = ImageDraw.Draw(picture)
    if "wings" in has:
        up, wide = rng.uniform(20, 27) * unit, rng.uniform(13, 17) * unit
        wing = [(x - 6 * unit, y - 0.4 * height), (x + wide, y - up - 0.5 * height), (x + wide + 4 * unit, y - 0.3 * height)]
        draw.polygon(wing, fill=_shifted(rng, (205, 215, 225), 15), outline=(90, 95, 105))
    draw.ellipse((head[0] - 7 * unit, head[1] - 5 * unit, head[0] + 6 * unit, head[1] + 5 * unit), fill=coat)
    draw.ellipse((head[0] - 3 * unit, head[1] - 2 * unit, head[0] - 1 * unit, head[1]), fill=(15, 15, 15))
    if "horns" in has:
        for lean in (-3.5, 2.5):
            tip = (head[0] + (lean + rng.uniform(-1, 1)) * unit * 1.6, head[1] - rng.uniform(13, 16) * unit)
            draw.line((head[0] + lean * 0.6 * unit, head[1] - 3 * unit, *tip), fill=(238, 232, 205), width=round(2.4 * unit))
    small = picture.filter(ImageFilter.GaussianBlur(_DRAWN / 3)).resize((SIDE, SIDE), Image.Resampling.BOX)
    if rng.random() < 0.5:
        small = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    light = 0.85 + 0.3 * noise(rng, SIDE, 3)[..., None] + rng.normal(0, 0.02, (SIDE, SIDE, 1))
    return np.clip(np.asarray(small, np.float32) * light, 0, 255).astype(np.uint8)


def _coat_marks(
    rng: np.random.Generator,
    picture: Image.Image,
    body: Image.Image,
    has: tuple[str, ...],
    mark: tuple[int, int, int],
    place: tuple[float, float, float, float, float],
) -> None:
    """Stripes or spots, where the body is."""
    x, y, length, height, unit = place
    marks = Image.new("L", picture.size)
    draw = ImageDraw.Draw(marks)
    if "striped" in has:
        for at in np.arange(-length, length, rng.uniform(6.0, 7.5) * unit):
            lean = rng.uniform(-2.5, 2.5) * unit
            draw.line((x + at, y - height, x + at + lean, y + height), fill=255, width=round(2.8 * unit))
    elif "spotted" in has:
        for _ in range(16):
            left, top, wide = rng.uniform(-length, length), rng.uniform(-height, height), rng.uniform(1.6, 2.8) * unit
            draw.ellipse((x + left - wide, y + top - wide, x + left + wide, y + top + wide), fill=255)
    inside = np.minimum(np.asarray(marks), np.asarray(body))
    picture.paste(mark, mask=Image.fromarray(inside))


def _shifted(rng: np.random.Generator, colour: tuple[int, int, int], most: int) -> tuple[int, int, int]:
    """A colour like another one."""
    return tuple(int(np.clip(value + rng.integers(-most, most + 1), 0, 255)) for value in colour)  # type: ignore[return-value]

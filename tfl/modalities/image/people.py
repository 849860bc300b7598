"""The samples `people` and `other_people`: faces drawn in a few strokes, persons of all ages, twelve pictures of each.

What a person keeps are the shapes of the face, the eyes, the nose and the mouth, and colours. Age shows in the proportions of
children, in lines and in the hair. Pose, light, ground, hair-cut and mood change from picture to picture and say nothing. The
faces are drawn, not photographed: no evidence about real people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tfl.modalities.image.drawing import noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

PERSONS = {"people": range(30), "other_people": range(30, 40)}
EACH, SIDE = 12, 96
SEED = 20261129
_DRAWN = 3
"""Pixels drawn for each one that is left, along a side."""
_SKINS = ((247, 219, 196), (233, 190, 158), (205, 152, 112), (160, 108, 74), (106, 70, 50))
_HAIRS = ((28, 22, 20), (70, 44, 28), (128, 84, 46), (206, 166, 96), (158, 72, 36))
_EYES = ((66, 44, 30), (70, 100, 62), (72, 110, 150), (110, 104, 100))
_GREY = (214, 214, 212)
_SPAN = 10
"""Years between the first and the last picture of a person, at most."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """What all pictures of a person have in common; lengths are shares of the half width of the face."""

    youngest: float
    long: float
    eyes_apart: float
    eye_size: float
    eye_height: float
    nose: float
    mouth: float
    brow: float
    skin: tuple[int, int, int]
    hair: tuple[int, int, int]
    iris: tuple[int, int, int]


def draw_people(sample: str) -> tuple[NDArray[np.uint8], NDArray[np.int32], dict[str, list[str]]]:
    """One of the samples, the same at every call.

    Args:
        sample: A key of `PERSONS`.

    Returns:
        Images `(n, 96, 96, 3)` uint8; labels `(n,)` int32, which person of the sample; and the column `age` in years, as text.
    """
    images, labels, ages = [], [], []
    for label, number in enumerate(PERSONS[sample]):
        person = a_person(np.random.default_rng((SEED, number)))
        for picture in range(EACH):
            rng = np.random.default_rng((SEED, number, picture))
            age = round(float(person.youngest + rng.uniform(0, _SPAN)), 1)
            images.append(draw_face(rng, person, age))
            labels.append(label)
            ages.append(f"{age:.1f}")
    return np.stack(images), np.array(labels, np.int32), {"age": ages}


def a_person(rng: np.random.Generator) -> Person:
    """Someone, of 4 to 75 years at the first picture."""
    return Person(
        youngest=rng.uniform(4, 75),
        long=rng.uniform(1.15, 1.45),
        eyes_apart=rng.uniform(0.36, 0.5),
        eye_size=rng.uniform(0.13, 0.2),
        eye_height=rng.uniform(-0.12, 0.08),
        nose=rng.uniform(0.3, 0.55),
        mouth=rng.uniform(0.28, 0.5),
        brow=rng.uniform(-0.1, 0.12),
        skin=_near(rng, _SKINS[rng.integers(len(_SKINS))], 8),
        hair=_near(rng, _HAIRS[rng.integers(len(_HAIRS))], 10),
        iris=_EYES[rng.integers(len(_EYES))],
    )


def draw_face(rng: np.random.Generator, person: Person, age: float) -> NDArray[np.uint8]:
    """One picture, `(96, 96, 3)` uint8.

    Args:
        rng: Decides what changes from picture to picture.
        person: Who it is.
        age: In years.
    """
    size = SIDE * _DRAWN
    ground = tuple(int(value) for value in rng.integers(60, 220, 3))
    picture = Image.new("RGB", (size, size), ground)
    draw = ImageDraw.Draw(picture)
    child, old = max(0.0, (18 - age) / 18), min(1.0, max(0.0, (age - 25) / 55))
    half = size * rng.uniform(0.25, 0.29) * (1 - 0.12 * child)
    x, y = size / 2, size * 0.54
    tall = half * (person.long - 0.2 * child)
    grey = min(1.0, max(0.0, (age - 35) / 35) * rng.uniform(0.8, 1.1))
    hair = _mixed(person.hair, _GREY, grey)
    line = _mixed(person.skin, (40, 24, 18), 0.35 + 0.25 * old)
    _hair_behind(draw, rng, (x, y, half, tall), hair)
    draw.ellipse((x - half, y - tall, x + half, y + tall), fill=person.skin)
    _hair_above(draw, (x, y, half, tall), hair, back=0.45 * old)
    eye_y = y + (person.eye_height + 0.22 * child) * half
    eye = person.eye_size * (1 + 0.35 * child - 0.2 * old) * half
    for side in (-1, 1):
        at = x + side * person.eyes_apart * half
        draw.ellipse((at - 1.5 * eye, eye_y - eye, at + 1.5 * eye, eye_y + eye), fill=(246, 244, 240), outline=line)
        draw.ellipse((at - 0.8 * eye, eye_y - 0.8 * eye, at + 0.8 * eye, eye_y + 0.8 * eye), fill=person.iris)
        brow_y, slope = eye_y - 2.1 * eye, side * person.brow * half
        draw.line((at - 1.7 * eye, brow_y - slope, at + 1.7 * eye, brow_y + slope), fill=hair, width=max(2, round(0.05 * half)))
        _lines_beside(draw, (at + side * 1.7 * eye, eye_y, side * half), line, old)
    nose = eye_y + (person.nose + 0.15 * old) * half * (1 - 0.3 * child)
    draw.line((x, eye_y + 0.5 * eye, x + 0.06 * half, nose, x - 0.08 * half, nose), fill=line, width=max(2, round(0.035 * half)))
    _mouth(draw, rng, (x, (nose + y + tall) / 2, person.mouth * half * (1 - 0.2 * child)), line, old)
    for number in range(round(4 * old)):  # on the forehead
        height = y - tall * (0.62 - 0.09 * number)
        draw.arc((x - 0.5 * half, height, x + 0.5 * half, height + 0.16 * half), 200, 340, fill=line, width=3)
    return _photographed(rng, picture, ground)


def _hair_behind(draw: ImageDraw.ImageDraw, rng: np.random.Generator, face: tuple[float, ...], hair: tuple[int, ...]) -> None:
    """To the ears or to the shoulders, as it happens to be cut."""
    x, y, half, tall = face
    draw.ellipse((x - 1.14 * half, y - 1.16 * tall, x + 1.14 * half, y + rng.uniform(-0.1, 1.0) * tall), fill=hair)


def _hair_above(draw: ImageDraw.ImageDraw, face: tuple[float, ...], hair: tuple[int, ...], *, back: float) -> None:
    """Above the forehead, and further back in the old."""
    x, y, half, tall = face
    angle = 52 * (1 - back)
    draw.chord((x - 1.02 * half, y - 1.04 * tall, x + 1.02 * half, y + 1.02 * tall), 270 - angle, 270 + angle, fill=hair)


def _lines_beside(draw: ImageDraw.ImageDraw, place: tuple[float, ...], line: tuple[int, ...], old: float) -> None:
    """Crow's feet, and a fold below the eye."""
    x, y, half = place
    for number in range(round(3 * old)):
        lean = (number - 1) * 0.1 * abs(half)
        draw.line((x + 0.03 * half, y + 0.4 * lean, x + 0.18 * half, y + lean), fill=line, width=3)


def _mouth(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, place: tuple[float, ...], line: tuple[int, ...], old: float
) -> None:
    """Glad or not; folds run down to it from the nose in the old."""
    x, y, wide = place
    bend = rng.uniform(-0.25, 0.6) * wide
    draw.line([(x - wide, y - bend / 2), (x, y + bend / 2), (x + wide, y - bend / 2)], fill=(150, 62, 60), width=6)
    if old > 0.35:
        for side in (-1, 1):
            draw.line((x + side * 0.8 * wide, y - 0.9 * wide, x + side * 1.25 * wide, y - 0.1 * wide), fill=line, width=3)


def _photographed(rng: np.random.Generator, picture: Image.Image, ground: tuple[int, ...]) -> NDArray[np.uint8]:
    """Turned, moved, made small, with light from somewhere and noise."""
    turned = picture.rotate(
        rng.uniform(-12, 12),
        Image.Resampling.BICUBIC,
        translate=(round(rng.uniform(-0.06, 0.06) * picture.width), round(rng.uniform(-0.05, 0.05) * picture.height)),
        fillcolor=ground,
    )
    small = turned.filter(ImageFilter.GaussianBlur(_DRAWN / 3)).resize((SIDE, SIDE), Image.Resampling.BOX)
    light = rng.uniform(0.75, 1.1) + 0.25 * noise(rng, SIDE, 2)[..., None] - 0.12 + rng.normal(0, 0.02, (SIDE, SIDE, 1))
    return np.clip(np.asarray(small, np.float32) * light, 0, 255).astype(np.uint8)


def _near(rng: np.random.Generator, colour: tuple[int, int, int], most: int) -> tuple[int, int, int]:
    red, green, blue = (int(np.clip(value + rng.integers(-most, most + 1), 0, 255)) for value in colour)
    return red, green, blue


def _mixed(colour: tuple[int, int, int], other: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    red, green, blue = (round(one + (two - one) * share) for one, two in zip(colour, other, strict=True))
    return red, green, blue

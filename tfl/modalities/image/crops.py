"""Training pictures without a data set: windows of the photos that scikit-image and scikit-learn bring along, and drawings.

The photos lie in the two packages' wheels, so nothing is downloaded. Windows are cut at many scales, turned, stretched,
colour-mixed and laid over each other, after Asano and Saeed, "Extrapolating from a Single Image to a Thousand Classes
using Distillation" (2021). Images are `(192, 192, 3)` float32 in 0..1 until they are rounded to uint8.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tfl.errors import DataError
from tfl.modalities.image.drawing import Field, Random, draw_scene

CROP_PX = 192
SEED = 20240607
COLOUR_PHOTOS = (
    *("astronaut.png", "chelsea.png", "coffee.png", "motorcycle_left.png", "motorcycle_right.png", "rocket.jpg"),
    *("china.jpg", "flower.jpg", "retina.jpg", "ihc.png", "hubble_deep_field.jpg"),
)
GREY_PHOTOS = (
    *("brick.png", "camera.png", "cell.png", "clock_motion.png", "coins.png", "grass.png", "gravel.png", "moon.png"),
    *("page.png", "text.png"),
)
COLOUR_SHARE = 0.75


def photo_folders() -> tuple[Path, Path]:
    """Where scikit-image and scikit-learn keep the photos that came in their wheels."""
    import skimage
    import sklearn

    return Path(skimage.__file__).parent / "data", Path(sklearn.__file__).parent / "datasets" / "images"


def find_photo(name: str) -> Path:
    """The photo of this file name in one of the two packages.

    Raises:
        DataError: neither has it.
    """
    for folder in photo_folders():
        if (folder / name).exists():
            return folder / name
    raise DataError(f"There is no photo {name} in {' or '.join(map(str, photo_folders()))}.", fix="pip install scikit-image")


def load_pyramids(names: tuple[str, ...]) -> list[list[Image.Image]]:
    """Each photo with its halvings, so that a crop is never shrunk more than twice and does not alias."""
    pyramids = []
    for name in names:
        levels = [Image.open(find_photo(name)).convert("RGB")]
        while min(levels[-1].size) >= 2 * CROP_PX:
            levels.append(levels[-1].reduce(2))
        pyramids.append(levels)
    return pyramids


def cut(rng: Random, pyramid: list[Image.Image]) -> Field:
    """One turned, stretched window of a photo, `(192, 192, 3)` float32 in 0..1."""
    height, width = pyramid[0].size[1], pyramid[0].size[0]
    side = min(height, width) * math.exp(rng.uniform(math.log(0.16), 0.0))
    stretch, angle = math.exp(rng.uniform(-0.25, 0.25)), rng.normal(0, 0.35) + (rng.random() < 0.2) * math.pi / 2
    corners = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]]) * side / 2 * [stretch, 1 / stretch]
    corners = corners * rng.choice([-1, 1], p=[0.5, 0.5]) ** np.array([1, 0]) + rng.normal(0, 0.04 * side, (4, 2))
    corners = corners @ np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    reach = np.minimum(np.abs(corners).max(0), [width / 2, height / 2])
    corners += rng.uniform(reach, np.maximum([width, height] - reach, reach + 1e-6))
    level = min(len(pyramid) - 1, max(0, int(math.log2(max(side / CROP_PX, 1.0)) + 0.3)))
    quad = (corners / 2**level).ravel().tolist()
    size = (CROP_PX, CROP_PX)
    crop = pyramid[level].transform(size, Image.Transform.QUAD, quad, Image.Resampling.BICUBIC)
    return np.asarray(crop, np.float32) / 255


def tint(rng: Random, grey: Field) -> Field:
    """A grey picture through a ramp of three random colours."""
    ramp = np.sort(rng.random((3, 1)), axis=0) * 0.6 + rng.random((3, 3)) * 0.4
    level = grey.mean(-1)
    return np.stack([np.interp(level, [0, 0.5, 1], ramp[:, c]) for c in range(3)], -1).astype(np.float32)


def mix_colours(rng: Random, image: Field) -> Field:
    """Hue, saturation, white balance, contrast and gamma, moderately in most crops and wildly in some."""
    wild = rng.random() < 0.25
    mean = image.mean(-1, keepdims=True)
    image = mean + (image - mean) * rng.uniform(0.3, 1.7)
    matrix = np.eye(3) + rng.normal(0, 0.3 if wild else 0.06, (3, 3))
    image = image @ (matrix / matrix.sum(1, keepdims=True).clip(0.5)).astype(np.float32)
    if wild and rng.random() < 0.5:
        image = image[..., rng.permutation(3)]
    gain = rng.uniform(0.8, 1.2, 3) * rng.uniform(0.6, 1.4)
    image = (image - 0.5) * rng.uniform(0.6, 1.4) + 0.5
    return np.clip(image * gain, 0, 1).astype(np.float32) ** np.float32(math.exp(rng.normal(0, 0.25)))


def smooth_mask(rng: Random) -> Field:
    """A blotchy mask `(192, 192, 1)` in 0..1, with edges from hard to soft."""
    cells = int(rng.integers(2, 9))
    noise = Image.fromarray(rng.random((cells, cells), np.float32)).resize((CROP_PX,) * 2, Image.Resampling.BICUBIC)
    field = (np.asarray(noise) - rng.uniform(0.35, 0.65)) * math.exp(rng.uniform(1, 4))
    return (0.5 + 0.5 * np.tanh(2 * field))[..., None].astype(np.float32)


class Crops:
    """Makes training pictures; each is decided by its number alone.

    Example:
        >>> Crops().picture(7, drawn=False).shape
        (192, 192, 3)
    """

    def __init__(self) -> None:
        self._colour, self._grey = load_pyramids(COLOUR_PHOTOS), load_pyramids(GREY_PHOTOS)

    def picture(self, number: int, *, drawn: bool) -> NDArray[np.uint8]:
        """A window of a photo or, if `drawn`, a drawing; in three of ten with another photo laid over a part of it."""
        rng = np.random.default_rng((SEED, number))
        image = self._drawing(rng) if drawn else self._photo(rng)
        if rng.random() < 0.3:
            other = self._photo(rng)
            mask = smooth_mask(rng) if rng.random() < 0.7 else np.float32(rng.uniform(0.25, 0.75))
            image = image * mask + other * (1 - mask)
        if rng.random() < 0.15:
            image = image + rng.normal(0, rng.uniform(0.01, 0.06), image.shape)
        return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)

    def _photo(self, rng: Random) -> Field:
        if rng.random() < COLOUR_SHARE:
            return mix_colours(rng, cut(rng, self._colour[rng.integers(len(self._colour))]))
        grey = cut(rng, self._grey[rng.integers(len(self._grey))])
        return mix_colours(rng, tint(rng, grey) if rng.random() < 0.7 else grey)

    def _drawing(self, rng: Random) -> Field:
        image = draw_scene(rng, CROP_PX)
        return mix_colours(rng, image) if rng.random() < 0.5 else image

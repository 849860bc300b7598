"""Two samples of other domains, for adaptation: leaves drawn as if at night, and digits that are drawn, not written by hand.

Both are functions of a seed. They show what a shift of domains does; they are no evidence about real nights or real handwriting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from tfl.modalities.image.leaves import draw_leaf_photo

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEED = 20261128
LIGHT, NOISE, BLUR = 0.3, 12.0, 1.0
"""Of a night: the share of the light that is left, the deviation of the sensor's noise in grey levels of 255, and that of the
blur in pixels of a picture 96 pixels wide."""
NIGHT_PER_CLASS = 60
DIGIT_PX, PER_DIGIT = 24, 60
_STEPS = 6  # pieces between two points of a stroke


def at_night(images: NDArray[np.uint8], *, seed: int = SEED, light: float = LIGHT, noise: float = NOISE) -> NDArray[np.uint8]:
    """Pictures as a camera would see them with little light: blurred, dark, bluish and noisy.

    Args:
        images: Array of shape `(n, height, width, 3)`, uint8.
        seed: Int, of the noise and of each picture's light.
        light: Float, the share of the light that is left, on average.
        noise: Float, the deviation of the noise in grey levels.

    Example:

    >>> import numpy as np
    >>> bool(at_night(np.full((2, 8, 8, 3), 200, np.uint8)).mean() < 80)
    True
    """
    rng = np.random.default_rng(seed)
    colour = np.array([0.8, 0.95, 1.2])
    made = []
    for image in images:
        blurred = ndimage.gaussian_filter(image.astype(np.float32), (BLUR * image.shape[0] / 96, BLUR * image.shape[1] / 96, 0))
        dark = blurred * colour * light * rng.uniform(0.7, 1.3)
        made.append(np.clip(np.rint(dark + rng.normal(0, noise, image.shape)), 0, 255).astype(np.uint8))
    return np.stack(made)


def draw_night(class_names: tuple[str, ...]) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """The sample `strawberry_night`: pictures `(n, height, width, 3)` uint8, and classes `(n,)` int32, which take turns.

    Args:
        class_names: As of `tfl.modalities.image.leaves.draw_strawberry`.
    """
    labels = np.tile(np.arange(len(class_names), dtype=np.int32), NIGHT_PER_CLASS)
    drawn = [draw_leaf_photo(np.random.default_rng((SEED, number)), class_names[label]) for number, label in enumerate(labels)]
    return at_night(np.stack(drawn)), labels


_STROKES: dict[int, tuple[tuple[tuple[float, float], ...], ...]] = {
    0: (((0.5, 0.1), (0.25, 0.3), (0.25, 0.7), (0.5, 0.9), (0.75, 0.7), (0.75, 0.3), (0.5, 0.1)),),
    1: (((0.35, 0.28), (0.55, 0.1), (0.55, 0.9)),),
    2: (((0.25, 0.3), (0.5, 0.1), (0.75, 0.3), (0.6, 0.55), (0.25, 0.9)), ((0.25, 0.9), (0.78, 0.9))),
    3: (((0.27, 0.15), (0.6, 0.1), (0.72, 0.28), (0.45, 0.47)), ((0.45, 0.47), (0.76, 0.6), (0.65, 0.87), (0.25, 0.86))),
    4: (((0.62, 0.9), (0.62, 0.1)), ((0.62, 0.1), (0.22, 0.65)), ((0.22, 0.65), (0.82, 0.65))),
    5: (
        ((0.73, 0.1), (0.3, 0.1)),
        ((0.3, 0.1), (0.28, 0.45)),
        ((0.28, 0.45), (0.65, 0.42), (0.74, 0.68), (0.55, 0.9), (0.25, 0.85)),
    ),
    6: (((0.65, 0.1), (0.32, 0.4), (0.27, 0.72), (0.5, 0.9), (0.72, 0.72), (0.55, 0.5), (0.3, 0.62)),),
    7: (((0.23, 0.12), (0.77, 0.12)), ((0.77, 0.12), (0.42, 0.9))),
    8: (((0.5, 0.48), (0.28, 0.3), (0.5, 0.1), (0.72, 0.3), (0.5, 0.48), (0.24, 0.7), (0.5, 0.9), (0.76, 0.7), (0.5, 0.48)),),
    9: (((0.7, 0.38), (0.45, 0.5), (0.28, 0.28), (0.5, 0.1), (0.72, 0.28), (0.68, 0.6), (0.45, 0.9)),),
}
"""Each digit as curves through points of the unit square, x to the right and y down."""


def draw_digits(*, seed: int = SEED, per_digit: int = PER_DIGIT) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Digits drawn as curves: turned, slanted, shifted, of different sizes and thickness.

    Args:
        seed: Int, of everything but the classes.
        per_digit: Int, how many of each.

    Returns:
        Pictures `(n, 24, 24)` uint8, light on dark as scikit-learn's, and their classes `(n,)` int32, which take turns.

    Example:

    >>> images, labels = draw_digits(per_digit=2)
    >>> images.shape, labels[:3].tolist()
    ((20, 24, 24), [0, 1, 2])
    """
    rng = np.random.default_rng(seed)
    labels = np.tile(np.arange(10, dtype=np.int32), per_digit)
    return np.stack([_drawn(int(label), rng) for label in labels]), labels


def _drawn(digit: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    turn, slant = rng.normal(0, 0.12), rng.normal(0, 0.15)
    size = rng.uniform(0.75, 1.0) * np.array([rng.uniform(0.8, 1.1), 1.0])
    around = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.array([[1, slant], [0, 1]])
    shift, thick = rng.uniform(-0.06, 0.06, 2), rng.uniform(0.035, 0.08)
    line = (np.arange(DIGIT_PX) + 0.5) / DIGIT_PX
    pixels = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 1, 2)
    nearest = np.full(len(pixels), np.inf)
    for stroke in _STROKES[digit]:
        points = (np.array(stroke) + rng.normal(0, 0.012, (len(stroke), 2)) - 0.5) * size @ around.T + 0.5 + shift
        nearest = np.minimum(nearest, _distance(pixels, _smooth(points)))
    ink = np.clip((thick - nearest) * DIGIT_PX + 0.5, 0, 1) * rng.uniform(0.75, 1.0)
    return np.rint(255 * ink).astype(np.uint8).reshape(DIGIT_PX, DIGIT_PX)


def _smooth(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A curve through the points (Catmull and Rom 1974), as the corners of short straight pieces."""
    padded = np.concatenate([points[:1], points, points[-1:]])
    t = np.linspace(0, 1, _STEPS, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.concatenate([*pieces, points[-1:]])


def _distance(pixels: NDArray[np.float64], corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each pixel `(n, 1, 2)` to the nearest of the pieces between neighbouring corners."""
    start, along = corners[:-1], np.diff(corners, axis=0)
    share = np.clip(((pixels - start) * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-12), 0, 1)
    return np.asarray(np.linalg.norm(pixels - start - share[..., None] * along, axis=-1).min(axis=1))

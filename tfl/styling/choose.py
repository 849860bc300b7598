"""Which blocks count for style and which for content, measured on the two pictures.

    style     crops of half the size, eight of each picture, at random places: the mean squared distance between Gram matrices of
              crops of different pictures, over that between crops of the same picture. Of each resolution the block where
              this is largest, of five resolutions at most, the finest ones.
    content   the photo with its layout changed (shifted by a third of its height and width, around the edges), and with its
              surface changed (mean and deviation of each colour those of the painting): how far the former moves the map, over
              how far the latter does. The block where this is largest.

Both are rules of thumb, stated so that they can be checked: blocks can be named instead. Only blocks whose map has at least 8
places on its shorter side are looked at, or where there is none, all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from tfl.styling.losses import gram
from tfl.styling.network import SMALLEST_MAP, BlockNetwork

if TYPE_CHECKING:
    from numpy.typing import NDArray

CROPS = 8
"""Of each picture."""
MOST_STYLE_BLOCKS = 5
"""As many as Gatys et al. take."""
_FINE = 8
_LEAST = 1e-12
_SMALLEST_CROP = 32


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured of a block.

    Args:
        block: Its name.
        places: (height, width) of its map.
        style: How well its Gram matrices tell the painting from the photo; 1 where not at all.
        content: How much more layout moves its map than surface.
    """

    block: str
    places: tuple[int, int]
    style: float
    content: float


def measure_blocks(
    network: BlockNetwork, photo: NDArray[np.float32], painting: NDArray[np.float32], *, seed: int = 0
) -> list[Measured]:
    """Measures every block, input side first.

    Args:
        network: At the size of the photo.
        photo, painting: `(height, width, 3)`, 0..255.
        seed: Draws the places of the crops.
    """
    names = [block.name for block in network.blocks]
    style = _separations(network, names, photo, painting, seed)
    content = _layout_over_surface(network, names, photo, painting)
    return [
        Measured(block=block.name, places=_places(block), style=style[block.name], content=content[block.name])
        for block in network.blocks
    ]


def _places(block: Any) -> tuple[int, int]:
    return block.output_shape[0], block.output_shape[1]


def _separations(
    network: BlockNetwork, names: Sequence[str], photo: NDArray[np.float32], painting: NDArray[np.float32], seed: int
) -> dict[str, float]:
    smaller = [min(photo.shape[axis], painting.shape[axis]) for axis in (0, 1)]
    smallest = max(_SMALLEST_CROP, *(network.model.input_shape[axis] // 8 for axis in (1, 2)))
    size = (min(smaller[0], max(smallest, smaller[0] // 2)), min(smaller[1], max(smallest, smaller[1] // 2)))
    rng = np.random.default_rng(seed)
    batch = np.concatenate([_crops(pixels, size, rng) for pixels in (photo, painting)])
    maps = network.up_to(names, size)(tf.constant(batch), training=False)
    found = {}
    for name in names:
        grams = gram(maps[name]).numpy().reshape(2 * CROPS, -1).astype(np.float64)
        squares = (grams**2).sum(axis=1)
        distances = np.maximum(squares[:, None] + squares[None] - 2 * grams @ grams.T, 0)
        between = distances[:CROPS, CROPS:].mean()
        pairs = np.triu_indices(CROPS, 1)
        within = (distances[:CROPS, :CROPS][pairs].mean() + distances[CROPS:, CROPS:][pairs].mean()) / 2
        found[name] = float(between / max(within, _LEAST))
    return found


def _crops(pixels: NDArray[np.float32], size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    tops, lefts = (rng.integers(0, pixels.shape[axis] - size[axis] + 1, CROPS) for axis in (0, 1))
    return np.stack([pixels[top : top + size[0], left : left + size[1]] for top, left in zip(tops, lefts, strict=True)])


def _layout_over_surface(
    network: BlockNetwork, names: Sequence[str], photo: NDArray[np.float32], painting: NDArray[np.float32]
) -> dict[str, float]:
    shifted = np.roll(photo, (photo.shape[0] // 3, photo.shape[1] // 3), axis=(0, 1))
    batch = tf.constant(np.stack([photo, shifted, with_colours_of(photo, painting)]))
    maps = network.up_to(names)(batch, training=False)
    found = {}
    for name in names:
        own, layout, surface = (np.asarray(one, np.float64) for one in maps[name])
        found[name] = float(np.square(layout - own).mean() / max(np.square(surface - own).mean(), _LEAST))
    return found


def with_colours_of(photo: NDArray[np.float32], painting: NDArray[np.float32]) -> NDArray[np.float32]:
    """The photo with the mean and the deviation of each colour of the painting; 0..255.

    Example:

    >>> import numpy as np
    >>> from tfl.styling.choose import with_colours_of
    >>> photo, painting = np.full((4, 4, 3), 10, np.float32), np.full((4, 4, 3), 200, np.float32)
    >>> float(with_colours_of(photo, painting).max())
    200.0
    """
    mean, deviation = photo.mean(axis=(0, 1)), photo.std(axis=(0, 1))
    scaled = (photo - mean) / np.maximum(deviation, 1e-3) * painting.std(axis=(0, 1)) + painting.mean(axis=(0, 1))
    return np.clip(scaled, 0, 255).astype(np.float32)


def chosen_style(measured: Sequence[Measured]) -> tuple[str, ...]:
    """Of each resolution the block that tells the painting from the photo best; the five finest resolutions.

    Example:

    >>> from tfl.styling.choose import Measured, chosen_style
    >>> rows = [("a", 32, 3.0), ("b", 32, 5.0), ("c", 16, 2.0), ("d", 4, 9.0)]
    >>> chosen_style([Measured(block=name, places=(side, side), style=value, content=1.0) for name, side, value in rows])
    ('b', 'c')
    """
    best: dict[tuple[int, int], Measured] = {}
    for row in _fine(measured):
        if row.places not in best or row.style > best[row.places].style:
            best[row.places] = row
    return tuple(row.block for row in list(best.values())[:MOST_STYLE_BLOCKS])


def chosen_content(measured: Sequence[Measured]) -> tuple[str, ...]:
    """The block whose map the layout moves most, compared with the surface.

    Example:

    >>> from tfl.styling.choose import Measured, chosen_content
    >>> rows = [("a", 32, 3.0), ("b", 16, 5.0), ("c", 4, 9.0)]
    >>> chosen_content([Measured(block=name, places=(side, side), style=1.0, content=value) for name, side, value in rows])
    ('b',)
    """
    return (max(_fine(measured), key=lambda row: row.content).block,)


def _fine(measured: Sequence[Measured]) -> list[Measured]:
    return [row for row in measured if min(row.places) >= _FINE] or [row for row in measured if min(row.places) >= SMALLEST_MAP]

"""How a person sees an image: a small copy of it, or what the network sees, with colour where it speaks for the answer."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np

from tfl.modalities.base import Preview

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    import tfl

EDGE = 224
"""Pixels of a preview's longer side: sharp at 112 CSS pixels on a phone's screen."""
_SMALL = 96
_TINY = 64  # pixels; below, each one shows, and JPEG would smear them
_PIXELATED = ' style="image-rendering: pixelated"'
# Dark violet, magenta, orange, yellow: anchors of matplotlib's `plasma`, which stays readable in grey and for the colour-blind.
_RAMP = np.array([[13, 8, 135], [126, 3, 168], [204, 71, 120], [248, 149, 64], [240, 249, 33]], np.float32)


def preview(content: bytes, *, data: tfl.Data, attribution: NDArray[np.float32] | None = None, edge: int = EDGE) -> Preview:
    """The image as it is; with an attribution, the image as the network sees it, and next to it the same with colour.

    Args:
        content: Bytes of an image file.
        data: Size, fit and bits, for what the network sees.
        attribution: `(height, width)`, 0 to 1, of the network's input; or `(tokens,)`: patches in rows, behind other tokens.
        edge: Integer, pixels of the longer side at most.

    Raises:
        BadImageError: The file cannot be decoded.
    """
    import tensorflow as tf

    from tfl.modalities.image.convert import readable_by_graph
    from tfl.modalities.image.decode import decode_image
    from tfl.modalities.image.resize import preprocessor

    readable = tf.constant(readable_by_graph(content))
    if attribution is None:
        pixels = decode_image(readable, data.bits).numpy()
        return Preview(html=img(pixels, edge=edge), text=_line(pixels))
    seen = preprocessor(data.settled_size, data.fit, data.bits)(readable).numpy()
    seen = np.clip(np.rint(seen), 0, 255).astype(np.uint8)
    heat = attribution if attribution.ndim == 2 else patch_heat(attribution, seen.shape[:2])
    both = img(seen, edge=edge) + img(overlay(seen, heat), edge=edge)
    return Preview(html=f'<div class="two">{both}</div>', text=_line(seen))


def img(pixels: NDArray[np.uint8], *, edge: int = EDGE) -> str:
    """A small copy of an image as an `<img>` that needs no other file: JPEG, or PNG where each pixel shows.

    Args:
        pixels: `(height, width, 3)`.
        edge: Integer, pixels of the longer side at most.

    Example:

    >>> import numpy as np
    >>> from tfl.modalities.image.preview import img
    >>> img(np.zeros((4, 6, 3), np.uint8))[:44]
    '<img src="data:image/png;base64,iVBORw0KGgoA'
    """
    small = thumbnail(pixels, edge=edge)
    tiny = max(small.size) < _TINY
    content = io.BytesIO()
    if tiny:
        small.save(content, "PNG")
    else:
        small.save(content, "JPEG", quality=85, subsampling=0)
    kind, text = "png" if tiny else "jpeg", base64.b64encode(content.getvalue()).decode()
    size = f'width="{small.width}" height="{small.height}"'
    return f'<img src="data:image/{kind};base64,{text}" alt="" {size} loading="lazy"{_PIXELATED if tiny else ""}>'


def thumbnail(pixels: NDArray[np.uint8], *, edge: int = EDGE) -> Image:
    """A copy of `(height, width, 3)` whose longer side is `edge` pixels at most."""
    from PIL import Image

    small = Image.fromarray(np.ascontiguousarray(pixels))
    small.thumbnail((edge, edge), Image.Resampling.LANCZOS)
    return small


def small_jpeg(pixels: NDArray[np.floating] | NDArray[np.uint8]) -> bytes:
    """A JPEG of `(height, width, 3)` pixels, 0..255, whose longer side is 96 at most."""
    from PIL import Image

    small, content = Image.fromarray(np.asarray(pixels).astype(np.uint8)), io.BytesIO()
    small.thumbnail((_SMALL, _SMALL), Image.Resampling.BILINEAR)
    small.save(content, "JPEG", quality=85)
    return content.getvalue()


def overlay(image: NDArray[np.uint8], heat: NDArray[np.floating], *, strength: float = 0.65) -> NDArray[np.uint8]:
    """The image with its map on top: colour where it speaks for the answer, the plain (slightly greyed) image elsewhere.

    Args:
        image: `(height, width, 3)` uint8.
        heat: `(height, width)`, 0..1.
        strength: Float, opacity of the colour at 1.0. Defaults to 0.65.

    Example:

    >>> import numpy as np
    >>> from tfl.modalities.image.preview import overlay
    >>> overlay(np.zeros((1, 2, 3), np.uint8), np.array([[0.0, 1.0]]))[0].tolist()
    [[0, 0, 0], [156, 162, 21]]
    """
    pixels = np.asarray(image, np.float32)
    grey = pixels.mean(axis=2, keepdims=True)
    calm = 0.7 * pixels + 0.3 * grey
    opacity = strength * np.clip(heat, 0.0, 1.0)[..., None]
    return np.clip(np.rint((1 - opacity) * calm + opacity * ramp(heat)), 0, 255).astype(np.uint8)


def ramp(heat: NDArray[np.floating]) -> NDArray[np.float64]:
    """The colours of a map: `(height, width)`, 0..1, to `(height, width, 3)`, 0..255, from violet through orange to yellow."""
    places = np.clip(heat, 0.0, 1.0) * (len(_RAMP) - 1)
    return np.stack([np.interp(places, np.arange(len(_RAMP)), _RAMP[:, channel]) for channel in range(3)], axis=-1)


def patch_heat(attribution: NDArray[np.floating], size: tuple[int, int]) -> NDArray[np.float32]:
    """A map over an image from what its patches say: the last tokens, row by row. Only what speaks for the answer is kept.

    Args:
        attribution: `(tokens,)`; class and register tokens come first. The patches are the smallest squares that divide the image
            and of which there are not more than tokens.
        size: (height, width) of the image, and of the map.

    Example:

    >>> import numpy as np
    >>> from tfl.modalities.image.preview import patch_heat
    >>> patch_heat(np.array([9.0, 0.0, 2.0, -1.0, 0.0]), (2, 2)).tolist()
    [[0.0, 1.0], [0.0, 0.0]]
    >>> patch_heat(np.array([9.0, 9.0, 0.0, 2.0, 1.0]), (1, 3)).tolist()
    [[0.0, 1.0, 0.5]]
    """
    from PIL import Image

    grids = [(side, size[0] // side, size[1] // side) for side in range(1, min(size) + 1)]
    fitting = [(side, rows, columns) for side, rows, columns in grids if rows * columns <= len(attribution)]
    whole = [grid for grid in fitting if size[0] % grid[0] == 0 and size[1] % grid[0] == 0]
    _, rows, columns = (whole or fitting)[0]
    grid = np.maximum(np.asarray(attribution, np.float32)[-rows * columns :].reshape(rows, columns), 0)
    grid = grid / max(float(grid.max()), 1e-12)
    return np.asarray(Image.fromarray(grid).resize(size[::-1], Image.Resampling.BILINEAR), np.float32)


def _line(pixels: NDArray[np.uint8]) -> str:
    height, width = pixels.shape[:2]
    return f"{width} × {height} px"

"""What the page shows over a picture: the picture as it was decoded, and Grad-CAM's map laid where it belongs."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SHOWN_EDGE = 800  # pixels of the longer side: sharp in a column of 400 on most screens
_HEAT_EDGE = 160  # the maps are coarser still; the browser smooths them
_TINY = 64  # below, each pixel shows, and JPEG would smear them
_UNSEEN = (0, 0, 0, 120)  # what the network cuts off is dimmed

Fit = Literal["stretch", "crop", "pad"]
Box = tuple[int, int, int, int]


def data_uri(content: bytes, kind: str) -> str:
    """`content` as an address that a browser shows without asking anybody.

    Example:

    >>> data_uri(b"tfl", "image/png")
    'data:image/png;base64,dGZs'
    """
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def shown_picture(pixels: NDArray[np.uint8]) -> dict[str, str | int]:
    """The decoded picture, `(height, width, 3)`, at the size of a screen: `source` (a data URI), `width`, `height`."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((_SHOWN_EDGE, _SHOWN_EDGE), Image.Resampling.LANCZOS, reducing_gap=2.0)
    kind, options = ("PNG", {}) if max(picture.size) < _TINY else ("JPEG", {"quality": 85})
    return {
        "source": data_uri(_encoded(picture, kind, **options), f"image/{kind.lower()}"),
        "width": picture.width,
        "height": picture.height,
    }


def placed_heat(heat: NDArray[np.floating], picture: tuple[int, int], fit: Fit) -> NDArray[np.float32]:
    """The map over the whole picture: the network's input is stretched, cut or padded, and this turns that back.

    Args:
        heat: `(height, width)` of the network's input, 0..1.
        picture: (height, width) of the picture in pixels.
        fit: How the picture was brought to the input's size.

    Returns:
        `(height, width)` in the picture's proportions, the longer side 160; NaN where the network sees nothing.

    Example:

    >>> import numpy as np
    >>> whole = placed_heat(np.ones((4, 4), np.float32), (100, 200), "crop")
    >>> whole.shape, int(np.isnan(whole[0, :40]).sum()), float(whole[40, 80])
    ((80, 160), 40, 1.0)
    """
    top, left, bottom, right = _pictured(heat.shape, picture) if fit == "pad" else (0, 0, *heat.shape)
    scale = _HEAT_EDGE / max(picture)
    height, width = (max(1, round(side * scale)) for side in picture)
    placed = np.full((height, width), np.nan, np.float32)
    inside: Box = _kept(heat.shape, (height, width)) if fit == "crop" else (0, 0, height, width)
    part = Image.fromarray(np.ascontiguousarray(heat[top:bottom, left:right], np.float32))
    size = inside[3] - inside[1], inside[2] - inside[0]
    placed[inside[0] : inside[2], inside[1] : inside[3]] = np.asarray(part.resize(size, Image.Resampling.BILINEAR))
    return placed


def heat_picture(placed: NDArray[np.float32]) -> str:
    """The map of `placed_heat` as a PNG to lay over the picture, the clearer the less it says; a data URI.

    Args:
        placed: As `placed_heat` returned it.
    """
    from tfl.modalities.image.preview import ramp

    known = np.clip(np.nan_to_num(placed), 0.0, 1.0)
    layer = np.empty((*placed.shape, 4), np.uint8)
    layer[..., :3] = np.rint(ramp(known))
    layer[..., 3] = np.rint(255 * known)
    layer[np.isnan(placed)] = _UNSEEN
    return data_uri(_encoded(Image.fromarray(layer), "PNG"), "image/png")


def in_words(placed: NDArray[np.float32]) -> str:
    """Where the map is strongest, for those who do not see it.

    Example:

    >>> import numpy as np
    >>> in_words(np.eye(9, dtype=np.float32)[::-1] * np.arange(9, dtype=np.float32))
    'It looked most at the top right.'
    """
    known = np.nan_to_num(placed)
    if known.max() <= 0:
        return "Nothing in the picture speaks for this class."
    if np.nanmax(placed) - np.nanmin(placed) < 1e-3:
        return "All of the picture speaks for this class alike."
    row, column = np.unravel_index(int(known.argmax()), known.shape)
    vertical = ("top", "middle", "bottom")[3 * int(row) // known.shape[0]]
    horizontal = ("left", "middle", "right")[3 * int(column) // known.shape[1]]
    place = horizontal if vertical == "middle" else f"{vertical} {horizontal}"
    return f"It looked most at the {place}."


def _pictured(inner: tuple[int, ...], picture: tuple[int, int]) -> Box:
    """Where the picture lies in a padded input; as `tfl.data.pipeline.resize_image`."""
    scale = min(inner[0] / picture[0], inner[1] / picture[1])
    height, width = (min(full, max(1, round(side * scale))) for full, side in zip(inner, picture, strict=True))
    top, left = (inner[0] - height) // 2, (inner[1] - width) // 2
    return top, left, top + height, left + width


def _kept(inner: tuple[int, ...], canvas: tuple[int, int]) -> Box:
    """What a cut input shows of a picture of the canvas's size; as `tfl.data.pipeline.resize_image`."""
    scale = min(canvas[0] / inner[0], canvas[1] / inner[1])
    height, width = (min(full, max(1, round(side * scale))) for full, side in zip(canvas, inner, strict=True))
    top, left = (canvas[0] - height) // 2, (canvas[1] - width) // 2
    return top, left, top + height, left + width


def _encoded(picture: Image.Image, kind: str, **options: int) -> bytes:
    content = io.BytesIO()
    picture.save(content, format=kind, optimize=True, **options)
    return content.getvalue()

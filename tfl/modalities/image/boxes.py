"""Where the boxes of a picture lie once it is flipped, how large it is shown, and how it is drawn with its boxes."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageOps

from tfl.modalities.image.convert import readable_by_graph
from tfl.modalities.image.headers import read_header

if TYPE_CHECKING:
    import tensorflow as tf

SIDE_PX = 480
"""The longer side of a picture that is shown with its boxes."""
COLOURS = ("#2f6db3", "#c2571a", "#1f7a5c", "#8b4fa8", "#9a7b0f", "#b3315e", "#0e8a93", "#7a5230")
"""One a class; further classes begin again."""


@dataclass(frozen=True)
class DrawnBox:
    """A box on a picture.

    Args:
        number: Of its class, which decides the colour.
        words: What stands above it; empty for nothing.
        corners: Left, top, right and bottom as shares of the picture.
        dashed: Whether its line is dashed.
    """

    number: int
    words: str
    corners: Sequence[float]
    dashed: bool = False


def flip_boxes(targets: tf.Tensor, mirrored: tf.Tensor, turned: tf.Tensor) -> tf.Tensor:
    """Boxes as they lie once pictures are flipped, as graph operations.

    Args:
        targets: `(n, boxes * 5)` float32: class, left, top, right, bottom of each, as shares of the picture; NaN for no box.
        mirrored, turned: `(n,)` bool: whether left and right, or top and bottom, of each picture are exchanged.

    Example:

    >>> import numpy as np
    >>> from tfl.modalities.image.boxes import flip_boxes
    >>> row = np.array([[1, 0.25, 0.5, 0.5, 0.75]], np.float32)
    >>> flip_boxes(row, [True], [False]).numpy().tolist()
    [[1.0, 0.5, 0.5, 0.75, 0.75]]
    """
    import tensorflow as tf

    name, left, top, right, bottom = tf.unstack(tf.reshape(targets, (tf.shape(targets)[0], -1, 5)), axis=-1)
    mirrored, turned = tf.convert_to_tensor(mirrored)[:, None], tf.convert_to_tensor(turned)[:, None]
    left, right = tf.where(mirrored, 1.0 - right, left), tf.where(mirrored, 1.0 - left, right)
    top, bottom = tf.where(turned, 1.0 - bottom, top), tf.where(turned, 1.0 - top, bottom)
    return tf.reshape(tf.stack([name, left, top, right, bottom], axis=-1), tf.shape(targets))


def shown_size(content: bytes) -> tuple[int, int] | None:
    """(width, height) in pixels of an image file as it is shown, turned as its EXIF orientation says; None for no image.

    Example:

    >>> from tfl.modalities.files import array_content
    >>> import numpy as np
    >>> shown_size(array_content(np.zeros((4, 6, 3), np.uint8)))
    (6, 4)
    """
    header = read_header(content)
    if header.trouble:
        return None
    try:
        with Image.open(io.BytesIO(content)) as image:
            turned = image.getexif().get(_ORIENTATION, 1) in _LYING
    except (OSError, ValueError, SyntaxError):  # a format that Pillow does not read, which has no EXIF that is followed
        turned = False
    return (header.height, header.width) if turned else (header.width, header.height)


_ORIENTATION, _LYING = 0x0112, (5, 6, 7, 8)


def drawn(content: bytes, boxes: Sequence[DrawnBox], *, says: str = "") -> str:
    """A picture with boxes, as SVG that stands in a page by itself.

    Args:
        content: The bytes of an image file.
        boxes: What is drawn on it.
        says: What it shows, for people who cannot see it.

    Raises:
        BadImageError: The image cannot be converted to a format that browsers show.
    """
    with Image.open(io.BytesIO(readable_by_graph(content))) as image:
        shown = ImageOps.exif_transpose(image).convert("RGB")
    shown.thumbnail((SIDE_PX, SIDE_PX))
    buffer = io.BytesIO()
    shown.save(buffer, "JPEG", quality=85)
    width, height = _at_side(*shown.size)
    source = f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
    parts = [f'<image href="{source}" width="{width}" height="{height}"/>', *(_rectangle(one, width, height) for one in boxes)]
    start = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(says)}" style="width:100%;display:block">'
    return f"{start}{''.join(parts)}</svg>"


def overlay(boxes: Sequence[DrawnBox], width: int, height: int) -> str:
    """Boxes to lay over a picture of `width` and `height` pixels: a data URI of an SVG that is clear elsewhere.

    Example:

    >>> overlay([DrawnBox(0, "cell 0.9", (0.1, 0.1, 0.5, 0.5))], 40, 30)[:26]
    'data:image/svg+xml;base64,'
    """
    shown = _at_side(width, height)
    parts = "".join(_rectangle(one, *shown) for one in boxes)
    text = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {shown[0]} {shown[1]}">{parts}</svg>'
    return f"data:image/svg+xml;base64,{base64.b64encode(text.encode()).decode()}"


def _at_side(width: int, height: int) -> tuple[int, int]:
    """A size whose longer side is `SIDE_PX`, so that lines and words are of one size on every picture."""
    scale = SIDE_PX / max(width, height)
    return round(width * scale), round(height * scale)


def placed_in(content: bytes, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Detections with where they lie in `pixels`: left, top, right and bottom.

    Args:
        content: The image; as they are where it is none.
        found: Each with its `box` in shares of the image.
    """
    size = shown_size(content)
    if size is None:
        return found
    width, height = size
    return [{**one, "pixels": [edge * side for edge, side in zip(one["box"], (width, height) * 2, strict=True)]} for one in found]


def over_shown(shown: Mapping[str, Any], found: Sequence[Mapping[str, Any]], names: Sequence[str]) -> str:
    """Detections to lay over a picture that the page shows; see `overlay`.

    Args:
        shown: Has the `picture` with its `width` and `height`.
        found: Detections, each with `label` and `box`.
        names: Of the classes, in order.
    """
    boxes = [DrawnBox(names.index(one["label"]), one["label"], one["box"]) for one in found]
    return overlay(boxes, shown["picture"]["width"], shown["picture"]["height"])


def _rectangle(one: DrawnBox, width: int, height: int) -> str:
    left, top, right, bottom = (edge * side for edge, side in zip(one.corners, (width, height) * 2, strict=True))
    colour, dashes = COLOURS[one.number % len(COLOURS)], ' stroke-dasharray="5 3"' if one.dashed else ""
    found = (
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{max(right - left, 1):.1f}" height="{max(bottom - top, 1):.1f}" '
        f'fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'
    )
    if not one.words:
        return found
    style = "font:600 12px system-ui,sans-serif;paint-order:stroke;stroke:#fff;stroke-width:3px"
    place = f'x="{left + 2:.1f}" y="{max(top - 3, 11):.1f}" fill="{colour}" style="{style}"'
    return f"{found}<text {place}>{html.escape(one.words)}</text>"

"""The two pictures: files, or drawn ones; and how results are written."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfl.errors import BadImageError, DataError, did_you_mean
from tfl.modalities.image.convert import readable_by_graph
from tfl.modalities.image.headers import no_size_warnings, read_header
from tfl.modalities.image.shipping import why_not
from tfl.storage import storage_errors
from tfl.styling.options import SMALLEST, USUAL

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWN = ("leaf", "scene", "waves", "mosaic")
"""`sample:NAME`: two that may be photos, two that may be paintings."""
_PREFIX = "sample:"


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture as it was named, undecoded.

    Args:
        name: A path, or `sample:NAME`.
        content: Bytes of a file that the decoder reads.
        sha256: Of the file.
        height, width: In pixels, as stored.
    """

    name: str
    content: bytes
    sha256: str
    height: int
    width: int


def read_picture(name: Path | str) -> Picture:
    """A picture from a file or `sample:NAME`, its header checked. No TensorFlow is imported.

    Args:
        name: Path of an image file, or one of `sample:leaf`, `sample:scene`, `sample:waves`, `sample:mosaic`.

    Raises:
        DataError: There is no such file or sample.
        BadImageError: It is no image, damaged, or smaller than 32 px a side.
    """
    content = drawn(str(name).removeprefix(_PREFIX)) if str(name).startswith(_PREFIX) else _bytes_of(Path(name))
    with no_size_warnings():
        header = read_header(content)
        if header.trouble:
            raise BadImageError(f"{name} cannot be read as an image: {why_not(header)}.", allowed="an image file (JPEG, PNG, …)")
        if min(header.width, header.height) < SMALLEST:
            raise BadImageError(
                f"{name} is too small.",
                received=f"{header.width}×{header.height} px",
                allowed=f"at least {SMALLEST} px a side",
            )
        try:
            readable = readable_by_graph(content)
        except BadImageError as error:
            raise BadImageError(f"{name} cannot be read as an image: {error}") from error
    digest = hashlib.sha256(content).hexdigest()
    return Picture(name=str(name), content=readable, sha256=digest, height=header.height, width=header.width)


def _bytes_of(path: Path) -> bytes:
    path = path.expanduser()
    if path.is_dir():
        raise DataError(f"{path} is a folder, and one picture is asked for.", fix="Name an image file in it.")
    try:
        with storage_errors(path, doing="read"):
            return path.read_bytes()
    except FileNotFoundError as error:
        samples = ", ".join(f"{_PREFIX}{one}" for one in DRAWN)
        raise DataError(f"There is no file {path}.", allowed=f"an image file, or one of {samples}") from error


def drawn(name: str, *, size: int = 256) -> bytes:
    """A drawn picture as PNG, the same everywhere: no photograph and nobody's painting.

    Raises:
        DataError: There is no such picture.
    """
    from PIL import Image

    from tfl.modalities.image import drawing
    from tfl.modalities.image.leaves import draw_leaf_photo

    rng = np.random.default_rng(7)
    if name == "leaf":
        pixels = draw_leaf_photo(rng, "healthy", size=size)
    elif name == "scene":
        pixels = np.rint(drawing.draw_scene(rng, size) * 255).astype(np.uint8)
    elif name == "waves":
        pixels = _waves(size)
    elif name == "mosaic":
        pixels = _mosaic(size)
    else:
        raise DataError(
            f"There is no drawn picture `{_PREFIX}{name}`.",
            allowed=", ".join(f"{_PREFIX}{one}" for one in DRAWN),
            fix=did_you_mean(name, DRAWN) or None,
        )
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _waves(size: int) -> NDArray[np.uint8]:
    """Curved strokes in blue and yellow."""
    from tfl.modalities.image.drawing import grid, noise

    rng = np.random.default_rng(11)
    x, y = grid(size)
    bend = noise(rng, size, 4, octaves=2)
    strokes = 0.5 + 0.5 * np.sin(26 * (y + 0.9 * bend) + 9 * np.sin(3 * x + 5 * bend))
    patch = noise(rng, size, 5)
    dark, light = np.array([18, 38, 110], np.float32), np.array([120, 170, 226], np.float32)
    pixels = dark + (light - dark) * strokes[..., None]
    gold = np.clip((patch - 0.55) * 8, 0, 1)[..., None] * (0.4 + 0.6 * strokes[..., None])
    pixels = pixels * (1 - gold) + np.array([246, 204, 72], np.float32) * gold
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _mosaic(size: int) -> NDArray[np.uint8]:
    """Small tiles of a few strong colours with dark joints."""
    from tfl.modalities.image.drawing import cell_pattern

    rng = np.random.default_rng(13)
    border, owner = cell_pattern(rng, size, 420)
    colours = np.array([[196, 62, 48], [232, 176, 66], [40, 110, 120], [240, 230, 205], [92, 44, 84]], np.float32)
    tiles = colours[rng.integers(0, len(colours), 420)] * rng.uniform(0.8, 1.1, (420, 1)).astype(np.float32)
    pixels = tiles[owner] * np.clip(border * 3, 0.12, 1)[..., None]
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def result_size(photo: tuple[int, int], size: int | None) -> tuple[int, int]:
    """(height, width) of a result in the proportions of the photo.

    Example:

    >>> from tfl.styling.pictures import result_size
    >>> result_size((300, 600), None), result_size((100, 80), 200)
    ((128, 256), (200, 160))
    """
    longer = size or min(max(photo), USUAL)
    height, width = (max(1, round(side * longer / max(photo))) for side in photo)
    return height, width


def decoded(picture: Picture, size: int | None, *, of: tuple[int, int] | None = None) -> NDArray[np.float32]:
    """The pixels of a picture, `(height, width, 3)` float32, 0..255, upright.

    Args:
        picture: The picture.
        size: Pixels of the longer side; None for its own, 256 at most.
        of: The (height, width) to have instead.

    Raises:
        BadImageError: The file is damaged.
    """
    import tensorflow as tf

    from tfl.modalities.image.decode import decode_image
    from tfl.modalities.image.resize import resize_image

    try:
        pixels = decode_image(tf.constant(picture.content))
    except tf.errors.InvalidArgumentError as error:
        raise BadImageError(f"{picture.name} is damaged: it cannot be decoded.") from error
    height, width = pixels.shape[:2]
    return np.asarray(resize_image(pixels, of or result_size((height, width), size)), np.float32)


def as_png(pixels: NDArray[np.floating]) -> bytes:
    """A PNG of `(height, width, 3)` pixels, 0..255."""
    from tfl.modalities.image.convert import array_bytes

    return array_bytes(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))

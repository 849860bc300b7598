"""What the headers of image files say that may surprise: modes, sizes, shapes, rotation. No pixel is decoded."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.finding import Finding, Severity, plural
from tfl.modalities.image.convert import depth_of, in_graph, open_image
from tfl.modalities.image.headers import no_size_warnings

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ORIENTATION = 0x0112  # Exif 2.32
_ODD_MODES = {
    "CMYK": "CMYK, for print",
    "YCCK": "YCCK, for print",
    "P": "a palette",
    "PA": "a palette with alpha",
    "1": "black and white only",
    "I": "32 bits a pixel",
    "I;16": "16 bits a channel",
    "I;16B": "16 bits a channel",
    "F": "floating point",
    "RGBA": "alpha",
    "LA": "alpha",
}
_READ_AS = "each is read as 8-bit RGB: alpha is dropped, and of 16 bits the high 8 are kept (or those that data.bits says)"
_USUAL = ("RGB", "YCbCr")
_TIMES, _SHAPES = 3.0, 2.0


@dataclass(frozen=True, eq=False)
class Headers:
    """Of every image, in order.

    Args:
        modes: As Pillow names them; empty where it cannot read the file.
        sides: `(n, 2)` width and height in pixels as they will be seen, zero where unknown.
        turned: `(n,)` bool: the file says that it is to be turned or mirrored.
    """

    modes: tuple[str, ...]
    sides: NDArray[np.int64]
    turned: NDArray[np.bool_]


def read_headers(examples: Any) -> Headers:
    """Opens every file; arrays have one mode and one size."""
    count = len(examples)
    if examples.paths is None:
        height, width = (0, 0) if examples.arrays is None else examples.arrays.shape[1:3]
        return Headers(("RGB",) * count, np.tile(np.array([width, height], np.int64), (count, 1)), np.zeros(count, bool))
    with no_size_warnings(), ThreadPoolExecutor(min(8, 2 * (os.cpu_count() or 1))) as pool:
        rows = list(pool.map(_read, map(str, examples.paths), chunksize=64))
    sides = np.array([row[1] for row in rows], np.int64).reshape(count, 2)
    return Headers(tuple(row[0] for row in rows), sides, np.array([row[2] for row in rows], bool))


def _read(path: str) -> tuple[str, tuple[int, int], bool]:
    from PIL import Image

    try:
        with open(path, "rb") as file:
            converted = None if in_graph(file.read(16)) else Path(path).read_bytes()
        with Image.open(path) if converted is None else open_image(converted) as image:
            mode = _mode(image) if converted is None or depth_of(image, converted) == 8 else "I;16"
            (width, height), orientation = image.size, _orientation(image, path)
            is_upright = image.format == "TIFF"  # as Pillow states its size
    except Exception:  # what cannot be read was found before; this format Pillow does not know
        return "", (0, 0), False
    if orientation >= 5 and not is_upright:
        width, height = height, width
    return mode, (width, height), orientation >= 2


def _orientation(image: Any, path: str) -> int:
    """What the EXIF block of a file says, and only that: as the decoder goes by it. HEIC states its turns in another way."""
    from PIL import Image

    if image.format == "TIFF":
        stated = int(image.tag_v2.get(_ORIENTATION, 1))
        return stated if 1 <= stated <= 8 else 1
    if image.format == "PNG" and b"eXIf" in Path(path).read_bytes():
        image.load()  # the block may stand behind the pixels
    block = Image.Exif()
    try:
        block.load(image.info.get("exif", b""))
        stated = int(block.get(_ORIENTATION, 1) or 1)
    except Exception:  # a damaged block says nothing
        return 1
    return stated if 1 <= stated <= 8 else 1


def _mode(image: Any) -> str:
    """As Pillow says, but for what it keeps quiet: 16-bit colour in a PNG, which it brings to 8. Every GIF has a palette."""
    if image.format == "GIF":
        return "RGB"
    if image.format == "PNG" and image.tile and "16" in str(image.tile[0][3]):
        return "I;16"
    return str(image.mode)


def header_findings(examples: Any, headers: Headers) -> list[Finding]:
    """`odd_modes`, `odd_sizes`, `odd_aspect_ratios` and `exif_rotated`."""
    found = [
        _odd_modes(examples, headers),
        _odd_sizes(examples, headers),
        _odd_shapes(examples, headers),
        _rotated(examples, headers),
    ]
    return [finding for finding in found if finding is not None]


def _odd_modes(examples: Any, headers: Headers) -> Finding | None:
    odd = [index for index, mode in enumerate(headers.modes) if mode in _ODD_MODES]
    grey = [index for index, mode in enumerate(headers.modes) if mode == "L"]
    colour = sum(mode in _USUAL for mode in headers.modes)
    if 0 < len(grey) < colour / 4:
        odd += grey
    if not odd:
        return None
    names = {**_ODD_MODES, "L": "grey among colour"}
    counts = Counter(names[headers.modes[index]] for index in odd)
    shown = ", ".join(f"{count} with {name}" if name == "alpha" else f"{count} of {name}" for name, count in counts.most_common())
    note = f"{plural(len(odd), 'image')} of an odd mode ({shown}); {_READ_AS}."
    return _made("odd_modes", "info", examples, odd, note, [names[headers.modes[index]] for index in odd])


def _odd_sizes(examples: Any, headers: Headers) -> Finding | None:
    """Far from the rest: beyond three interquartile ranges of the logarithm of the side, and three times the median."""
    known = headers.sides.min(axis=1) > 0
    side = np.sqrt(np.prod(np.maximum(headers.sides, 1).astype(float), axis=1))
    odd = np.flatnonzero(_far(np.log(side), known, least=np.log(_TIMES)))
    if not len(odd):
        return None
    middle = float(np.median(side[known]))
    note = f"{plural(len(odd), 'image')} much smaller or larger than the rest, whose sides are about {middle:.0f} px."
    return _made("odd_sizes", "info", examples, odd.tolist(), note, [_size(headers, int(index)) for index in odd])


def _odd_shapes(examples: Any, headers: Headers) -> Finding | None:
    known = headers.sides.min(axis=1) > 0
    ratio = np.log(np.maximum(headers.sides[:, 0], 1) / np.maximum(headers.sides[:, 1], 1))
    odd = np.flatnonzero(_far(np.abs(ratio), known, least=np.log(_SHAPES)))
    if not len(odd):
        return None
    note = (
        f"{plural(len(odd), 'image')} much longer or wider than the rest; `fit=stretch` distorts them, `crop` cuts, `pad` adds "
        "black."
    )
    return _made("odd_aspect_ratios", "info", examples, odd.tolist(), note, [_size(headers, int(index)) for index in odd])


def _far(values: NDArray[np.floating], known: NDArray[np.bool_], *, least: float) -> NDArray[np.bool_]:
    if known.sum() < 8:
        return np.zeros(len(values), bool)
    low, middle, high = np.percentile(values[known], [25, 50, 75])
    return np.asarray(known & (np.abs(values - middle) > np.maximum(3 * (high - low), least - 1e-9)))


def _rotated(examples: Any, headers: Headers) -> Finding | None:
    turned = np.flatnonzero(headers.turned)
    if not len(turned):
        return None
    note = (
        f"{plural(len(turned), 'image')} to be turned by what the EXIF block says; tfl does so, in training and in serving. "
        "Other programs may not."
    )
    return _made("exif_rotated", "info", examples, turned.tolist(), note, ())


def _size(headers: Headers, index: int) -> str:
    width, height = headers.sides[index]
    return f"{width}×{height}"


def _made(kind: str, severity: Severity, examples: Any, indices: Iterable[int], note: str, captions: Iterable[str]) -> Finding:
    files = tuple(examples.name_of(int(index)) for index in indices)
    return Finding(kind=kind, severity=severity, files=files, note=note, captions=tuple(captions))

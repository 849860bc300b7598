"""What can be wrong with an image file, in words; and what is to be said of the files of a source as a whole."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from tfl.errors import DataError, listed
from tfl.modalities.base import Checked
from tfl.modalities.image.bits import uneven_bits_findings, unused_bits_findings
from tfl.modalities.image.headers import FORMATS, MOST_PIXELS, SMALLEST_SIDE

READABLE = "JPEG, PNG, GIF, BMP (8, 24 or 32 bits), WebP, JPEG XL, TIFF, AVIF, HEIC, JPEG 2000, PNM"
TROUBLES = {
    "unreadable": "cannot be read",
    "zero_bytes": "is empty (zero bytes)",
    "not_an_image": "is not an image",
    "unsupported_format": "is an image of a format that is not read",
    "too_large": f"is too large: more than {MOST_PIXELS:,} pixels, or as much work",
    "too_small": f"is smaller than {SMALLEST_SIDE}×{SMALLEST_SIDE} pixels",
    "undecodable": "cannot be decoded: it is damaged, cut short or of an unusual kind",
    "beyond_bits": "has larger values than `data.bits` allows",
}
FIXES = {
    "unsupported_format": "convert files of other formats as it is said beside each",
    "undecodable": "replace damaged files",
    "beyond_bits": "raise `data.bits` where values are larger",
}
ALLOWED = f"{READABLE}; from {SMALLEST_SIDE}×{SMALLEST_SIDE} to {MOST_PIXELS:,} pixels"


def file_findings(examples: Any, files: Sequence[Checked], *, bits: int | None) -> list[dict[str, Any]]:
    """Findings about all files of a source: misnamed ones, TIFF files of several pages, 16-bit files that use few bits.

    Args:
        examples: The `tfl.data.examples.Examples` that were checked.
        files: What was found of each.
        bits: As `Data.bits`.
    """
    findings = [*_mistyped(examples, files), *_of_pages(examples, files)]
    if bits is None:
        deep = {
            examples.name_of(index): int(file.about["largest"])
            for index, file in enumerate(files)
            if not file.trouble and file.about.get("largest")
        }
        classes = {}
        if examples.targets is None:
            classes = {examples.name_of(index): examples.class_names[label] for index, label in enumerate(examples.labels)}
        findings += unused_bits_findings(deep) or (uneven_bits_findings(deep, classes) if classes else [])
    return findings


def check_arrays(arrays: Any, source: str) -> None:
    """Makes sure that images that come as arrays are large enough.

    Raises:
        DataError: They are not.
    """
    height, width = (0, 0) if arrays is None else arrays.shape[1:3]
    if min(height, width) < SMALLEST_SIDE:
        raise DataError(
            f"The images of {source} are too small.",
            received=f"{height}×{width} pixels",
            allowed=f"at least {SMALLEST_SIDE}×{SMALLEST_SIDE}",
        )


def _mistyped(examples: Any, files: Sequence[Checked]) -> list[dict[str, Any]]:
    """Files whose name promises another format than they have: harmless here, but other programs may stumble."""
    wrong = {
        examples.name_of(index): file.format
        for index, file in enumerate(files)
        if file.format and examples.paths is not None and not examples.name_of(index).lower().endswith(FORMATS[file.format])
    }
    if not wrong:
        return []
    shown = listed([f"{os.path.basename(name)} is {kind}" for name, kind in wrong.items()], limit=5)
    return [{"kind": "mistyped", "severity": "info", "files": list(wrong), "note": f"Read by content, not by name: {shown}."}]


def _of_pages(examples: Any, files: Sequence[Checked]) -> list[dict[str, Any]]:
    several = [examples.name_of(index) for index, file in enumerate(files) if file.about.get("pages")]
    if not several:
        return []
    note = f"{len(several)} TIFF {'file has' if len(several) == 1 else 'files have'} more than one page; the first is read."
    return [{"kind": "several_pages", "severity": "warning", "files": several, "note": note}]

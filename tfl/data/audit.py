"""What is wrong with the files, found before anything trains: each is opened, measured, and decoded as training would.

The check is by content, never by name. Reading is spread over threads, decoding over tf.data; a set of some thousand photos
takes little longer than decoding it once, and the pixels of that pass can be kept.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tfl.data.cached import Pixels
from tfl.data.examples import Examples, listed
from tfl.errors import BadImageError, DataError
from tfl.modalities.image.bits import uneven_bits_findings, unused_bits_findings
from tfl.modalities.image.convert import largest_value
from tfl.modalities.image.headers import FORMATS, MOST_BYTES, MOST_PIXELS, SMALLEST_SIDE, no_size_warnings, read_header
from tfl.recipe import Data

if TYPE_CHECKING:
    from numpy.typing import NDArray

OnBad = Literal["error", "skip", "report"]
_AT_ONCE = 1024
_READABLE = "JPEG, PNG, GIF, BMP (8, 24 or 32 bits), WebP, JPEG XL, TIFF, AVIF, HEIC, JPEG 2000, PNM"
_MEANING = {
    "unreadable": "cannot be read",
    "zero_bytes": "is empty (zero bytes)",
    "not_an_image": "is not an image",
    "unsupported_format": "is an image of a format that is not read",
    "too_large": f"is too large: more than {MOST_PIXELS:,} pixels, or as much work",
    "too_small": f"is smaller than {SMALLEST_SIDE}×{SMALLEST_SIDE} pixels",
    "undecodable": "cannot be decoded: it is damaged, cut short or of an unusual kind",
    "beyond_bits": "has larger values than `data.bits` allows",
}
_FIXES = {
    "unsupported_format": "convert files of other formats as it is said beside each",
    "undecodable": "replace damaged files",
    "beyond_bits": "raise `data.bits` where values are larger",
}
_LEAVE_OUT = "leave such files out with `data.on_bad=skip` (on the command line: --skip-bad)."


@dataclass(frozen=True, kw_only=True, eq=False)
class AuditResult:
    """What the audit found.

    Attributes:
        examples: Those that can be used.
        kept: `(n,)` int64, where each of them was among the audited ones.
        fingerprints: SHA-256 of the content of each of them.
        findings: Dictionaries of `kind`, `severity` (`error`: left out; `warning`; `info`), `files` and `note`.
        pixels: Each of them decoded and resized; None unless asked for and there is room.
    """

    examples: Examples
    kept: NDArray[np.int64]
    fingerprints: tuple[str, ...]
    findings: list[dict[str, Any]]
    pixels: Pixels | None = None


@dataclass(frozen=True)
class _File:
    """What one file turned out to be: a fingerprint and a format, or a kind of trouble and its particulars.

    `largest` is the largest value of a file of 16 bits a channel, and zero for any other.
    """

    fingerprint: str = ""
    format: str = ""
    largest: int = 0
    pages: bool = False
    trouble: str = ""
    detail: str = ""


def audit(examples: Examples, *, on_bad: OnBad = "error", pixels_for: Data | None = None, bits: int | None = None) -> AuditResult:
    """Checks every image; those that cannot be read are named in one error, or left out.

    Args:
        examples: What to check.
        on_bad: `error` raises; `skip` leaves bad files out and lists them in the findings; `report` does so whatever is left.
        pixels_for: Keep the decoded pixels as this data has them, where the disk has room.
        bits: As `Data.bits`: files with larger values are bad ones.

    Raises:
        BadImageError: There are bad files and `on_bad` is `error`, or nothing is left of a class.
    """
    if examples.paths is None:
        return _audit_arrays(examples, pixels_for)
    files = _look_at_all(examples, bits)
    pixels = None if pixels_for is None else Pixels.of(len(examples), pixels_for.settled_size)
    _decode_all(examples, files, pixels, pixels_for)
    bad = {index: file for index, file in enumerate(files) if file.trouble}
    if bad and on_bad == "error":
        raise _bad_images(examples, bad)
    kept = np.array([index for index in range(len(files)) if index not in bad], np.int64)
    left = examples.take(kept)
    if on_bad != "report":
        _check_what_is_left(examples, left, bad)
    fingerprints = tuple(files[index].fingerprint for index in kept)
    findings = [*examples.findings, *_trouble_findings(examples, bad), *_mistyped(examples, files)]
    findings += duplicate_findings(left, fingerprints)
    findings += _of_pages(examples, files)
    if bits is None:
        deep = {examples.name_of(index): file.largest for index, file in enumerate(files) if file.largest and not file.trouble}
        classes = {examples.name_of(index): examples.class_names[label] for index, label in enumerate(examples.labels)}
        findings += unused_bits_findings(deep) or uneven_bits_findings(deep, classes)
    if pixels is not None and bad:
        pixels = pixels.take(kept)
    return AuditResult(examples=left, kept=kept, fingerprints=fingerprints, findings=findings, pixels=pixels)


def _audit_arrays(examples: Examples, pixels_for: Data | None) -> AuditResult:
    height, width = (0, 0) if examples.images is None else examples.images.shape[1:3]
    if min(height, width) < SMALLEST_SIDE:
        raise DataError(
            f"The images of {examples.source} are too small.",
            received=f"{height}×{width} pixels",
            allowed=f"at least {SMALLEST_SIDE}×{SMALLEST_SIDE}",
        )
    with ThreadPoolExecutor(_threads()) as pool:
        fingerprints = tuple(pool.map(examples.fingerprint_of, range(len(examples))))
    pixels = None
    if pixels_for is not None:
        from tfl.data.pipeline import cache_pixels

        pixels = cache_pixels(examples, data=pixels_for)
    findings = [*examples.findings, *duplicate_findings(examples, fingerprints)]
    return AuditResult(
        examples=examples, kept=np.arange(len(examples)), fingerprints=fingerprints, findings=findings, pixels=pixels
    )


def _threads() -> int:
    return min(16, 2 * (os.cpu_count() or 1))


def _look_at_all(examples: Examples, bits: int | None) -> list[_File]:
    found: list[_File] = []
    with no_size_warnings(), ThreadPoolExecutor(_threads()) as pool:
        for start in range(0, len(examples), _AT_ONCE):  # a task that waits takes a kilobyte
            some = range(start, min(start + _AT_ONCE, len(examples)))
            found += pool.map(lambda index: _look_at(examples, index, bits), some)
    return found


def _look_at(examples: Examples, index: int, bits: int | None) -> _File:
    """Reads the file once: its fingerprint, what its header promises, and the range of its values where it has 16 bits."""
    try:
        size = os.path.getsize(examples.name_of(index))
        if size > MOST_BYTES:
            return _File(trouble="too_large", detail=f"a file of {size / 1e9:.1f} GB")
        content = examples.bytes_of(index)
    except OSError as error:
        return _File(trouble="unreadable", detail=error.strerror or str(error))
    header = read_header(content)
    if header.trouble:
        return _File(trouble=header.trouble, detail=header.detail)
    if min(header.width, header.height) < SMALLEST_SIDE:
        return _File(trouble="too_small", detail=f"{header.width}×{header.height}")
    largest = 0
    if header.bits == 16:
        try:
            largest = largest_value(content)
        except BadImageError as error:
            return _File(trouble="undecodable", detail=str(error))
    if bits is not None and largest >= 2**bits:
        return _File(trouble="beyond_bits", detail=f"up to {largest:,}; {bits} bits allow {2**bits - 1:,}")
    return _File(hashlib.sha256(content).hexdigest(), header.kind, largest, header.pages)


def _decode_all(examples: Examples, files: list[_File], pixels: Pixels | None, data: Data | None) -> None:
    """Decodes what looked well; what fails is marked in `files`. A header says nothing about a file that is cut short."""
    well = [index for index, file in enumerate(files) if not file.trouble]
    if not well:
        return
    from tfl.data.pipeline import decode_errors

    keep = None if pixels is None else pixels.write
    for index, message in decode_errors(examples, well, keep=keep, data=None if pixels is None else data).items():
        files[index] = _File(trouble="undecodable", detail=message)


def _described(examples: Examples, index: int, file: _File) -> str:
    return f"{examples.name_of(index)} {_MEANING[file.trouble]}" + (f" ({file.detail})" if file.detail else "")


def _bad_images(examples: Examples, bad: dict[int, _File]) -> BadImageError:
    count = f"{len(bad)} of the {len(examples)} files" if len(bad) < len(examples) else f"None of the {len(examples)} files"
    verb = "cannot be used" if len(bad) < len(examples) else "is an image that can be used"
    lines = [f"\n  {_described(examples, index, file)}" for index, file in bad.items()]
    return BadImageError(
        f"{count} of {examples.source} {verb}:{listed(lines)}\n",
        allowed=f"{_READABLE}; from {SMALLEST_SIDE}×{SMALLEST_SIDE} to {MOST_PIXELS:,} pixels",
        fix=_fix({file.trouble for file in bad.values()}),
    )


def _fix(troubles: set[str]) -> str:
    fixes = [words for trouble, words in _FIXES.items() if trouble in troubles]
    text = "; ".join(fixes) + f"; or {_LEAVE_OUT}" if fixes else _LEAVE_OUT
    return text[0].upper() + text[1:]


def _check_what_is_left(examples: Examples, left: Examples, bad: dict[int, _File]) -> None:
    if len(bad) == len(examples):
        raise _bad_images(examples, bad)
    gone = [name for name, count in left.counts().items() if count == 0]
    if gone:
        inside = {index: file for index, file in bad.items() if examples.class_names[examples.labels[index]] in gone}
        lines = [f"\n  {_described(examples, index, file)}" for index, file in inside.items()]
        raise BadImageError(
            f"Without the bad files, these classes of {examples.source} have no image left: {listed(gone)}.{listed(lines)}\n",
            allowed=_READABLE,
            fix="Add images, or leave the class out with `data.labels`.",
        )


def _trouble_findings(examples: Examples, bad: dict[int, _File]) -> list[dict[str, Any]]:
    by_kind: dict[str, list[int]] = defaultdict(list)
    for index, file in bad.items():
        by_kind[file.trouble].append(index)
    return [
        {
            "kind": kind,
            "severity": "error",
            "files": [examples.name_of(index) for index in indices],
            "note": "Left out. "
            + "; ".join(dict.fromkeys(_described(examples, index, bad[index]) for index in indices[:10]))
            + ".",
        }
        for kind, indices in sorted(by_kind.items())
    ]


def _mistyped(examples: Examples, files: Sequence[_File]) -> list[dict[str, Any]]:
    """Files whose name promises another format than they have: harmless here, but other programs may stumble."""
    wrong = {
        examples.name_of(index): file.format
        for index, file in enumerate(files)
        if file.format and not examples.name_of(index).lower().endswith(FORMATS[file.format])
    }
    if not wrong:
        return []
    shown = listed([f"{os.path.basename(name)} is {kind}" for name, kind in wrong.items()], limit=5)
    return [{"kind": "mistyped", "severity": "info", "files": list(wrong), "note": f"Read by content, not by name: {shown}."}]


def _of_pages(examples: Examples, files: Sequence[_File]) -> list[dict[str, Any]]:
    several = [examples.name_of(index) for index, file in enumerate(files) if file.pages]
    if not several:
        return []
    note = f"{len(several)} TIFF {'file has' if len(several) == 1 else 'files have'} more than one page; the first is read."
    return [{"kind": "several_pages", "severity": "warning", "files": several, "note": note}]


def duplicate_findings(examples: Examples, fingerprints: Sequence[str]) -> list[dict[str, Any]]:
    """Findings about images of the same content: `exact_duplicates`, and `conflicting_labels` where their classes differ."""
    same: dict[str, list[int]] = defaultdict(list)
    for index, fingerprint in enumerate(fingerprints):
        same[fingerprint].append(index)
    several = [indices for indices in same.values() if len(indices) > 1]
    conflicting = [indices for indices in several if len({int(examples.labels[index]) for index in indices}) > 1]
    texts = {
        "exact_duplicates": ("info", several, "have the same content; each such set stays in one split"),
        "conflicting_labels": (
            "warning",
            conflicting,
            "have the same content under different labels; at least one label is wrong",
        ),
    }
    return [
        {
            "kind": kind,
            "severity": severity,
            "files": [examples.name_of(index) for indices in sets for index in indices],
            "note": f"{sum(map(len, sets))} images in {len(sets)} {'set' if len(sets) == 1 else 'sets'} {text}.",
        }
        for kind, (severity, sets, text) in texts.items()
        if sets
    ]

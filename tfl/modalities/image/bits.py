"""Which bits of 16-bit images are in use: cameras of 12 bits write values up to 4,095, which are nearly black of 65,535."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tfl.errors import BadImageError, DataError
from tfl.modalities.image.convert import in_graph, largest_value
from tfl.modalities.image.headers import is_deep_png, read_header

UNUSED = "unused_bits"
UNEVEN = "uneven_bits"
_NEARLY_BLACK = 12


def used_bits(largest: Iterable[int]) -> int | None:
    """How many bits the values of 16-bit images use, 8 to 15; None where they use all 16, or there are none.

    Args:
        largest: The largest value of each image.

    Example:

    >>> from tfl.modalities.image.bits import used_bits
    >>> used_bits([900, 4095]), used_bits([900, 65_000]), used_bits([])
    (12, None, None)
    """
    highest = max(largest, default=2**16 - 1)
    return None if highest >= 2**15 else max(8, highest.bit_length())


def bits_in_use(examples: Any) -> int | None:
    """As `used_bits`, of all 16-bit files among some images; those that cannot be read do not count.

    Files that have 8 bits by their first bytes are not read further.
    """
    if examples.paths is None:
        return None
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(_largest_value_in, map(str, examples.paths), chunksize=64)
        return used_bits(largest for largest in found if largest)


def _largest_value_in(path: str) -> int:
    """Zero for a file of 8 bits, and for one that cannot be read."""
    try:
        with open(path, "rb") as file:
            start = file.read(32)
            if in_graph(start) and not is_deep_png(start):
                return 0
            content = start + file.read()
        header = read_header(content)
        return largest_value(content) if header.bits == 16 and not header.trouble else 0
    except (OSError, BadImageError):
        return 0


def unused_bits_text(largest: Mapping[str, int]) -> str:
    """A clause that says which bits some 16-bit images use; empty where they use all of them.

    Args:
        largest: The largest value of each 16-bit image, by name.

    Example:

    >>> from tfl.modalities.image.bits import unused_bits_text
    >>> unused_bits_text({"a.png": 900, "b.png": 4095})
    '2 16-bit images use values up to 4,095 only (12 bits), and would be nearly black'
    """
    used = used_bits(largest.values())
    if used is None:
        return ""
    count = "1 16-bit image uses" if len(largest) == 1 else f"{len(largest):,} 16-bit images use"
    effect = "nearly black" if used <= _NEARLY_BLACK else "too dark"
    return f"{count} values up to {max(largest.values()):,} only ({used} bits), and would be {effect}"


def unused_bits_findings(largest: Mapping[str, int]) -> list[dict[str, Any]]:
    """A finding where no 16-bit image uses the range of 16 bits: each would be darker than it was meant to be.

    Args:
        largest: The largest value of each 16-bit image, by name.
    """
    used = used_bits(largest.values())
    if used is None:
        return []
    note = (
        f"{unused_bits_text(largest)}. The recipe has to say so: `data.bits={used}` (--set data.bits={used}), or "
        "`data.bits=16` to keep them as dark as they are."
    )
    return [{"kind": UNUSED, "severity": "warning", "files": list(largest), "note": note}]


def uneven_bits_findings(largest: Mapping[str, int], classes: Mapping[str, str]) -> list[dict[str, Any]]:
    """A finding for each class whose 16-bit images use few bits, where those of other classes use more: the brightness that a
    network sees would then tell the class.

    Args:
        largest: The largest value of each 16-bit image, by name.
        classes: The class of each image, by name.

    Example:

    >>> from tfl.modalities.image.bits import uneven_bits_findings
    >>> found = uneven_bits_findings({"a.png": 4095, "b.png": 65_000}, {"a.png": "ant", "b.png": "bee"})
    >>> found[0]["note"].split(":")[0]
    'Class `ant`'
    """
    by_class: dict[str, dict[str, int]] = {}
    for name, value in largest.items():
        by_class.setdefault(classes[name], {})[name] = value
    findings = []
    for label, inside in by_class.items():
        used = used_bits(inside.values())
        if used is not None and used <= _NEARLY_BLACK:
            note = (
                f"Class `{label}`: its {unused_bits_text(inside)}, while those of other classes use values up to "
                f"{max(largest.values()):,}. A network could tell the class by its brightness: rescale these files to the range "
                "of the others."
            )
            findings.append({"kind": UNEVEN, "severity": "warning", "files": list(inside), "note": note})
    return findings


def refuse_unused_bits(findings: Iterable[Mapping[str, Any]], source: str) -> None:
    """Raises where the findings of an audit say that 16-bit images use a part of their range only.

    Raises:
        DataError: They do; the message says which bits are in use, and how to say so.
    """
    for finding in findings:
        if finding["kind"] == UNUSED:
            raise DataError(f"{source}: {finding['note']}")

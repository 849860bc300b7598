"""Which bits of 16-bit images are in use: cameras of 12 bits write values up to 4,095, which are nearly black of 65,535."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from tfl.errors import DataError

UNUSED = "unused_bits"
_NEARLY_BLACK = 12


def used_bits(largest: Iterable[int]) -> int | None:
    """How many bits the values of 16-bit images use, 8 to 15; None where they use all 16, or there are none.

    Args:
        largest: The largest value of each image.

    Example:

    >>> from tfl.data.bits import used_bits
    >>> used_bits([900, 4095]), used_bits([900, 65_000]), used_bits([])
    (12, None, None)
    """
    highest = max(largest, default=2**16 - 1)
    return None if highest >= 2**15 else max(8, highest.bit_length())


def unused_bits_findings(largest: Mapping[str, int]) -> list[dict[str, Any]]:
    """A finding where no 16-bit image uses the range of 16 bits: each would be darker than it was meant to be.

    Args:
        largest: The largest value of each 16-bit image, by name.
    """
    used = used_bits(largest.values())
    if used is None:
        return []
    count = "1 16-bit image uses" if len(largest) == 1 else f"{len(largest):,} 16-bit images use"
    effect = "nearly black" if used <= _NEARLY_BLACK else "too dark"
    note = (
        f"{count} values up to {max(largest.values()):,} only ({used} bits), and would be {effect}. Say so with "
        f"`data.bits={used}` (--set data.bits={used}), or keep them as dark as they are with `data.bits=16`."
    )
    return [{"kind": UNUSED, "severity": "warning", "files": list(largest), "note": note}]


def refuse_unused_bits(findings: Iterable[Mapping[str, Any]], source: str) -> None:
    """Raises where the findings of an audit say that 16-bit images use a part of their range only.

    Raises:
        DataError: They do; the message says which bits are in use, and how to say so.
    """
    for finding in findings:
        if finding["kind"] == UNUSED:
            raise DataError(f"The brightness of {source} is not certain: {finding['note']}")

"""What an export says of how its model reads images: `tfl.json`, read without Keras."""

from __future__ import annotations

import json
from pathlib import Path


def bits_of_export(folder: Path) -> int | None:
    """How many bits of 16-bit images a SavedModel takes for in use, by its `tfl.json`; None where that says nothing."""
    try:
        about = json.loads((folder / "assets.extra" / "tfl.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # it is not needed to answer
        return None
    bits = about.get("bits") if isinstance(about, dict) else None
    return bits if isinstance(bits, int) and 8 <= bits <= 16 else None

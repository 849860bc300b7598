"""The engines that were chosen by measuring, kept in the cache so that one network is always run by the same one."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from tfl.storage import cache_home, storage_errors

NEWLY = "tfl cache forget-engines"
"""The command after which engines are measured anew."""


def choices_home() -> Path:
    """The folder with a JSON file for each choice: `engine`, `examples_per_second` and `errors` by engine."""
    return cache_home() / "engines"


def stored_choices() -> list[dict[str, Any]]:
    """Every choice that can be read, the latest first, with its time as `measured` (seconds since the epoch)."""
    found = []
    for file in choices_home().glob("*.json"):
        with contextlib.suppress(OSError, ValueError, TypeError):  # half written by nobody, but a cache may hold anything
            found.append({**json.loads(file.read_text()), "measured": file.stat().st_mtime})
    return sorted(found, key=lambda choice: -float(choice["measured"]))


def forget_choices() -> int:
    """Removes every choice, so that the next run with `features.engine=auto` or `openvino` measures again.

    A run that is resumed keeps the engine that it began with.

    Returns:
        How many there were.

    Raises:
        StorageError: The cache cannot be written.
    """
    files = list(choices_home().glob("*.json"))
    for file in files:
        with storage_errors(file):
            file.unlink(missing_ok=True)
    return len(files)

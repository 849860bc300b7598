"""Several runs side by side on one page. No TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def write_comparison(run_folders: Sequence[Path | str], out: Path | str) -> Path:
    """Writes one page that compares runs, to `out`."""
    raise NotImplementedError

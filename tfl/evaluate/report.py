"""The report of a run: one JSON document collected from the run folder, and one HTML page made of that. No TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def collect_report(run: Any) -> dict[str, Any]:
    """Everything the page says, as plain data, read from the files of a run folder."""
    raise NotImplementedError


def write_report(run_folder: Path | str) -> Path:
    """Writes `report.json` and `report.html` into a run folder; returns the page."""
    raise NotImplementedError

"""The page of a study, made of its document alone. No TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfl.evaluate.render import render
from tfl.storage import write_atomically


def write_study_page(document: Mapping[str, Any], path: Path | str) -> Path:
    return write_atomically(Path(path), "todo")

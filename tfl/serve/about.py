"""What an export says of itself: `tfl.json`, read without Keras."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tfl.modalities.shipping import Shipping, shipping_of_about


def about_of_export(folder: Path) -> dict[str, Any]:
    """The `tfl.json` of a SavedModel; empty where it is missing or damaged: most of it is not needed to answer."""
    try:
        about = json.loads((folder / "assets.extra" / "tfl.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return about if isinstance(about, dict) else {}


def shipping_of_export(folder: Path) -> Shipping:
    """How contents are read for a SavedModel.

    Raises:
        BadContentError: It is for a kind of example that this version does not know.
    """
    return shipping_of_about(about_of_export(folder))


def task_of_export(folder: Path) -> str:
    """Name of the task of a SavedModel; exports that do not name it have one of several classes."""
    return str(about_of_export(folder).get("task", "classify"))

"""Operations that a SavedModel's graph needs besides TensorFlow's own. Neither TensorFlow nor Keras is imported for others."""

from __future__ import annotations

import contextlib
import importlib
import json
from pathlib import Path

from tfl.errors import MissingExtraError

ABOUT_FILE = Path("assets.extra") / "tfl.json"
"""Where a SavedModel says what it is."""


def import_operations(folder: Path) -> None:
    """Imports the package whose operations a SavedModel's graph holds, where its `tfl.json` names a kind that needs one.

    Raises:
        MissingExtraError: It is not installed.
    """
    with contextlib.suppress(OSError, ValueError, RecursionError, AttributeError, LookupError, TypeError):
        about = json.loads((folder / ABOUT_FILE).read_text(encoding="utf-8"))
        inputs = about["inputs"].values() if isinstance(about.get("inputs"), dict) else ()
        kinds = {about.get("modality"), *(one["input"]["kind"] for one in inputs)}
        if "text" in kinds:
            try:
                importlib.import_module("tensorflow_text")
            except ImportError as error:
                raise MissingExtraError.of("text", needed_for="An export for texts") from error

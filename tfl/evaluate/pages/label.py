"""A page to label examples on: one offline file that saves `labels.csv`. No TensorFlow but where a preview needs it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfl.evaluate.render import render
from tfl.storage import write_atomically


def write_label_page(file: Path, rows: Sequence[Any], *, class_names: Sequence[str], modality: Any) -> Path:
    """Writes the page.

    Args:
        file: Path of the page.
        rows: Sequence of `tfl.labelling.ToLabel`, the examples in the order in which to label them.
        class_names: Sequence of strings, the classes.
        modality: The modality of the examples, which makes their previews.
    """
    shown = []
    for row in rows:
        preview = ""
        with contextlib.suppress(OSError):
            preview = modality.preview(Path(row.file).read_bytes()).html
        shown.append(
            {
                "file": str(Path(row.file).resolve()),
                "name": Path(row.file).name,
                "suggestion": row.suggestion,
                "probability": row.probability,
                "preview": preview,
            }
        )
    return write_atomically(
        file, render("label.html.j2", rows=shown, class_names=list(class_names), nouns=modality.nouns, figures={})
    )

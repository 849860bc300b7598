"""The samples that come with tfl, of every kind: which there are, and how one is loaded."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tfl.errors import DataError, did_you_mean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KIND_OF = {
    "strawberry": "image",
    "digits": "image",
    "strawberry_night": "image",
    "animals": "image",
    "drawn_digits": "image",
    "leaf_tasks": "image",
    "people": "image",
    "other_people": "image",
    "cells": "image",
    "cells_dark": "image",
    "reviews": "text",
    "reviews_esperanto": "text",
    "sounds": "audio",
    "leaves_with_notes": "several",
    "authors": "passage",
}
"""The kind of each sample by its name."""


@dataclass(frozen=True, kw_only=True)
class SampleContents:
    """A sample of files or texts, in memory.

    Attributes:
        contents: `(n,)` bytes: files, or texts as UTF-8.
        labels: `(n,)` int32, indices into `class_names`.
        class_names: The name of each label.
        note: What kind of examples these are, to be shown wherever they are used.
    """

    contents: NDArray[np.object_]
    labels: NDArray[np.int32]
    class_names: tuple[str, ...]
    note: str


def kind_of(name: str) -> str:
    """The kind of a sample's examples; no sample is loaded.

    Raises:
        DataError: There is no sample of that name.

    Example:

    >>> from tfl.modalities.samples import kind_of
    >>> kind_of("reviews")
    'text'
    """
    if name not in KIND_OF:
        raise DataError(
            "There is no such sample.", received=name, allowed=tuple(KIND_OF), fix=did_you_mean(name, KIND_OF) or None
        )
    return KIND_OF[name]


def load(name: str) -> dict[str, Any]:
    """A sample as the fields of `tfl.data.examples.Examples`: `class_names`, `labels`, `note`, and `arrays` or `contents`.

    Of a sample of boxes `boxes` are these, `(n, boxes, 5)` as in `Examples.boxes`. Of a sample of several inputs `parts`
    are the columns of its table, by name; of one of several targets, or with a number to predict, `columns` are their cells.

    Raises:
        DataError: There is no sample of that name.
    """
    module: Any = importlib.import_module(f"tfl.modalities.{kind_of(name)}.sample")
    sample = module.load_sample(name)
    if hasattr(sample, "parts"):
        return {"class_names": sample.class_names, "labels": sample.labels, "note": sample.note, "parts": sample.parts}
    held = "contents" if hasattr(sample, "contents") else "images"
    where = "contents" if held == "contents" else "arrays"
    columns, boxes = getattr(sample, "columns", None), getattr(sample, "boxes", None)
    return {
        "class_names": sample.class_names,
        "labels": sample.labels,
        "note": sample.note,
        **({"columns": columns} if columns else {}),
        **({} if boxes is None else {"boxes": boxes}),
        where: getattr(sample, held),
    }


def load_part(name: str, kind: str) -> dict[str, Any]:
    """One input of a sample of several, as the fields of `tfl.data.examples.Examples`.

    Raises:
        DataError: None of its inputs is of that kind.
    """
    module: Any = importlib.import_module(f"tfl.modalities.{kind_of(name)}.sample")
    if kind not in module.COLUMN_OF:
        raise DataError(f"sample:{name} has no input of this kind.", received=kind, allowed=tuple(module.COLUMN_OF))
    fields = load(name)
    parts = fields.pop("parts")
    return {**fields, "contents": parts[module.COLUMN_OF[kind]]}

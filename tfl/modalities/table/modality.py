"""Columns of a table as one vector: numbers as they are, other cells as one of the values of their column. Not a kind of its own:
it is one of several inputs, and has no network.

The content of a row is a serialised `tf.train.Example` with a feature for each cell that is not empty, see
`tfl.modalities.several.packed`.
"""

from __future__ import annotations

import dataclasses
import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tfl.errors import BadContentError, DataError
from tfl.modalities.base import NOUNS, Audited, Checked, Preview, TensorSpec
from tfl.modalities.defaults import ModalityDefaults
from tfl.modalities.several.packed import pack, unpack
from tfl.recipe import Table

if TYPE_CHECKING:
    import tensorflow as tf
    from numpy.typing import NDArray

VERSION = "table 1"
VECTOR = "cells"
_MISSING = frozenset(("", "nan", "<na>", "#n/a", "na", "n/a", "none", "null"))
_MOST_VALUES = 1000
"""Of a column that holds no numbers: more are names or texts."""


@dataclass(frozen=True)
class TableModality(ModalityDefaults):
    """Some columns of a table.

    Args:
        table: Of the recipe, its `values` stated.
    """

    table: Table
    kind: ClassVar[str] = "table"
    noun: ClassVar[str] = NOUNS["table"][0]
    nouns: ClassVar[str] = NOUNS["table"][1]
    content_input: ClassVar[str] = "cells"
    most_bytes: ClassVar[int] = 2**20
    finishes: ClassVar[bool] = True
    troubles: ClassVar[Mapping[str, str]] = {
        "undecodable": "cannot be read",
        "not_a_number": "has a cell that is no number in a column of numbers",
    }
    trouble_fixes: ClassVar[Mapping[str, str]] = {}
    allowed: ClassVar[str] = "cells of a table"
    near_copies: ClassVar[str] = "have the same cells"
    titles: ClassVar[Mapping[str, str]] = {}
    small_preview_media: ClassVar[str] = "text/plain"

    @property
    def values(self) -> Mapping[str, tuple[str, ...]]:
        """By column, the values of a column that holds no numbers."""
        return self.table.values or {}

    def identity(self) -> dict[str, Any]:
        """The columns and their values."""
        return {"cells": VERSION, "columns": list(self.table.columns), "values": {k: list(v) for k, v in self.values.items()}}

    def about(self) -> dict[str, Any]:
        """The columns."""
        return {"columns": list(self.table.columns)}

    def size_text(self) -> str:
        """The columns in words."""
        return f"of {', '.join(self.table.columns)}"

    def spec(self) -> dict[str, TensorSpec]:
        """One tensor, `cells`: `(width,)` float32. A missing number is NaN."""
        return {VECTOR: TensorSpec((len(self.of_numbers),), "float32")}

    @property
    def of_numbers(self) -> NDArray[np.bool_]:
        """`(width,)`, which entries of the vector are numbers of a column; the others are 0 or 1."""
        entries: list[bool] = []
        for name in self.table.columns:
            entries += [False] * (len(self.values[name]) + 1) if name in self.values else [True, False]
        return np.array(entries, bool)

    def check(self, content: bytes) -> Checked:
        """Whether every cell of a column of numbers is one."""
        try:
            cells = unpack(content)
        except BadContentError:
            return Checked(trouble="undecodable")
        for name in self.table.columns:
            cell = cells.get(name, b"").decode("utf-8", "replace")
            if name not in self.values and cell and number_of(cell) is None:
                return Checked(trouble="not_a_number", detail=f"`{cell[:60]}` in `{name}`")
        return Checked(format="table", cost=len(content))

    def decode(self, content: tf.Tensor) -> tf.Tensor:
        """The contents themselves: `finish` parses a batch at once."""
        return content

    def finish(self, tensors: tf.Tensor) -> tf.Tensor:
        """`(batch, width)` float32 from rows."""
        import tensorflow as tf

        cells = tf.io.parse_example(tensors, {name: tf.io.FixedLenFeature([], tf.string, "") for name in self.table.columns})
        parts: list[Any] = []
        for name in self.table.columns:
            column, missing = cells[name], tf.equal(cells[name], "")
            if name in self.values:
                same = tf.equal(column[:, None], tf.constant([value.encode() for value in self.values[name]], tf.string))
                parts += [same, ~tf.reduce_any(same, axis=1, keepdims=True)]
            else:
                parts += [tf.strings.to_number(tf.where(missing, "nan", column))[:, None], missing[:, None]]
        joined = tf.concat([tf.cast(part, tf.float32) for part in parts], axis=1)
        return tf.ensure_shape(joined, (None, len(self.of_numbers)))

    def encode(self, contents: tf.Tensor) -> tf.Tensor:
        """`(batch, width)` float32 from rows."""
        return self.finish(contents)

    def sample_tensors(self, count: int, *, seed: int = 0) -> NDArray[np.float32]:
        """Random vectors, `(count, width)`."""
        return np.random.default_rng(seed).normal(size=(count, len(self.of_numbers))).astype(np.float32)

    def preview(self, content: bytes, *, attribution: NDArray[np.float32] | None = None) -> Preview:
        """The cells by column."""
        cells = {name: unpack(content).get(name, b"").decode("utf-8", "replace") for name in self.table.columns}
        text = ", ".join(f"{name} {cell or 'missing'}" for name, cell in cells.items())
        return Preview(html=f'<p class="text">{html.escape(text)}</p>', text=text)

    def audit_checks(self, audited: Audited) -> Any:
        """There are none."""
        raise DataError("A table is one of several inputs and is not audited alone.")


def row_content(cells: Mapping[str, str]) -> bytes | None:
    """The content of a row from its cells by column; None where all of them are empty.

    Example:

    >>> from tfl.modalities.several.packed import unpack
    >>> from tfl.modalities.table.modality import row_content
    >>> unpack(row_content({"age": " 61 ", "sex": ""})), row_content({"age": "", "sex": "n/a"})
    ({'age': b'61'}, None)
    """
    known = {name: cell.strip() for name, cell in cells.items() if cell.strip().lower() not in _MISSING}
    return pack({name: cell.encode("utf-8", "replace") for name, cell in known.items()}) if known else None


def with_values(table: Table, rows: Sequence[bytes]) -> Table:
    """The table with the values of each column that holds no numbers, as the rows have them.

    Args:
        table: As the recipe has it.
        rows: Contents; those that decide.

    Raises:
        DataError: A column is empty, or has next to as many values as rows.
    """
    if table.values is not None:
        return table
    cells = [unpack(row) for row in rows]
    values: dict[str, tuple[str, ...]] = {}
    for name in table.columns:
        found = [row[name].decode("utf-8", "replace") for row in cells if name in row]
        if not found:
            raise DataError(f"The column `{name}` is empty in every row that trains.", fix="Leave it out of tfl.Table.")
        if all(number_of(cell) is not None for cell in found):
            continue
        own = tuple(sorted(set(found)))
        if len(own) > _MOST_VALUES or (len(own) > 20 and 2 * len(own) > len(found)):
            raise DataError(
                f"The column `{name}` has nearly as many values as rows: it holds names or texts.",
                received=f"{len(own)} values in {len(found)} rows, such as `{own[0][:60]}`",
                fix="Leave it out of tfl.Table; a text is an input of its own: tfl.Text(column=NAME).",
            )
        values[name] = own
    return dataclasses.replace(table, values=values)


def number_of(cell: str) -> float | None:
    """The number in a cell, as TensorFlow reads it too; None where there is none."""
    try:
        value = float(cell) if cell.isascii() and "_" not in cell else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) < _LARGEST else None


_LARGEST = float(np.finfo(np.float32).max)

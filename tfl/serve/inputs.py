"""Rows of tables for a model of several inputs: what each is called, and what is to be said of inputs that are missing."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfl.data.inputs_source import read_unlabelled
from tfl.evaluate.report.inputs import cost_text
from tfl.modalities.several.packed import Packed
from tfl.recipe import Input

_UP = 4
"""Folders between a run and the version of its SavedModel."""


class Rows:
    """The rows of some tables.

    Args:
        files: The tables.
        inputs: As the recipe has them.

    Raises:
        DataError: A file is no table, has none of the inputs, or names a file that is not there.
    """

    def __init__(self, files: Sequence[Path], inputs: Mapping[str, Input]) -> None:
        self._tables = [read_unlabelled(file, inputs) for file in files]
        self._inputs = list(inputs)

    def __iter__(self) -> Iterator[tuple[str, Packed, int]]:
        """What a row is called, and where its content is."""
        for packed, names, _ in self._tables:
            for at, name in enumerate(names):
                yield name, packed, at

    def notes(self, model: Path) -> list[str]:
        """Sentences about columns that are not there, and about inputs that are missing with what that costs.

        Args:
            model: The run or the export that answers; `metrics.json` of the run has the cost.
        """
        said = [note for _, _, notes in self._tables for note in notes]
        costs, total = _costs_of(model), sum(len(packed) for packed, _, _ in self._tables)
        for name in self._inputs:
            missing = sum(int((~packed.has(name)).sum()) for packed, _, _ in self._tables)
            if missing:
                cost = f" On the run's test examples its absence costs {costs[name]}." if name in costs else ""
                said.append(f"`{name}` is missing in {missing} of {total} rows, which are answered without it.{cost}")
        return said


def _costs_of(model: Path) -> dict[str, str]:
    """By input, what its absence cost on the test examples of the run that a model is of; empty where that cannot be read."""
    for folder in [model.absolute(), *list(model.absolute().parents)[:_UP]]:
        if (folder / "manifest.json").is_file():
            try:
                found: Any = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["inputs"]
                return {row["name"]: f"{cost_text(row, found['metric'])} of {found['metric']}" for row in found["rows"]}
            except (OSError, ValueError, LookupError, TypeError):
                return {}
    return {}

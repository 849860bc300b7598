"""Tables whose rows are examples of several inputs: each input is a column, or some columns, of one table.

Labels, groups, splits and folds are read as of any table (`tfl.data.csv_source`); an empty cell is a missing input.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfl.data.columns import Chosen, plain, shown_columns
from tfl.data.csv_source import read_tables
from tfl.data.examples import Examples, listed
from tfl.data.label_values import MISSING
from tfl.data.located import FilesBelow, locate
from tfl.data.parquet import read_parquet
from tfl.data.remote import check_local
from tfl.data.tables import TEXT_SUFFIXES, Table, read_table
from tfl.errors import DataError, did_you_mean
from tfl.modalities import samples
from tfl.modalities.files import files_of
from tfl.modalities.several.packed import Packed, as_sources
from tfl.modalities.table.modality import row_content
from tfl.recipe import Data, Input, Text
from tfl.recipe import Table as TableInput

_ROW = "example"
"""The column that stands for the inputs, by the number of the row, while labels and splits are read."""
GRAMMAR = "a table with a column for each input and the label: .csv, .tsv, .jsonl or .parquet; or sample:NAME"


def read_inputs(data: Data, chosen: Chosen) -> Examples:
    """The examples of a table, or of a sample, with the inputs of a recipe.

    Args:
        data: What the recipe says of the source and the inputs.
        chosen: What it says of labels and folds.

    Raises:
        DataError: The source is no table, a column is missing, a cell names a file that is not there, or the labels do not fit.
    """
    kind, _, name = data.source.partition(":")
    if kind == "sample":
        return _read_sample(name, data)
    table, stored = _table_of(data.source, data.inputs)
    places = {input_: places_of(table, input_, one) for input_, one in data.inputs.items()}
    missing = {
        input_: names for input_, found in places.items() if (names := [name for name in found if name not in table.columns])
    }
    if missing:
        raise _no_column(table, missing)
    sources = read_parts(table, data.inputs, stored=stored)
    labelled = dataclasses.replace(chosen, content=_ROW)
    examples = read_tables([(_without_inputs(table, places), "")], labelled, source=data.source)
    rows = np.array([int(examples.bytes_of(at)) for at in range(len(examples))], np.int64)
    return dataclasses.replace(examples, contents=Packed(sources, rows=rows))


def read_unlabelled(file: Path, inputs: Mapping[str, Input]) -> tuple[Packed, list[str], list[str]]:
    """The rows of a table for prediction: no label is asked for, and an input whose column is not there is missing.

    Args:
        file: The table.
        inputs: As the recipe has them.

    Returns:
        The contents, what each row is called, and sentences about inputs that are not there.

    Raises:
        DataError: It is no table, or has none of the inputs.
    """
    table, stored = _table_of(str(file), inputs)
    gone = {
        name: absent
        for name, one in inputs.items()
        if (absent := [column for column in places_of(table, name, one) if column not in table.columns])
    }
    there = {name: one for name, one in inputs.items() if name not in gone or isinstance(one, TableInput)}
    if not there or all(len(gone.get(name, ())) == len(places_of(table, name, one)) for name, one in inputs.items()):
        raise _no_column(table, gone)
    sources = read_parts(table, there, stored=stored)
    empty = as_sources([None] * len(table.rows))
    notes = [f"{file} has no column {listed(names)}: `{name}` is missing in part or whole." for name, names in gone.items()]
    names = [f"{file}:{number}" for number in table.numbers]
    return Packed({name: sources.get(name, empty) for name in inputs}), names, notes


def places_of(table: Table, name: str, one: Input) -> list[str]:
    """The columns of an input: those that it names, else the column that is called as the input is, whatever its case."""
    if isinstance(one, TableInput):
        return list(one.columns)
    if one.column is not None:
        return [one.column]
    return [next((column for column in table.columns if plain(column) == plain(name)), name)]


def read_parts(table: Table, inputs: Mapping[str, Input], *, stored: Mapping[str, Sequence[str | None]]) -> dict[str, Any]:
    """Where each input of each row is, as `Packed` takes it.

    Args:
        table: The table.
        inputs: By name; each has its columns in the table.
        stored: By input, the files of contents that were stored in the table.

    Raises:
        DataError: A cell names a file that is not there: one message with the lines.
    """
    return {name: as_sources(stored[name] if name in stored else _cells_of(table, name, one)) for name, one in inputs.items()}


def _cells_of(table: Table, name: str, one: Input) -> list[Any]:
    columns = places_of(table, name, one)
    empty = [""] * len(table.rows)
    cells = {column: table.cells(column) if column in table.columns else empty for column in columns}
    if isinstance(one, TableInput):
        return [row_content(dict(zip(columns, row, strict=True))) for row in zip(*cells.values(), strict=True)]
    (column,) = columns
    if isinstance(one, Text):
        return [cell.encode("utf-8", "replace") if cell else None for cell in cells[column]]
    return _files_of(table, column, cells[column], one)


def _files_of(table: Table, column: str, cells: Sequence[str], one: Input) -> list[str | None]:
    known = FilesBelow(table.folder, files_of(one.kind))
    named = [cell if cell.lower() not in MISSING else "" for cell in cells]
    places = locate(table.folder, named, table=table.file.stem, known=known)
    lost = [
        f"\n  {table.unit} {number}: {place.trouble}"
        for number, cell, place in zip(table.numbers, named, places, strict=True)
        if cell and place.trouble
    ]
    if lost:
        raise DataError(
            f"{table.file}, column `{column}`: {len(lost)} {'cell names' if len(lost) == 1 else 'cells name'} no file that is "
            f"there:{listed(lost)}.",
            fix=f"Relative paths start at {table.folder.absolute()}. Leave the cell empty where an example has no {one.kind}.",
        )
    return [place.path if cell else None for cell, place in zip(named, places, strict=True)]


def _table_of(source: str, inputs: Mapping[str, Input]) -> tuple[Table, dict[str, list[str | None]]]:
    """The table, and by input the files of contents that it holds itself (Parquet)."""
    path = Path(os.path.expanduser(source))
    if not path.exists():
        check_local(source)
        raise DataError("There is nothing at this source.", received=str(path.absolute()), allowed=GRAMMAR)
    if path.is_file() and path.suffix.lower() in TEXT_SUFFIXES:
        return read_table(path), {}
    if path.is_file() and path.suffix.lower() == ".parquet":
        return _read_parquet(path, inputs)
    raise DataError("Several inputs are columns of one table, and this source is none.", received=str(path), allowed=GRAMMAR)


def _read_parquet(path: Path, inputs: Mapping[str, Input]) -> tuple[Table, dict[str, list[str | None]]]:
    table, stored = read_parquet([path], files_of("text")), {}
    for name, one in inputs.items():
        if isinstance(one, Text | TableInput):
            continue
        (column,) = places_of(table, name, one)
        if column not in table.columns:  # text and numbers are columns of the table, and contents are not
            found = read_parquet([path], files_of(one.kind), stored=column)
            stored[name] = [cell or None for cell in found.cells(column)]
            table = dataclasses.replace(
                table,
                columns=(*table.columns, column),
                rows=[[*row, ""] for row in table.rows] or [[""]] * len(found.rows),
                numbers=found.numbers,
                root=table.root or found.root,
            )
    return table, stored


def _without_inputs(table: Table, places: Mapping[str, Sequence[str]]) -> Table:
    """The table with the numbers of its rows in the place of its inputs."""
    inputs = {column for columns in places.values() for column in columns}
    kept = [at for at, column in enumerate(table.columns) if column not in inputs and column.lower() != _ROW]
    rows = [[str(number), *(row[at] if at < len(row) else "" for at in kept)] for number, row in enumerate(table.rows)]
    return dataclasses.replace(table, columns=(_ROW, *(table.columns[at] for at in kept)), rows=rows, stored=None)


def _no_column(table: Table, missing: Mapping[str, Sequence[str]]) -> DataError:
    absent = [name for names in missing.values() for name in names]
    hints = [hint for name in absent if (hint := did_you_mean(name, table.columns))]
    return DataError(
        f"{table.file} has no column {listed([f'`{name}`' for name in absent])} for the input {listed(list(missing))}.",
        received=shown_columns(table, table.columns),
        fix=" ".join([*hints, "Name the column of an input, as tfl.Text(column=NAME) does."]),
    )


def _read_sample(name: str, data: Data) -> Examples:
    if samples.kind_of(name) != "several":
        raise DataError(
            f"sample:{name} has one input.", allowed=", ".join(one for one, kind in samples.KIND_OF.items() if kind == "several")
        )
    fields = samples.load(name)
    parts = fields.pop("parts")
    sources = {}
    for input_, one in data.inputs.items():
        columns = one.columns if isinstance(one, TableInput) else (one.column or input_,)
        if unknown := [column for column in columns if column not in parts]:
            raise DataError(
                f"sample:{name} has no column {listed([f'`{one}`' for one in unknown])} for the input {input_}.",
                allowed=", ".join(parts),
            )
        if isinstance(one, TableInput):
            rows = zip(*(parts[column] for column in columns), strict=True)
            sources[input_] = as_sources([row_content(dict(zip(columns, row, strict=True))) for row in rows])
        else:
            sources[input_] = as_sources(parts[columns[0]])
    return Examples(**fields, contents=Packed(sources), source=data.source)

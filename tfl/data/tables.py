"""Tables that list or hold examples, as rows of text cells: CSV, TSV and JSON Lines. Nothing is looked up on disk here."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfl.errors import DataError

TEXT_SUFFIXES = (".csv", ".tsv", ".jsonl")
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_UTF32 = (b"\xff\xfe\0\0", b"\0\0\xfe\xff")
_LOOKED_AT = 50
_TOLD = re.compile(r"sep=([,;\t|])", re.IGNORECASE)
"""The first line by which spreadsheet programs say the mark between columns."""


@dataclass(frozen=True)
class Table:
    """A table of text cells.

    Args:
        file: Where it was read from.
        columns: Their names, as written.
        rows: The cells of each row; a row may be shorter or longer than the header.
        numbers: The line of each row, counted from 1, or its row in a Parquet file.
        unit: What `numbers` count: `line` or `row`.
        folder: Where relative paths start.
        stored: The column whose contents were stored in the table and now lie in files (Parquet); its cells are their paths.
        class_names: For a column of class numbers whose names the table knows (Parquet), those names.
        root: The folder of those files; empty when the examples are files of their own.
        headless: Whether its first line is a row like the others, so that its columns are called `column 1`, `column 2`, ...
    """

    file: Path
    columns: tuple[str, ...]
    rows: list[list[str]]
    numbers: list[int]
    unit: str = "line"
    folder: Path = Path()
    stored: str | None = None
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    root: str = ""
    headless: bool = False

    def cells(self, column: str) -> list[str]:
        """The cells of a column, without surrounding blanks; empty where a row is too short.

        Example:

        >>> from tfl.data.tables import Table
        >>> Table(Path("a.csv"), ("path", "label"), [["1.png ", "cat"], ["2.png"]], [2, 3]).cells("label")
        ['cat', '']
        """
        at = self.columns.index(column)
        return [row[at].strip() if at < len(row) else "" for row in self.rows]


def read_table(file: Path, *, prose: bool = False) -> Table:
    """The rows of a CSV, TSV or JSON Lines file. The encoding is UTF-8, or UTF-16 with a byte order mark.

    The columns of a `.csv` are separated by commas, semicolons, tabs or vertical bars: what the header and the first rows show.

    Args:
        file: The file.
        prose: Boolean, whether its cells hold texts: quotes between tabs may then be part of them, and the first line may be a
            row, where a value of it recurs in its column as classes do. Defaults to False.

    Raises:
        DataError: It cannot be read: one message with the line.
    """
    text = _text(file)
    if file.suffix.lower() == ".jsonl":
        columns, rows, numbers = _json_lines(file, text)
    else:
        columns, rows, numbers = _delimited(file, text, prose=prose)
        if prose and _is_row(columns, rows):
            names = tuple(f"column {number}" for number in range(1, len(columns) + 1))
            return Table(file, names, [list(columns), *rows], [1, *numbers], folder=file.parent, headless=True)
    return Table(file, columns, rows, numbers, folder=file.parent)


def _is_row(header: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first line is a row and no header: a cell of it recurs below it, as classes do and names of columns do not."""
    for at, name in enumerate(header):
        cells = [row[at].strip() for row in rows if at < len(row)]
        if name and cells.count(name.strip()) > 1 and len(set(cells)) <= max(2, len(cells) // 2):
            return True
    return False


def _text(file: Path) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"Cannot read {file}: {error.strerror}.") from error
    utf16 = content.startswith(_UTF16) and not content.startswith(_UTF32)
    try:
        return content.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        kind = "UTF-16" if utf16 else "UTF-8"
        raise DataError(
            f"{file} is not {kind} text: {error.reason} at byte {error.start}{_as_latin(content, error.start, utf16)}.",
            fix=f"Save it as CSV UTF-8, or convert it: iconv -f ENCODING -t UTF-8 {file.name} > utf8_{file.name}",
        ) from error


def _as_latin(content: bytes, at: int, utf16: bool) -> str:
    """What the words around a byte would be in the encoding that Windows programs of Western Europe write."""
    if utf16 or b"\0" in content:
        return ""
    start = max(content.rfind(mark, 0, at) for mark in (b",", b";", b"\t", b"\n", b"/")) + 1
    words = content[start : at + 20].splitlines()[0].decode("cp1252", "replace")
    return f" (as Windows-1252 it would read {words!r}; only who wrote the file knows its encoding)"


def _delimited(file: Path, text: str, *, prose: bool = False) -> tuple[tuple[str, ...], list[list[str]], list[int]]:
    if prose and _delimiter(file, text) == "\t" and (plain := _between_tabs(text)) is not None:
        return plain
    first, _, rest = text.partition("\n")
    told = _TOLD.fullmatch(first.rstrip("\r"))
    text, skipped = (rest, 1) if told else (text, 0)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=told[1] if told else _delimiter(file, text), strict=True)
    rows, numbers = [], []
    try:
        columns = tuple(name.strip() for name in next(reader, []))
        for cells in reader:
            if any(cells):
                rows.append(cells)
                numbers.append(reader.line_num + skipped)
    except csv.Error as error:
        raise DataError(f"{file}, line {reader.line_num + skipped}: {error}.", fix="Check the quotes on that line.") from error
    return columns, rows, numbers


def _between_tabs(text: str) -> tuple[tuple[str, ...], list[list[str]], list[int]] | None:
    """The rows of a text whose quotes are part of the cells; None where they enclose cells, or where there are none.

    Quotes enclose cells where every quote that begins a cell has one that ends a cell, and no cell so read has a line break.
    """
    if '"' not in text:
        return None
    try:
        enclosed = list(csv.reader(io.StringIO(text, newline=""), delimiter="\t", strict=True))
        if not any("\n" in cell for row in enclosed for cell in row):
            return None
    except csv.Error:
        pass
    lines = [(number, line.split("\t")) for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), 1) if line.strip()]
    if len({len(cells) for _, cells in lines}) != 1:
        return None
    columns = tuple(name.strip() for name in lines[0][1])
    return columns, [cells for _, cells in lines[1:]], [number for number, _ in lines[1:]]


def _delimiter(file: Path, text: str) -> str:
    """The mark that separates columns: the one in the header; of several, the one by which the first rows fit it best."""
    if file.suffix.lower() == ".tsv":
        return "\t"
    shapes = {mark: _shape(text, mark) for mark in _DELIMITERS}
    found = {mark: shape for mark, shape in shapes.items() if shape[1] > 1}
    return max(found, key=lambda mark: found[mark]) if found else ","


def _shape(text: str, mark: str) -> tuple[float, int]:
    """The share of the first rows that are as long as the header, and how long that is."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    lengths: list[int] = []
    try:
        for cells in reader:
            if cells:
                lengths.append(len(cells))
            if len(lengths) > _LOOKED_AT:
                break
    except csv.Error:
        pass
    return (lengths[1:].count(lengths[0]) / max(1, len(lengths) - 1), lengths[0]) if lengths else (0.0, 0)


def _json_lines(file: Path, text: str) -> tuple[tuple[str, ...], list[list[str]], list[int]]:
    columns: dict[str, None] = {}
    found: list[tuple[int, dict[str, Any]]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{file}, line {number} is not JSON: {error}.", allowed="one JSON object per line") from error
        if not isinstance(row, dict):
            raise DataError(
                f"{file}, line {number} is not a JSON object.", received=line[:100], allowed="one JSON object per line"
            )
        columns.update(dict.fromkeys(row))
        found.append((number, row))
    rows = [[as_cell(row.get(name)) for name in columns] for _, row in found]
    return tuple(columns), rows, [number for number, _ in found]


def as_cell(value: object) -> str:
    """A value as the text of a cell: nothing becomes empty, lists and objects become JSON.

    Example:

    >>> from tfl.data.tables import as_cell
    >>> as_cell("cat"), as_cell(3), as_cell(None), as_cell(["a", "b"])
    ('cat', '3', '', '["a", "b"]')
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)

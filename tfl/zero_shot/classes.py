"""What describes classes that were never seen: a table of attributes, or a list of names with descriptions. No TensorFlow."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfl.data.class_names import folded
from tfl.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ENDS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True, eq=False)
class Attributes:
    """Classes described by attributes.

    Args:
        class_names: Name of each class.
        names: Name of each attribute.
        values: Array of shape `(classes, attributes)`, float64, from 0 (a class never has it) to 1 (always).
        source: Where they are from, for messages.
    """

    class_names: tuple[str, ...]
    names: tuple[str, ...]
    values: NDArray[np.float64]
    source: str = "the table of attributes"

    def of(self, class_names: Sequence[str]) -> NDArray[np.float64]:
        """The rows of some classes, in their order, whatever the case of the letters.

        Raises:
            DataError: A class is not described.

        Example:

        >>> from tfl.zero_shot.classes import attributes_of
        >>> attributes_of({"tiger": ("striped",), "cow": ("horns",)}).of(["cow"]).tolist()
        [[0.0, 1.0]]
        """
        known = {folded(name): at for at, name in enumerate(self.class_names)}
        missing = [name for name in class_names if folded(name) not in known]
        if missing:
            raise DataError(
                f"{self.source} does not describe every class.",
                received=", ".join(missing[:10]),
                allowed=", ".join(self.class_names[:20]),
                fix="Add a row for each of them.",
            )
        return self.values[[known[folded(name)] for name in class_names]]

    def like(self, other: Attributes) -> Attributes:
        """The same classes with the attributes of another table, in its order.

        Raises:
            DataError: The attributes are not the same.
        """
        if set(self.names) != set(other.names):
            raise DataError(
                f"{self.source} has other attributes than those that the run learned.",
                received=", ".join(self.names),
                allowed=", ".join(other.names),
            )
        return Attributes(self.class_names, other.names, self.values[:, [self.names.index(n) for n in other.names]], self.source)


def attributes_of(described: str | Mapping[str, Sequence[str]]) -> Attributes:
    """The attributes of classes, from a table or from a dictionary.

    Args:
        described: Path of a `.csv` or `.tsv` file with a header, the name of a class in its first column and a number from 0 to 1
            in each other one; or the attributes that each class has, by the name of the class.

    Raises:
        DataError: The file is missing or no such table, or the table says nothing that tells two classes apart.

    Example:

    >>> found = attributes_of({"zebra": ("striped", "hooves"), "bee": ("striped", "wings")})
    >>> found.names, found.values.tolist()
    (('striped', 'hooves', 'wings'), [[1.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    """
    if isinstance(described, str):
        return _checked(_read(Path(described)))
    names = tuple(dict.fromkeys(name for has in described.values() for name in has))
    values = np.array([[float(name in has) for name in names] for has in described.values()]).reshape(len(described), len(names))
    return _checked(Attributes(tuple(described), names, values))


def _read(path: Path) -> Attributes:
    if path.suffix.lower() not in _ENDS:
        raise DataError(
            "A table of attributes is a .csv or .tsv file.",
            received=str(path),
            allowed="the name of a class in the first column, a column from 0 to 1 for each attribute",
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError(f"There is no table of attributes {path}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}.") from error
    header, *lines = [row for row in csv.reader(text.splitlines(), delimiter=_ENDS[path.suffix.lower()]) if any(row)] or [[]]
    if len(header) < 2 or not lines:
        raise DataError(
            f"{path} is no table of attributes.",
            received=f"{len(header)} columns and {len(lines)} rows below the header",
            allowed="the name of a class in the first column, a column from 0 to 1 for each attribute",
        )
    values = []
    for number, row in enumerate(lines, start=2):
        try:
            if len(row) != len(header):
                raise ValueError(f"{len(row)} cells")
            values.append([float(cell) for cell in row[1:]])
        except ValueError as error:
            raise DataError(
                f"Line {number} of {path} is no row of attributes: {error}.",
                allowed=f"a name and {len(header) - 1} numbers from 0 to 1",
            ) from error
    return Attributes(tuple(row[0].strip() for row in lines), tuple(header[1:]), np.array(values, np.float64), str(path))


def _checked(found: Attributes) -> Attributes:
    if not found.class_names or not found.names:
        raise DataError(f"{found.source} has no attribute.", allowed="one class per row, one attribute or more")
    doubled = sorted({name for name in found.class_names if [folded(n) for n in found.class_names].count(folded(name)) > 1})
    if doubled or "" in found.class_names or len(set(found.names)) < len(found.names):
        raise DataError(
            f"{found.source} has a class or an attribute twice, or one without a name.",
            received=", ".join(doubled) or ", ".join(found.names),
        )
    if not ((found.values >= 0) & (found.values <= 1)).all():
        raise DataError(
            f"{found.source} has values that are no shares.",
            received=f"{found.values.min():g} to {found.values.max():g}",
            allowed="0 (a class never has it) to 1 (always)",
            fix="Divide percentages by 100.",
        )
    _, first, counts = np.unique(found.values, axis=0, return_index=True, return_counts=True)
    if (counts > 1).any():
        row = found.values[first[counts > 1][0]]
        alike = [name for name, one in zip(found.class_names, found.values, strict=True) if (one == row).all()]
        raise DataError(
            f"{found.source} describes classes alike, which nothing can tell apart then.",
            received=", ".join(alike),
            fix="Add an attribute in which they differ.",
        )
    return found


def read_descriptions(path: Path | str) -> dict[str, tuple[str, ...]]:
    """The classes of a text file, one class per line, and what describes each: its name, or the descriptions behind it.

    Args:
        path: Each line has a name, and optionally descriptions behind it, separated by tabs. Empty lines are left out.

    Raises:
        DataError: The file is missing or no text, or has fewer than two classes, or one twice.

    Example:

    >>> import tempfile, pathlib
    >>> file = pathlib.Path(tempfile.mkdtemp()) / "classes.txt"
    >>> _ = file.write_text("zebra\\ta horse with stripes\\nlion\\n")
    >>> read_descriptions(file)
    {'zebra': ('a horse with stripes',), 'lion': ('lion',)}
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except FileNotFoundError as error:
        raise DataError(f"There is no list of classes {path}.", allowed="a text file with one class per line") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as text: {error}.") from error
    found: dict[str, tuple[str, ...]] = {}
    for line in lines:
        name, *texts = [part.strip() for part in line.split("\t")]
        if not name:
            continue
        if name in found:
            raise DataError(f"{path} has a class twice.", received=name)
        found[name] = tuple(text for text in texts if text) or (name,)
    if len(found) < 2:
        raise DataError(
            f"{path} needs two classes or more.", received=f"{len(found)}", allowed="a text file with one class per line"
        )
    return found

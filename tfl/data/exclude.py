"""`exclude.txt`: examples of a source that are not to be used, as `tfl audit` proposes them or as somebody wrote them down.

One path per line, relative to the source (a folder, or the folder of a CSV file); examples without files are `#12`. Empty
lines are passed over, and so are lines that start with `#`: a file whose path does so is written with `./` before it.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tfl.data.examples import Examples, listed
from tfl.errors import DataError

_OF_ARRAY = re.compile(r"#\d+")


def leave_out(examples: Examples, file: Path | str) -> Examples:
    """The examples without those that `file` lists; what it did is in their `findings`.

    Args:
        examples: All examples of a source.
        file: The list.

    Raises:
        DataError: The list is missing or is no text, or it leaves nothing.
    """
    entries = read_exclude(file, arrays=examples.paths is None, nouns=examples.nouns)
    names = [_plain(name) for name in names_in_source(examples)]
    paths = names if examples.paths is None else [os.path.abspath(str(path)) for path in examples.paths]
    wanted = {_plain(os.path.expanduser(entry)) for entry in entries}
    inside = np.array([name in wanted or path in wanted for name, path in zip(names, paths, strict=True)], bool)
    if len(examples) and inside.all():
        raise DataError(f"{file} leaves no {examples.noun} of {examples.source}.", received=f"all {len(examples)} are listed")
    known = {*names, *paths}
    unknown = [entry for entry in entries if _plain(os.path.expanduser(entry)) not in known]
    left = examples.take(np.flatnonzero(~inside))
    return replace(left, findings=(*examples.findings, *_findings(examples, inside, unknown, Path(file))))


def _findings(examples: Examples, inside: Any, unknown: list[str], file: Path) -> list[dict[str, Any]]:
    count = int(inside.sum())
    note = f"{count} {f'{examples.noun} is' if count == 1 else f'{examples.nouns} are'} left out, as {file} says."
    files = [examples.name_of(int(index)) for index in np.flatnonzero(inside)]
    found: list[dict[str, Any]] = [{"kind": "excluded", "severity": "info", "files": files, "note": note}]
    if unknown:
        note = (
            f"{len(unknown)} {'line' if len(unknown) == 1 else 'lines'} of {file} fit no {examples.noun} of {examples.source}: "
        )
        note += f"{listed(unknown, limit=5)}. Paths are relative to the source."
        found.append({"kind": "exclude_unknown", "severity": "warning", "files": unknown, "note": note})
    return found


def read_exclude(file: Path | str, *, arrays: bool = False, nouns: str = "examples") -> list[str]:
    """The entries of a list, as they are written.

    Args:
        file: The list, UTF-8.
        arrays: Whether it is of examples without files, so that `#12` is an entry and no comment.
        nouns: What messages call the examples.

    Raises:
        DataError: It is missing or is no text.
    """
    try:
        text = Path(os.path.expanduser(file)).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text: {error.reason} at byte {error.start}.", fix="Save it as UTF-8.") from error
    except OSError as error:
        raise DataError(
            f"The list of {nouns} to leave out, {file}, cannot be read: {error.strerror}.",
            received=str(Path(file).absolute()),
            fix="`tfl audit SOURCE` writes one; a relative path starts at the folder where tfl is started.",
        ) from error
    if "\0" in text:
        raise DataError(f"{file} is not a list of paths: it is no text.", fix="It has one path per line.")
    lines = [line.rstrip("\r\n") for line in text.split("\n")]
    return [line for line in lines if line.strip() and (not line.startswith("#") or (arrays and _OF_ARRAY.fullmatch(line)))]


def names_in_source(examples: Examples) -> list[str]:
    """What each example is called in an `exclude.txt`: its path below the source, or `#index`; a path elsewhere is absolute.

    Example:

    >>> import numpy as np
    >>> from tfl.data.exclude import names_in_source
    >>> two = Examples(class_names=("a", "b"), labels=np.array([0, 1]), paths=np.array(["/x/a/1", "/y/2"]), source="/x")
    >>> names_in_source(two)
    ['a/1', '/y/2']
    """
    if examples.paths is None:
        return [examples.name_of(index) for index in range(len(examples))]
    if examples.source.startswith("tfds:"):  # in the cache, as split/class/number
        return ["/".join(Path(str(path)).parts[-3:]) for path in examples.paths]
    source = os.path.abspath(examples.root or os.path.expanduser(examples.source))
    base = (os.path.dirname(source) if os.path.isfile(source) else source).rstrip(os.sep) + os.sep
    return [_below(os.path.abspath(os.path.expanduser(str(path))), base) for path in examples.paths]


def _below(path: str, base: str) -> str:
    return path[len(base) :].replace(os.sep, "/") if path.startswith(base) else path


def _plain(name: str) -> str:
    """The same name for `a/1.jpg`, `./a/1.jpg` and `a//1.jpg`."""
    return os.path.normpath(name)


def exclude_line(name: str) -> str | None:
    """A name as a line of an `exclude.txt`; None for one that holds a line break and cannot be one.

    Example:

    >>> from tfl.data.exclude import exclude_line
    >>> exclude_line("a/1.jpg"), exclude_line("#1 cats/1.jpg"), exclude_line("#12")
    ('a/1.jpg', './#1 cats/1.jpg', '#12')
    """
    if "\n" in name or "\r" in name:
        return None
    return f"./{name}" if name.startswith("#") and not _OF_ARRAY.fullmatch(name) else name

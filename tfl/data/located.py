"""From the cells of a table to files: as they are written, or under the one reading that finds every file."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from tfl.data.examples import is_text
from tfl.data.walk import is_left_behind
from tfl.modalities.files import FileKind

_MOST_FILES, _DEEPEST, _NEARLY_ALL = 1_000_000, 4, 0.8


@dataclass(frozen=True)
class Located:
    """Where one cell leads.

    Args:
        path: The file; empty where the cell names none.
        trouble: What is wrong; empty where the file exists.
    """

    path: str
    trouble: str


def locate(folder: Path, cells: Sequence[str], *, table: str, known: FilesBelow) -> list[Located]:
    """The file that each cell names.

    A cell is a path that starts at `folder`, absolute, or from `~`; with backslashes where there is no such file with them. Where
    no cell leads anywhere, they are looked for in the folders below `folder`, with their extension or without it, and only a file
    is taken that no other file can be mistaken for.

    Args:
        folder: The folder of the table.
        cells: The cells of the column of paths.
        table: The name of the table without its suffix; among folders that fit all cells, `train` prefers `train/`.
        known: The files below `folder`.
    """
    direct = [_direct(folder, cell, known.files.nouns) for cell in cells]
    lost = [index for index, one in enumerate(direct) if one.trouble and one.path]
    if not lost or not all(one.trouble for one in direct):
        return direct
    found = known.find([cells[index] for index in lost], table=table)
    for index, place in zip(lost, found, strict=True):
        if place is not None:
            direct[index] = Located(place, "") if place else Located("", f"several files are called {short(cells[index])}")
    return direct


def short(text: str) -> str:
    """At most 300 characters of a cell, for a message."""
    return text if len(text) <= 300 else text[:300] + "…"


def _direct(folder: Path, cell: str, nouns: str) -> Located:
    if not cell:
        return Located("", "no path")
    if "\0" in cell:
        return Located("", f"a NUL character in the path {short(cell)!r}")
    if not is_text(cell):
        return Located("", f"a path that is not text: {short(cell)!r}")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", cell):
        return Located("", f"{short(cell)} is an address on the network (download the {nouns} and write their paths)")
    as_written = _below(folder, cell)
    if as_written.trouble and "\\" in cell:
        return _windows(folder, cell)
    return as_written


def _below(folder: Path, cell: str) -> Located:
    path = os.path.normpath(os.path.expanduser(cell))
    if path.split(os.sep)[0] == os.pardir:
        return Located("", f"{short(cell)} leaves the folder of the table (write the absolute path if that file is meant)")
    path = os.path.join(folder, path)
    return Located(path, "" if os.path.isfile(path) else f"no file at {short(path)}")


def _windows(folder: Path, cell: str) -> Located:
    path = PureWindowsPath(cell)
    if path.drive:
        return Located(
            "", f"no file at {short(cell)}, a path of a Windows computer (write the path below the folder of the table)"
        )
    return _below(folder, cell.replace("\\", "/"))


class FilesBelow:
    """The files in a folder and in the folders below it; listed when first asked for.

    A cell names a file with its extension, in any case where no other file has that name, or without its extension.

    Args:
        folder: Where they are.
        files: The kind whose files may be named without their extension.
    """

    def __init__(self, folder: Path, files: FileKind) -> None:
        self.files = files
        self._folder = folder
        self._names: dict[str, list[str]] | None = None
        self._stems: dict[str, list[str]] = defaultdict(list)

    def find(self, cells: Sequence[str], *, table: str) -> list[str | None]:
        """The file of each cell: None where there is none, empty where there are several and nothing decides between them."""
        fits = [self._fitting(os.path.normpath(cell.replace("\\", "/"))) for cell in cells]
        counts = Counter(base for found in fits for base in found)
        shared = [base for base, count in counts.items() if count >= _NEARLY_ALL * len(cells)]
        if len(shared) > 1:
            named = [base for base in shared if _belongs(base, table)]
            shared = named if len(named) == 1 else []
        if shared:  # a file that is missing there is not taken from another folder
            return [self._one(found.get(shared[0], ())) for found in fits]
        return [self._one([path for paths in found.values() for path in paths]) for found in fits]

    @staticmethod
    def _one(paths: Sequence[str]) -> str | None:
        return None if not paths else paths[0] if len(paths) == 1 else ""

    def _fitting(self, cell: str) -> dict[str, list[str]]:
        """By folder, the files that the cell may mean when its path starts there."""
        names = self._listed()
        found: dict[str, list[str]] = defaultdict(list)
        name = os.path.basename(cell)
        called = names.get(name.lower(), [])
        for path in [path for path in called if path.endswith(name)] or called or self._stems.get(name) or ():
            tail = path if called else os.path.splitext(path)[0]
            if ("/" + tail.lower()).endswith("/" + cell.lower()):
                found[tail[: len(tail) - len(cell)]].append(os.path.join(self._folder, path))
        return found

    def _listed(self) -> dict[str, list[str]]:
        if self._names is None:
            names, count = defaultdict[str, list[str]](list), 0
            for place, folders, files in os.walk(self._folder):
                below = os.path.relpath(place, self._folder)
                depth = 0 if below == "." else below.count(os.sep) + 1
                folders[:] = sorted(name for name in folders if not is_left_behind(name, folder=True)) if depth < _DEEPEST else []
                for name in files:
                    path = name if below == "." else f"{below}/{name}"
                    names[name.lower()].append(path)
                    if self.files.has(name):
                        self._stems[os.path.splitext(name)[0]].append(path)
                count += len(files)
                if count > _MOST_FILES:
                    break
            self._names = names
        return self._names


def _belongs(base: str, table: str) -> bool:
    """Whether a folder is called as the table is: `train/` and `train_files/` belong to `train` and `train_labels`."""
    last = base.strip("/").split("/")[-1].lower().replace("-", "_").split("_")[0]
    return bool(last) and last == table.lower().replace("-", "_").split("_")[0]

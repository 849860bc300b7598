"""How files, columns and features with each kind of example are called: what the readers of sources know of a kind."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from tfl.modalities.base import KINDS, NOUNS


@dataclass(frozen=True, kw_only=True)
class FileKind:
    """What the readers of sources know of a kind of example.

    Args:
        kind: String, one of `tfl.modalities.base.KINDS`.
        suffixes: Strings, what names of such files end with, in lower case; also of formats that are named and not read.
        columns: Strings, names of columns with their paths or contents, in lower case without blanks and marks, likeliest first.
        in_cells: Boolean, whether a cell of a table can be the example itself. Defaults to False.
        feature: String, class of the feature in TensorFlow Datasets and of `_type` in Hugging Face's metadata; empty for none.
        unread: Strings, those of `suffixes` whose formats are not read. Defaults to none.
        how_to_convert: String, a sentence about what to do with them. Defaults to none.
        starts: Mapping from the first bytes of a content to the end of its file's name, for contents that become files.
        unknown: String, the end of the name of such a file where no start fits. Defaults to `.bin`.
        numbered: Strings, words that devices and programs put before a number. Defaults to none.
        crossed_names: Boolean, whether names such as `7_jackson_32`, where both parts vary, have the class in the first.
            Defaults to False.
        described_by: Strings, folders with what describes such files, without the plural. Defaults to none.
        parts: Strings, folders that hold the described files themselves. Defaults to none.
        fillers: Strings, words in the names of folders that only say what is in them. Defaults to none.
        as_arrays: Boolean, whether examples may come as arrays, which `tfl.modalities.KIND.arrays` reads. Defaults to False.
        recipe: String, what a recipe says to have this kind, such as `tfl.Audio()`; empty for the default.
    """

    kind: str
    suffixes: frozenset[str]
    columns: tuple[str, ...]
    in_cells: bool = False
    feature: str = ""
    unread: frozenset[str] = frozenset()
    how_to_convert: str = ""
    starts: Mapping[bytes, str] = field(default_factory=dict)
    unknown: str = ".bin"
    numbered: frozenset[str] = frozenset()
    crossed_names: bool = False
    described_by: frozenset[str] = frozenset()
    parts: frozenset[str] = frozenset()
    fillers: frozenset[str] = frozenset()
    as_arrays: bool = False
    recipe: str = ""

    @property
    def noun(self) -> str:
        """What messages call one example."""
        return NOUNS[self.kind][0]

    @property
    def nouns(self) -> str:
        """What messages call several."""
        return NOUNS[self.kind][1]

    @property
    def article(self) -> str:
        """`a` or `an`, as the noun needs it."""
        return "an" if self.noun[0] in "aeiou" else "a"

    @property
    def verb(self) -> str:
        """The end of a sentence that says what a column does with the examples: it names files, or holds them."""
        return f"holds {self.nouns}" if self.in_cells else f"names {self.nouns}"

    def has(self, name: str) -> bool:
        """Whether the name of a file ends as those of this kind do."""
        return PurePath(name).suffix.lower() in self.suffixes


def files_of(kind: str) -> FileKind:
    """What the readers know of a kind; its module `tfl.modalities.KIND.files` is imported when it is first asked for.

    Example:

    >>> from tfl.modalities.files import files_of
    >>> files_of("audio").has("7_jackson_32.WAV"), files_of("text").in_cells
    (True, True)
    """
    module: Any = importlib.import_module(f"tfl.modalities.{kind}.files")
    found: FileKind = module.FILES
    return found


def array_reader(files: FileKind) -> Any:
    """The module that reads examples which come as arrays; None for a kind whose examples do not."""
    return importlib.import_module(f"tfl.modalities.{files.kind}.arrays") if files.as_arrays else None


def array_content(array: Any) -> bytes:
    """The content of an example that is an array; it keeps every value.

    Args:
        array: `(height, width)` or `(height, width, 3)` uint8.
    """
    from tfl.modalities.image.convert import array_bytes

    return array_bytes(array)


def sources() -> tuple[FileKind, ...]:
    """Every kind that sources can hold."""
    return tuple(files_of(kind) for kind in KINDS)


def words_of_all(name: str) -> frozenset[str]:
    """The values of one field of every kind together, such as `fillers`."""
    return frozenset(word for files in sources() for word in getattr(files, name))


def kind_in_names(names: Iterable[str]) -> tuple[FileKind | None, Counter[str]]:
    """The kind that most file names end as, None where none does; and how many names end how, for that kind.

    Example:

    >>> from tfl.modalities.files import kind_in_names
    >>> kind, suffixes = kind_in_names(["a.wav", "b.wav", "notes.txt"])
    >>> kind.kind, suffixes
    ('audio', Counter({'.wav': 2}))
    """
    suffixes = Counter(PurePath(name).suffix.lower() for name in names)
    counted = [(sum(suffixes[suffix] for suffix in files.suffixes), files) for files in sources()]
    most, files = max(counted, key=lambda pair: pair[0])
    if not most:
        return None, Counter()
    return files, Counter({suffix: count for suffix, count in suffixes.items() if suffix in files.suffixes})

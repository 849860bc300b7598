"""Books: folders of authors with texts, cut into passages, whole works held out where there are enough of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfl.data.examples import Examples, matching_names
from tfl.data.walk import children, files_below
from tfl.errors import DataError, listed
from tfl.modalities import samples
from tfl.recipe import Data, Passages

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEW_WORKS = 3
"""With fewer works of an author than this, contiguous parts of them are held out, and no whole ones."""
SUFFIXES = (".txt", ".text")
_CONTROL = dict.fromkeys((*range(9), 11, *range(14, 32), 127))
"""Control characters that texts do not have: all but tab, line ends and form feed."""
_STRAY = 0.01
"""Share of control characters up to which they are leavings of a conversion, and are dropped."""
TARGET = "passage"
"""Name of the one output: how surprising the passage is."""


@dataclass(frozen=True)
class Work:
    """One text.

    Args:
        author: Name of the folder.
        title: Name of the file without its ending.
        text: All of it.
    """

    author: str
    title: str
    text: str


def read_works(source: str, *, on_bad: str = "error") -> list[Work]:
    """Every text of a source, by author and title.

    Args:
        source: A folder with a folder of `.txt` files for each author, at any depth; a folder of `.txt` files, or one file, of an
            author called as it is; or `sample:authors`.
        on_bad: `error` refuses files that are not text in UTF-8, `skip` leaves them out.

    Raises:
        DataError: There is nothing, no text, or a file is not text in UTF-8.

    Example:

    >>> from tfl.data.books import read_works
    >>> sorted({work.author for work in read_works("sample:authors")})
    ['almanac', 'captain', 'gardener', 'ledger']
    """
    if source.startswith("sample:"):
        name = source.removeprefix("sample:")
        if samples.kind_of(name) != "passage":
            raise DataError("This sample holds no books.", received=source, allowed="sample:authors")
        from tfl.modalities.passage.sample import books

        return [Work(author, title, text) for author, title, text in books()]
    path = Path(os.path.expanduser(source))
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        files = {path.stem: [str(path)]}
    elif path.is_dir():
        files = _by_author(path)
    else:
        raise DataError("There are no books at this source.", received=str(path.absolute()), allowed=_ALLOWED)
    works, bad = [], []
    for author, names in files.items():
        for name in names:
            text = _read(Path(name))
            if text is None:
                bad.append(name)
            elif text.strip():
                works.append(Work(author, Path(name).stem, text))
    if bad and on_bad == "error":
        raise DataError(
            "These files are not text in UTF-8.",
            received=listed(bad),
            fix="Convert them (iconv -f ENCODING -t UTF-8), or say on_bad=skip.",
        )
    if not works:
        raise DataError("The source has no texts.", received=str(path), allowed=_ALLOWED)
    return works


_ALLOWED = "a folder with a folder of .txt files for each author, a folder of .txt files, one .txt file, or sample:authors"


def _by_author(path: Path) -> dict[str, list[str]]:
    skipped: list[str] = []
    found = {
        entry.name: sorted(file for file in files_below(Path(entry.path), skipped) if file.lower().endswith(SUFFIXES))
        for entry in children(path, skipped)
        if entry.is_dir()
    }
    found = {author: files for author, files in found.items() if files}
    own = [entry.path for entry in children(path, skipped) if entry.is_file() and entry.name.lower().endswith(SUFFIXES)]
    if own and found:
        raise DataError(
            "Some books lie in folders of authors, and some beside these folders.",
            received=listed([os.path.basename(file) for file in own]),
            fix="Put each book into the folder of its author.",
        )
    return {path.absolute().name: own} if own else found


def _read(file: Path) -> str | None:
    """The text without control characters; None where it is not UTF-8, or has so many of them that it is no text."""
    try:
        whole = file.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
        text = whole.translate(_CONTROL)
        return text if len(whole) - len(text) <= _STRAY * len(whole) else None
    except UnicodeDecodeError:
        return None
    except OSError as error:
        raise DataError(f"A book cannot be read: {error.strerror}.", received=str(file)) from error


def passages_of(text: str, length: int) -> list[bytes]:
    """A text in passages of at most `length` bytes of UTF-8, whole characters, that make the text again when joined.

    A passage ends behind white space where there is some in its last quarter.

    Example:

    >>> from tfl.data.books import passages_of
    >>> passages_of("one two three four five", 16)
    [b'one two three ', b'four five']
    """
    content, found, start = text.encode(), [], 0
    while start < len(content):
        end = min(start + length, len(content))
        if end < len(content):
            while content[end] & 0xC0 == 0x80:  # in the middle of a character
                end -= 1
            space = max(content.rfind(mark, start + length - length // 4, end) for mark in (b" ", b"\n"))
            end = space + 1 if space > start else end
        found.append(content[start:end])
        start = end
    return found


def held_out_parts(works: Sequence[Work], *, validation: float, test: float, seed: int) -> list[tuple[str, str, str]]:
    """The texts of one author with the split of each, as (split, title, text).

    Whole works are held out where there are three or more: those, in an order drawn by the seed, that come nearest to the share.
    Of fewer works the last parts are, of each.
    """
    if len(works) < FEW_WORKS:
        return [part for work in works for part in _cut(work, validation, test)]
    order = np.random.default_rng(seed).permutation(len(works))
    sizes = np.array([len(work.text.encode()) for work in works])
    of_each = np.full(len(works), "train", "U5")
    left = list(order)
    for name, share in (("test", test), ("val", validation)):
        wanted, taken = share * sizes.sum(), 0
        for at in list(left):
            room = len(left) > (2 if name == "test" else 1)
            if room and (not taken or abs(taken + sizes[at] - wanted) < abs(taken - wanted)):
                if not taken and sizes[at] > 2 * wanted and any(sizes[one] < sizes[at] for one in left):
                    continue  # one large work alone would be far more than the share
                of_each[at], taken = name, taken + sizes[at]
                left.remove(at)
        if not taken:
            smallest = min(left, key=lambda one: sizes[one])
            of_each[smallest] = name
            left.remove(smallest)
    return [(str(split), work.title, work.text) for split, work in zip(of_each, works, strict=True)]


def _cut(work: Work, validation: float, test: float) -> list[tuple[str, str, str]]:
    first, second = round(len(work.text) * (1 - validation - test)), round(len(work.text) * (1 - test))
    parts = (("train", work.text[:first]), ("val", work.text[first:second]), ("test", work.text[second:]))
    return [(split, f"{work.title}, {split} part", text) for split, text in parts if text.strip()]


def read_books(data: Data, *, seed: int, others: bool = False) -> Examples:
    """The passages of the authors that `data.labels` names, split by work.

    Args:
        data: Its `source`, `labels`, `validation`, `test`, `per_class` and `input` are used; `per_class` takes
            the first passages of each author, about so many.
        seed: Draws which works are held out.
        others: Whether to take the authors that `data.labels` leaves out. Defaults to False.

    Returns:
        Examples whose one target is the number of bytes of each passage. Their groups are `AUTHOR/TITLE`.

    Raises:
        DataError: There are no such books, or too little text to hold any out.
    """
    works = read_works(data.source, on_bad=data.on_bad)
    names = list(dict.fromkeys(work.author for work in works))
    chosen = set(names) if data.labels is None else set(matching_names(names, data.labels, source=data.source))
    if others and not (chosen := set(names) - chosen):
        raise DataError(
            "The source has no other authors.", received=listed(names), fix="Add their books, or leave the stage out."
        )
    length = data.input.length if isinstance(data.input, Passages) else Passages().length
    rows: list[tuple[bytes, str, str]] = []
    notes = []
    for author in (name for name in names if name in chosen):
        own = [work for work in works if work.author == author]
        parts = held_out_parts(own, validation=data.validation, test=data.test, seed=seed)
        cut = [(passage, split, f"{author}/{title}") for split, title, text in parts for passage in passages_of(text, length)]
        rows += cut if data.per_class is None else _first(cut, data.per_class)
        notes.append(_note(author, parts, whole=len(own) >= FEW_WORKS))
    contents = np.empty(len(rows), object)
    contents[:] = [passage for passage, _, _ in rows]
    splits = np.array([split for _, split, _ in rows])
    if missing := [name for name in ("train", "val", "test") if not (splits == name).any()]:
        raise DataError(
            f"The books of {data.source} are too short to hold any out.",
            received=f"{len(rows)} passages of {length} bytes, none for {', '.join(missing)}",
            fix="Add books, or take shorter passages: data.input.length.",
        )
    sample = data.source.startswith("sample:")
    return Examples(
        class_names=(TARGET,),
        targets=_sizes(contents),
        contents=contents,
        groups=np.array([group for _, _, group in rows]),
        splits=splits,
        source=data.source,
        note="written by a program, by no author" if sample else "",
        noun="passage",
        nouns="passages",
        findings=tuple({"kind": "split_by_work", "severity": "info", "files": [], "note": note} for note in notes),
    )


def _first(rows: Sequence[tuple[bytes, str, str]], count: int) -> list[tuple[bytes, str, str]]:
    """At most about `count` passages, the first ones of each split, which keep their shares."""
    share = min(1.0, count / max(len(rows), 1))
    found = []
    for name in dict.fromkeys(split for _, split, _ in rows):
        own = [row for row in rows if row[1] == name]
        found += own[: max(1, round(share * len(own)))]
    return found


def authors_of(examples: Examples) -> list[str]:
    """The author of each passage."""
    return [] if examples.groups is None else [str(group).split("/", 1)[0] for group in examples.groups]


def _sizes(contents: NDArray[np.object_]) -> NDArray[np.float32]:
    return np.array([[len(content)] for content in contents], np.float32)


def _note(author: str, parts: Sequence[tuple[str, str, str]], *, whole: bool) -> str:
    counts = {split: [title for name, title, _ in parts if name == split] for split in ("val", "test")}
    if not whole:
        return f"{author}: fewer than {FEW_WORKS} works, so the last part of each is held out."
    held = "; ".join(f"{name} {listed(titles, limit=5)}" for name, titles in counts.items())
    return f"{author}: whole works are held out: {held}."

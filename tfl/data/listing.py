"""`data.csv`: which examples a run used, by content, so that a later look can say which were added, removed or relabelled."""

from __future__ import annotations

import csv
import io
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfl.data.bundle import Bundle
from tfl.data.examples import SPLITS, Examples
from tfl.data.targets import target_text
from tfl.errors import RunError
from tfl.storage import storage_errors, write_atomically

NAME, EXTRA_NAME = "data.csv", "extra.csv"
_COLUMNS = ("split", "label", "fingerprint", "file")
_DIGITS = 32  # of the SHA-256: 128 bits tell any two contents apart


@dataclass(frozen=True)
class Listed:
    """One example of a run.

    Args:
        split: `train`, `val`, `test`, or empty for an example that was left out of all.
        label: The name of its class; its labels as `cat;dog`; its number, or its numbers as `age=3.5;weight=70`.
        fingerprint: The first 32 hexadecimal digits of the SHA-256 of its content.
        file: Its path, below the source where it lies there; `#index` of an array.
    """

    split: str
    label: str
    fingerprint: str
    file: str


@dataclass(frozen=True, kw_only=True)
class DataChanges:
    """How the examples of one run differ from those of another, as pairs (before, after) or single rows.

    Attributes:
        added, removed: Content that only one of them has.
        changed: Other content under the same name.
        relabelled: The same content with another label.
        moved: The same content and label in another split.
        renamed: The same content, label and split under another name: the order of the examples may differ.
        reordered: Whether nothing of that happened and yet the order differs.
    """

    added: tuple[Listed, ...] = ()
    removed: tuple[Listed, ...] = ()
    changed: tuple[tuple[Listed, Listed], ...] = ()
    relabelled: tuple[tuple[Listed, Listed], ...] = ()
    moved: tuple[tuple[Listed, Listed], ...] = ()
    renamed: tuple[tuple[Listed, Listed], ...] = ()
    reordered: bool = False

    def __bool__(self) -> bool:
        return self.reordered or any(self.of_kind().values())

    def of_kind(self) -> dict[str, tuple[Any, ...]]:
        """The lists by name, in the order in which they matter."""
        return {name: getattr(self, name) for name in ("added", "removed", "changed", "relabelled", "moved", "renamed")}


def write_listing(folder: Path | str, bundle: Bundle) -> dict[str, str]:
    """Writes `data.csv` into a run folder: one row per example, in their order.

    Returns:
        By split, a hash of the content and the target of each of its examples, in order.
    """
    _write(Path(folder) / NAME, bundle)
    return {split: bundle.content_hash(split) for split in SPLITS}


def write_extra_listing(folder: Path | str, bundle: Bundle) -> None:
    """Writes `extra.csv` into a run folder: the examples of `Recipe.extra_data` that train, likewise.

    Args:
        folder: Of the run.
        bundle: They alone.
    """
    _write(Path(folder) / EXTRA_NAME, bundle)


def _write(path: Path, bundle: Bundle) -> None:
    examples, splits = bundle.examples, bundle.split.names(len(bundle.examples)).tolist()
    labels = [target_text(examples, index) for index in range(len(examples))]
    prints = [short_fingerprint(fingerprint) for fingerprint in bundle.fingerprints]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(zip(splits, labels, prints, _names(examples, bundle.data.source), strict=True))
    write_atomically(path, text.getvalue().encode("utf-8", "surrogateescape"))


def read_listing(folder: Path | str) -> list[Listed] | None:
    """The examples of a run, in the order of its examples; None for a run that has no `data.csv`.

    Raises:
        RunError: It is damaged.
    """
    return _read(Path(folder) / NAME)


def read_seen(folder: Path | str) -> list[Listed] | None:
    """The same, and behind them the examples of `Recipe.extra_data` that the run was trained on.

    Raises:
        RunError: A list is damaged.
    """
    own = _read(Path(folder) / NAME)
    return None if own is None else [*own, *(_read(Path(folder) / EXTRA_NAME) or ())]


def _read(path: Path) -> list[Listed] | None:
    if not path.is_file():
        return None
    try:
        with storage_errors(path, doing="read"):
            text = path.read_bytes().decode("utf-8", "surrogateescape")
        rows = list(csv.reader(io.StringIO(text, newline="")))
        if not rows or tuple(rows[0]) != _COLUMNS:
            raise ValueError(f"its columns are {rows[0] if rows else 'missing'}")
        return [Listed(*row) for row in rows[1:]]
    except (ValueError, TypeError, csv.Error) as error:
        raise RunError(f"{path} is damaged: {error}.", fix="Run the recipe again in another folder.") from error


def data_changes(before: Sequence[Listed], after: Sequence[Listed]) -> DataChanges:
    """What changed from one list of examples to another. They are matched by content first, then by name.

    Example:

    >>> before = [Listed("train", "ant", "f1", "1"), Listed("train", "bee", "f2", "2")]
    >>> after = [Listed("train", "bee", "f1", "1"), Listed("test", "bee", "f2", "2"), Listed("val", "ant", "f3", "3")]
    >>> found = data_changes(before, after)
    >>> len(found.relabelled), len(found.moved), len(found.added), len(found.removed)
    (1, 1, 1, 0)
    """
    same, only_before, only_after = _matched(before, after, by=("fingerprint", "file", "label", "split"))
    for by in (("fingerprint", "file"), ("fingerprint", "label"), ("fingerprint",)):
        more, only_before, only_after = _matched(only_before, only_after, by=by)
        same += more
    changed, removed, added = _matched(only_before, only_after, by=("file",))
    kinds: dict[str, list[tuple[Listed, Listed]]] = defaultdict(list)
    for pair in same:
        kinds[_kind(*pair)].append(pair)
    found = DataChanges(
        added=tuple(added),
        removed=tuple(removed),
        changed=tuple(changed),
        relabelled=tuple(kinds["relabelled"]),
        moved=tuple(kinds["moved"]),
        renamed=tuple(kinds["renamed"]),
    )
    return found if found or list(before) == list(after) else DataChanges(reordered=True)


def _matched(
    before: Iterable[Listed], after: Iterable[Listed], *, by: Sequence[str]
) -> tuple[list[tuple[Listed, Listed]], list[Listed], list[Listed]]:
    """Pairs that agree in the fields `by`, each row in at most one, and what is left of both."""
    waiting: dict[tuple[str, ...], list[Listed]] = defaultdict(list)
    for row in after:
        waiting[_key(row, by)].append(row)
    for rows in waiting.values():
        rows.reverse()  # the first of equal ones goes first
    pairs, left = [], []
    for row in before:
        partners = waiting[_key(row, by)]
        if partners:
            pairs.append((row, partners.pop()))
        else:
            left.append(row)
    taken = {id(pair[1]) for pair in pairs}
    return pairs, left, [row for row in after if id(row) not in taken]


def _key(row: Listed, by: Sequence[str]) -> tuple[str, ...]:
    return tuple(getattr(row, field) for field in by)


def _kind(before: Listed, after: Listed) -> str:
    for kind, field in (("relabelled", "label"), ("moved", "split"), ("renamed", "file")):
        if getattr(before, field) != getattr(after, field):
            return kind
    return "same"


def split_of_content(listing: Iterable[Listed]) -> dict[str, str]:
    """The split of each content, by its fingerprint; content that is in several splits counts for the first of train, val, test.

    Example:

    >>> split_of_content([Listed("test", "ant", "f1", "1"), Listed("train", "bee", "f1", "2")])
    {'f1': 'train'}
    """
    found: dict[str, str] = {}
    for split in reversed(SPLITS):
        found |= {row.fingerprint: split for row in listing if row.split == split}
    return found


def short_fingerprint(fingerprint: str) -> str:
    """A fingerprint as `data.csv` has it."""
    return fingerprint[:_DIGITS]


def _names(examples: Examples, source: str) -> list[str]:
    """What each example is called, as seen from its source: a copy of the data elsewhere has the same names."""
    names = [examples.name_of(index) for index in range(len(examples))]
    if examples.paths is None or not names:
        return names
    files = [os.path.abspath(os.path.expanduser(name)) for name in names]
    base = os.path.abspath(examples.root or os.path.expanduser(source))
    if os.path.isfile(base):
        base = os.path.dirname(base)
    elif not os.path.isdir(base):  # a source by name, whose files lie in a cache
        base = os.path.commonpath([os.path.dirname(file) for file in files])
    start = base.rstrip(os.sep) + os.sep
    return [file.removeprefix(start) if file.startswith(start) else name for file, name in zip(files, names, strict=True)]

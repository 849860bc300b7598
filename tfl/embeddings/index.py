"""A file of vectors that is searched, added to and removed from."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tfl.data.listing import read_seen
from tfl.data.subset import choose_evenly
from tfl.embeddings.embed import make_parts
from tfl.embeddings.network import Encoded, VectorNetwork, network_of_about
from tfl.embeddings.options import METRICS, TOP, HoldOut, Metric
from tfl.embeddings.parts import Parts
from tfl.embeddings.search import check_search, nearest
from tfl.embeddings.shared import SharedNetwork, kinds_in
from tfl.embeddings.sources import data_of_kind, examples_of_texts, read_source
from tfl.embeddings.vector_file import Batch, Rows, VectorFile, open_vectors, write_vectors
from tfl.embeddings.verification import MOST_ITEMS, Verification, verification
from tfl.embeddings.wanted import data_to_read
from tfl.errors import BadContentError, DataError, listed
from tfl.storage import check_can_write, locked

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

    from tfl.data.examples import Examples

_FEWEST = 4
"""Examples of a label that verification takes."""


@dataclass(frozen=True, kw_only=True)
class Similar:
    """What is nearest to some examples.

    Attributes:
        queries: For each that can be read `file` and `neighbours`, the nearest first: each `file`, `label`, `similarity` (or
            `distance`), `same_content` and `preview`.
        unreadable: For each other one `file` and `why`.
    """

    queries: list[dict[str, Any]] = field(default_factory=list)
    unreadable: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Changed:
    """How a file of vectors was changed.

    Attributes:
        added, replaced, removed: Rows that are new, that took the place of others of the same name, and that are gone.
        count: Rows there are now.
        unreadable: Examples that could not be added: `file` and `why`.
    """

    added: int = 0
    replaced: int = 0
    removed: int = 0
    count: int = 0
    unreadable: list[dict[str, str]] = field(default_factory=list)


class VectorIndex:
    """A file of vectors, and the network that made them. `tfl.embed` and `tfl.load_vectors` return one.

    Args:
        path: The file, `.parquet` or `.npy`.
        network: Where the network is now, if not where the file says.

    Raises:
        DataError: There is no such file, or it is damaged.

    Example:

    >>> import tempfile, tfl
    >>> index = tfl.embed("mini", "sample:digits", f"{tempfile.mkdtemp()}/digits.npy", settings={"data.per_class": 10})
    >>> len(index), index.vectors().shape
    (100, (100, 128))
    """

    def __init__(self, path: Path | str, *, network: Path | str | None = None) -> None:
        self.path = Path(path)
        self._network_at = network
        self._file: VectorFile = open_vectors(self.path)

    def __len__(self) -> int:
        return len(self._file)

    def __repr__(self) -> str:
        about = self.about
        return f"VectorIndex({str(self.path)!r}, {len(self)} vectors of {about['network']}, {about['block']})"

    @property
    def about(self) -> dict[str, Any]:
        """What made the vectors, as plain data."""
        return self._file.about

    @property
    def rows(self) -> Rows:
        """What is known of each example: `files`, `labels`, `fingerprints`, `groups`, `previews`."""
        return self._file.rows

    def vectors(self, positions: Sequence[int] | NDArray[np.integer] | None = None) -> NDArray[np.float32]:
        """`(n, width)` float32, all vectors or those at some positions."""
        return self._file.read_all() if positions is None else self._file.take(positions)

    @functools.cached_property
    def network(self) -> VectorNetwork:
        """The network that made the vectors, loaded at first use.

        Raises:
            DataError: It is another one by now.
            RunError, BackboneError: It is not there any more.
        """
        return network_of_about(self.about, self.path, self._network_at)

    def similar(
        self,
        files: Path | str | Iterable[Path | str] = (),
        *,
        texts: Sequence[str] = (),
        words: Sequence[str] = (),
        top: int = TOP,
        metric: Metric = "cosine",
        on_bad: Literal["error", "skip"] = "error",
        say: Callable[[str], None] | None = None,
    ) -> Similar:
        """The examples of the file that are nearest to others.

        Args:
            files: A file, a folder, or several of these; of a pair of encoders also files of the other kind.
            texts: Texts that are not in files, where the vectors are of texts.
            words: Words to search by, where a pair of encoders made the vectors, whatever they are of.
            top: How many for each.
            metric: `cosine` or `euclidean`.
            on_bad: `error` raises where one cannot be read, `skip` leaves it out.
            say: Told in a sentence when a search graph is built.

        Raises:
            DataError: A file is missing, or there is nothing to compare.
            BadContentError: Files cannot be read; all of them named.
            MissingExtraError: There are 50,000 vectors or more and usearch is not installed.
        """
        if metric not in METRICS:
            raise DataError("There is no such metric.", received=metric, allowed=METRICS)
        if top < 1:
            raise DataError("`top` is out of range.", received=top, allowed="an integer of at least 1")
        check_search(len(self), metric)
        kind, examples, names = self._queries(files, texts, words)
        found = self._network_for(kind).encode(examples)
        if found.unreadable and (on_bad == "error" or not len(found.kept)):
            raise _unreadable(found, examples)
        places, values = self.nearest(found.vectors, top=top, metric=metric, say=say)
        queries = [
            {"file": names[int(at)], "neighbours": self._described(row, numbers, metric, found.fingerprints[number])}
            for number, (at, row, numbers) in enumerate(zip(found.kept, places, values, strict=True))
        ]
        return Similar(queries=queries, unreadable=found.unreadable)

    def nearest(
        self,
        vectors: NDArray[np.floating],
        *,
        top: int = TOP,
        metric: Metric = "cosine",
        say: Callable[[str], None] | None = None,
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The rows nearest to some vectors `(queries, width)`: positions `(queries, top)`, and similarities or distances."""
        return nearest(self._file, np.asarray(vectors, np.float32), count=top, metric=metric, say=say)

    def encode(self, files: Path | str | Iterable[Path | str] = (), *, texts: Sequence[str] = ()) -> Encoded:
        """The vectors of other examples, made as those of the file were.

        Raises:
            DataError: A file is missing.
        """
        kind, examples, _ = self._queries(files, texts)
        return self._network_for(kind).encode(examples)

    def _network_for(self, kind: str) -> VectorNetwork:
        return self.network.for_kind(kind) if isinstance(self.network, SharedNetwork) else self.network

    def verification(self, *, target: float = 0.01, held_out: HoldOut | None = None, seed: int = 0) -> Verification:
        """Thresholds from which two examples count as the same, with their error rates; see `tfl.embeddings.verification`.

        At most 2,000 labelled examples are compared. Those that the run was trained or validated on are left out where that
        leaves two labels with four examples each.

        Args:
            target: The false accept rate that a threshold is chosen for.
            held_out, seed: As of `tfl.embeddings.verification.verification`.

        Raises:
            DataError: The vectors have no classes as labels, or there are too few pairs.
        """
        chosen, notes = self._verified(seed)
        rows = self.rows.take(chosen.tolist())
        options: dict[str, Any] = {"target": target, "held_out": held_out, "seed": seed, "notes": notes}
        return verification(self.vectors(chosen), rows.labels, _units(rows), **options)

    def _verified(self, seed: int) -> tuple[NDArray[np.int64], list[str]]:
        """The rows that verification compares, and what is to be said of that."""
        labels = np.array(self.rows.labels, object)
        if not (labels != "").any():
            raise DataError(f"The vectors of {self.path} have no labels.", fix="Make vectors of labelled examples: tfl embed")
        if self.about.get("task") not in ("classify", ""):
            raise DataError(
                "Verification asks whether two examples have the same class.",
                received=f"labels of the task `{self.about['task']}`",
                allowed="one class of each example",
            )
        chosen, notes = _without_used(np.flatnonzero(labels != ""), labels, self.rows.fingerprints, self._used_by_run())
        if len(chosen) > MOST_ITEMS:
            numbers = np.unique(labels[chosen].astype(str), return_inverse=True)[1]
            notes.append(f"{MOST_ITEMS:,} of {len(chosen):,} examples are compared, evenly of the labels.")
            chosen = chosen[choose_evenly(numbers, count=MOST_ITEMS, seed=seed)]
        return chosen, notes

    def _used_by_run(self) -> set[str]:
        """The contents that the run was trained or validated on; none where no run made the vectors, or it is gone."""
        run = self._network_at or self.about.get("run")
        if self.about.get("run") is None or run is None:
            return set()
        listing = read_seen(run) or []
        return {row.fingerprint for row in listing if row.split in ("train", "val")}

    def add(
        self,
        files: Path | str | Iterable[Path | str],
        *,
        label: str | None = None,
        labels: bool = True,
        on_bad: Literal["error", "skip"] = "error",
        console: Console | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> Changed:
        """Adds examples; those of a name that is there already take its place.

        Args:
            files: A source, or several files and folders.
            label: The label of all of them. By default that of the source, where it has any.
            labels: Whether labels are looked for in the source.
            on_bad: `error` adds nothing where one cannot be read, `skip` adds the others.
            console: Where to say what is done.
            progress: Called with how many examples are done.

        Raises:
            DataError: There is nothing to add.
            BadContentError: Files cannot be read; all of them named.
            StorageError: The file cannot be written; it is as it was.
        """
        check_can_write(self.path, folder=False)
        network = self.network
        places = _listed(files)
        data = data_to_read(network.recipe, places[0] if places else "")
        source = read_source(places, data, kinds=(data.kind,), task=network.recipe.task, labels=labels and label is None)
        if label is not None:
            source.labels[:] = [label] * len(source)
        parts = Parts(self.path)
        with locked(parts.folder):
            count, _ = make_parts(parts, network, source, console=console, progress=progress)
            unreadable = parts.unreadable(count)
            if unreadable and (on_bad == "error" or not parts.rows(count)):
                parts.remove()
                raise _unreadable_files(unreadable, source.examples.nouns)
            new = [name for rows, _ in parts.batches(count) for name in rows.files]
            gone = self._positions_of(new)
            self._rewrite(gone, lambda: parts.batches(count), len(new))
            parts.remove()
        return Changed(added=len(new) - len(gone), replaced=len(gone), count=len(self), unreadable=unreadable)

    def remove(self, files: Path | str | Iterable[Path | str]) -> Changed:
        """Removes examples by their names, or every example below a folder; the files themselves need not be there any more.

        Raises:
            DataError: One is not in the file of vectors; nothing was removed.
            StorageError: The file cannot be written; it is as it was.
        """
        check_can_write(self.path, folder=False)
        named = [str(file) for file in _listed(files)]
        gone: set[int] = set()
        missing = []
        for name in named:
            found = self._positions_of([name]) or self._positions_below(name)
            gone |= found
            missing += [] if found else [name]
        if missing or not named:
            raise DataError(
                f"{self.path} has no vectors of {listed(missing) or 'nothing'}.",
                allowed=f"names as the file has them, such as {listed(list(self.rows.files[:2]))}, or a folder of them",
            )
        self._rewrite(gone, lambda: iter(()), 0)
        return Changed(removed=len(gone), count=len(self))

    def _rewrite(self, without: set[int], more: Callable[[], Iterator[Batch]], count: int) -> None:
        """Writes the file again, without some rows and with others behind them."""
        file = self._file

        def batches() -> Iterator[Batch]:
            for start, vectors in file.batches():
                kept = [at for at in range(len(vectors)) if start + at not in without]
                if kept:
                    yield file.rows.take(start + at for at in kept), vectors[kept]
            yield from more()

        left = len(file) - len(without) + count
        if not left:
            raise DataError(f"Nothing would be left in {self.path}.", fix="Delete the file instead.")
        write_vectors(self.path, file.about, batches(), count=left)
        self._file = open_vectors(self.path)

    def _positions_of(self, names: Iterable[str]) -> set[int]:
        """The rows that are called so: as they are written, or by the same absolute path."""
        wanted = set(names)
        absolute = {os.path.abspath(name) for name in wanted}
        return {at for at, file in enumerate(self.rows.files) if file in wanted or os.path.abspath(file) in absolute}

    def _positions_below(self, folder: str) -> set[int]:
        start = os.path.abspath(folder).rstrip(os.sep) + os.sep
        return {at for at, file in enumerate(self.rows.files) if os.path.abspath(file).startswith(start)}

    def _queries(
        self, files: Path | str | Iterable[Path | str], texts: Sequence[str], words: Sequence[str] = ()
    ) -> tuple[str, Examples, list[str]]:
        """The kind of the examples that are compared, the examples, and what each is called."""
        kinds = kinds_in(self.about)
        kind = kinds[0]
        if texts or words:
            if words and "text" not in kinds[len(kinds) == 1 :]:
                raise DataError(
                    "Words find examples where a pair of encoders made the vectors, such as CLIP.",
                    received=f"vectors of {self.about['network']}, {self.about['block']}",
                    fix="Make them with such a preset, and without --block and --pooling: tfl embed PRESET SOURCE",
                )
            if texts and kind != "text":
                raise DataError(
                    "Texts cannot be compared with these vectors.",
                    received=f"vectors of the kind `{kind}`",
                    fix="Search by words, with --words or words=." if "text" in kinds else None,
                )
            if _listed(files):
                raise DataError("Texts are given, and files are named as well.", fix="Leave one of them out.")
            both = [*texts, *words]
            return "text", examples_of_texts(both), both
        named = _listed(files)
        if missing := [str(file) for file in named if not os.path.exists(os.path.expanduser(file))]:
            raise DataError(f"There is no file {listed(missing)}.", fix="Name files, or folders of them.")
        source = read_source(named, data_of_kind("files", kind), kinds=kinds, labels=False)
        return source.data.kind, source.examples, [source.name_of(at) for at in range(len(source))]

    def _described(
        self, places: NDArray[np.int64], values: NDArray[np.float32], metric: Metric, fingerprint: str
    ) -> list[dict[str, Any]]:
        name = "similarity" if metric == "cosine" else "distance"
        rows = self.rows
        return [
            {
                "file": rows.files[at],
                "label": rows.labels[at] or None,
                name: float(value),
                "same_content": rows.fingerprints[at] == fingerprint,
                **({"preview": rows.previews[at]} if rows.previews[at] else {}),
            }
            for at, value in zip(places.tolist(), values.tolist(), strict=True)
            if np.isfinite(value)
        ]


def _units(rows: Rows) -> list[str]:
    """What each row is a part of: its group, else its content; copies belong together."""
    known: dict[str, str] = {}
    pairs = zip(rows.groups, rows.fingerprints, strict=True)
    return [known.setdefault(fingerprint, group or fingerprint) for group, fingerprint in pairs]


def _without_used(
    chosen: NDArray[np.int64], labels: NDArray[Any], fingerprints: Sequence[str], used: set[str]
) -> tuple[NDArray[np.int64], list[str]]:
    """The chosen rows without those that the network was made with, as far as enough are left, and what is to be said."""
    unseen = chosen[np.array([fingerprints[at] not in used for at in chosen.tolist()], bool)]
    if len(unseen) == len(chosen):
        return chosen, []
    counts = np.unique(labels[unseen].astype(str), return_counts=True)[1]
    if (counts >= _FEWEST).sum() < 2:
        return chosen, ["The run was trained or validated on these examples: new ones will be told apart less well."]
    return unseen, [f"{len(chosen) - len(unseen)} examples that the run was trained or validated on are left out."]


def _listed(files: Path | str | Iterable[Path | str]) -> list[Path | str]:
    return [files] if isinstance(files, str | Path) else list(files)


def _unreadable(found: Encoded, examples: Examples) -> BadContentError:
    return _unreadable_files(found.unreadable, examples.nouns)


def _unreadable_files(rows: Sequence[dict[str, str]], nouns: str) -> BadContentError:
    lines = listed([f"\n  {row['file']} {row['why']}" for row in rows])
    return BadContentError(
        f"{len(rows)} of the files cannot be read as {nouns}:{lines}\n", fix="Leave them out, or skip them with --skip-bad."
    )

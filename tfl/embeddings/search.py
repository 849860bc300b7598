"""The nearest vectors of a file: compared with every one below 50,000, through a graph of usearch above.

The graph (HNSW, Malkov and Yashunin 2018) lies beside the file, `vectors.usearch`. It is built when it is first needed, and
brought up to date when rows were added or removed. What it proposes is compared exactly before it is returned.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.embeddings.options import Metric
from tfl.embeddings.vector_file import Rows, VectorFile
from tfl.errors import MissingExtraError, StorageError
from tfl.storage import storage_errors, write_atomically
from tfl.vectors import unit_length

if TYPE_CHECKING:
    from numpy.typing import NDArray

EXACT_BELOW = 50_000
"""Rows of a file below which a query is compared with every one."""
_PROPOSED = 4
_FEWEST_PROPOSED = 64
Found = tuple["NDArray[np.int64]", "NDArray[np.float32]"]
"""Positions `(queries, count)`, the nearest first, and their similarities, or distances where the metric is `euclidean`."""


def check_search(count: int, metric: Metric) -> None:
    """Makes sure that a file with so many rows can be searched.

    Raises:
        MissingExtraError: It takes usearch, which is not installed.
    """
    if uses_graph(count, metric) and importlib.util.find_spec("usearch") is None:
        raise MissingExtraError.of("similar", needed_for=f"Searching {count:,} vectors ({EXACT_BELOW:,} or more)")


def uses_graph(count: int, metric: Metric) -> bool:
    """Whether a file with so many rows is searched through a graph: for the cosine, from `EXACT_BELOW` on."""
    return metric == "cosine" and count >= EXACT_BELOW


def nearest(
    file: VectorFile,
    queries: NDArray[np.float32],
    *,
    count: int,
    metric: Metric = "cosine",
    say: Callable[[str], None] | None = None,
) -> Found:
    """The rows nearest to each query.

    Args:
        file: Where to look.
        queries: `(queries, width)`.
        count: How many for each; fewer where the file has fewer.
        metric: `cosine` compares directions: 1 is the same. `euclidean` measures distances: 0 is the same.
        say: Told in a sentence when a graph is built.

    Raises:
        MissingExtraError: usearch is needed and not installed.
    """
    count = min(count, len(file))
    if not uses_graph(len(file), metric):
        return exact(file, queries, count=count, metric=metric)
    check_search(len(file), metric)
    graph = Graph.of(file, say)
    return graph.nearest(queries, count=count)


def exact(file: VectorFile, queries: NDArray[np.float32], *, count: int, metric: Metric = "cosine") -> Found:
    """As `nearest`, by comparing with every row; the file is read once, a part at a time."""
    given = unit_length(queries) if metric == "cosine" else np.asarray(queries, np.float32)
    best = np.full((len(given), count), -np.inf, np.float32)
    places = np.zeros((len(given), count), np.int64)
    for start, vectors in file.batches():
        scores = _scores(given, vectors, metric)
        both = np.concatenate([best, scores], axis=1)
        at = np.concatenate([places, np.broadcast_to(np.arange(start, start + len(vectors)), scores.shape)], axis=1)
        order = np.argsort(-both, axis=1, kind="stable")[:, :count]
        best, places = np.take_along_axis(both, order, axis=1), np.take_along_axis(at, order, axis=1)
    return places, best if metric == "cosine" else np.sqrt(np.maximum(-best, 0.0))


def _scores(queries: NDArray[np.float32], vectors: NDArray[np.float32], metric: Metric) -> NDArray[np.float32]:
    """Larger is nearer: the cosine, or the squared distance below zero."""
    if metric == "cosine":
        return np.clip(queries @ unit_length(vectors).T, -1.0, 1.0)
    return np.array([-((vectors - query) ** 2).sum(axis=1) for query in queries], np.float32).reshape(-1, len(vectors))


def keys_of(rows: Rows) -> NDArray[np.uint64]:
    """A number for each row, of its name and its content, by which a graph knows it; rows that are equal in both share theirs.

    Example:

    >>> rows = Rows(files=["1.png", "1.png", "2.png"], labels=["", "", ""], fingerprints=["f1", "f1", "f1"])
    >>> len(set(keys_of(rows).tolist()))
    2
    """
    pairs = zip(rows.files, rows.fingerprints, strict=True)
    names = (f"{file}\0{fingerprint}".encode(errors="surrogatepass") for file, fingerprint in pairs)
    return np.array([int.from_bytes(hashlib.sha256(name).digest()[:8], "big") for name in names], np.uint64)


class Graph:
    """A usearch index of the rows of a file, brought up to date."""

    def __init__(self, file: VectorFile, index: Any, keys: NDArray[np.uint64]) -> None:
        self._file, self._index = file, index
        self._order = np.argsort(keys, kind="stable")
        self._keys = keys[self._order]

    @classmethod
    def of(cls, file: VectorFile, say: Callable[[str], None] | None = None) -> Graph:
        """The graph of a file: as it lies beside it, after rows that are gone were taken out and new ones put in.

        Where nothing can be written beside the file, it is built in memory each time.
        """
        keys = keys_of(file.rows)
        path = graph_file(file.path)
        index = _opened(path, file)
        if index is None:
            index = _empty(file.width)
            if say is not None:
                say(f"Building the search graph of {len(file):,} vectors, once.")
        there = np.fromiter((int(key) for key in index.keys), np.uint64, len(index))
        gone, new = np.setdiff1d(there, keys), ~np.isin(keys, there)
        if len(gone) or new.any():
            index = _brought_up_to_date(index, path, file, keys, gone, new)
            _save(index, path, file)
        return cls(file, index, keys)

    def nearest(self, queries: NDArray[np.float32], *, count: int) -> Found:
        """The rows nearest to each query by the cosine; what the graph proposes is compared exactly."""
        proposed = max(_FEWEST_PROPOSED, _PROPOSED * count)
        self._index.expansion_search = max(proposed, self._index.expansion_search)
        places = np.zeros((len(queries), count), np.int64)
        best = np.full((len(queries), count), -np.inf, np.float32)
        for number, query in enumerate(unit_length(queries)):
            keys = np.asarray(self._index.search(query, proposed).keys, np.uint64)
            candidates = self._places(keys)
            scores = _scores(query[None], self._file.take(candidates), "cosine")[0]
            order = np.argsort(-scores, kind="stable")[:count]
            places[number, : len(order)], best[number, : len(order)] = candidates[order], scores[order]
        return places, best

    def _places(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Every row that has one of these keys."""
        low, high = (np.searchsorted(self._keys, keys, side=side) for side in ("left", "right"))
        inside = [self._order[a:b] for a, b in zip(low, high, strict=True)]
        return np.unique(np.concatenate(inside)) if inside else np.empty(0, np.int64)


def graph_file(path: Path) -> Path:
    """Where the graph of a file lies.

    Example:

    >>> graph_file(Path("a/vectors.parquet")).name
    'vectors.usearch'
    """
    return path.with_suffix(".usearch")


def _made_by(file: VectorFile) -> str:
    return json.dumps([file.about.get(name) for name in ("weights", "graph", "block", "normalized", "width", "modality")])


def _description(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _empty(width: int) -> Any:
    from usearch.index import Index

    return Index(ndim=width, metric="cos", dtype="f16")


def _opened(path: Path, file: VectorFile) -> Any:
    """The graph as it lies there, mapped into memory; None where there is none, or one of other vectors."""
    from usearch.index import Index

    try:
        if json.loads(_description(path).read_text(encoding="utf-8")) != {
            "made_by": _made_by(file),
            "bytes": os.path.getsize(path),
        }:
            return None
        index = Index.restore(str(path), view=True)
    except (OSError, ValueError, RuntimeError):
        return None
    return index if index is not None and index.ndim == file.width else None


def _brought_up_to_date(
    index: Any, path: Path, file: VectorFile, keys: NDArray[np.uint64], gone: NDArray[np.uint64], new: NDArray[np.bool_]
) -> Any:
    from usearch.index import Index

    if len(index):  # one that is mapped cannot be changed
        index = Index.restore(str(path))
    for key in gone.tolist():
        index.remove(key)
    done: set[int] = set()
    for start, vectors in file.batches():
        here = [at for at in np.flatnonzero(new[start : start + len(vectors)]).tolist() if int(keys[start + at]) not in done]
        here = list({int(keys[start + at]): at for at in reversed(here)}.values())
        if here:
            index.add(keys[start + np.array(here)], vectors[here], threads=1)  # several threads leave some rows unreachable
            done.update(int(keys[start + at]) for at in here)
    return index


def _save(index: Any, path: Path, file: VectorFile) -> None:
    """Keeps the graph; where that cannot be written, it is built again next time."""
    try:
        with storage_errors(path):
            _description(path).unlink(missing_ok=True)
        write_atomically(path, lambda scratch: index.save(str(scratch)))
        document = {"made_by": _made_by(file), "bytes": os.path.getsize(path)}
        write_atomically(_description(path), json.dumps(document))
    except StorageError:
        return

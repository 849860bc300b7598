"""`tfl.embed`, `tfl.similar`, `tfl.verify` and `tfl.load_vectors`. No TensorFlow is imported before it is needed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tfl.embeddings.embed import embed_source
from tfl.embeddings.index import VectorIndex
from tfl.embeddings.options import TOP, HoldOut, Metric
from tfl.embeddings.verification import Verification
from tfl.embeddings.wanted import wanted_vectors
from tfl.errors import BadContentError, DataError
from tfl.progress import progress_console, progress_shown
from tfl.vectors import unit_length

Place = Path | str


@dataclass(frozen=True, kw_only=True)
class SameOrNot:
    """Whether two examples show the same.

    Attributes:
        same: Whether their similarity reaches the threshold.
        similarity: The cosine of their vectors.
        threshold: From which similarity they count as the same.
    """

    same: bool
    similarity: float
    threshold: float


def embed(
    network: Place,
    source: Place | Iterable[Place],
    out: Place,
    *,
    block: str | None = None,
    pooling: str | None = None,
    normalize: bool = False,
    labels: bool = True,
    kind: str | None = None,
    settings: Mapping[str, Any] | None = None,
    on_bad: Literal["error", "skip"] = "error",
) -> VectorIndex:
    """Writes the vectors that a network makes of a source to a file: `tfl embed` from Python.

    A call that was killed goes on behind its last finished part when it is made again.

    Args:
        network: A run folder, or a backbone: `mini`, a Keras Applications name, a `.keras` file, a KerasHub preset.
        source: A source as `Data.source`, or several files and folders.
        out: Path of the file, `.parquet` or `.npy`; must not be there.
        block: Whose output, by name. Defaults to what the head of a run reads, or to the last block of a backbone.
        pooling: `avg`, `max`, `flatten` or `first`. Defaults to the run's, or to `avg`.
        normalize: Whether each vector is brought to length one. Defaults to False.
        labels: Whether labels are looked for in the source. Defaults to True.
        kind: One of `tfl.modalities.base.KINDS`, where the network can see several. Defaults to what the source shows.
        settings: Fields of the recipe by their dotted paths, such as `{"data.image_size": (160, 160)}`.
        on_bad: `error` raises after the file is written where some examples cannot be read, `skip` leaves them out.

    Returns:
        The file, opened: `len`, `rows`, `vectors()`, `similar(files)`, `add(files)`, `remove(files)`, `verification()`.

    Raises:
        TflError: The network, the source or the file cannot be used.

    Example:

    >>> import tempfile, tfl
    >>> index = tfl.embed("mini", "sample:digits", f"{tempfile.mkdtemp()}/digits.npy", settings={"data.per_class": 10})
    >>> len(index), len(set(index.rows.labels))
    (100, 10)
    """
    places = [source] if isinstance(source, str | Path) else list(source)
    given = list((settings or {}).items())
    wanted = wanted_vectors(network, block=block, pooling=pooling, normalized=normalize, kind=kind, settings=given)
    console = progress_console()
    with progress_shown(console, "vectors") as progress:
        done = embed_source(wanted, places, out, labels=labels, progress=progress)
    if done.unreadable and on_bad == "error":
        raise BadContentError(
            f"{len(done.unreadable)} examples cannot be read; {done.path} has the vectors of the other {done.count}.",
            received=", ".join(f"{row['file']} {row['why']}" for row in done.unreadable[:5]),
            fix='Use the file with tfl.load_vectors, or pass on_bad="skip".',
        )
    return VectorIndex(done.path)


def load_vectors(path: Place, *, network: Place | None = None) -> VectorIndex:
    """Opens a file that `tfl.embed` or `tfl embed` wrote.

    Args:
        path: The file, `.parquet` or `.npy`.
        network: Where the network that made it is now, if not where the file says.

    Raises:
        DataError: There is no such file, or it is damaged.
    """
    return VectorIndex(path, network=network)


def similar(
    index: VectorIndex | Place,
    files: Place | Iterable[Place] = (),
    *,
    texts: Sequence[str] = (),
    words: Sequence[str] = (),
    top: int = TOP,
    metric: Metric = "cosine",
    on_bad: Literal["error", "skip"] = "error",
) -> list[dict[str, Any]]:
    """The examples of a file of vectors that are nearest to others: `tfl similar` from Python.

    Args:
        index: The file, or what `tfl.embed` or `tfl.load_vectors` returned.
        files: A file, a folder, or several of these.
        texts: Texts that are in no file.
        words: Words to search by, where a pair of encoders such as CLIP made the vectors.
        top: How many for each. Defaults to 5.
        metric: `cosine`, whose similarity is 1 for the same direction, or `euclidean`, whose distance is 0 for the same vector.
        on_bad: `error` raises where a file cannot be read, `skip` leaves it out.

    Returns:
        For each one `file` and `neighbours`, the nearest first: each `file`, `label`, `similarity` or `distance`, `same_content`.

    Raises:
        TflError: A file is missing or unreadable, or the network is not the one that made the vectors.

    Example:

    >>> tfl.similar("vectors.parquet", "leaf.jpg")[0]["neighbours"][0]["label"]  # doctest: +SKIP
    'healthy'
    >>> tfl.similar("clip.parquet", words=["a striped animal"])[0]["neighbours"][0]["file"]  # doctest: +SKIP
    'animals/zebra.jpg'
    """
    opened = index if isinstance(index, VectorIndex) else VectorIndex(index)
    return opened.similar(files, texts=texts, words=words, top=top, metric=metric, on_bad=on_bad).queries


def verify(
    index: VectorIndex | Place,
    first: Place | None = None,
    second: Place | None = None,
    *,
    far: float = 0.01,
    threshold: float | None = None,
    held_out: HoldOut | None = None,
) -> Verification | SameOrNot:
    """The threshold from which two examples count as the same, with its error rates; or the answer for two files.

    Args:
        index: A labelled file of vectors, or what `tfl.embed` or `tfl.load_vectors` returned.
        first, second: Two files. Defaults to None, which measures the thresholds.
        far: The false accept rate that the threshold is chosen for. Defaults to 0.01.
        threshold: A similarity that was chosen before; nothing is measured then.
        held_out: `labels` or `items`: what the items that measure the error rates do not share with those that chose the
            threshold. Defaults to `labels` from eight labels on.

    Returns:
        Without files, the `Verification`; with two, whether they are the `same`, their `similarity` and the `threshold`.

    Raises:
        DataError: The vectors have no labels, or too few pairs for this rate; or one file alone is named.
    """
    opened = index if isinstance(index, VectorIndex) else VectorIndex(index)
    if (first is None) != (second is None):
        raise DataError("Two files are compared.", received="one", fix="Name two, or none to measure the thresholds.")
    if first is None or second is None:
        return opened.verification(target=far, held_out=held_out)
    if threshold is None:
        threshold = opened.verification(target=far, held_out=held_out).at_false_accept.value
    return compare(opened, first, second, threshold=threshold)


def compare(index: VectorIndex, first: Place, second: Place, *, threshold: float) -> SameOrNot:
    """Whether two files show the same, by a threshold on the cosine of their vectors.

    Raises:
        BadContentError: One cannot be read.
    """
    found = index.encode([first, second])
    if found.unreadable:
        raise BadContentError(f"{found.unreadable[0]['file']} {found.unreadable[0]['why']}.", fix="Name two files of one kind.")
    if len(found.vectors) != 2:
        raise DataError("Two files are compared.", received=f"{len(found.vectors)}", fix="Name two files, and no folders.")
    one, other = unit_length(found.vectors)
    similarity = float(np.clip(one @ other, -1.0, 1.0))
    return SameOrNot(same=similarity >= threshold, similarity=similarity, threshold=threshold)

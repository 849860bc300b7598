"""Which unlabelled examples to label next, a page to label them on, and what was labelled put to what was known.

pool ─▶ vectors of the advised network ─▶ BADGE (`tfl.advice.label_next`) ─▶ to_label.csv, label.html
label.html ─▶ labels.csv ─▶ labelled.csv: the source and the new labels, a source as any other
"""

from __future__ import annotations

import csv
import dataclasses
import io
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.data.examples import Examples
from tfl.errors import DataError
from tfl.storage import storage_errors, write_atomically

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

    from tfl.recipe import Data, Recipe

TO_LABEL, PAGE, LABELLED = "to_label.csv", "label.html", "labelled.csv"
_COLUMNS = ("file", "suggestion", "probability")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ToLabel:
    """An example to label.

    Args:
        file: String, its path.
        suggestion: String, the class that the probe gives it.
        probability: Float, how sure the probe is.
    """

    file: str
    suggestion: str
    probability: float


def choose_to_label(
    recipe: Recipe,
    pool: Path,
    folder: Path,
    *,
    features: NDArray[np.float32],
    labels: NDArray[np.integer],
    class_names: tuple[str, ...],
    count: int,
    without: frozenset[str] = frozenset(),
    console: Console | None = None,
) -> list[ToLabel]:
    """Chooses the examples of a folder whose labels are expected to help most; writes `to_label.csv` and `label.html`.

    Examples are chosen by what a linear probe is unsure of and by what they cover: BADGE (Ash et al. 2020), see
    `tfl.advice.label_next`.

    Args:
        recipe: Its network, data and pooling make the vectors of the folder's files.
        pool: Path, a folder of files without labels.
        folder: Path, where to write.
        features: Array of shape `(n, width)`, vectors of labelled examples by the last block of the network.
        labels: Integer array of shape `(n,)`, their classes.
        class_names: Tuple of strings, the names of the classes.
        count: Int, how many examples to choose; all of the folder where it has fewer.
        without: Frozen set of strings, paths that are labelled already.
        console: Where messages and progress are shown. Defaults to None, which shows nothing.

    Raises:
        DataError: The folder has nothing to label.
    """
    from tfl.advice.label_next import label_next
    from tfl.embeddings.embed import embed_source
    from tfl.embeddings.vector_file import open_vectors
    from tfl.embeddings.wanted import wanted_vectors
    from tfl.evaluate.pages.label import write_label_page
    from tfl.modalities.base import modality_of
    from tfl.probes.head import linear_head

    wanted = wanted_vectors(recipe.backbone.name, kind=recipe.data.kind, pooling=recipe.head.pooling)
    described = dataclasses.replace(
        recipe, data=dataclasses.replace(recipe.data, source="unknown", path_column=None, label_column=None, test_fold=None)
    )
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "pool.npy"
        done = embed_source(dataclasses.replace(wanted, recipe=described), [pool], file, labels=False, console=console)
        found = open_vectors(file)
        names = found.rows.files
        left = [at for at, name in enumerate(names) if resolved(name) not in without]
        if not left:
            raise DataError(f"{pool} has nothing to label.", received=f"{len(names)} files, all of them labelled")
        vectors = np.array(found.take(left))
    if done.unreadable and console is not None:
        console.print(f"         {len(done.unreadable)} files of {pool} cannot be read and are left out.", markup=False)
    one_hot: Any = np.eye(len(class_names), dtype=np.float32)[labels]
    head = linear_head(features, one_hot, np.arange(len(labels)), task="classify")
    logits = vectors @ head.kernel + head.bias
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = odds / odds.sum(axis=1, keepdims=True)
    chosen = label_next(vectors, probabilities, count=min(count, len(left)), seed=recipe.seed)
    rows = [
        ToLabel(
            file=names[left[at]],
            suggestion=class_names[int(probabilities[at].argmax())],
            probability=float(probabilities[at].max()),
        )
        for at in chosen.tolist()
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows([row.file, row.suggestion, f"{row.probability:.4f}"] for row in rows)
    write_atomically(folder / TO_LABEL, text.getvalue())
    write_label_page(folder / PAGE, rows, class_names=class_names, modality=modality_of(described))
    return rows


def read_labels(file: Path) -> dict[str, str]:
    """The labels that were given on the page: a class by the path of each file.

    Args:
        file: Path of a CSV with the columns `path` and `label`.

    Raises:
        DataError: It cannot be read, lacks a column, has a row without a path or label, or labels a file twice.
    """
    with storage_errors(file, doing="read"):
        text = file.read_text(encoding="utf-8-sig")
    reader = csv.DictReader(io.StringIO(text))
    missing = [name for name in ("path", "label") if name not in (reader.fieldnames or ())]
    if missing:
        raise DataError(
            f"{file} is no list of labels.",
            received=", ".join(reader.fieldnames or ()) or "an empty file",
            allowed="a CSV with the columns path and label",
            fix="Save it with the button of label.html.",
        )
    found: dict[str, str] = {}
    for number, row in enumerate(reader, start=2):
        path, label = (row["path"] or "").strip(), (row["label"] or "").strip()
        if not path or not label:
            raise DataError(f"Line {number} of {file} has no {'path' if not path else 'label'}.")
        if found.setdefault(path, label) != label:
            raise DataError(f"{file} labels {path} twice.", received=f"{found[path]} and {label}")
    if not found:
        raise DataError(f"{file} has no labels.")
    return found


def with_labels(data: Data, examples: Examples, labels: Mapping[str, str], file: Path) -> Path:
    """Writes a table of the examples of a source and of newly labelled files; the new ones are to train on.

    Examples that were chosen for their difficulty do not belong into a test: it would say too little of the others.

    Args:
        data: The source, for messages.
        examples: Its examples, files.
        labels: The class of each new file, by path.
        file: Path of the table, which `tfl` takes as a source.

    Raises:
        DataError: The source's examples are no files, or a label is none of its classes.
    """
    if examples.paths is None:
        raise DataError(
            f"New labels are added to a source of files, and {data.source} has its examples in one file.",
            fix="Add the newly labelled rows to the table yourself.",
        )
    unknown = sorted(set(labels.values()) - set(examples.class_names))
    if unknown:
        raise DataError("Some labels are no class of the source.", received=unknown, allowed=examples.class_names)
    splits = examples.splits if examples.splits is not None else [""] * len(examples)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "label", "split"])
    for path, label, split in zip(examples.paths, examples.labels, splits, strict=True):
        writer.writerow([resolved(str(path)), examples.class_names[label], split])
    writer.writerows([resolved(path), label, "train"] for path, label in labels.items())
    return write_atomically(file, text.getvalue())


def resolved(path: str) -> str:
    """The path from the root, so that one file has one name."""
    return str(Path(path).expanduser().resolve())

"""How often labelled examples are named right by classes that need not have been trained on: `tfl evaluate --classes`."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.data.audit import audit
from tfl.data.bundle import Bundle
from tfl.data.class_names import folded
from tfl.data.source import load_source
from tfl.data.split import Split
from tfl.errors import DataError
from tfl.tasks.base import task_of
from tfl.zero_shot.fit import answers, harmonic, interval_of, per_class_accuracy
from tfl.zero_shot.namer import Namer

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BATCH = 32


def load_labelled(namer: Namer, source: str, *, skip_bad: bool = False) -> tuple[Bundle, int]:
    """Every example of a source that can be read, labelled with classes that the namer knows; and how many cannot be read.

    Args:
        namer: Which classes there are, and how examples are read.
        source: Labelled examples, in any form that `tfl.Data` takes.
        skip_bad: Whether files that cannot be read are left out; otherwise they are an error.

    Raises:
        DataError: The source cannot be used, or has a class that is not among those of the file.
        BadContentError: Files cannot be read.
    """
    modality: Any = namer.modality
    own = modality.data if namer.run is None else namer.run.recipe.data
    data = dataclasses.replace(
        own,
        source=source,
        per_class=None,
        labels=None,
        exclude=None,
        test_fold=None,
        on_bad="skip" if skip_bad else own.on_bad,
    )
    examples = load_source(data, check_classes=False)
    known = {folded(name) for name in namer.class_names}
    if strange := [name for name in examples.class_names if folded(name) not in known]:
        raise DataError(
            f"{source} has examples of classes that --classes does not name.",
            received=", ".join(strange[:10]),
            allowed=", ".join(namer.class_names[:20]),
        )
    found = audit(examples, modality=modality, on_bad=data.on_bad, keep=True)
    seed = 0 if namer.run is None else namer.run.recipe.seed
    split, task = Split.only("train", len(found.examples)), task_of("classify")
    bundle = Bundle.of(found, split=split, data=data, seed=seed, modality=modality, task=task)
    return bundle, len(examples) - len(found.examples)


def answer_bundle(namer: Namer, bundle: Bundle) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The logits of all examples, `(n, classes)`, and their labels, indices into the classes of the namer."""
    dataset = bundle.dataset(np.arange(len(bundle.examples)), batch_size=_BATCH)
    vectors = np.asarray(namer.network.predict(dataset, verbose=0), np.float64)
    if namer.unit:
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    places = {folded(name): at for at, name in enumerate(namer.class_names)}
    labels = np.array([places[folded(name)] for name in bundle.examples.class_names])[np.asarray(bundle.examples.labels)]
    return namer.logits(vectors), labels


def measured(namer: Namer, logits: NDArray[np.float64], labels: NDArray[np.integer], *, seed: int) -> dict[str, Any]:
    """The figures of some examples.

    Args:
        namer: Its classes, and which of them were trained on.
        logits: `(n, classes)`.
        labels: `(n,)`.
        seed: Of the draws that intervals rest on.

    Returns:
        What `tfl evaluate` says of several classes, `accuracy`, `macro_f1` and so on, with intervals; and `zero_shot`: `chance`;
        `unseen` and `seen`, each None where there are no such examples, else `count`, `classes`, `accuracy` (the mean over
        classes, where all classes can be the answer) and its 95% `interval`; `harmonic`, the harmonic mean of both accuracies,
        None where one is missing; and `rows`, for each class that has examples `name`, `seen`, `count`, `accuracy` and
        `taken_for`, the most frequent wrong answer.
    """
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    task = task_of("classify")
    targets = np.eye(len(namer.class_names), dtype=np.float32)[labels]
    document = task.evaluate(shares.astype(np.float32), targets, namer.class_names, seed=seed)
    answered = logits.argmax(axis=1)
    parts = {name: _part(answered, labels, namer.seen == seen, seed=seed) for name, seen in (("unseen", False), ("seen", True))}
    both = [part["accuracy"] for part in parts.values() if part is not None]
    rows = [
        {**row, "seen": bool(namer.seen[at])}
        for at, row in ((at, answers(namer.class_names, at, answered[labels == at])) for at in np.unique(labels))
    ]
    zero_shot = {"chance": 1 / len(namer.class_names), **parts, "harmonic": harmonic(*both) if len(both) == 2 else None}
    return {**document, "zero_shot": {**zero_shot, "rows": rows}}


def _part(
    answered: NDArray[np.integer], labels: NDArray[np.integer], of: NDArray[np.bool_], *, seed: int
) -> dict[str, Any] | None:
    inside = of[labels]
    if not inside.any():
        return None
    answered, labels = answered[inside], labels[inside]
    return {
        "count": len(labels),
        "classes": len(np.unique(labels)),
        "accuracy": per_class_accuracy(answered, labels),
        "interval": interval_of(answered, labels, seed=seed),
    }

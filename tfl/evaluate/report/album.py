"""The examples that a report shows: samples of each class, the clearest mistakes, and what answers rest on.

`report/album.json` names files of HTML next to it, each the preview of one example by its modality.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tfl.backbones.inputs import joined
from tfl.data.bundle import Bundle
from tfl.evaluate.explain import attributions, tensor_of
from tfl.evaluate.report.verdicts import explained_columns, groups_of, mistakes_of, verdict
from tfl.storage import write_atomically, write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "report/album.json"
MISTAKES = 12
_SAMPLES, _EXPLAINED = 48, 30  # examples in all, shared by the classes
_BATCH = 32


def save_album(
    run_folder: Path | str,
    model: keras.Model,
    bundle: Bundle,
    outputs: Mapping[str, NDArray[np.floating]],
    *,
    layer: str | None,
    seed: int,
) -> None:
    """Writes `report/album.json` and the previews it names into a run folder.

    Args:
        run_folder: Where `report/` goes; an older one is replaced file by file.
        model: From the tensors of the modality to the outputs of the task.
        bundle: The examples and their split.
        outputs: `test` (and `val`): `(n, width)`, rows in the order of the split's indices.
        layer: The layer that `tfl.evaluate.explain.attributions` looks at; None explains nothing.
        seed: Which examples are shown.
    """
    album, generator = _Album(Path(run_folder), bundle), np.random.default_rng(seed)
    test, rows = bundle.indices("test"), np.asarray(outputs["test"], np.float32)
    document: dict[str, Any] = {
        "format": 2,
        "samples": _samples(album, generator),
        "mistakes": [
            album.entry(int(test[at]), **album.verdict(rows[at], int(test[at])))
            for at in mistakes_of(bundle.task, rows, bundle.targets_of("test"), limit=MISTAKES)
        ],
        "explanations": [],
    }
    if layer is not None:
        tensor = tensor_of(model, layer)
        document["explanations"] = _explanations(album, model, test, rows, generator, layer=layer)
        document["feature_layer"] = layer
        document["feature_map"] = [int(edge) for edge in tensor.shape[1:-1] if edge] if len(tensor.shape) == 4 else []
    write_json(Path(run_folder) / NAME, document)


class _Album:
    """The previews of one run."""

    def __init__(self, run_folder: Path, bundle: Bundle) -> None:
        self.run_folder, self.bundle = run_folder, bundle
        self.names = [str(name) for name in bundle.examples.class_names]

    def groups(self, part: str) -> list[tuple[str, NDArray[np.bool_]]]:
        """The examples of a split by what they are labelled: the name of each group, and which positions are in it."""
        return groups_of(self.bundle.task, self.names, self.bundle.targets_of(part))

    def verdict(self, row: NDArray[np.floating], index: int) -> dict[str, Any]:
        """What was true of an example, and what was said of it."""
        return verdict(self.bundle.task, self.names, row, self.bundle.targets[index])

    def entry(self, index: int, *, attribution: NDArray[np.float32] | None = None, **more: Any) -> dict[str, Any]:
        """The preview of one example, and what is known of it."""
        examples, kind = self.bundle.examples, "example" if attribution is None else "explained"
        name = f"report/{kind}-{index}.html"
        preview = self.bundle.modality.preview(examples.bytes_of(index), attribution=attribution)
        write_atomically(self.run_folder / name, preview.html)
        return {"file": name, "text": preview.text, "index": index, "name": str(examples.name_of(index)), **more}


def _of_each_group(
    groups: list[tuple[str, NDArray[np.bool_]]], generator: np.random.Generator, *, total: int, most: int
) -> list[NDArray[np.intp]]:
    """A few positions of each group, `most` at most and about `total` in all; the first groups only when there are many."""
    each = max(1, min(most, total // max(len(groups), 1)))
    return [np.sort(generator.permutation(np.flatnonzero(inside))[:each]) for _, inside in groups[:total]]


def _samples(album: _Album, generator: np.random.Generator) -> list[dict[str, Any]]:
    groups, train = album.groups("train"), album.bundle.indices("train")
    chosen = _of_each_group(groups, generator, total=_SAMPLES, most=6)
    return [
        {"class": name, "examples": [album.entry(int(train[at])) for at in positions]}
        for (name, _), positions in zip(groups, chosen, strict=False)
    ]


def _explanations(
    album: _Album,
    model: keras.Model,
    test: NDArray[np.integer],
    rows: NDArray[np.floating],
    generator: np.random.Generator,
    *,
    layer: str,
) -> list[dict[str, Any]]:
    groups = album.groups("test")
    positions = _of_each_group(groups, generator, total=_EXPLAINED, most=3)
    chosen, group = [], []
    for (name, _), some in zip(groups, positions, strict=False):
        fresh = [at for at in some.tolist() if at not in chosen]  # an example of several labels is explained once
        chosen += fresh
        group += [name] * len(fresh)
    if not chosen:
        return []
    batches = album.bundle.dataset(test[chosen], batch_size=_BATCH).as_numpy_iterator()
    tensors = joined([tensors for tensors, _ in batches])
    found = attributions(model, tensors, explained_columns(album.bundle.task, rows[chosen]), layer=layer)
    return [
        album.entry(int(test[at]), attribution=one, **album.verdict(rows[at], int(test[at])), group=name)
        for at, one, name in zip(chosen, found, group, strict=True)
    ]

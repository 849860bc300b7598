"""The examples of `Recipe.target_data`: read without labels, which are kept apart where there are any."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.data.audit import audit
from tfl.data.bundle import Bundle, derived_seed
from tfl.data.class_names import folded
from tfl.data.examples import listed
from tfl.data.split import Split
from tfl.embeddings.sources import read_source
from tfl.errors import DataError
from tfl.recipe import Data

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEWEST = 8
"""Of fewer examples neither statistics nor densities say anything."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TargetData:
    """The unlabelled examples that a network is adapted to.

    Args:
        bundle: All of them, without labels: those that are adapted to in its training split, the others in its test split.
        truth: `(n,)` int32, the class of each where the source says it, -1 where not. For the report alone.
        notes: What was found on the way, as sentences.
    """

    bundle: Bundle
    truth: NDArray[np.int32]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.bundle.examples)


def load_target_data(data: Data, bundle: Bundle, *, seed: int) -> TargetData:
    """Reads the examples of the target domain.

    What lies in a split `test` of their own is not adapted to, and what the report measures on where its labels are known.

    Args:
        data: `Recipe.target_data`; how examples become tensors is decided by the data of the source.
        bundle: The labelled examples of the source domain.
        seed: Draws `data.per_class` of examples without labels, as many for each class of the source.

    Raises:
        DataError: The source cannot be read, or next to nothing is left of it.
        BadImageError: It has files that cannot be used, and `data.on_bad` is `error`.
    """
    asked = dataclasses.replace(data, source=data.source, test_fold=None)
    found = read_source([data.source], asked, kinds=(bundle.modality.kind,))
    truth, notes = _truth(found.labels, bundle.examples.class_names, found.task, source=data.source)
    names = bundle.examples.class_names
    plain = dataclasses.replace(found.examples, class_names=names, labels=np.zeros(len(found), np.int32))
    plain = dataclasses.replace(plain, groups=np.arange(len(plain)))  # by which those that an audit leaves are known
    audited = audit(plain, modality=bundle.modality, on_bad=data.on_bad, keep=True)
    kept: Any = audited.examples.groups
    truth, splits = truth[kept], audited.examples.splits
    held = np.zeros(len(kept), bool) if splits is None else splits == "test"
    chosen = np.arange(len(kept))
    if data.per_class is not None and not found.task and len(kept) > data.per_class * len(names):
        drawn = np.random.default_rng(derived_seed(seed, "target")).permutation(len(kept))
        chosen = np.sort(drawn[: data.per_class * len(names)])
    if held[chosen].all():  # then the split says nothing
        held[:] = False
    train, test = (np.flatnonzero(held[chosen] == value) for value in (False, True))
    if len(train) < FEWEST:
        raise DataError(
            f"{data.source} has too few examples to adapt to.",
            received=f"{len(train)} {bundle.modality.nouns}",
            allowed=f"{FEWEST} or more",
            fix="Name more examples with `target_data.source`.",
        )
    notes += [f"{one['severity']}: {one['note']}" for one in audited.findings]
    found_there = audited.take(chosen)
    found_there = dataclasses.replace(found_there, examples=dataclasses.replace(found_there.examples, splits=None, groups=None))
    split = Split(train=train, val=np.zeros(0, np.int64), test=test)
    target = bundle.of_others(found_there, split=split, source=data.source)
    return TargetData(bundle=target, truth=truth[chosen], notes=tuple(notes))


def _truth(labels: list[str], names: tuple[str, ...], task: str, *, source: str) -> tuple[NDArray[np.int32], list[str]]:
    """The class of each example by its name, -1 for none, and what to say about it."""
    known = {folded(name): at for at, name in enumerate(names)}
    truth = np.array([known.get(folded(label), -1) if label else -1 for label in labels], np.int32)
    strange = sorted({label for label, at in zip(labels, truth, strict=True) if label and at < 0})
    if task and strange:
        return truth, [
            f"{int((truth < 0).sum())} of {len(truth)} examples of {source} have no class of the labelled data, and are used "
            f"without labels: {listed(strange, limit=5)}."
        ]
    return truth, []

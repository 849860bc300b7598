"""Labelled examples of a related source that train next to a recipe's own: read, matched by class, without copies, and added.

They are never validated or tested on. Whether they are used, and which of them, is decided by `tfl.train.extra_data`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.data.audit import audit
from tfl.data.bundle import Bundle
from tfl.data.cached import CachedTensors
from tfl.data.class_names import folded
from tfl.data.csv_source import GROUP
from tfl.data.examples import Examples, listed
from tfl.data.source import load_source
from tfl.data.split import Split, tied_together
from tfl.errors import DataError
from tfl.recipe import Data

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class ExtraData:
    """The examples of `Recipe.extra_data` that can be used.

    Args:
        bundle: All of them in its training split, with the classes of the target.
        found: How many examples the source has.
        classes: By class of the source that the target does not have, how many examples were left out.
        without: Classes of the target that have no extra examples.
        held_out, trained: How many exact copies of validation or test examples, and of other examples of the target, were left
            out.
        groups: How many examples of a group that the target has, too, were left out.
        findings: Of the audit: dictionaries of `kind`, `severity`, `files` and `note`.
    """

    bundle: Bundle
    found: int
    classes: dict[str, int]
    without: tuple[str, ...]
    held_out: int
    trained: int
    groups: int
    findings: tuple[dict[str, Any], ...]

    def __len__(self) -> int:
        return len(self.bundle.examples)

    @property
    def labels(self) -> NDArray[np.int32]:
        """The class of each, `(n,)` int32."""
        return np.asarray(self.bundle.examples.labels)

    @property
    def units(self) -> NDArray[np.int64]:
        """`(n,)`, the same number for exact copies and for examples of one group."""
        return tied_together(self.bundle.examples, self.bundle.fingerprints)

    def take(self, rows: ArrayLike) -> Bundle:
        """Some of them alone, all in the training split.

        Args:
            rows: Their positions.
        """
        return self.bundle.take(rows)

    def notes(self) -> list[str]:
        """What was left out, and what is missing, as sentences."""
        nouns, notes = self.bundle.modality.nouns, []
        if self.classes:
            count = sum(self.classes.values())
            notes.append(
                f"{count} {nouns} are left out, since the target does not have their classes: {listed(list(self.classes))}."
            )
        if self.held_out:
            notes.append(f"{self.held_out} {nouns} are left out, since they are exact copies of validation or test {nouns}.")
        if self.trained:
            notes.append(f"{self.trained} {nouns} are left out, since they are exact copies of other {nouns} of the target.")
        if self.groups:
            notes.append(f"{self.groups} {nouns} are left out, since the target has {nouns} of their groups.")
        if self.without:
            notes.append(f"No extra {nouns} are of these classes: {listed(list(self.without))}.")
        return notes


def load_extra_data(data: Data, bundle: Bundle, *, seed: int) -> ExtraData:
    """Reads the extra examples, and leaves out what must not train.

    Args:
        data: `Recipe.extra_data`; how examples become tensors is decided by the data of the target.
        bundle: The target's examples, split.
        seed: Draws `data.per_class` where `data.split_seed` is None.

    Raises:
        DataError: The source cannot be read, has no class of the target, or nothing is left of it.
        BadImageError: It has files that cannot be used, and `data.on_bad` is `error`.
    """
    found = load_source(data, seed=seed, check_classes=False)
    examples, left_out = _with_classes_of(bundle.examples, found)
    audited = audit(examples, modality=bundle.modality, on_bad=data.on_bad, keep=True)
    kept, counts = _fresh(bundle, audited.examples, audited.fingerprints)
    if len(kept) < 2:
        raise DataError(
            f"Next to nothing is left of {found.source} that the target does not have itself.",
            received=f"{len(found)} {found.nouns}, of which {counts['held_out'] + counts['trained']} are exact copies of the "
            f"target's and {counts['groups']} are of its groups",
            fix="Name other examples with `extra_data.source`, or leave `extra_data` out. Groups of both sources with the same "
            "name count as one: rename them where they are not.",
        )
    chosen = audited.take(kept)
    pool = bundle.of_others(chosen, split=Split.only("train", len(kept)), source=data.source)
    without = tuple(name for name, count in chosen.examples.counts().items() if not count)
    findings = tuple(audited.findings)
    return ExtraData(bundle=pool, found=len(found), classes=left_out, without=without, findings=findings, **counts)


def _with_classes_of(target: Examples, found: Examples) -> tuple[Examples, dict[str, int]]:
    """The examples whose class the target has, with its labels; and how many others there are, by class."""
    places = {folded(name): label for label, name in enumerate(target.class_names)}
    renumbered = np.array([places.get(folded(name), -1) for name in found.class_names], np.int32)
    if not np.any(renumbered >= 0):
        raise DataError(
            f"{found.source}, the `extra_data`, has no class of the target.",
            received=listed(list(found.class_names)),
            allowed=listed(list(target.class_names)),
            fix="Classes are matched by name: rename the class folders, or the labels of the table.",
        )
    labels = renumbered[found.labels]
    left_out = {name: int((found.labels == at).sum()) for at, name in enumerate(found.class_names) if renumbered[at] < 0}
    chosen = found.take(np.flatnonzero(labels >= 0))
    chosen = dataclasses.replace(chosen, class_names=target.class_names, labels=labels[labels >= 0])
    return chosen, {name: count for name, count in left_out.items() if count}


def _fresh(bundle: Bundle, examples: Examples, fingerprints: Sequence[str]) -> tuple[NDArray[np.int64], dict[str, int]]:
    """The positions of those that the target does not have itself; and how many it has as copies and by group."""
    held = {bundle.fingerprints[int(index)] for part in ("val", "test") for index in bundle.indices(part)}
    own = set(bundle.fingerprints)
    of_held = np.array([one in held for one in fingerprints], bool)
    of_own = np.array([one in own for one in fingerprints], bool)
    by_group = np.zeros(len(examples), bool)
    if bundle.examples.groups is not None and examples.groups is not None:
        shared = {name for name in bundle.examples.groups.tolist() if str(name).startswith(GROUP)}
        by_group = np.array([name in shared for name in examples.groups.tolist()], bool) & ~of_own
    counts = {"held_out": int(of_held.sum()), "trained": int((of_own & ~of_held).sum()), "groups": int(by_group.sum())}
    return np.flatnonzero(~of_own & ~by_group), counts


def with_extra(bundle: Bundle, extra: ExtraData, drawn: NDArray[np.integer]) -> Bundle:
    """The bundle with some of the extra examples behind its own, all of them in the training split.

    Args:
        bundle: The target's examples.
        extra: The others.
        drawn: Integer array, positions in them.
    """
    if not len(drawn):
        return bundle
    return with_extra_examples(bundle, extra.take(drawn))


def with_extra_examples(bundle: Bundle, others: Bundle) -> Bundle:
    """The bundle with all examples of another behind its own, in the training split.

    Args:
        bundle: The target's examples.
        others: The others, with the same classes.
    """
    cached, count = None, len(others.examples)
    rows = np.concatenate([bundle.indices("train"), len(bundle.examples) + np.arange(count)])
    if bundle.cached is not None and others.cached is not None:
        cached = CachedTensors.joined(bundle.cached, others.cached)
    return dataclasses.replace(
        bundle,
        examples=_joined(bundle.examples, others.examples),
        split=dataclasses.replace(bundle.split, train=rows),
        fingerprints=(*bundle.fingerprints, *others.fingerprints),
        cached=cached,
        extra=count,
    )


def _joined(own: Examples, others: Examples) -> Examples:
    """Both, one behind the other; what they are held in is that of both where it is the same, else contents in memory."""
    held: dict[str, Any] = {"paths": None, "arrays": None, "contents": None}
    arrays = [examples.arrays for examples in (own, others) if examples.arrays is not None]
    if own.paths is not None and others.paths is not None:
        held["paths"] = np.concatenate([own.paths, others.paths])
    elif len(arrays) == 2 and arrays[0].shape[1:] == arrays[1].shape[1:] and arrays[0].dtype == arrays[1].dtype:
        held["arrays"] = np.concatenate(arrays)
    else:
        every = [examples.bytes_of(index) for examples in (own, others) for index in range(len(examples))]
        held["contents"] = np.array(every, object)
    labels, groups = np.concatenate([own.labels, others.labels]), _groups(own, others)
    return dataclasses.replace(own, labels=labels, groups=groups, splits=None, **held)


def _groups(own: Examples, others: Examples) -> NDArray[Any] | None:
    """The groups of both, none of which is in both; an example without one is a group of its own."""
    if own.groups is None and others.groups is None:
        return None
    named = [
        [f"{at} {group}" for group in (np.arange(len(one)) if one.groups is None else one.groups)]
        for at, one in enumerate((own, others))
    ]
    return np.array([*named[0], *named[1]])

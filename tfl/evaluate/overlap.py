"""Which examples of a source a run has already used: the same ones by content, near copies as their modality finds them.

Figures on examples that a model was trained on, or that its best epoch was chosen by, say nothing about new ones.
"""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.data.bundle import Bundle
from tfl.data.cached import Cached
from tfl.data.listing import Listed, read_seen, short_fingerprint, split_of_content
from tfl.data.split import Split
from tfl.errors import TflError
from tfl.modalities.base import Audited, Modality, modality_of
from tfl.recipe import Backbone, Recipe
from tfl.runs import Run
from tfl.tasks.base import task_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from rich.console import Console

    from tfl.modalities.base import CopyPrints

SEEN = ("train", "val")
"""Splits that decide a model: it is trained on the one, and its best epochs and its confidence are chosen by the other."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Overlap:
    """What a run has used of some examples.

    Attributes:
        same: `(n,)` the run's split, `train`, `val` or `test`, that has the same content; empty where none has it. None where
            that could not be checked.
        near: `(n,)` `train` or `val` for other examples that are near copies of one there; empty for the rest. None where that
            was not looked for.
        notes: What could not be checked, as sentences.
    """

    same: NDArray[Any] | None
    near: NDArray[Any] | None = None
    notes: tuple[str, ...] = ()

    @property
    def unseen(self) -> NDArray[np.bool_] | None:
        """`(n,)` which examples the model was neither trained nor validated on; None where that is not known."""
        if self.same is None:
            return None
        unseen = ~np.isin(self.same, SEEN)
        return unseen if self.near is None else unseen & (self.near == "")

    def to_json(self, names: Sequence[str]) -> dict[str, Any]:
        """`train`, `val`, `test` and `near` as counts, `unseen`, the `files` that the run has seen and `notes`.

        Args:
            names: Of the examples.
        """
        unseen = self.unseen
        document: dict[str, Any] = {
            name: None if self.same is None else int((self.same == name).sum()) for name in (*SEEN, "test")
        }
        document["near"] = None if self.near is None else int((self.near != "").sum())
        document |= {"unseen": None if unseen is None else int(unseen.sum()), "files": []}
        for how, found in (("same content", self.same), ("near copy", self.near)):
            rows = [] if found is None else np.flatnonzero(np.isin(found, SEEN)).tolist()
            document["files"] += [{"file": names[row], "split": str(found[row]), "how": how} for row in rows]  # type: ignore[index]
        return {**document, "notes": list(self.notes)}


def same_content(known: dict[str, str], fingerprints: Sequence[str]) -> NDArray[Any]:
    """`(n,)` the split of each example in `known`, empty where its content is not there.

    Example:

    >>> same_content({"f1": "train"}, ["f1", "f2"]).tolist()
    ['train', '']
    """
    return np.array([known.get(short_fingerprint(fingerprint), "") for fingerprint in fingerprints], "U5")


def overlap_within(bundle: Bundle) -> Overlap:
    """What is in the test split of a run and in its other splits as well, which a source's own splits may be."""
    splits = bundle.split.names(len(bundle.examples)).tolist()
    rows = [Listed(part, "", short_fingerprint(print_), "") for part, print_ in zip(splits, bundle.fingerprints, strict=True)]
    return Overlap(same=same_content(split_of_content(rows), [bundle.fingerprints[index] for index in bundle.split.test]))


def overlap_with(run: Run, bundle: Bundle, *, near: bool, console: Console) -> Overlap:
    """What a run has used of the examples of another source.

    Args:
        run: `data.csv` has the content of its examples; near copies are looked for while its source can be read.
        bundle: The other examples.
        near: Whether to look for near copies.
        console: Where to say what is going on.
    """
    nouns = bundle.modality.nouns
    try:
        listing = read_seen(run.folder)
        why = f"{run.folder} has no data.csv, which later versions of tfl write"
    except TflError as error:
        listing, why = None, str(error).rstrip(".")
    if listing is None:
        return Overlap(
            same=None, notes=(f"Whether the model was trained on these {bundle.modality.nouns} could not be checked: {why}.",)
        )
    nouns = bundle.modality.nouns
    known = split_of_content(listing)
    same = same_content(known, bundle.fingerprints)
    if not near:
        return Overlap(same=same, notes=(f"Near copies of the run's {nouns} were not looked for.",))
    asked = np.flatnonzero(~np.isin(same, SEEN))
    found = np.zeros(len(same), "U5")
    if not len(asked):
        return Overlap(same=same, near=found)
    try:
        used, notes = _used_examples(run, known, bundle.modality)
        words = f"looking for near copies of {len(used.examples)} {nouns} that the run has used (--quick does not)"
        console.print(words, highlight=False, markup=False, soft_wrap=True)
        found[asked] = _near(run, used, same_content(known, used.fingerprints), bundle.take(asked))
    except (TflError, OSError) as error:
        why = str(error).split("\n")[0].rstrip(".")
        return Overlap(same=same, notes=(f"Near copies of the run's {nouns} could not be looked for: {why}.",))
    return Overlap(same=same, near=found, notes=notes)


def _used_examples(run: Run, known: dict[str, str], modality: Modality) -> tuple[Bundle, tuple[str, ...]]:
    """The training and validation examples of the run that are still in its source, each content once."""
    from tfl.data.source import load_source

    recipe = run.recipe
    examples = load_source(recipe.data, seed=recipe.split_seed, task=recipe.task)
    with ThreadPoolExecutor() as pool:
        prints = list(pool.map(examples.fingerprint_of, range(len(examples)), chunksize=64))
    wanted = {print_ for print_, split in known.items() if split in SEEN}
    first = {print_: index for index, print_ in reversed(list(enumerate(prints))) if short_fingerprint(print_) in wanted}
    there = np.array(sorted(first.values()), np.int64)
    gone, notes = len(wanted) - len(there), tuple[str, ...]()
    if gone:
        notes = (
            f"{gone} of the {len(wanted)} {modality.nouns} that the run has used are no longer in {recipe.data.source}: "
            "near copies of them could not be looked for.",
        )
    whole = Bundle(
        examples=examples,
        split=Split.only("train", len(examples)),
        data=recipe.data,
        seed=recipe.seed,
        fingerprints=prints,
        modality=modality,
        task=task_for(recipe, examples.class_names),
    )
    return whole.take(there), notes


def _near(run: Run, used: Bundle, splits: NDArray[Any], asked: Bundle) -> NDArray[Any]:
    """`(n,)` for each example that is asked about, the split of one in `used` that it is a near copy of, or empty."""
    found = np.zeros(len(asked.examples), "U5")
    if not len(used.examples):
        return found
    backbone = asked.modality.compared_with(asked.data)[1]
    both = [_compared(one, run) for one in (used, asked)]
    prints = _prints(both[0]) + _prints(both[1])
    features = None
    if backbone is not None and prints.comparable():
        features = np.concatenate([_features(one, backbone) for one in both])
    for members in prints.near_sets([*used.fingerprints, *asked.fingerprints], features=features, also_equal=True):
        inside = {str(split) for split in splits[members[members < len(used.examples)]]}
        if inside:
            rows = members[members >= len(used.examples)] - len(used.examples)
            found[rows] = "train" if "train" in inside else np.where(found[rows] == "", "val", found[rows])
    return found


def _prints(bundle: Bundle) -> CopyPrints:
    from tfl.audit.batches import batches

    checks = bundle.modality.audit_checks(Audited(examples=bundle.examples, batches=lambda: batches(bundle), room=Cached.of))
    return checks.prints


def _features(bundle: Bundle, backbone: Backbone) -> NDArray[np.float32]:
    """As `tfl audit` makes them by default: the store has those of examples that it looked at."""
    from tfl.audit.vectors import vectors_of

    return vectors_of(Recipe(name="overlap", data=bundle.data, backbone=backbone), bundle)


def _compared(bundle: Bundle, run: Run) -> Bundle:
    """The same examples as they are compared."""
    data, _ = bundle.modality.compared_with(bundle.data)
    same = data == bundle.data
    modality = bundle.modality if same else modality_of(dataclasses.replace(run.recipe, data=data))
    return dataclasses.replace(bundle, data=data, modality=modality, cached=bundle.cached if same else None)

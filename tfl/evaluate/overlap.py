"""Which images of a source a run has already used: the same files by content, near copies by what they show.

Figures on images that a model was trained on, or that its best epoch was chosen by, say nothing about new images.
"""

from __future__ import annotations

import dataclasses
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.data.bundle import Bundle
from tfl.data.listing import Listed, read_listing, short_fingerprint, split_of_content
from tfl.data.split import Split
from tfl.errors import TflError
from tfl.modalities.base import modality_of_data
from tfl.runs import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from rich.console import Console

    from tfl.audit.copies.thumbnails import Thumbnails

SIDE = 96
"""Pixels of a side at which images are compared: what `mini` was trained at."""
SEEN = ("train", "val")
"""Splits that decide a model: it is trained on the one, and its best epochs and its confidence are chosen by the other."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Overlap:
    """What a run has used of some images.

    Attributes:
        same: `(n,)` the run's split, `train`, `val` or `test`, that has the same content; empty where none has it. None where
            that could not be checked.
        near: `(n,)` `train` or `val` for other images that are near copies of one there; empty for the rest. None where that
            was not looked for.
        notes: What could not be checked, as sentences.
    """

    same: NDArray[Any] | None
    near: NDArray[Any] | None = None
    notes: tuple[str, ...] = ()

    @property
    def unseen(self) -> NDArray[np.bool_] | None:
        """`(n,)` which images the model was neither trained nor validated on; None where that is not known."""
        if self.same is None:
            return None
        unseen = ~np.isin(self.same, SEEN)
        return unseen if self.near is None else unseen & (self.near == "")

    def to_json(self, names: Sequence[str]) -> dict[str, Any]:
        """`train`, `val`, `test` and `near` as counts, `unseen`, the `files` that the run has seen and `notes`.

        Args:
            names: Of the images.
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
    """`(n,)` the split of each image in `known`, empty where its content is not there.

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
    """What a run has used of the images of another source.

    Args:
        run: `data.csv` has the content of its images; near copies are looked for while its source can be read.
        bundle: The other images.
        near: Whether to look for near copies.
        console: Where to say what is going on.
    """
    try:
        listing = read_listing(run.folder)
        why = f"{run.folder} has no data.csv, which later versions of tfl write"
    except TflError as error:
        listing, why = None, str(error).rstrip(".")
    if listing is None:
        return Overlap(same=None, notes=(f"Whether the model was trained on these images could not be checked: {why}.",))
    known = split_of_content(listing)
    same = same_content(known, bundle.fingerprints)
    if not near:
        return Overlap(same=same, notes=("Near copies of the run's images were not looked for.",))
    asked = np.flatnonzero(~np.isin(same, SEEN))
    found = np.zeros(len(same), "U5")
    if not len(asked):
        return Overlap(same=same, near=found)
    try:
        used, notes = _used_images(run, known)
        words = f"looking for near copies of {len(used.examples)} images that the run has used (--quick does not)"
        console.print(words, highlight=False, markup=False, soft_wrap=True)
        some = _part(bundle, asked)
        found[asked] = _near(_at_one_size(used), same_content(known, used.fingerprints), _at_one_size(some))
    except (TflError, OSError) as error:
        why = str(error).split("\n")[0].rstrip(".")
        return Overlap(same=same, notes=(f"Near copies of the run's images could not be looked for: {why}.",))
    return Overlap(same=same, near=found, notes=notes)


def _used_images(run: Run, known: dict[str, str]) -> tuple[Bundle, tuple[str, ...]]:
    """The training and validation images of the run that are still in its source, each content once."""
    from tfl.data.source import load_source

    recipe = run.recipe
    examples = load_source(recipe.data, seed=recipe.split_seed)
    with ThreadPoolExecutor() as pool:
        prints = list(pool.map(examples.fingerprint_of, range(len(examples)), chunksize=64))
    wanted = {print_ for print_, split in known.items() if split in SEEN}
    first = {print_: index for index, print_ in reversed(list(enumerate(prints))) if short_fingerprint(print_) in wanted}
    there = np.array(sorted(first.values()), np.int64)
    gone, notes = len(wanted) - len(there), tuple[str, ...]()
    if gone:
        notes = (
            f"{gone} of the {len(wanted)} images that the run has used are no longer in {recipe.data.source}: "
            "near copies of them could not be looked for.",
        )
    whole = Bundle(examples=examples, split=_no_split(), data=recipe.data, seed=recipe.seed, fingerprints=prints)
    return _part(whole, there), notes


def _part(bundle: Bundle, indices: NDArray[np.int64]) -> Bundle:
    return dataclasses.replace(
        bundle,
        examples=bundle.examples.take(indices),
        split=dataclasses.replace(_no_split(), train=np.arange(len(indices))),
        fingerprints=[bundle.fingerprints[index] for index in indices],
        cached=None if bundle.cached is None else bundle.cached.take(indices),
    )


def _no_split() -> Split:
    none = np.empty(0, np.int64)
    return Split(train=none, val=none, test=none)


def _near(used: Bundle, splits: NDArray[Any], asked: Bundle) -> NDArray[Any]:
    """`(n,)` for each image that is asked about, the split of an image in `used` that it is a near copy of, or empty."""
    from tfl.audit.checks.headers import read_headers
    from tfl.audit.copies.sets import SMALLEST_SIDE, exact_sets, near_sets
    from tfl.audit.copies.thumbnails import Thumbnails

    found = np.zeros(len(asked.examples), "U5")
    if not len(used.examples):
        return found
    sides = np.concatenate([read_headers(one.examples).sides.min(axis=1) for one in (used, asked)])
    large_enough = (sides >= SMALLEST_SIDE) | (sides == 0)
    both = [_thumbnails(one) for one in (used, asked)]
    thumbnails = Thumbnails(
        pictures=np.concatenate([one.pictures[:] for one in both]),
        hashes=np.concatenate([one.hashes for one in both]),
        plain=np.concatenate([one.plain for one in both]),
    )
    sets = []
    if large_enough.any():
        features = np.concatenate([_features(one) for one in (used, asked)])
        fingerprints = [*used.fingerprints, *asked.fingerprints]
        sets = near_sets(fingerprints, thumbnails, features=features, large_enough=large_enough)
    for members in [*sets, *exact_sets(_pictures(thumbnails))]:  # small pictures are compared for equality alone
        inside = {str(split) for split in splits[members[members < len(used.examples)]]}
        if inside:
            rows = members[members >= len(used.examples)] - len(used.examples)
            found[rows] = "train" if "train" in inside else np.where(found[rows] == "", "val", found[rows])
    return found


def _thumbnails(bundle: Bundle) -> Thumbnails:
    from tfl.audit.batches import batches
    from tfl.audit.copies.thumbnails import make_thumbnails

    return make_thumbnails(batches(bundle), len(bundle.examples))


def _features(bundle: Bundle) -> NDArray[np.float32]:
    """Of `mini`, as `tfl audit` makes them: the store has those of images that it looked at."""
    from tfl.audit.vectors import image_vectors
    from tfl.recipe import Backbone, Recipe

    return image_vectors(Recipe(name="overlap", data=bundle.data, backbone=Backbone("mini")), bundle)


def _at_one_size(bundle: Bundle) -> Bundle:
    """The same images at the size at which they are compared."""
    data = dataclasses.replace(bundle.data, image_size=(SIDE, SIDE))
    same = data == bundle.data
    modality = bundle.modality if same else modality_of_data(data)
    return dataclasses.replace(bundle, data=data, modality=modality, cached=bundle.cached if same else None)


def _pictures(thumbnails: Thumbnails) -> list[str]:
    """A hash of the pixels of each thumbnail; of one that shows nothing, its position."""
    return [
        str(row) if thumbnails.plain[row] else hashlib.sha256(picture.tobytes()).hexdigest()
        for row, picture in enumerate(np.asarray(thumbnails.pictures[:]))
    ]

"""Examples without labels: read from a source whatever it says of classes, without copies of what is tested, and added.

They train without labels (`Recipe.pretrain`, `Stage.pseudo_labels`), and are never validated or tested on.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.data import archives
from tfl.data.audit import audit
from tfl.data.bundle import Bundle, derived_seed
from tfl.data.examples import Examples
from tfl.data.extra_data import with_extra_examples
from tfl.data.source import load_source
from tfl.data.split import Split
from tfl.data.walk import files_below, skipped_findings
from tfl.errors import DataError
from tfl.modalities.files import array_reader, files_of
from tfl.recipe import Data, Unlabelled
from tfl.tasks.base import task_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NO_LABEL = "no label"


@dataclass(frozen=True, kw_only=True, eq=False)
class UnlabelledData:
    """The examples of `Recipe.unlabelled` that can be used.

    Args:
        bundle: All of them in its training split, with one class that means nothing.
        found: How many examples the source has.
        held_out: How many exact copies of validation or test examples were left out.
        trained: How many exact copies of training examples were left out.
        repeated: How many exact copies of other examples of the source were left out.
        findings: Of the audit: dictionaries of `kind`, `severity`, `files` and `note`.
    """

    bundle: Bundle
    found: int
    held_out: int
    trained: int
    repeated: int
    findings: tuple[dict[str, Any], ...]

    def __len__(self) -> int:
        return len(self.bundle.examples)

    def notes(self) -> list[str]:
        """What was left out, as sentences."""
        nouns, notes = self.bundle.modality.nouns, []
        if self.held_out:
            notes.append(f"{self.held_out} {nouns} are left out, since they are exact copies of validation or test {nouns}.")
        if self.trained:
            notes.append(f"{self.trained} {nouns} are left out, since they are exact copies of training {nouns}.")
        if self.repeated:
            notes.append(f"{self.repeated} {nouns} are left out, since they are exact copies of others.")
        return notes


def load_unlabelled(unlabelled: Unlabelled, bundle: Bundle, *, seed: int) -> UnlabelledData:
    """Reads the examples without labels, and leaves out what must not train.

    Args:
        unlabelled: `Recipe.unlabelled`; how examples become tensors is decided by the data of the target.
        bundle: The target's examples, split.
        seed: Draws `unlabelled.limit`.

    Raises:
        DataError: The source cannot be read, or nothing is left of it.
        BadImageError: It has files that cannot be used and `on_bad` is `error`, or none that can.
    """
    examples = read_unlabelled(unlabelled.source, bundle.data)
    if unlabelled.limit is not None and len(examples) > unlabelled.limit:
        drawn = np.random.default_rng(derived_seed(seed, "unlabelled")).permutation(len(examples))[: unlabelled.limit]
        examples = examples.take(np.sort(drawn))
    audited = audit(examples, modality=bundle.modality, on_bad=unlabelled.on_bad, keep=True)
    kept, counts = _fresh(bundle, audited.fingerprints)
    if len(kept) < 2:
        raise DataError(
            f"Next to nothing is left of {unlabelled.source} that the labelled {bundle.modality.nouns} are not.",
            received=f"{len(examples)} {bundle.modality.nouns}: {counts['held_out']} are exact copies of validation or test "
            f"{bundle.modality.nouns}, {counts['trained']} of training {bundle.modality.nouns}",
            fix="Name others with `unlabelled.source`, or leave `unlabelled` out: `pretrain` then takes the training examples.",
        )
    pool = _plain(bundle.of_others(audited.take(kept), split=Split.only("train", len(kept)), source=unlabelled.source))
    return UnlabelledData(bundle=pool, found=len(examples), findings=tuple(audited.findings), **counts)


def pool_of(bundle: Bundle, unlabelled: UnlabelledData | None) -> Bundle:
    """The training examples of a bundle, and behind them those without labels: all without labels, in the training split.

    Args:
        bundle: The target's examples.
        unlabelled: The others; None for none.
    """
    own = _plain(bundle.take(bundle.indices("train")))
    return own if unlabelled is None else with_extra_examples(own, unlabelled.bundle)


def read_unlabelled(source: str, data: Data) -> Examples:
    """The examples at a source, each with one class that means nothing.

    A folder, or an archive of one, is taken as all files below it, but for one of IDX files. Other sources are read with their
    labels, which are dropped.

    Args:
        source: As `Unlabelled.source`.
        data: Of the target: which kind of examples these are.

    Raises:
        DataError: There is nothing, or it cannot be read.

    Example:

    >>> import tfl
    >>> found = read_unlabelled("sample:digits", tfl.Data("unused"))
    >>> len(found), found.class_names
    (1797, ('no label',))
    """
    files, path = files_of(data.kind), Path(os.path.expanduser(source))
    inside = archives.unpacked(path) if path.is_file() and archives.is_archive(path) else path
    reader = array_reader(files)
    if not inside.is_dir() or (reader is not None and reader.holds_idx(inside)):
        return _without_labels(load_source(Data(source, input=data.input), check_classes=False))
    skipped: list[str] = []
    found = files_below(inside, skipped)
    if not found:
        raise DataError(f"There is no file in the folder {source}.", allowed=f"a folder with {files.nouns} at any depth")
    return Examples(
        class_names=(_NO_LABEL,),
        labels=np.zeros(len(found), np.int32),
        paths=np.array(found),
        source=source,
        noun=files.noun,
        nouns=files.nouns,
        findings=tuple(skipped_findings(skipped)),
    )


def _without_labels(examples: Examples) -> Examples:
    labels = np.zeros(len(examples), np.int32)
    return dataclasses.replace(examples, class_names=(_NO_LABEL,), labels=labels, targets=None, groups=None, splits=None)


def _plain(bundle: Bundle) -> Bundle:
    """The same examples without their labels."""
    return dataclasses.replace(bundle, examples=_without_labels(bundle.examples), task=task_of("classify"))


def _fresh(bundle: Bundle, fingerprints: tuple[str, ...]) -> tuple[NDArray[np.int64], dict[str, int]]:
    """The positions of those that the target does not have itself, each content once; and how many others there are."""
    held = {bundle.fingerprints[int(index)] for part in ("val", "test") for index in bundle.indices(part)}
    train = {bundle.fingerprints[int(index)] for index in bundle.indices("train")}
    counts, seen, kept = {"held_out": 0, "trained": 0, "repeated": 0}, set[str](), []
    for at, one in enumerate(fingerprints):
        where = "held_out" if one in held else "trained" if one in train else "repeated" if one in seen else None
        if where is None:
            kept.append(at)
            seen.add(one)
        else:
            counts[where] += 1
    return np.array(kept, np.int64), counts

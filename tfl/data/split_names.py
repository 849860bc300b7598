"""Which split a folder's name says, in every spelling: `train`, `Training Data`, `test_set`, `seg_train`, `flowers_test`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tfl.modalities.files import words_of_all


def layout(noun: str) -> str:
    """What a folder of class folders looks like, for messages.

    Example:

    >>> from tfl.data.split_names import layout
    >>> layout("text")
    'FOLDER/CLASS/TEXT or FOLDER/train/CLASS/TEXT (with val/ and test/ next to train/)'
    """
    return f"FOLDER/CLASS/{noun.upper()} or FOLDER/train/CLASS/{noun.upper()} (with val/ and test/ next to train/)"


SPLIT_FOLDERS = {
    **dict.fromkeys(("train", "training", "trn"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "dev", "development"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "eval", "evaluation", "holdout"), "test"),
}
UNLABELLED = "unlabelled"
_UNLABELLED = frozenset(("pred", "predict", "prediction", "predictions", "unlabeled", "unlabelled", "submission"))
_FILLERS = ("set", "sets", "data", "dataset", *sorted(words_of_all("fillers")), "split", "seg", "folder")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def split_of(name: str) -> str | None:
    """The split that a folder's name says: `train`, `val`, `test`, `unlabelled`, or None for the name of something else.

    Example:

    >>> from tfl.data.split_names import split_of
    >>> [split_of(name) for name in ("training_set", "Test Data", "seg_train", "valset", "test_tube", "trams")]
    ['train', 'test', 'train', 'val', None, None]
    """
    return _split_of(_words(name))


def splits_of(names: Sequence[str]) -> dict[str, str | None]:
    """The split of each of several folders that lie side by side; words that all of them share are passed over.

    Example:

    >>> from tfl.data.split_names import splits_of
    >>> splits_of(["flowers_train", "flowers_test"])
    {'flowers_train': 'train', 'flowers_test': 'test'}
    >>> splits_of(["flowers_train", "trees_test"])
    {'flowers_train': None, 'trees_test': None}
    """
    plain = {name: split_of(name) for name in names}
    words = {name: _words(name) for name in names}
    shared = set.intersection(*map(set, words.values())) if len(names) > 1 else set()
    without = {name: _split_of([word for word in words[name] if word not in shared]) for name in names}
    return without if shared and all(without.values()) else plain


def is_filler(name: str) -> bool:
    """Whether a folder's name only says that examples are in it, such as `dataset`."""
    return name.lower() in _FILLERS


def _words(name: str) -> list[str]:
    return [] if any(ord(character) > 127 for character in name) else [word.lower() for word in _WORD.findall(name)]


def _split_of(words: Sequence[str]) -> str | None:
    left = [word for word in words if word not in _FILLERS]
    if len(left) == 1 and left[0] not in SPLIT_FOLDERS:
        left = [left[0].removesuffix(next((filler for filler in _FILLERS if left[0].endswith(filler)), ""))]
    if len(left) != 1:
        return None
    return UNLABELLED if left[0] in _UNLABELLED else SPLIT_FOLDERS.get(left[0])

"""Which classes of a source model stand for which classes of the data: by their names, or by assignment on training examples.

By names, where every class of the data is found among the names of the source. Names are compared without case, `_`, `-` and
plurals. A class of the data takes the classes of the source that are called the same, in whole or in one of the parts between
commas; where there is none, those whose name ends in it (`tiger cat` for `cat`); where there is none either, those that have it
as a whole word. A class of the source that two classes of the data would take goes to the one with more words; if these are as
many, names do not decide.

By assignment otherwise. Let m(t, s) be the mean probability of source class s over the training examples of class t. Source class
s goes to the class t for which m(t, s) is largest, so that rare and common classes count the same; it is left out where even that
is below 1 / (number of source classes), an even share. After the frequency mapping of black-box adversarial reprogramming (Tsai,
Chen and Ho 2020, *Transfer Learning without Knowing*), which also lets several classes of the source stand for one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEFT_OUT = -1
_EXACT, _END, _WORD = 3, 2, 1


@dataclass(frozen=True, kw_only=True)
class ClassMapping:
    """Classes of the source, each with the class of the data that it stands for.

    Args:
        by: `names` or `assignment`.
        source, target: Names of the classes, in the order of the outputs.
        goes_to: Integer array of shape `(source classes,)`, positions in `target`, or `LEFT_OUT`.
        means: Array of shape `(target classes, source classes)`, the mean probability of each source class over the training
            examples of each class.
    """

    by: Literal["names", "assignment"]
    source: tuple[str, ...]
    target: tuple[str, ...]
    goes_to: NDArray[np.int64]
    means: NDArray[np.float64]

    @property
    def matrix(self) -> NDArray[np.float32]:
        """Array of shape `(source classes, target classes)`: 1 where a source class stands for a class of the data, else 0."""
        return (self.goes_to[:, None] == np.arange(len(self.target))).astype(np.float32)

    @property
    def without(self) -> tuple[str, ...]:
        """The classes of the data that no class of the source stands for: they are never the answer."""
        return tuple(name for place, name in enumerate(self.target) if place not in self.goes_to)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A dictionary for each source class that stands for one: `index`, `source`, `target`, and `share`, its mean probability
        over the training examples of that class; by class of the data, the largest share first."""
        found = [
            {"index": place, "source": self.source[place], "target": self.target[goes], "share": float(self.means[goes, place])}
            for place, goes in enumerate(self.goes_to.tolist())
            if goes != LEFT_OUT
        ]
        return sorted(found, key=lambda row: (self.target.index(row["target"]), -row["share"], row["index"]))

    def to_json(self) -> dict[str, Any]:
        """It as plain data: `by`, `source_classes` and `left_out` (counts), `rows` and `without`."""
        rows = self.rows
        left_out = len(self.source) - len(rows)
        return {
            "by": self.by,
            "source_classes": len(self.source),
            "left_out": left_out,
            "rows": rows,
            "without": list(self.without),
        }


def map_classes(
    source: Sequence[str] | None, target: Sequence[str], probabilities: NDArray[np.floating], labels: NDArray[np.integer]
) -> ClassMapping:
    """The mapping by names where they decide it, else by assignment.

    Args:
        source: Names of the source's classes, in the order of its outputs; None where they are not known.
        target: Names of the classes of the data.
        probabilities: Array of shape `(n, source classes)`, what the source says of the training examples.
        labels: Integer array of shape `(n,)`, positions in `target`.

    Example:

    >>> import numpy as np
    >>> from tfl.model.class_mapping import map_classes
    >>> said, labels = np.array([[0.7, 0.2, 0.1], [0.2, 0.3, 0.5]]), np.array([0, 1])
    >>> [map_classes(names, ("cats", "dogs"), said, labels).by for names in (("tabby, tabby cat", "Dog", "zebra"), None)]
    ['names', 'assignment']
    """
    means = np.zeros((len(target), probabilities.shape[1]))
    for place in np.unique(labels):
        means[place] = np.asarray(probabilities, np.float64)[labels == place].mean(axis=0)
    named = by_names(source, target) if source is not None else None
    return ClassMapping(
        by="assignment" if named is None else "names",
        source=tuple(source) if source is not None else tuple(f"class {place}" for place in range(probabilities.shape[1])),
        target=tuple(target),
        goes_to=by_assignment(means) if named is None else named,
        means=means,
    )


def by_assignment(means: NDArray[np.floating]) -> NDArray[np.int64]:
    """The position of the class that each source class stands for; see the module.

    Args:
        means: Array of shape `(target classes, source classes)`.

    Example:

    >>> by_assignment(np.array([[0.6, 0.3, 0.1, 0.0], [0.1, 0.4, 0.4, 0.1]])).tolist()
    [0, 1, 1, -1]
    """
    return np.where(means.max(axis=0) >= 1 / means.shape[1], means.argmax(axis=0), LEFT_OUT).astype(np.int64)


def by_names(source: Sequence[str], target: Sequence[str]) -> NDArray[np.int64] | None:
    """The same by names; None where they do not decide it.

    Example:

    >>> by_names(("tiger", "tiger_cat", "tabby, tabby cat", "catamaran"), ("Cats", "tiger")).tolist()
    [1, 0, 0, -1]
    >>> by_names(("tiger", "catamaran"), ("cat", "tiger")) is None
    True
    """
    words = [_words(name) for name in target]
    fits = np.array([[_fit(own, name) for name in source] for own in words])
    exact = fits == _EXACT
    if (exact.sum(axis=0) > 1).any():
        return None
    taken = exact.any(axis=0)
    fits[:, taken] = np.where(exact[:, taken], _EXACT, 0)
    best = fits.max(axis=1, keepdims=True)
    lengths = np.array([len(own) for own in words])[:, None]
    claims = np.where((fits == best) & (best > 0), lengths, 0)
    most = claims.max(axis=0)
    winners = (claims == most) & (most > 0)
    if (winners.sum(axis=0) > 1).any() or not winners.any(axis=1).all():
        return None
    return np.where(winners.any(axis=0), winners.argmax(axis=0), LEFT_OUT).astype(np.int64)


def same_names(source: Sequence[str], names: Sequence[str]) -> list[int | None]:
    """The position in `source` of each name that is the same there; None where there is none, or more than one.

    Example:

    >>> same_names(("tabby, tabby cat", "African_elephant"), ("African elephant", "tabby", "zebra"))
    [1, 0, None]
    """
    found = [[place for place, one in enumerate(source) if _fit(_words(name), one) == _EXACT] for name in names]
    return [places[0] if len(places) == 1 else None for places in found]


def _fit(own: Sequence[str], name: str) -> int:
    """How well the words of a class of the data fit a name of the source: `_EXACT`, `_END`, `_WORD`, or 0."""
    return max(_fit_of_part(own, _words(part)) for part in (name, *name.split(",")))


def _fit_of_part(own: Sequence[str], part: Sequence[str]) -> int:
    places = [start for start in range(len(part) - len(own) + 1) if own and _same(own, part[start : start + len(own)])]
    if not places:
        return 0
    return _EXACT if len(own) == len(part) else _END if places[-1] + len(own) == len(part) else _WORD


def _words(name: str) -> list[str]:
    return re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", name).casefold())


def _same(some: Sequence[str], others: Sequence[str]) -> bool:
    return all(one == other or one in _plurals(other) or other in _plurals(one) for one, other in zip(some, others, strict=True))


def _plurals(word: str) -> tuple[str, ...]:
    """The English plurals that a word may have by rule.

    Example:

    >>> "leaves" in _plurals("leaf"), "daisies" in _plurals("daisy"), "1s" in _plurals("1")
    (True, True, False)
    """
    if not word.isalpha():
        return ()
    stems = {"y": (word[:-1], "ies"), "f": (word[:-1], "ves"), "e": (word[:-2], "ves")}
    stem, end = stems.get(word[-1], (word, "s"))
    return (word + "s", word + "es", stem + end)

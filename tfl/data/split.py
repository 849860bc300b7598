"""Which examples train, which validate, which test: stratified, seeded, and nothing that belongs together is torn apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tfl.data.examples import SPLITS, Examples, listed
from tfl.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TRIES = 50
_SHOWN = 5
_VERBS = {"train": "train", "val": "validate", "test": "test"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """Indices into the examples, ascending; no index is in two of them.

    Attributes:
        train, val, test: `(n,)` int64.
        notes: What a reader of the result should know, as sentences.
    """

    train: NDArray[np.int64]
    val: NDArray[np.int64]
    test: NDArray[np.int64]
    notes: tuple[str, ...] = ()

    @classmethod
    def only(cls, name: str, count: int) -> Self:
        """A split that has all of `count` examples in one part.

        Args:
            name: Of the part: `train`, `val` or `test`.
            count: How many examples there are.

        Example:

        >>> Split.only("test", 3)
        Split(train=array([], dtype=int64), val=array([], dtype=int64), test=array([0, 1, 2]), notes=())
        """
        train, val, test = (np.arange(count if one == name else 0) for one in SPLITS)
        return cls(train=train, val=val, test=test)

    def __getitem__(self, name: str) -> NDArray[np.int64]:
        if name not in SPLITS:
            raise KeyError(name)
        return getattr(self, name)

    def names(self, count: int) -> NDArray[Any]:
        """`(count,)` the split of each example; empty for those that `train_per_class` left out."""
        of_each = np.full(count, "", "U5")
        for name in SPLITS:
            of_each[self[name]] = name
        return of_each


def split(
    examples: Examples,
    *,
    validation: float,
    test: float,
    seed: int,
    fingerprints: Sequence[str] | None = None,
    train_per_class: int | None = None,
    strata: NDArray[np.int32] | None = None,
) -> Split:
    """Splits the examples; the same arguments give the same split on every machine.

    Examples of one group stay together, and so do exact duplicates (the same fingerprint). A source's own splits are kept
    as they are; those it lacks are drawn from what it leaves open, or else from its training examples.

    Args:
        examples: What to split.
        validation, test: Shares, where the source has no such split of its own.
        seed: Decides what is drawn.
        fingerprints: The content of each example, as the audit gives it; computed when None.
        train_per_class: At most this many training examples of each class, drawn last; the rest are in no split.
        strata: `(n,)`, a group number per example whose shares are kept where examples have no class; None stands for the labels.

    Raises:
        DataError: A class is too small, or too tightly grouped, to be in every split.

    Example:

    >>> import tfl
    >>> from tfl.data.source import load_source
    >>> from tfl.data.split import split
    >>> digits = load_source(tfl.Sample("digits", per_class=10))
    >>> parts = split(digits, validation=0.2, test=0.3, seed=0)
    >>> len(parts.train), len(parts.val), len(parts.test)
    (50, 20, 30)
    """
    if fingerprints is None:
        fingerprints = [examples.fingerprint_of(index) for index in range(len(examples))]
    bundles = tied_together(examples, fingerprints)
    if examples.targets is not None:
        examples = _with_strata(examples, np.zeros(len(examples), np.int32) if strata is None else strata, bundles)
    own = np.zeros(len(examples), "U5") if examples.splits is None else examples.splits.astype("U5")
    pool, shares = _pool(own, {"val": validation, "test": test})
    of_each = np.where(own == "", "train", own)
    if shares:
        of_each[pool] = _draw(examples, pool, bundles[pool], shares, seed)
    _check_presence(examples, of_each)
    raised = () if examples.heads else _raised(examples, of_each, pool, shares)  # strata of several targets have no names
    notes = (*raised, *_torn(examples, of_each, bundles))
    train = np.flatnonzero(of_each == "train")
    if train_per_class is not None:
        train = _draw_train(examples, train, train_per_class, seed)
    return Split(train=train, val=np.flatnonzero(of_each == "val"), test=np.flatnonzero(of_each == "test"), notes=notes)


def _with_strata(examples: Examples, strata: NDArray[np.int32], bundles: NDArray[np.int64]) -> Examples:
    """The examples with their strata in the place of classes.

    Strata are a wish and no condition: those that cannot be in every split join the largest, and where the source has splits of
    its own, there is only one.
    """
    groups = np.unique(strata, return_inverse=True)[1]
    pieces = np.array([len(np.unique(bundles[groups == group])) for group in range(int(groups.max(initial=0)) + 1)])
    groups = np.where(pieces[groups] < len(SPLITS), pieces.argmax(), groups)
    if examples.splits is not None and np.any(examples.splits.astype("U5") != ""):
        groups = np.zeros_like(groups)
    names, labels = np.unique(groups, return_inverse=True)
    return replace(examples, class_names=tuple(f"group {name}" for name in names), labels=labels.astype(np.int32), targets=None)


def raised_shares(examples: Examples, *, validation: float, test: float) -> tuple[str, ...]:
    """What `split` will note about classes that are too small for their shares, as far as their counts tell.

    Example:

    >>> import numpy as np
    >>> from tfl.data.split import raised_shares
    >>> labels = np.repeat([0, 1], [30, 4])
    >>> few = Examples(class_names=("ant", "bee"), labels=labels, arrays=np.zeros((34, 4, 4), np.uint8))
    >>> raised_shares(few, validation=0.2, test=0.1)[0].partition(", so that")[0]
    'Class `bee` has 4 examples: 2 to train, 1 to validate, 1 to test'
    """
    own = np.zeros(len(examples), "U5") if examples.splits is None else examples.splits.astype("U5")
    pool, shares = _pool(own, {"val": validation, "test": test})
    of_each = np.where(own == "", "train", own)
    for label in _small_classes(examples, pool, shares):
        inside = pool[examples.labels[pool] == label]
        counts = _targets(len(inside), list(shares.values()))
        of_each[inside] = np.repeat(("train", *shares), counts)
    return _raised(examples, of_each, pool, shares)


def tied_together(examples: Examples, fingerprints: Sequence[str]) -> NDArray[np.int64]:
    """`(n,)` the bundle of each example, as the position of one of them: connected by a shared group or a shared fingerprint."""
    parent = list(range(len(examples)))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for keys in (fingerprints, None if examples.groups is None else examples.groups.tolist()):
        first: dict[Any, int] = {}
        for index, key in enumerate(keys or ()):
            parent[root(index)] = root(first.setdefault(key, index))
    return np.array([root(index) for index in range(len(examples))], np.int64)


def _pool(own: NDArray[Any], shares: dict[str, float]) -> tuple[NDArray[np.int64], dict[str, float]]:
    """What the missing splits are drawn from, and the share of it that each of them gets."""
    missing = {name: share for name, share in shares.items() if not np.any(own == name)}
    undecided = np.flatnonzero(own == "")
    return undecided if len(undecided) else np.flatnonzero(own == "train"), missing


def _draw(
    examples: Examples, pool: NDArray[np.int64], bundles: NDArray[np.int64], shares: dict[str, float], seed: int
) -> NDArray[Any]:
    """The split of each example in the pool. Bundles go first, largest first, to where they disturb the shares least; single
    examples then fill each class's shares up. Unlucky draws, which leave a class out of a split, are drawn again."""
    labels, classes = examples.labels[pool], len(examples.class_names)
    names = ("train", *shares)
    counts = np.bincount(labels, minlength=classes)
    for label, count in enumerate(counts):
        pieces = len(np.unique(bundles[labels == label]))
        if 0 < pieces < len(names) or (count == 0 and len(pool) == len(examples)):
            raise _too_small(examples, label, int(count), pieces, names, shared=_shared(labels, bundles, label))
    targets = np.array([_targets(int(count), list(shares.values())) for count in counts]).T
    for attempt in range(2 * _TRIES):
        placed = _place(labels, bundles, targets, np.random.default_rng([seed, attempt]), spread=attempt >= _TRIES)
        seen = np.array([np.bincount(labels[placed == part], minlength=classes) for part in range(len(names))])
        if np.all((seen > 0) | (counts == 0)):
            return np.array(names)[placed]
    label = int(np.argmin(np.where(counts > 0, seen, 1).min(axis=0)))
    pieces, shared = len(np.unique(bundles[labels == label])), _shared(labels, bundles, label)
    raise _too_small(examples, label, int(counts[label]), pieces, names, shared=shared)


def _place(
    labels: NDArray[np.int32], bundles: NDArray[np.int64], targets: NDArray[np.int64], rng: np.random.Generator, *, spread: bool
) -> NDArray[np.int64]:
    """`(n,)` the split of each example, as a row of `targets`, `(splits, classes)`.

    Args:
        labels, bundles: Of each example.
        targets: How many examples each split is to have of each class.
        rng: Orders bundles of one size, and the single examples.
        spread: Whether a split that lacks a class comes before the shares: needed by classes of few bundles.
    """
    placed, taken, classes = np.full(len(labels), -1), np.zeros_like(targets), targets.shape[1]
    _, bundle, sizes = np.unique(bundles, return_inverse=True, return_counts=True)
    together = rng.permutation(np.flatnonzero(sizes > 1))
    members = np.split(np.argsort(bundle, kind="stable"), np.cumsum(sizes)[:-1])
    for index in together[np.argsort(-sizes[together], kind="stable")]:
        inside = np.bincount(labels[members[index]], minlength=classes)
        cost = (inside * (2 * (taken - targets) + inside) / np.maximum(targets, 1)).sum(axis=1)
        lacking = ((taken == 0) & (inside > 0)).sum(axis=1) if spread else np.zeros(len(targets))
        best = int(np.lexsort((cost, -lacking))[0])
        placed[members[index]] = best
        taken[best] += inside
    for label in range(classes):
        singles = rng.permutation(np.flatnonzero((labels == label) & (placed < 0)))
        if spread:
            lacking = np.flatnonzero(taken[:, label] == 0)[: len(singles)]
            placed[singles[: len(lacking)]] = lacking
            taken[lacking, label] += 1
            singles = singles[len(lacking) :]
        missing = np.maximum(targets[1:, label] - taken[1:, label], 0)
        ends = np.minimum(np.cumsum(missing), len(singles))
        placed[singles] = 0
        for part, (start, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True), start=1):
            placed[singles[start:end]] = part
    return placed


def _targets(count: int, shares: list[float]) -> list[int]:
    """How many of a class's examples go to training and to each drawn split: at least one each, where there are enough."""
    drawn = [max(1, round(count * share)) for share in shares]
    while sum(drawn) >= count and max(drawn) > 1:
        drawn[drawn.index(max(drawn))] -= 1
    return [max(0, count - sum(drawn)), *drawn]


def _small_classes(examples: Examples, pool: NDArray[np.int64], shares: dict[str, float]) -> list[int]:
    """The labels whose share of some split is less than one example, or whose shares would leave none to train on."""
    counts = np.bincount(examples.labels[pool], minlength=len(examples.class_names)).tolist()

    def is_small(count: int) -> bool:
        return (
            any(count * share < 1 for share in shares.values()) or sum(round(count * share) for share in shares.values()) >= count
        )

    return [label for label, count in enumerate(counts) if shares and count > len(shares) and is_small(count)]


def _raised(examples: Examples, of_each: NDArray[Any], pool: NDArray[np.int64], shares: dict[str, float]) -> tuple[str, ...]:
    """One note about the classes that are in every split only because their shares were raised; none where there are none."""
    rows = []
    for label in _small_classes(examples, pool, shares):
        inside = of_each[examples.labels == label]
        parts = ", ".join(f"{int((inside == name).sum())} to {verb}" for name, verb in _VERBS.items())
        rows.append((f"class `{examples.class_names[label]}` has {len(inside)} {examples.nouns}", parts))
    if not rows:
        return ()
    said = "; ".join(f"{has}: {parts}" for has, parts in rows[:_SHOWN])
    more = f"; and {len(rows) - _SHOWN} more classes" if len(rows) > _SHOWN else ""
    it = "it is" if len(rows) == 1 else "they are"
    others = "" if len(rows) == len(examples.class_names) else " Other classes keep their shares."
    return (f"{said[0].upper()}{said[1:]}{more}, so that {it} in every split.{others}",)


def _shared(labels: NDArray[np.integer], bundles: NDArray[np.int64], label: int) -> dict[int, int]:
    """How many examples of a class stay together with examples of another class, by that class."""
    own = labels == label
    others = {int(other) for other in labels[~own & np.isin(bundles, bundles[own])]}
    return {other: int(np.isin(bundles[own], bundles[labels == other]).sum()) for other in sorted(others)}


def _too_small(
    examples: Examples, label: int, count: int, pieces: int, names: tuple[str, ...], *, shared: dict[int, int]
) -> DataError:
    how = "exact copies" if examples.groups is None else "exact copies, or members of one named group"
    groups = "1 group that stays" if pieces == 1 else f"{pieces} groups that stay"
    tied = f" in {groups} together ({how})" if pieces < count else ""
    copies = [f"{number} with `{examples.class_names[other]}`" for other, number in shared.items()]
    why = f"; some are {how} of {examples.nouns} of other classes: {listed(copies)}" if copies else ""
    first = "Keep each copy in the class that is right (`tfl audit` lists them)" if copies else f"Add {examples.nouns} of it"
    return DataError(
        f"Class `{examples.class_names[label]}` of {examples.source} cannot be in every split.",
        received=f"{count} {examples.noun if count == 1 else examples.nouns}{tied}{why}",
        allowed=f"at least one for each of {', '.join(names)}",
        fix=f"{first}, or leave the class out with `data.labels`.",
    )


def _check_presence(examples: Examples, of_each: NDArray[Any]) -> None:
    for name in SPLITS:
        present = np.bincount(examples.labels[of_each == name], minlength=len(examples.class_names))
        absent = [examples.class_names[label] for label in np.flatnonzero(present == 0)]
        if absent:
            raise DataError(
                f"The {name} split of {examples.source} has no {examples.nouns} of these classes: {listed(absent)}.",
                fix=f"Add {examples.nouns} there, or leave the split open for tfl to draw.",
            )


def _torn(examples: Examples, of_each: NDArray[Any], bundles: NDArray[np.int64]) -> tuple[str, ...]:
    """A note when a source's own splits separate what belongs together: its results look better than they are."""
    if examples.splits is None:
        return ()
    order = np.argsort(bundles, kind="stable")
    same = bundles[order][1:] == bundles[order][:-1]
    torn = order[1:][same & (of_each[order][1:] != of_each[order][:-1])]
    if not len(torn):
        return ()
    files = listed([examples.name_of(int(index)) for index in torn], limit=5)
    return (
        f"The source's own splits separate {len(torn)} {examples.nouns} from an exact duplicate or from their group, so "
        f"scores may look better than they are: {files}.",
    )


def _draw_train(examples: Examples, train: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    rng = np.random.default_rng([seed, 1_000_003])
    chosen = [rng.permutation(train[examples.labels[train] == label])[:count] for label in range(len(examples.class_names))]
    return np.sort(np.concatenate(chosen))

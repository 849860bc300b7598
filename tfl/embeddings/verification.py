"""Verification: do two examples show the same, by a threshold on their similarity; and how often is that answer wrong?

A pair is *genuine* where both have the same label, and an *impostor* where they do not. At a threshold `t`

    false accept rate   FAR(t) = share of impostor pairs with similarity ≥ t
    false reject rate   FRR(t) = share of genuine pairs with similarity < t
    equal error rate    where the two are equal

as in ISO/IEC 19795-1. Two of one unit (a group, or copies of one content) are never a pair. Rates are measured on items that did
not choose the threshold: each half of the items is evaluated at the threshold of the other half. Intervals come from resampling
items, since pairs that share one are not independent (Bolle, Ratha and Pankanti 2004). NumPy alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.embeddings.options import HoldOut
from tfl.errors import DataError
from tfl.tasks.intervals import percentile_interval, resample_counts, resamples, wilson_interval
from tfl.vectors import unit_length

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_ITEMS = 2000
"""At most so many items are compared with each other, evenly of the labels."""
_RESAMPLES = 200
_FEWEST_LABELS = 8
_GENUINE, _IMPOSTOR, _NO_PAIR = 1, 0, -1


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A similarity from which two examples count as the same, with its measured error rates.

    Attributes:
        value: Chosen on all items.
        false_accept_rate, false_reject_rate: On items that did not choose the threshold.
        false_accept_interval, false_reject_interval: Their 95% intervals over items; None where there are too few.
    """

    value: float
    false_accept_rate: float
    false_accept_interval: list[float] | None
    false_reject_rate: float
    false_reject_interval: list[float] | None


@dataclass(frozen=True, kw_only=True)
class Verification:
    """How well the similarity tells pairs of the same label from others.

    Attributes:
        items, labels, units: How many were compared; items of one unit are never a pair.
        genuine, impostor: Pairs of the same label, and of two labels.
        held_out: Whether the two halves have no label in common (`labels`), or no item (`items`).
        equal_error_rate: Of all pairs.
        equal_error_interval: Its 95% interval over items.
        at_equal_error: The threshold at which both rates are equal.
        at_false_accept: The lowest threshold with a false accept rate of at most `target`.
        target: The false accept rate that was asked for.
        notes: What a reader should know, as sentences.
    """

    items: int
    labels: int
    units: int
    genuine: int
    impostor: int
    held_out: HoldOut
    equal_error_rate: float
    equal_error_interval: list[float] | None
    at_equal_error: Threshold
    at_false_accept: Threshold
    target: float
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The figures as plain data."""
        return {**asdict(self), "notes": list(self.notes)}


def verification(
    vectors: NDArray[np.floating],
    labels: Sequence[str],
    units: Sequence[str],
    *,
    target: float = 0.01,
    held_out: HoldOut | None = None,
    seed: int = 0,
    notes: Sequence[str] = (),
) -> Verification:
    """Thresholds on the cosine of two vectors, and how often each is wrong.

    Args:
        vectors: `(n, width)`.
        labels: `(n,)`, what each item shows.
        units: `(n,)`; items of one unit are never a pair, and never in two halves.
        target: The false accept rate that a threshold is chosen for, above 0 and below 1.
        held_out: `labels` divides the labels in halves, as for people who were never seen before; `items` divides the items of
            each label. None takes `labels` from eight labels on.
        seed: Of the halves and the resamples.
        notes: Sentences that are added to the result's.

    Raises:
        DataError: There are no pairs of one of the two kinds, or too few impostor pairs for `target`.

    Example:

    >>> import numpy as np
    >>> directions = np.repeat(np.eye(4), 6, axis=0)
    >>> found = verification(directions, list("aaaaaabbbbbbccccccdddddd"), [str(at) for at in range(24)], target=0.1)
    >>> found.genuine, found.impostor, found.equal_error_rate, found.at_false_accept.false_reject_rate
    (60, 216, 0.0, 0.0)
    """
    if not 0 < target < 1:
        raise DataError("The false accept rate is out of range.", received=target, allowed="a share above 0 and below 1")
    names, classes = np.unique(np.asarray(labels, object).astype(str), return_inverse=True)
    owners = np.unique(np.asarray(units, object).astype(str), return_inverse=True)[1]
    pairs = _Pairs.of(np.asarray(vectors, np.float32), classes, owners)
    _refuse_too_few(pairs, target)
    held_out = held_out or ("labels" if len(names) >= _FEWEST_LABELS else "items")
    halves = _halves(classes, owners, held_out, np.random.default_rng(seed))
    folds = [(pairs.within(halves != half), pairs.within(halves == half)) for half in (0, 1)]
    for choosing, evaluated in folds:
        for one in (choosing, evaluated):
            _refuse_too_few(one, target, half=True)
    drawn = _drawn(len(classes), owners, seed)
    rate, at_equal = pairs.equal_error()
    return Verification(
        items=len(classes),
        labels=len(names),
        units=int(owners.max()) + 1,
        genuine=pairs.count(_GENUINE),
        impostor=pairs.count(_IMPOSTOR),
        held_out=held_out,
        equal_error_rate=rate,
        equal_error_interval=percentile_interval(_equal_errors(pairs, drawn)),
        at_equal_error=_measured(at_equal, [(choosing.equal_error()[1], evaluated) for choosing, evaluated in folds], drawn),
        at_false_accept=_measured(
            pairs.threshold_for(target), [(choosing.threshold_for(target), evaluated) for choosing, evaluated in folds], drawn
        ),
        target=target,
        notes=tuple(notes),
    )


@dataclass(frozen=True, eq=False)
class _Pairs:
    """The pairs of some items.

    Attributes:
        first, second: `(pairs,)`, positions of the two items.
        similarity: `(pairs,)` float32.
        kind: `(pairs,)`, genuine or impostor.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    similarity: NDArray[np.float32]
    kind: NDArray[np.int8]

    @classmethod
    def of(cls, vectors: NDArray[np.float32], classes: NDArray[np.int64], owners: NDArray[np.int64]) -> _Pairs:
        unit = unit_length(vectors)
        first, second = np.triu_indices(len(unit), k=1)
        apart = owners[first] != owners[second]
        first, second = first[apart], second[apart]
        similarity = np.clip(unit @ unit.T, -1.0, 1.0)[first, second]
        kind = np.where(classes[first] == classes[second], _GENUINE, _IMPOSTOR).astype(np.int8)
        return cls(first, second, similarity, kind)

    def within(self, chosen: NDArray[np.bool_]) -> _Pairs:
        """The pairs of two chosen items."""
        inside = chosen[self.first] & chosen[self.second]
        return _Pairs(self.first[inside], self.second[inside], self.similarity[inside], self.kind[inside])

    def count(self, kind: int) -> int:
        return int((self.kind == kind).sum())

    def of_kind(self, kind: int) -> NDArray[np.float32]:
        return self.similarity[self.kind == kind]

    def threshold_for(self, target: float) -> float:
        """The lowest threshold at which at most `target` of the impostor pairs are accepted, between two that occur."""
        impostor = np.sort(self.of_kind(_IMPOSTOR).astype(np.float64))
        allowed = int(np.floor(target * len(impostor)))
        last_refused = impostor[len(impostor) - allowed - 1]
        above = np.unique(self.similarity[self.similarity > last_refused].astype(np.float64))
        return float((last_refused + above[0]) / 2) if len(above) else float(np.nextafter(last_refused, np.inf))

    def equal_error(self) -> tuple[float, float]:
        """The equal error rate, and its threshold."""
        return _equal_error(self.similarity, self.kind, np.ones(len(self.similarity)))


def _equal_error(similarity: NDArray[np.floating], kind: NDArray[np.int8], weights: NDArray[np.floating]) -> tuple[float, float]:
    """Where the two rates cross, over thresholds between the similarities that occur; half their sum where they step over it."""
    values, place = np.unique(similarity, return_inverse=True)
    genuine = np.bincount(place, weights * (kind == _GENUINE), len(values))
    impostor = np.bincount(place, weights * (kind == _IMPOSTOR), len(values))
    rejected = np.concatenate([[0.0], np.cumsum(genuine)]) / max(genuine.sum(), 1e-12)
    accepted = 1.0 - np.concatenate([[0.0], np.cumsum(impostor)]) / max(impostor.sum(), 1e-12)
    gap = np.abs(rejected - accepted)
    at = np.flatnonzero(gap <= gap.min() + 1e-12)
    best = int(at[len(at) // 2])
    edges = np.concatenate([[values[0] - 1e-6], (values[:-1].astype(np.float64) + values[1:]) / 2, [values[-1] + 1e-6]])
    return float(max(0.0, (rejected[best] + accepted[best]) / 2)), float(edges[best])


def _refuse_too_few(pairs: _Pairs, target: float, *, half: bool = False) -> None:
    genuine, impostor = pairs.count(_GENUINE), pairs.count(_IMPOSTOR)
    where = "Half of the items" if half else "The vectors"
    if not genuine or not impostor:
        raise DataError(
            f"{where} are too few for verification: it takes pairs of the same label and pairs of two labels.",
            received=f"{genuine} pairs of the same label, {impostor} of two labels",
            allowed="several labels, each with items that are no copies and of several groups; four of each will do",
            fix="Make vectors of more labelled examples.",
        )
    if impostor * target < 1:
        raise DataError(
            f"{where} have too few pairs of two labels for a false accept rate of {target:g}.",
            received=f"{impostor} pairs",
            allowed=f"at least {int(np.ceil(1 / target))}",
            fix="Ask for a larger rate with --far, or make vectors of more labelled examples.",
        )


def _halves(
    classes: NDArray[np.int64], owners: NDArray[np.int64], held_out: HoldOut, rng: np.random.Generator
) -> NDArray[np.int64]:
    """`(n,)`, 0 or 1: labels, or the units of each label, drawn alternately. What shares a unit is in one half."""
    half = np.zeros(len(classes), np.int64)
    if held_out == "labels":
        order = rng.permutation(int(classes.max()) + 1)
        side = np.empty(len(order), np.int64)
        side[order] = np.arange(len(order)) % 2
        return side[classes]
    side = np.full(int(owners.max()) + 1, -1, np.int64)
    turn = 0
    for label in range(int(classes.max()) + 1):
        for owner in rng.permutation(np.unique(owners[classes == label])):
            if side[owner] < 0:
                side[owner], turn = turn % 2, turn + 1
    half[:] = side[owners]
    return half


def _drawn(count: int, owners: NDArray[np.int64], seed: int) -> list[NDArray[np.float64]]:
    """How often each item counts in each resample of the units."""
    parts = resamples(int(owners.max()) + 1, seed=seed, bootstraps=_RESAMPLES)
    return [row[owners] for part in parts for row in resample_counts(part)]


def _equal_errors(pairs: _Pairs, drawn: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The equal error rate of each resample, from similarities in 2,000 steps."""
    steps = np.round(pairs.similarity.astype(np.float64) * 1000).astype(np.int64) + 1000
    genuine = pairs.kind == _GENUINE
    rates = []
    for counts in drawn:
        weights = counts[pairs.first] * counts[pairs.second]
        found = [np.bincount(steps[chosen], weights[chosen], 2001) for chosen in (genuine, ~genuine)]
        if not found[0].sum() or not found[1].sum():
            continue
        rejected = np.concatenate([[0.0], np.cumsum(found[0])]) / found[0].sum()
        accepted = 1 - np.concatenate([[0.0], np.cumsum(found[1])]) / found[1].sum()
        best = int(np.abs(rejected - accepted).argmin())
        rates.append((rejected[best] + accepted[best]) / 2)
    return np.array(rates)


def _measured(value: float, evaluated: Sequence[tuple[float, _Pairs]], drawn: Sequence[NDArray[np.float64]]) -> Threshold:
    """The error rates over the halves together, each by the threshold of the other half."""
    wrong = {kind: [0, 0] for kind in (_IMPOSTOR, _GENUINE)}
    shares: dict[int, list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]]] = {_IMPOSTOR: [], _GENUINE: []}
    for threshold, pairs in evaluated:
        for kind in wrong:
            of_kind = pairs.kind == kind
            accepted = pairs.similarity[of_kind] >= threshold
            mistaken = accepted if kind == _IMPOSTOR else ~accepted
            wrong[kind][0] += int(mistaken.sum())
            wrong[kind][1] += len(mistaken)
            shares[kind].append((pairs.first[of_kind], pairs.second[of_kind], mistaken))
    rates = {kind: count / max(total, 1) for kind, (count, total) in wrong.items()}
    intervals = {kind: _interval(shares[kind], wrong[kind], drawn) for kind in wrong}
    return Threshold(
        value=value,
        false_accept_rate=rates[_IMPOSTOR],
        false_accept_interval=intervals[_IMPOSTOR],
        false_reject_rate=rates[_GENUINE],
        false_reject_interval=intervals[_GENUINE],
    )


def _interval(
    parts: Sequence[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]],
    counted: Sequence[int],
    drawn: Sequence[NDArray[np.float64]],
) -> list[float] | None:
    """The 95% interval of a share of pairs over resamples of the items.

    By Wilson's formula over items where no pair, or every one, is wrong, which no resample can change.
    """
    wrong, total = counted
    items = len(np.unique(np.concatenate([np.concatenate([first, second]) for first, second, _ in parts])))
    if wrong in (0, total):
        return wilson_interval(0 if not wrong else items, items)
    values = []
    for counts in drawn:
        weights = [counts[first] * counts[second] for first, second, _ in parts]
        weight = sum(float(one.sum()) for one in weights)
        if weight:
            values.append(sum(float(one[part[2]].sum()) for one, part in zip(weights, parts, strict=True)) / weight)
    return percentile_interval(np.array(values))

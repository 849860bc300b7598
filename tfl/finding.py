"""A finding about data: one kind of problem, with its files, its expected cost, and the files that belong together."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")
"""The worst first. An `error` makes a result wrong, a `warning` may make it worse, an `info` is good to know."""

LEAKS = ("exact_leaks", "near_leaks")
CONFLICTS = ("conflicting_labels", "near_conflicting_labels")
COPIES = ("exact_duplicates", "near_duplicates")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The expected cost of a finding, in accuracy.

    Args:
        measure: String, a phrase that says which accuracy this is.
        as_it_is: Float, the accuracy with all files.
        without: Float, the accuracy without the files of the finding.
        difference: Float, `without - as_it_is`.
        interval: Pair of floats, the 95% interval of the difference.
        count: Int, the number of examples that both accuracies were measured on.
    """

    measure: str
    as_it_is: float
    without: float
    difference: float
    interval: tuple[float, float]
    count: int

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.measure}: {self.as_it_is:.1%} as it is, {self.without:.1%} without them "
            f"({100 * self.difference:+.1f} points, 95% interval {100 * low:+.1f} to {100 * high:+.1f})"
        )


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One kind of problem.

    Args:
        kind: String that stays the same from version to version, such as `near_leaks`.
        severity: String, `error`, `warning` or `info`.
        files: Tuple of strings, all files concerned, as `Examples.name_of` names them; the worst first if there is an order.
        note: String, what was found, as sentences.
        groups: Tuple of tuples of ints, positions in `files` that belong together, such as the copies of one example.
        captions: Tuple of strings, a caption for each group, or for each file if there are no groups.
        scores: Tuple of floats, one for each group, or for each file if there are no groups; the note says what it measures.
        cost: `Cost`, the expected cost of the files. None if it was not measured.

    Example:

    >>> from tfl.finding import Finding
    >>> Finding(kind="dark", severity="warning", files=("a/1.jpg",), note="1 file is dark.").to_json()["files"]
    ['a/1.jpg']
    """

    kind: str
    severity: Severity
    files: tuple[str, ...]
    note: str
    groups: tuple[tuple[int, ...], ...] = ()
    captions: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    cost: Cost | None = None

    def to_json(self) -> dict[str, Any]:
        """`kind`, `severity`, `files`, `note`, and those of `groups` (as names), `captions`, `scores`, `cost` that there are."""
        document: dict[str, Any] = {
            "kind": self.kind,
            "severity": self.severity,
            "files": list(self.files),
            "note": self.note,
        }
        if self.groups:
            document["groups"] = [[self.files[at] for at in group] for group in self.groups]
        if self.captions:
            document["captions"] = list(self.captions)
        if self.scores:
            document["scores"] = [round(score, 4) for score in self.scores]
        if self.cost is not None:
            cost = self.cost
            document["cost"] = {
                "measure": cost.measure,
                "as_it_is": round(cost.as_it_is, 4),
                "without": round(cost.without, 4),
                "difference": round(cost.difference, 4),
                "interval": [round(edge, 4) for edge in cost.interval],
                "count": cost.count,
            }
        return document

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Finding:
        """The finding of `tfl.data.audit`, which is a dictionary."""
        return cls(kind=found["kind"], severity=found["severity"], files=tuple(found["files"]), note=found["note"])


def of_groups(
    kind: str, severity: Severity, groups: Sequence[Sequence[str]], note: str, *, captions: Sequence[str] = ()
) -> Finding:
    """A finding of files that belong side by side.

    Example:

    >>> from tfl.finding import of_groups
    >>> of_groups("near_duplicates", "info", [["a", "b"], ["c", "d"]], "Two sets.").groups
    ((0, 1), (2, 3))
    """
    files = tuple(name for group in groups for name in group)
    starts = itertools.accumulate(map(len, groups), initial=0)
    places = [tuple(range(start, start + len(group))) for start, group in zip(starts, groups, strict=False)]
    return Finding(kind=kind, severity=severity, files=files, note=note, groups=tuple(places), captions=tuple(captions))


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """By severity; those of one severity keep their order."""
    return sorted(findings, key=lambda finding: SEVERITIES.index(finding.severity))


def plural(count: int, noun: str, several: str | None = None) -> str:
    """A count with its noun.

    Example:

    >>> from tfl.finding import plural
    >>> plural(1, "file"), plural(1200, "file"), plural(2, "class", "classes")
    ('1 file', '1,200 files', '2 classes')
    """
    return f"{count:,} {noun if count == 1 else several or noun + 's'}"

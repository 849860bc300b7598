"""What an audit proposes to leave out, as the text of an `exclude.txt`. It only ever writes that list: no file is touched."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tfl.data.exclude import exclude_line
from tfl.finding import CONFLICTS, COPIES, LEAKS, Finding

_RANK = ("train", "val", "test")
"""Of copies in several splits, those in the last of these stay: a test split is what others compare with."""


@dataclass(frozen=True)
class Proposed:
    """One file, and why.

    Args:
        file: As the finding names it.
        kind: Of the finding.
        reason: One line.
        sure: Whether it is proposed; else it is written as a comment, for somebody to look at.
    """

    file: str
    kind: str
    reason: str
    sure: bool = True


def propose(
    findings: Sequence[Finding], *, labels: Mapping[str, str], splits: Mapping[str, str], unusable: Collection[str] = ()
) -> list[Proposed]:
    """What to leave out: files that cannot be used, the training copies of leaks, and copies beyond the first.

    Contradicting labels and labels that are likely wrong are for a person to decide, so they come as comments.

    Args:
        findings: Of the audit.
        labels: The class of each usable file.
        splits: The split of each usable file; empty where the source leaves it open.
        unusable: The kinds of findings of files that cannot be used, `Modality.troubles`. Defaults to none.

    Example:

    >>> from tfl.finding import of_groups
    >>> from tfl.audit.proposal import propose
    >>> found = of_groups("exact_duplicates", "info", [["a/1", "a/2", "a/3"]], "Copies.")
    >>> rows = propose([found], labels=dict.fromkeys(found.files, "a"), splits={"a/1": "train", "a/2": "test", "a/3": "test"})
    >>> [(row.file, row.reason) for row in rows]
    [('a/1', 'copy of a/2 (test)'), ('a/3', 'copy of a/2')]
    """
    rows: dict[str, Proposed] = {}
    for row in (*_unusable(findings, unusable), *_copies(findings, labels, splits), *_doubtful(findings)):
        rows.setdefault(row.file, row)
    return list(rows.values())


def _unusable(findings: Iterable[Finding], kinds: Collection[str]) -> Iterable[Proposed]:
    for finding in findings:
        if finding.kind in kinds:
            yield from (Proposed(file, finding.kind, finding.kind.replace("_", " ")) for file in finding.files)


def _copies(findings: Sequence[Finding], labels: Mapping[str, str], splits: Mapping[str, str]) -> Iterable[Proposed]:
    by_kind = {finding.kind: finding for finding in findings}
    seen: set[str] = set()
    for kind, leak, conflict in (_KINDS["near"], _KINDS["exact"]):  # a near set holds the exact copies of its members too
        finding = by_kind.get(kind)
        for group in () if finding is None else finding.groups:
            names = list(dict.fromkeys(finding.files[at] for at in group))  # type: ignore[union-attr]
            if not seen.issuperset(names):
                seen.update(names)
                yield from _of_set(names, labels, splits, kind, leak, conflict)


_KINDS = dict(zip(("exact", "near"), zip(COPIES, LEAKS, CONFLICTS, strict=True), strict=True))


def _of_set(
    names: list[str], labels: Mapping[str, str], splits: Mapping[str, str], kind: str, leak: str, conflict: str
) -> Iterable[Proposed]:
    ranks = {name: _RANK.index(splits[name]) if splits.get(name) in _RANK else -1 for name in names}
    last = max(ranks.values())
    first, *others = [name for name in names if ranks[name] == last]
    where = f" ({splits[first]})" if splits.get(first) else ""
    for name in names:
        if ranks[name] < last:
            yield Proposed(name, leak, f"copy of {first}{where}")
    if len({labels[name] for name in (first, *others)}) > 1:
        for name in (first, *others):
            yield Proposed(name, conflict, f"labelled {labels[name]}; copies of it are not", sure=False)
        return
    for name in others:
        yield Proposed(name, kind, f"copy of {first}")


def _doubtful(findings: Iterable[Finding]) -> Iterable[Proposed]:
    for finding in findings:
        if finding.kind == "likely_wrong_labels":
            for file, caption in zip(finding.files, finding.captions, strict=True):
                yield Proposed(file, finding.kind, caption, sure=False)


def exclude_text(rows: Sequence[Proposed], names: Mapping[str, str], *, source: str) -> str:
    """The text of an `exclude.txt`.

    Args:
        rows: Of `propose`.
        names: What each file is called in the list, of `tfl.data.exclude.names_in_source`.
        source: What was audited.
    """
    lines = [
        f"# What tfl audit proposes to leave out of {_on_one_line(source)}. Nothing was deleted or moved.",
        f'# In a recipe: data=tfl.Data({json.dumps(source, ensure_ascii=False)}, exclude="exclude.txt")',
        "# One path per line, relative to the source. A line that starts with # is not used: take the mark away to leave it out.",
    ]
    for kind in dict.fromkeys(row.kind for row in rows):
        some = [row for row in rows if row.kind == kind]
        lines += [
            "",
            f"# {kind}: {len(some)}" + ("" if some[0].sure else ", to look at; not left out unless you take the mark away"),
        ]
        reason = ""
        for row in some:
            if row.reason != reason:
                reason = row.reason
                lines.append(f"#   {_on_one_line(reason)}")
            line = exclude_line(names.get(row.file, row.file))
            if line is None:
                lines.append(f"#   a name that cannot be listed, as it has a line break: {names.get(row.file, row.file)!r}")
            else:
                lines.append(line if row.sure else f"# {line}")
    return "\n".join(lines) + "\n"


def _on_one_line(text: str) -> str:
    return " ".join(text.split())

"""Previews for the page of an audit; a few for each finding, so that the page stays small."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfl.audit.targets import target_words
from tfl.data.examples import Examples
from tfl.finding import Finding
from tfl.modalities.base import Modality

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_IN_GROUP = 6


def shown(finding: Finding, most: int, *, unusable: Collection[str] = ()) -> list[tuple[tuple[str, ...], str]]:
    """The files that a page shows side by side, with what to write under them: at most `most` groups, or single files.

    Args:
        finding: Of an audit.
        most: Integer, groups or single files.
        unusable: The kinds of findings whose files cannot be shown. Defaults to none.

    Example:

    >>> from tfl.finding import Finding
    >>> from tfl.audit.shown import shown
    >>> shown(Finding(kind="dark", severity="warning", files=("1", "2", "3"), note="", captions=("x", "y", "z")), 2)
    [(('1',), 'x'), (('2',), 'y')]
    """
    if finding.kind in unusable:
        return []
    groups = finding.groups or tuple((at,) for at in range(len(finding.files)))
    captions = finding.captions or ("",) * len(groups)
    rows = list(zip(groups, captions, strict=True))[:most]
    return [(tuple(finding.files[at] for at in group[:MOST_IN_GROUP]), caption) for group, caption in rows]


def page_examples(
    findings: Sequence[Finding],
    examples: Examples,
    names: Mapping[str, str],
    splits: NDArray[Any] | None,
    *,
    modality: Modality,
    most: int,
) -> list[list[dict[str, Any]]]:
    """For each finding, what its page shows: dictionaries of `examples` (`html`, `name`, `label`, `split`), `caption` and `more`.

    Args:
        findings: Of the audit.
        examples: The usable ones.
        names: What to call each of them, by `Examples.name_of`.
        splits: `(n,)` the split of each; None where nothing is split.
        modality: Shows an example.
        most: Integer, groups or single examples of each finding.
    """
    places = {examples.name_of(index): index for index in range(len(examples))}
    known: dict[str, str] = {}

    def example(file: str) -> dict[str, Any]:
        index = places[file]
        if file not in known:
            known[file] = modality.preview(examples.bytes_of(index)).html
        return {
            "html": known[file],
            "name": names.get(file, file),
            "label": target_words(examples, index),
            "split": "" if splits is None else str(splits[index]),
        }

    return [_of_finding(finding, places, example, most, modality.troubles) for finding in findings]


def _of_finding(
    finding: Finding, places: dict[str, int], example: Callable[[str], dict[str, Any]], most: int, unusable: Collection[str]
) -> list[dict[str, Any]]:
    rows = []
    for number, (files, caption) in enumerate(shown(finding, most, unusable=unusable)):
        some = [example(file) for file in files if file in places]
        if some:
            more = len(finding.groups[number]) - len(files) if finding.groups else 0
            rows.append({"examples": some, "caption": caption, "more": more})
    return rows

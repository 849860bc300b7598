"""The page of an audit: every finding with its examples side by side. Made of the audit's document alone; no TensorFlow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfl.evaluate.render import render
from tfl.storage import write_atomically

MOST_NAMES = 20
TITLES = {
    "unreadable": "Files that cannot be read",
    "zero_bytes": "Empty files",
    "unsupported_format": "Formats that are not read",
    "too_large": "Too large to read",
    "too_small": "Too small to use",
    "undecodable": "Damaged or cut short",
    "mistyped": "Names that promise another format",
    "exact_leaks": "Leaks: the same file in several splits",
    "near_leaks": "Leaks: near copies in several splits",
    "conflicting_labels": "The same file under different labels",
    "near_conflicting_labels": "Near copies under different labels",
    "exact_duplicates": "Copies of a file",
    "near_duplicates": "Near copies",
    "straddling_groups": "Groups in several splits",
    "class_names_differ": "Classes named differently",
    "class_imbalance": "Imbalanced classes",
    "classes_too_small": "Classes too small to split",
    "classes_small": "Small classes",
    "likely_wrong_labels": "Labels that are likely wrong",
    "drift": "Drift between splits",
    "domain_distance": "Distance to another source",
    "excluded": "Left out already",
    "skipped_system_files": "Hidden and system files",
    "skipped_links": "Linked folders and special files",
    "recognised_splits": "Folders of splits",
    "nested_class": "A class of folders",
    "wrapper_folder": "A folder around the class folders",
    "loose_files": "Files that belong to no class",
    "unlabelled_split": "A split without labels",
    "exclude_unknown": "Lines that fit no example",
    "table_read": "How the table was read",
    "table_not_used": "A table that is not used",
    "labels_from_names": "Labels from file names",
}
"""What people read for each kind; `Modality.titles` has more, and its own words for some of these."""
_SEVERITIES = (("error", "error", "errors"), ("warning", "warning", "warnings"), ("info", "note", "notes"))


def write_audit_page(
    document: Mapping[str, Any],
    examples: Sequence[Sequence[Mapping[str, Any]]],
    path: Path | str,
    *,
    titles: Mapping[str, str] | None = None,
    nouns: tuple[str, str] = ("example", "examples"),
) -> Path:
    """Writes one file that opens offline.

    Args:
        document: Of `tfl audit --json`.
        examples: For each finding what to show, of `tfl.audit.shown.page_examples`.
        path: Where to.
        titles: What people read for the kinds of finding of a modality.
        nouns: What one example is called, and several.
    """
    rows = [
        {**finding, **_of_finding(finding, shown, titles or {})}
        for finding, shown in zip(document["findings"], examples, strict=True)
    ]
    said = headline(document["findings"])
    page = render("audit.html.j2", audit=document, rows=rows, headline=said, nouns=nouns[1], figures={})
    return write_atomically(Path(path), page)


def title(kind: str, titles: Mapping[str, str] | None = None) -> str:
    """What people read for a kind; a kind that is new here as words.

    Args:
        kind: Of a finding.
        titles: Those of a modality, which come first.
    """
    return {**TITLES, **(titles or {})}.get(kind, kind.replace("_", " ").capitalize())


def headline(findings: Sequence[Mapping[str, Any]]) -> str:
    """How many findings there are, by severity.

    Example:

    >>> from tfl.evaluate.pages.audit import headline
    >>> headline([{"severity": "error"}, {"severity": "info"}, {"severity": "info"}]), headline([])
    ('1 error, 2 notes', 'Nothing found')
    """
    counts = Counter(finding["severity"] for finding in findings)
    parts = [f"{counts[word]} {one if counts[word] == 1 else many}" for word, one, many in _SEVERITIES if counts[word]]
    return ", ".join(parts) or "Nothing found"


def _of_finding(finding: Mapping[str, Any], shown: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> dict[str, Any]:
    """What the page needs next to the finding itself."""
    groups = finding.get("groups") or []
    total = len(groups) or len(finding["files"])
    named = all(file in finding["note"] for file in finding["files"])
    names = [] if shown or named else list(finding["files"][:MOST_NAMES])
    more = total - len(shown) if shown else 0 if named else len(finding["files"]) - len(names)
    return {
        "title": title(finding["kind"], titles),
        "cost": finding.get("cost"),
        "shown": list(shown),
        "names": names,
        "more": more,
        "of": "set" if groups else "example",
    }

"""What is proposed to be left out, and how it is written."""

from __future__ import annotations

import numpy as np

from tfl.audit.proposal import exclude_text, propose
from tfl.data.examples import Examples
from tfl.data.exclude import leave_out
from tfl.finding import Finding, of_groups


def labels(**other):
    names = ("a/1", "a/2", "a/3", "a/4", "b/1", "b/2")
    return {name: name[0] for name in names} | other


def rows(findings, splits=None):
    found = propose(findings, labels=labels(), splits=splits or {}, unusable=("zero_bytes",))
    return [(row.file, row.kind, row.sure) for row in found]


def groups(kind, *sets):
    return of_groups(kind, "info", sets, "")


def test_unusable_files():
    found = Finding(kind="zero_bytes", severity="error", files=("a/x",), note="")
    assert rows([found]) == [("a/x", "zero_bytes", True)]


def test_copies_beyond_the_first():
    assert rows([groups("exact_duplicates", ["a/1", "a/2", "a/3"])]) == [
        ("a/2", "exact_duplicates", True),
        ("a/3", "exact_duplicates", True),
    ]


def test_of_a_leak_the_copy_to_train_on_goes():
    splits = {"a/1": "train", "a/2": "test", "a/3": "val", "a/4": "test"}
    assert rows([groups("near_duplicates", ["a/1", "a/2", "a/3", "a/4"])], splits) == [
        ("a/1", "near_leaks", True),
        ("a/3", "near_leaks", True),
        ("a/4", "near_duplicates", True),
    ]


def test_contradicting_labels_are_for_a_person():
    assert rows([groups("exact_duplicates", ["a/1", "b/1"])]) == [
        ("a/1", "conflicting_labels", False),
        ("b/1", "conflicting_labels", False),
    ]


def test_a_set_of_exact_copies_within_a_near_one_is_not_said_twice():
    found = [groups("exact_duplicates", ["a/1", "a/2"]), groups("near_duplicates", ["a/1", "a/2", "a/3"])]
    assert [row[0] for row in rows(found)] == ["a/2", "a/3"]


def test_a_path_that_is_listed_twice_is_not_lost():
    assert rows([groups("exact_duplicates", ["a/1", "a/1"])]) == []


def test_doubtful_labels_are_comments():
    found = Finding(
        kind="likely_wrong_labels", severity="warning", files=("a/1",), note="", captions=("labelled a, looks like b",)
    )
    text = exclude_text(propose([found], labels=labels(), splits={}), {"a/1": "a/1"}, source="photos")
    assert "#   labelled a, looks like b\n# a/1\n" in text
    assert all(not line or line.startswith("#") for line in text.splitlines())


def test_what_is_written_can_be_read(tmp_path):
    names = ["a/1 .jpg", "#1 cats/2.jpg", "ü/3.jpg", "a/4\n.jpg"]
    examples = Examples(
        class_names=("a", "b"),
        labels=np.array([0, 0, 1, 1, 1]),
        paths=np.array([f"/d/{name}" for name in (*names, "z")]),
        source="/d",
    )
    found = Finding(kind="zero_bytes", severity="error", files=tuple(f"/d/{name}" for name in names), note="")
    proposed = propose([found], labels={}, splits={}, unusable=("zero_bytes",))
    text = exclude_text(proposed, {f"/d/{name}": name for name in names}, source="a\nb")
    (tmp_path / "exclude.txt").write_text(text, encoding="utf-8")
    left = leave_out(examples, tmp_path / "exclude.txt")
    assert left.paths.tolist() == ["/d/a/4\n.jpg", "/d/z"]
    assert [finding["kind"] for finding in left.findings] == ["excluded"]

"""Audits of texts and of sounds, and of examples that have several labels or numbers."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import tfl
from tfl.audit.audit import audit_source, examine, summary
from tfl.audit.checks.classes import class_findings, merge_variants
from tfl.audit.checks.duplicates import copy_findings
from tfl.audit.shown import page_examples
from tfl.audit.targets import target_words
from tfl.data.examples import Examples


def reviews(folder: Path) -> Path:
    """40 sentences in two classes, of which one is there twice in other letters, and one is garbled."""
    rng = np.random.default_rng(0)
    for number in range(40):
        place = folder / ("fine" if number % 2 else "dull")
        place.mkdir(parents=True, exist_ok=True)
        words = rng.choice(["film", "cast", "music", "story", "night", "war", "song", "lake", "tree", "road"], 9)
        (place / f"{number:02d}.txt").write_text(" ".join(words) + f" {number} {rng.integers(1e6)}", encoding="utf-8")
    (folder / "fine" / "again.txt").write_text((folder / "dull" / "00.txt").read_text().upper() + " !")
    (folder / "fine" / "odd.txt").write_text("a cafÃ© by the lake, and the music that they play there")
    return folder


@pytest.mark.slow
def test_texts_are_audited_without_a_network(tmp_path: Path) -> None:
    pytest.importorskip("keras_hub")
    data = tfl.Data(str(reviews(tmp_path)), input=tfl.Text(length=8), on_bad="skip")
    found = audit_source(tfl.Recipe(name="x", data=data, backbone=tfl.Backbone("tiny", weights=None)), deep=False)
    kinds = {finding.kind: [Path(file).name for file in finding.files] for finding in found.findings}
    assert kinds["near_conflicting_labels"] == kinds["near_duplicates"] == ["00.txt", "again.txt"]
    assert kinds["mojibake"] == ["odd.txt"]
    assert "2 texts in 1 set say the same but for case" in next(f.note for f in found.findings if f.kind == "near_duplicates")
    assert summary(found).startswith("42 files, 2 classes")
    shown = page_examples(found.findings, found.examples, found.names, found.splits, modality=found.modality, most=3)
    rows = dict(zip([finding.kind for finding in found.findings], shown, strict=True))
    assert rows["mojibake"][0]["examples"][0]["html"].startswith('<span class="text">a café'.replace("é", "Ã©"))


@pytest.mark.slow
def test_sounds_are_audited(tmp_path: Path) -> None:
    data = tfl.Data("sample:sounds", input=tfl.Audio(), per_class=6)
    found = audit_source(tfl.Recipe(name="x", data=data, backbone=tfl.Backbone("mini")), deep=False)
    assert {finding.kind for finding in found.findings} <= {"classes_small"}
    assert found.modality.kind == "audio" and summary(found) == "36 sounds, 6 classes"


def test_several_labels_and_numbers_have_copies_and_no_classes() -> None:
    targets = np.array([[1, 0], [1, 0], [0, 1], [1, 1]], np.float32)
    contents = np.array([b"a", b"b", b"c", b"d"], object)
    several = Examples(class_names=("cat", "dog"), targets=targets, contents=contents, noun="text", nouns="texts")
    assert merge_variants(several) == (several, []) and class_findings(several, np.arange(4)) == []
    same, other = (copy_findings(several, [np.array(pair)], how="exact", splits=None) for pair in ([0, 1], [1, 3]))
    assert [finding.kind for finding in same] == ["exact_duplicates"]
    assert [finding.kind for finding in other] == ["conflicting_labels", "exact_duplicates"]
    assert other[0].captions == ("cat or cat, dog",) and other[0].note.startswith("2 texts in 1 set have the same content")
    ages = dataclasses.replace(several, class_names=("age",), targets=np.array([[31.5], [31.5], [7.0], [np.nan]]))
    assert target_words(ages, 0) == "age 31.5"
    assert [finding.kind for finding in copy_findings(ages, [np.array([0, 1])], how="exact", splits=None)] == ["exact_duplicates"]


@pytest.mark.slow
def test_the_deep_checks_run_where_there_are_no_classes(tmp_path: Path) -> None:
    from rich.console import Console

    from tfl.data.bundle import Bundle
    from tfl.data.split import Split
    from tfl.tasks.base import task_of

    pytest.importorskip("cleanlab")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (24, 64, 64, 3)).astype(np.uint8)
    examples = Examples(class_names=("age",), targets=rng.normal(size=(24, 1)).astype(np.float32), arrays=images)
    none = np.empty(0, np.int64)
    data = tfl.Data("x", image_size=(64, 64))
    recipe = tfl.Recipe(name="x", data=data, backbone=tfl.Backbone("mini"), task="regress")
    bundle = Bundle(
        examples=examples,
        split=Split(train=np.arange(24), val=none, test=none),
        data=data,
        seed=0,
        fingerprints=[str(index) for index in range(24)],
        task=task_of("regress").fitted(examples.targets),
    )
    splits = np.array(["train"] * 16 + ["test"] * 8)
    findings, doubtful = examine(recipe, bundle, splits=splits, deep=True, console=Console(quiet=True))
    assert doubtful == () and "likely_wrong_labels" not in {finding.kind for finding in findings}

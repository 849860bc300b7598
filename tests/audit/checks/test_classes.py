"""Rare classes, small ones, and those whose name depends on the split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scenes import folder_of_scenes, recipe_of

from tfl.audit.checks.classes import class_findings, merge_variants
from tfl.data.examples import Examples
from tfl.data.source import load_source


def examples(*counts: int, names: tuple[str, ...] = ("ant", "bee", "cow"), splits: list[str] | None = None) -> Examples:
    labels = np.repeat(np.arange(len(counts)), counts)
    images = np.zeros((len(labels), 8, 8), np.uint8)
    given = None if splits is None else np.array(splits)
    nouns = {"noun": "image", "nouns": "images"}
    return Examples(class_names=names[: len(counts)], labels=labels, arrays=images, splits=given, source="x", **nouns)


def kinds(of: Examples, units: np.ndarray | None = None) -> dict[str, str]:
    found = class_findings(of, np.arange(len(of)) if units is None else units)
    return {finding.kind: finding.severity for finding in found}


@pytest.mark.parametrize(
    "counts, expected",
    [
        ((20, 20), {}),
        ((20, 59), {}),
        ((20, 60), {"class_imbalance": "info"}),
        ((20, 200), {"class_imbalance": "warning"}),
        ((9, 20), {"classes_small": "warning"}),
        ((2, 5), {"classes_too_small": "error", "classes_small": "warning"}),
    ],
)
def test_counts(counts: tuple[int, ...], expected: dict[str, str]) -> None:
    assert kinds(examples(*counts)) == expected


def test_images_that_belong_together_count_once() -> None:
    assert kinds(examples(20, 20), np.repeat(np.arange(4), 10)) == {"classes_too_small": "error"}


def test_small_classes_are_named_with_their_files() -> None:
    finding = class_findings(examples(2, 20), np.arange(22))[1]
    assert finding.files == ("#0", "#1") and "`ant` (2 images)" in finding.note


def test_spellings_are_merged_into_that_of_train() -> None:
    splits = ["train"] * 4 + ["test"] * 2 + ["train"] * 3 + ["test"] * 3
    of = examples(4, 2, 6, names=("Leaf_Scorch", "leaf scorch", "ok"), splits=splits)
    merged, found = merge_variants(of)
    assert merged.class_names == ("Leaf_Scorch", "ok") and merged.counts() == {"Leaf_Scorch": 6, "ok": 6}
    assert [finding.kind for finding in found] == ["class_names_differ"] and found[0].severity == "error"
    assert found[0].files == ("#4", "#5")
    assert "`Leaf_Scorch` (in train) and `leaf scorch` (in test)" in found[0].note


def test_a_class_that_a_split_lacks() -> None:
    merged, found = merge_variants(examples(2, 2, splits=["train", "test", "train", "train"]))
    assert merged.class_names == ("ant", "bee")
    assert "The test split has no images of `bee`" in found[0].note and found[0].files == ("#2", "#3")


def test_splits_that_agree() -> None:
    of = examples(2, 2, splits=["train", "test", "train", "test"])
    merged, found = merge_variants(of)
    assert found == [] and merged.labels.tolist() == of.labels.tolist()


def test_a_source_that_a_run_refuses_can_be_read(tmp_path: Path) -> None:
    folder_of_scenes(tmp_path, {"train/Rose": 3, "train/tulip": 3, "test/rose": 2, "test/tulip": 2})
    loaded = load_source(recipe_of(tmp_path).data, check_classes=False)
    merged, found = merge_variants(loaded)
    assert merged.counts() == {"Rose": 5, "tulip": 5} and [finding.kind for finding in found] == ["class_names_differ"]

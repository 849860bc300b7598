"""Folders as people have them: splits in every spelling, doubled and wrapped, and what looks like classes and is not."""

from __future__ import annotations

import collections
import os
from pathlib import Path

import pytest
from image_files import class_folders

import tfl
from tfl.data.examples import Examples
from tfl.data.split_names import split_of
from tfl.data.source import load_source
from tfl.data.walk import is_left_behind
from tfl.errors import DataError

TWO = {"cat": 3, "dog": 3}


def load(source: Path) -> Examples:
    return load_source(tfl.Data(str(source)))


def sizes(found: Examples) -> dict[str, int]:
    return dict(collections.Counter([] if found.splits is None else found.splits.tolist()))


def notes(found: Examples) -> dict[str, str]:
    return {finding["kind"]: finding["note"] for finding in found.findings}


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *[
            (name, "train")
            for name in ("train", "TRAIN", "training_set", "Training Images", "train-data", "seg_train", "trainset")
        ],
        *[(name, "val") for name in ("val", "valid", "Validation", "dev", "val_set", "validation-images", "ValSplit")],
        *[(name, "test") for name in ("test", "Testing", "test_set", "test1", "testdata", "TestImages", "eval")],
        *[(name, "unlabelled") for name in ("seg_pred", "unlabeled", "predictions")],
        *[
            (name, None)
            for name in ("test_tube", "trams", "trainer", "valley", "images", "devil", "tests of time", "3", "Prüfung")
        ],
    ],
)
def test_the_names_of_splits(name: str, split: str | None) -> None:
    assert split_of(name) == split


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training_set/training_set", "test_set/test_set"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("archive/dataset/Train", "archive/dataset/Test"),
        ("train/images", "test/images"),
    ],
)
def test_splits_are_recognised_doubled_and_wrapped(tmp_path: Path, train: str, test: str) -> None:
    class_folders(tmp_path / train, TWO)
    class_folders(tmp_path / test, {"cat": 1, "dog": 1})
    found = load(tmp_path)
    assert found.class_names == ("cat", "dog") and sizes(found) == {"train": 6, "test": 2}


def test_a_wrapper_is_looked_through_and_said(tmp_path: Path) -> None:
    class_folders(tmp_path / "archive" / "photos", TWO)
    (tmp_path / "archive" / "README.md").write_text("about")
    found = load(tmp_path)
    assert found.class_names == ("cat", "dog") and found.splits is None
    assert os.path.join("archive", "photos") in notes(found)["wrapper_folder"]


def test_files_next_to_the_class_folders_are_said(tmp_path: Path) -> None:
    class_folders(tmp_path, TWO)
    (tmp_path / "list.txt").write_text("x")
    assert "(1): list.txt" in notes(load(tmp_path))["loose_files"]


@pytest.mark.parametrize("folder", ["test", "seg_pred/seg_pred", "test/images"])
def test_a_split_without_labels_is_left_out_and_said(tmp_path: Path, folder: str) -> None:
    class_folders(tmp_path / "train", TWO)
    class_folders(tmp_path / folder, {".": 4})
    found = load(tmp_path)
    assert sizes(found) == {"train": 6}
    assert f"tfl predict RUN {tmp_path / folder.split('/')[0]}" in notes(found)["unlabelled_split"]


@pytest.mark.parametrize("folders", [{"train": 3, "test": 3}, {"test": 3, "val": 3}, {"test_set/cat": 3, "val_set/cat": 3}])
def test_folders_that_look_like_splits_are_no_classes(tmp_path: Path, folders: dict[str, int]) -> None:
    class_folders(tmp_path, folders)
    with pytest.raises(DataError, match="look like splits, not like classes"):
        load(tmp_path)


def test_the_same_folders_below_each_are_not_taken_for_classes(tmp_path: Path) -> None:
    for site in ("clinic_a", "clinic_b"):
        class_folders(tmp_path / site, TWO)
    with pytest.raises(DataError, match=r"not clear which .* clinic_a, clinic_b; in each of them cat, dog"):
        load(tmp_path)


def test_other_folders_inside_classes_are_read(tmp_path: Path) -> None:
    class_folders(tmp_path, {"cat/2019": 2, "cat/2020": 1, "dog/2020": 2, "dog/garden": 1})
    assert load(tmp_path).counts() == {"cat": 3, "dog": 3}


def test_a_class_folder_named_by_mistake_points_to_the_one_above(tmp_path: Path) -> None:
    class_folders(tmp_path / "photos", TWO)
    with pytest.raises(DataError, match=f"Did you mean the folder above it.*{tmp_path / 'photos'}"):
        load(tmp_path / "photos" / "cat")


LEFT_BEHIND = (
    *(
        "@eaDir/a.jpg",
        "#recycle/a.jpg",
        "@Recycle/a.jpg",
        ".thumbnails/1.jpg",
        ".@__thumb/1.jpg",
        "__MACOSX/a/._1.jpg",
        "Thumbs.db",
    ),
    *(
        "ehthumbs.db",
        "desktop.ini",
        ".DS_Store",
        "._1.jpg",
        "Picasa.ini",
        ".picasa.ini",
        "$RECYCLE.BIN/1.jpg",
        "lost+found/1.jpg",
    ),
    *(
        ".ipynb_checkpoints/1-checkpoint.jpg",
        ".Trash-1000/files/1.jpg",
        "1.jpg.part",
        "2.jpg.crdownload",
        "~$1.jpg",
        "LOST.DIR/1.jpg",
    ),
)


@pytest.mark.parametrize("name", LEFT_BEHIND)
def test_what_systems_leave_inside_class_folders_is_skipped_and_said(tmp_path: Path, name: str) -> None:
    class_folders(tmp_path, TWO)
    file = tmp_path / "cat" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes((tmp_path / "dog" / "000.png").read_bytes())
    found = load(tmp_path)
    assert found.counts() == TWO and "1 hidden or system entry was skipped" in notes(found)["skipped_system_files"]


def test_names_of_photos_are_not_left_behind() -> None:
    assert not any(map(is_left_behind, ("IMG_0001.JPG", "@home.jpg", "#1.png", "thumbs.jpg", "part.jpg", "a~b.png", "temp.bmp")))

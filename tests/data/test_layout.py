"""Folders as people have them: splits in every spelling, doubled and wrapped, and what looks like classes and is not."""

from __future__ import annotations

import collections
import os
from pathlib import Path

import pytest
from image_files import class_folders

import tfl
from tfl.data.examples import Examples
from tfl.data.source import load_source
from tfl.data.split_names import split_of
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


def test_images_and_what_describes_them_are_no_classes(tmp_path: Path) -> None:
    for names in (("images", "masks"), ("JPEGImages", "Annotations"), ("train/images", "train/labels")):
        source = class_folders(tmp_path / names[1].replace("/", " "), dict.fromkeys(names, 3))
        if "/" in names[0]:
            class_folders(source, {"val/images": 2, "val/labels": 2})
        with pytest.raises(DataError, match=r"not classes.*'data\.labels=\*'"):
            load(source)
    found = load_source(tfl.Data(str(tmp_path / "masks"), labels=("*",)))
    assert found.class_names == ("images", "masks")
    assert load(class_folders(tmp_path / "real", {"mask": 3, "no mask": 3})).class_names == ("mask", "no mask")


def test_a_folder_inside_several_classes_is_said(tmp_path: Path) -> None:
    found = load(class_folders(tmp_path, {"indoor/cat": 2, "indoor/dog": 2, "outdoor/dog": 2, "outdoor/fox": 2}))
    assert "several of them hold dog" in notes(found)["nested_class"]


def test_other_folders_inside_classes_are_read(tmp_path: Path) -> None:
    class_folders(tmp_path, {"cat/2019": 2, "cat/2020": 1, "dog/2020": 2, "dog/garden": 1})
    assert load(tmp_path).counts() == {"cat": 3, "dog": 3}


@pytest.mark.parametrize("prefix", ["flowers_", "Flowers "])
def test_splits_may_all_carry_the_same_word(tmp_path: Path, prefix: str) -> None:
    for split in ("train", "test"):
        class_folders(tmp_path / f"{prefix}{split}", TWO)
    found = load(tmp_path)
    assert found.class_names == ("cat", "dog") and sizes(found) == {"train": 6, "test": 6}
    assert f"{prefix}train{os.sep} is train" in notes(found)["recognised_splits"]


def test_folders_of_splits_of_usual_names_are_not_news(tmp_path: Path) -> None:
    for split in ("train", "Validation", "test"):
        class_folders(tmp_path / split, TWO)
    assert load(tmp_path).findings == ()


def test_splits_between_other_folders_are_no_classes(tmp_path: Path) -> None:
    class_folders(tmp_path, {"train": 3, "test": 3, "models": 2})
    with pytest.raises(DataError, match=r"look like splits.*test, train; none of them holds class folders.*data\.labels"):
        load(tmp_path)


@pytest.mark.parametrize("names", [("train", "tram"), ("test", "control"), ("dev", "eval", "ops"), ("recycled", "glass")])
def test_a_class_may_have_the_name_of_a_split_or_of_a_system_folder(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert load(class_folders(tmp_path, dict.fromkeys(names, 2))).class_names == tuple(sorted(names))


def test_the_one_split_that_holds_class_folders_is_suggested(tmp_path: Path) -> None:
    class_folders(tmp_path, {"train": 3, "test/cat": 2, "test/dog": 2})
    with pytest.raises(DataError, match=f"test holds class folders.*name it: {tmp_path / 'test'}"):
        load(tmp_path)


def test_splits_below_the_classes_are_refused_with_what_to_do(tmp_path: Path) -> None:
    class_folders(tmp_path, {f"{name}/{split}": 2 for name in TWO for split in ("train", "test")})
    with pytest.raises(DataError, match="Put the splits above the classes"):
        load(tmp_path)


def test_classes_that_the_recipe_names_are_not_questioned(tmp_path: Path) -> None:
    class_folders(tmp_path, {f"{name}/{side}": 2 for name in TWO for side in ("left", "right")})
    with pytest.raises(DataError, match="not clear"):
        load(tmp_path)
    assert load_source(tfl.Data(str(tmp_path), labels=("cat", "dog"))).counts() == {"cat": 4, "dog": 4}


def test_a_set_that_was_unpacked_into_itself_is_refused(tmp_path: Path) -> None:
    class_folders(tmp_path, {**TWO, "animals/cat": 3, "animals/dog": 3})
    with pytest.raises(DataError, match=f"{tmp_path / 'animals'} holds folders of the same names"):
        load(tmp_path)


def test_one_wrapper_less_is_suggested_by_path(tmp_path: Path) -> None:
    class_folders(tmp_path, {"data/cat": 3, "data/dog": 3})
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "look.ipynb").write_text("{}")
    with pytest.raises(DataError, match=f"Did you mean {tmp_path / 'data'}"):
        load(tmp_path)
    class_folders(tmp_path, {"notebooks": 2})
    assert f"use the source {tmp_path / 'data'}" in notes(load(tmp_path))["nested_class"]


@pytest.mark.parametrize("folder", ["train", "val", "outer"])
def test_images_that_belong_to_no_class_are_said(tmp_path: Path, folder: str) -> None:
    for split in ("train", "val"):
        class_folders(tmp_path / "photos" / split, TWO)
    class_folders(tmp_path if folder == "outer" else tmp_path / "photos" / folder, {".": 2})
    assert "(2): 000.png, 001.png" in notes(load(tmp_path))["loose_files"]


@pytest.mark.parametrize(("folder", "count"), [("test/unknown", 4), ("test/test", 4), ("test", 0)])
def test_a_test_with_one_folder_of_no_class_or_nothing_is_left_out(tmp_path: Path, folder: str, count: int) -> None:
    class_folders(tmp_path / "train", TWO)
    class_folders(tmp_path / folder, {".": count})
    found = load(tmp_path)
    assert sizes(found) == {"train": 6}
    assert (f"{count} files have no label" if count else "holds no files") in notes(found)["unlabelled_split"]


def test_a_class_called_unknown_is_a_class(tmp_path: Path) -> None:
    for split in ("train", "test"):
        class_folders(tmp_path / split, {"unknown": 2, "cat": 2})
    assert load(tmp_path).class_names == ("cat", "unknown")
    class_folders(tmp_path / "val", {"unknown": 2})
    with pytest.raises(DataError, match="val split has no images of these classes: cat"):
        load(tmp_path)


def test_what_is_left_behind_around_the_class_folders_is_said_once(tmp_path: Path) -> None:
    class_folders(tmp_path / "archive", {**TWO, "@eaDir": 1})
    class_folders(tmp_path, {"__MACOSX": 1})
    found = load(tmp_path)
    assert notes(found)["skipped_system_files"] == f"2 hidden or system entries were skipped: __MACOSX, archive{os.sep}@eaDir."


def test_links_to_folders_and_pipes_below_a_class_are_said(tmp_path: Path) -> None:
    class_folders(tmp_path / "photos", TWO)
    class_folders(tmp_path, {"elsewhere": 2})
    (tmp_path / "photos" / "cat" / "more").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(tmp_path / "photos" / "dog" / "pipe")
    found = load(tmp_path / "photos")
    assert found.counts() == TWO
    assert "2 linked folders or special files were skipped: cat/more, dog/pipe" in notes(found)["skipped_links"]


def test_names_that_are_not_text_are_counted_and_the_way_to_rename_them_said(tmp_path: Path) -> None:
    class_folders(tmp_path, TWO)
    for number in (0, 1):
        os.rename(tmp_path / "cat" / f"00{number}.png", os.fsencode(tmp_path / "cat") + b"/caf\xe9%d.png" % number)
    with pytest.raises(DataError, match=r"2 names .* are not UTF-8 text\. .*caf\\xe90.*convmv"):
        load(tmp_path)


def test_every_finding_about_folders_has_a_title(tmp_path: Path) -> None:
    from tfl.evaluate.pages.audit import TITLES

    kinds = ("skipped_system_files", "skipped_links", "wrapper_folder", "recognised_splits", "loose_files", "unlabelled_split")
    assert {*kinds, "nested_class"} <= set(TITLES)


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


def test_a_class_may_end_like_a_file_that_is_not_yet_whole(tmp_path: Path) -> None:
    assert load(class_folders(tmp_path, {"v1.part": 2, "v2.temp": 2})).class_names == ("v1.part", "v2.temp")


def test_names_of_photos_are_not_left_behind() -> None:
    assert not any(map(is_left_behind, ("IMG_0001.JPG", "@home.jpg", "#1.png", "thumbs.jpg", "part.jpg", "a~b.png", "temp.bmp")))

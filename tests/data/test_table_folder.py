"""Folders with a table beside the images, and which of the two is meant where there are class folders too."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from image_files import class_folders

import tfl
from tfl.data.examples import Examples
from tfl.data.exclude import leave_out, names_in_source
from tfl.data.source import load_source
from tfl.errors import DataError


def load(source: Path, **options: Any) -> Examples:
    return load_source(tfl.Data(str(source), **options))


def csv(file: Path, header: str, lines: Iterable[str]) -> None:
    file.write_text("\n".join([header, *lines]))


def kinds(found: Examples) -> list[str]:
    return [finding["kind"] for finding in found.findings]


def test_metadata_beside_images_in_each_split(tmp_path: Path) -> None:
    for split, count in (("train", 6), ("test", 4)):
        class_folders(tmp_path, {split: count}, start=count)
        lines = [json.dumps({"file_name": f"{n:03d}.png", "label": "ab"[n % 2], "text": f"photo {n}"}) for n in range(count)]
        (tmp_path / split / "metadata.jsonl").write_text("\n".join(lines))
    found = load(tmp_path)
    assert found.class_names == ("a", "b") and sorted(found.splits.tolist()) == ["test"] * 4 + ["train"] * 6
    assert names_in_source(found)[0] == "test/000.png" and "table_read" in kinds(found)


@pytest.mark.parametrize("wrapper", ["", "archive/dataset"])
def test_metadata_of_a_whole_folder(tmp_path: Path, wrapper: str) -> None:
    folder = tmp_path / wrapper
    class_folders(folder, {"images": 6})
    csv(folder / "metadata.csv", "file_name,text,label", [f"images/{n:03d}.png,photo {n},{'ab'[n % 2]}" for n in range(6)])
    found = load(tmp_path)
    assert found.class_names == ("a", "b") and len(found) == 6 and found.source == str(tmp_path)
    assert names_in_source(found)[0] == str(Path(wrapper) / "images/000.png")


def test_a_competition_with_flat_train_and_test_folders(tmp_path: Path) -> None:
    class_folders(tmp_path, {"train": 6, "test": 3})
    csv(tmp_path / "train.csv", "id,breed", [f"{n:03d},{'ab'[n % 2]}" for n in range(6)])
    csv(tmp_path / "test.csv", "id", [f"{n:03d}" for n in range(3)])
    csv(tmp_path / "sample_submission.csv", "id,breed", [f"{n:03d},a" for n in range(3)])
    found = load(tmp_path)
    assert names_in_source(found) == [f"train/{n:03d}.png" for n in range(6)] and found.splits is None


def test_a_table_for_each_split(tmp_path: Path) -> None:
    class_folders(tmp_path, {"images": 8})
    for split, start in (("train", 0), ("val", 4)):
        csv(tmp_path / f"{split}_labels.csv", "image,label", [f"{n:03d}.png,{'ab'[n % 2]}" for n in range(start, start + 4)])
    assert load(tmp_path).splits.tolist() == ["train"] * 4 + ["val"] * 4
    csv(tmp_path / "val_labels.csv", "image,label", [f"{n:03d}.png,{'ab'[n % 2]}" for n in range(3, 7)])
    with pytest.raises(DataError, match="do not agree on"):
        load(tmp_path)


def test_several_tables_are_asked_about(tmp_path: Path) -> None:
    class_folders(tmp_path, {"images": 6})
    for name in ("colours", "shapes"):
        csv(tmp_path / f"{name}.csv", "image,label", [f"{n:03d}.png,{name[n % 2]}" for n in range(6)])
    with pytest.raises(DataError, match=r"several tables.*colours\.csv, shapes\.csv.*--data .*colours\.csv"):
        load(tmp_path)


def test_a_label_that_is_not_certain_is_asked_about(tmp_path: Path) -> None:
    class_folders(tmp_path, {"images": 6})
    csv(tmp_path / "metadata.csv", "file_name,colour,sex", [f"images/{n:03d}.png,{'ab'[n % 2]},{'mmf'[n % 3]}" for n in range(6)])
    with pytest.raises(DataError, match="may be the label"):
        load(tmp_path)
    assert load(tmp_path, label_column="sex").class_names == ("f", "m")


def test_class_folders_stay_the_classes(tmp_path: Path) -> None:
    before = load(class_folders(tmp_path, {"a": 4, "b": 4}))
    paths = [f"{name}/{n:03d}.png" for name in "ab" for n in range(4)]
    csv(tmp_path / "sizes.csv", "a,b", ["1,2"])
    (tmp_path / "broken.csv").write_bytes(b"\xff\xfe\0\0\xe9")
    csv(tmp_path / "metadata.csv", "file_name,label", [f"{path},class {path[0]}" for path in paths])
    assert load(tmp_path).paths.tolist() == before.paths.tolist() and "table_not_used" not in kinds(load(tmp_path))
    csv(tmp_path / "metadata.csv", "file_name,sex", [f"{path},{'mf'[n % 2]}" for n, path in enumerate(paths)])
    found = load(tmp_path)
    assert found.class_names == ("a", "b") and found.paths.tolist() == before.paths.tolist()
    (note,) = [finding["note"] for finding in found.findings if finding["kind"] == "table_not_used"]
    assert "metadata.csv" in note and "data.label_column=sex" in note
    assert load(tmp_path, label_column="sex").class_names == ("f", "m")


def test_a_table_with_absolute_and_relative_paths_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class_folders(tmp_path, {"set": 6})
    paths = [str(tmp_path / "set" / f"{n:03d}.png") if n % 2 else f"{n:03d}.png" for n in range(6)]
    csv(tmp_path / "set" / "list.csv", "Pfad,Art", [f"{path},{'xy'[n // 3]}" for n, path in enumerate(paths)])
    monkeypatch.chdir(tmp_path)
    assert load(Path("set")).class_names == ("x", "y")


def test_splits_that_are_not_used_are_said(tmp_path: Path) -> None:
    class_folders(tmp_path, {"a": 4, "b": 4})
    lines = [f"{name}/{n:03d}.png,{['Training', 'PublicTest'][n % 2]},{name}" for name in "ab" for n in range(4)]
    csv(tmp_path / "list.csv", "path,Usage,label", lines)
    assert any("divides them with Usage" in finding["note"] for finding in load(tmp_path).findings)
    (note,) = [finding["note"] for finding in load(tmp_path / "list.csv").findings]
    assert "The column `Usage`" in note and "PublicTest, Training" in note and "is not used" in note


def test_a_missing_value_of_pandas_is_no_class(tmp_path: Path) -> None:
    class_folders(tmp_path, {"a": 4, "b": 4})
    csv(tmp_path / "list.csv", "path,label", [f"{name}/{n:03d}.png,{name if n else 'nan'}" for name in "ab" for n in range(4)])
    with pytest.raises(DataError, match="line 2: no label, only `nan`"):
        load(tmp_path / "list.csv")


def test_images_in_parts_with_a_table_are_not_classes(tmp_path: Path) -> None:
    class_folders(tmp_path, {"part_1": 4})
    class_folders(tmp_path, {"part_2": 4}, start=4)
    for n in range(4):
        (tmp_path / "part_2" / f"{n:03d}.png").rename(tmp_path / "part_2" / f"{n + 4:03d}.png")
    csv(
        tmp_path / "HAM_metadata.csv",
        "lesion_id,image_id,dx,age",
        [f"L{n // 2},{n:03d},{'ab'[n % 2]},{50 + n}" for n in range(8)],
    )
    with pytest.raises(DataError, match=r"part_1, part_2; labels a, b.*--data .*HAM_metadata\.csv"):
        load(tmp_path)
    assert names_in_source(load(tmp_path / "HAM_metadata.csv"))[::4] == ["part_1/000.png", "part_2/004.png"]


def test_images_of_a_table_can_be_left_out_by_name(tmp_path: Path) -> None:
    class_folders(tmp_path, {"images": 6})
    csv(tmp_path / "metadata.csv", "file_name,label", [f"images/{n:03d}.png,{'ab'[n % 2]}" for n in range(6)])
    (tmp_path / "exclude.txt").write_text("images/002.png\n")
    assert len(leave_out(load(tmp_path), tmp_path / "exclude.txt")) == 5


# Labels in file names


def flat(folder: Path, names: Iterable[str]) -> Path:
    class_folders(folder, {".": len(list(names))})
    for file, name in zip(sorted(folder.glob("[0-9][0-9][0-9].png")), names, strict=True):
        file.rename(folder / f"{name}.png")
    return folder


@pytest.mark.parametrize("form", ["Abyssinian_{n}", "great_pyrenees_{n}", "cat.{n}", "cat_{n:03d}", "cat ({n})", "cat{n}"])
def test_labels_in_file_names_are_read_and_said(tmp_path: Path, form: str) -> None:
    found = load(flat(tmp_path, [form.format(n=n) for n in range(3)] + [f"dog_{n}" for n in range(4)]))
    assert len(found.class_names) == 2 and found.counts()["dog"] == 4
    (note,) = [finding["note"] for finding in found.findings]
    assert kinds(found) == ["labels_from_names"] and "labels are read from the file names" in note


def test_labels_in_the_file_names_of_a_train_folder_leave_the_test_folder_out(tmp_path: Path) -> None:
    flat(tmp_path / "train", [*(f"cat.{n}" for n in range(4)), *(f"dog.{n}" for n in range(4))])
    flat(tmp_path / "test", [str(n) for n in range(3)])
    found = load(tmp_path)
    assert found.counts() == {"cat": 4, "dog": 4} and found.splits is None
    assert kinds(found) == ["labels_from_names", "unlabelled_split"] and "tfl predict RUN" in found.findings[1]["note"]
    flat(tmp_path / "validation_set", [*(f"cat.{n}" for n in range(4, 7)), *(f"dog.{n}" for n in range(4, 7))])
    found = load(tmp_path)
    assert sorted(found.splits.tolist()) == ["train"] * 8 + ["val"] * 6
    assert found.class_names == ("cat", "dog") and found.counts() == {"cat": 7, "dog": 7}


@pytest.mark.parametrize("test", ["test", "test_images", "Testing Set"])
def test_split_folders_in_every_spelling_are_no_classes(tmp_path: Path, test: str) -> None:
    class_folders(tmp_path, {"train_images": 6, test: 3})
    csv(tmp_path / "train.csv", "id_code,quality", [f"{n:03d},{'ab'[n % 2]}" for n in range(6)])
    assert names_in_source(load(tmp_path)) == [f"train_images/{n:03d}.png" for n in range(6)]


@pytest.mark.parametrize(
    "names",
    [
        [*(f"cat_{n}" for n in range(3)), *(f"dog_{n}" for n in range(2))],
        [*(f"cat_{n}" for n in range(3)), *(f"dog_{n}" for n in range(3)), "noname"],
        [*(f"IMG_{n:04d}" for n in range(3)), *(f"DSC{n:04d}" for n in range(3))],
        [*(f"train_{n}" for n in range(3)), *(f"test_{n}" for n in range(3))],
        [f"{n:04d}" for n in range(6)],
    ],
    ids=["two files", "a name without", "cameras", "splits", "numbers"],
)
def test_file_names_that_are_not_certain_are_not_read(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(DataError, match="no class folders, only files") as caught:
        load(flat(tmp_path, names))
    assert ("`cat` (3)" in str(caught.value)) == names[0].startswith("cat")

"""Every kind of source becomes the same examples; what cannot be used is one message that says what, where and what to do."""

from __future__ import annotations

import gzip
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_files import class_folders, noise

import tfl
from tfl.data import walk
from tfl.data.examples import Examples
from tfl.data.source import choose_labels, draw_per_class, load_source
from tfl.errors import DataError


def load(source: Path | str, **options: Any) -> Examples:
    return load_source(tfl.Data(str(source), **options))


def refused(source: Path | str, *parts: str, **options: Any) -> None:
    with pytest.raises(DataError) as caught:
        load(source, **options)
    for part in parts:
        assert part in str(caught.value), str(caught.value)


# Folders


def test_class_folders_become_sorted_classes_with_their_files(tmp_path: Path) -> None:
    found = load(class_folders(tmp_path, {"pear": 2, "apple": 3}))
    assert found.class_names == ("apple", "pear")
    assert found.labels.tolist() == [0, 0, 0, 1, 1] and found.labels.dtype == np.int32
    assert found.name_of(3) == str(tmp_path / "pear" / "000.png")
    assert found.splits is None and found.groups is None and found.arrays is None


def test_what_systems_leave_behind_is_passed_over_and_deeper_folders_are_read(tmp_path: Path) -> None:
    class_folders(tmp_path, {"a": 1, "b": 1, "a/deeper": 1, "a/.thumbs": 1, ".git": 2, "__MACOSX": 1})
    (tmp_path / "a" / ".DS_Store").write_text("x")
    (tmp_path / "a" / "Thumbs.db").write_text("x")
    (tmp_path / "README.txt").write_text("about")
    found = load(tmp_path)
    assert found.class_names == ("a", "b")
    assert [os.path.relpath(path, tmp_path) for path in found.paths] == ["a/000.png", "a/deeper/000.png", "b/000.png"]


@pytest.mark.parametrize("validation", ["val", "valid", "validation", "Validation"])
def test_a_source_with_its_own_splits_keeps_them(tmp_path: Path, validation: str) -> None:
    for split, count in {"train": 3, validation: 2, "test": 1}.items():
        class_folders(tmp_path / split, {"a": count, "b": count})
    found = load(tmp_path)
    assert found.class_names == ("a", "b")
    assert {split: int((found.splits == split).sum()) for split in ("train", "val", "test")} == {"train": 6, "val": 4, "test": 2}


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    assert load(class_folders(tmp_path, {"train": 2, "tram": 2})).class_names == ("train", "tram")


def test_a_class_that_one_split_lacks_is_an_error(tmp_path: Path) -> None:
    class_folders(tmp_path / "train", {"a": 2, "b": 2})
    class_folders(tmp_path / "test", {"a": 2})
    refused(tmp_path, "test split", "b")
    class_folders(tmp_path / "test", {"b": 1, "c": 1})
    refused(tmp_path, "train split", "c")


def test_class_folders_beside_train_are_an_error(tmp_path: Path) -> None:
    class_folders(tmp_path / "train", {"a": 1, "b": 1})
    class_folders(tmp_path, {"apple": 1})
    refused(tmp_path, "apple")


def test_two_folders_for_one_split_are_an_error(tmp_path: Path) -> None:
    for split in ("train", "val", "valid"):
        class_folders(tmp_path / split, {"a": 1, "b": 1})
    refused(tmp_path, "two folders for the val split", "valid")


def test_bad_folders_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", str(tmp_path / "nowhere"), "tfds:NAME")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "empty", "CLASS")
    class_folders(tmp_path / "flat", {".": 3})
    refused(tmp_path / "flat", "no class folders", "000.png")
    refused(class_folders(tmp_path / "one", {"only": 3}), "fewer than two classes", "only")
    refused(class_folders(tmp_path / "hollow", {"a": 2, "b": 0}), "no images of these classes: b")
    refused(class_folders(tmp_path / "case", {"Cat": 2, "cat": 2}), "`Cat` and `cat`", "case")
    (tmp_path / "notes.txt").write_text("x")
    refused(tmp_path / "notes.txt", "notes.txt", ".csv")


def test_an_unreadable_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class_folders(tmp_path, {"a": 1, "b": 1})
    scandir = os.scandir

    def closed(path: Any) -> Any:
        if str(path).endswith("b"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(walk.os, "scandir", closed)
    refused(tmp_path, str(tmp_path / "b"), "Permission denied")


def test_the_source_may_start_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    class_folders(tmp_path / "fruit", {"a": 1, "b": 1})
    assert len(load("~/fruit")) == 2


# CSV


@pytest.fixture
def table(tmp_path: Path) -> Path:
    class_folders(tmp_path / "img", {"x": 4})
    return tmp_path / "list.csv"


def test_csv_paths_start_at_the_file(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table.write_text(f"path,label\nimg/x/000.png,b\n{table.parent}/img/x/001.png,a\n")
    monkeypatch.chdir("/")
    found = load(table)
    assert found.class_names == ("a", "b") and found.labels.tolist() == [1, 0]
    assert found.bytes_of(0) == (table.parent / "img/x/000.png").read_bytes()
    assert found.groups is None and found.splits is None


def test_csv_from_other_systems_is_read(table: Path) -> None:
    lines = [
        '"path", LABEL,Group,split,comment',
        '"img/x/000.png","a, ripe",p1,train,"one\r\nnote"',
        "img/x/001.png,b,,Validation,",
        "",
    ]
    table.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    found = load(table)
    assert found.class_names == ("a, ripe", "b")
    assert found.splits.tolist() == ["train", "val"]
    assert found.groups[0] == "group p1" and found.groups[1] != found.groups[0]


def test_everything_wrong_in_a_csv_is_one_message_with_line_numbers(table: Path) -> None:
    rows = [
        "path,label,split",
        "img/x/000.png,a,",
        "img/x/nope.png,a,",
        ",b,",
        "img/x/001.png,,",
        "img/x/002.png,b,holiday",
        "img/x/000.png,b,",
    ]
    table.write_text("\n".join(rows))
    refused(
        table,
        "5 entries",
        f"line 3: no file at {table.parent}/img/x/nope.png",
        "line 4: no path",
        "line 5: no label",
        "line 6: unknown split `holiday`",
        "line 7:",
        "on line 2",
    )


def test_many_bad_lines_are_counted(table: Path) -> None:
    table.write_text("path,label\n" + "".join(f"gone{index}.png,a\n" for index in range(40)))
    refused(table, "40 entries", "line 11:", "and 30 more")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "an empty file"),
        (b"path,label\n", "lists no images"),
        (b"file,class\na.png,b\n", "no file at"),
        (b"path;label\na.png;b\n", "no file at"),
        (b"alpha,beta\na.png,b\n", "data.path_column"),
        (b"path,label,label\na.png,b,c\n", "wrong header"),
        (b'path,label\n"img/x/000.png,a\n', "quotes"),
        (b"path,label\nimg/x/000.png,caf\xe9\n", "UTF-8"),
    ],
)
def test_a_csv_that_is_none_is_refused(table: Path, content: bytes, part: str) -> None:
    table.write_bytes(content)
    refused(table, "list.csv", part)


# Arrays


def test_npz_with_names(tmp_path: Path) -> None:
    images = np.stack([np.asarray(noise(seed)) for seed in range(4)])
    np.savez(tmp_path / "set.npz", images=images, labels=np.array([[2], [0], [1], [0]]), class_names=np.array(["x", "y", "a"]))
    found = load(tmp_path / "set.npz")
    assert found.class_names == ("x", "y", "a") and found.labels.tolist() == [2, 0, 1, 0]
    np.testing.assert_array_equal(found.arrays, images)
    assert found.name_of(2) == "#2"


def test_npz_as_keras_ships_them(tmp_path: Path) -> None:
    pixels = np.zeros((3, 5, 6, 1), np.int64) + 255
    np.savez(tmp_path / "set.npz", x_train=pixels, y_train=np.array([7, 3, 7]), x_test=pixels[:2], y_test=np.array([3, 7]))
    found = load(tmp_path / "set.npz")
    assert found.class_names == ("3", "7") and found.arrays.shape == (5, 5, 6) and found.arrays.dtype == np.uint8
    assert found.splits.tolist() == ["train"] * 3 + ["test"] * 2


def test_npz_with_text_labels(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", x=np.zeros((2, 5, 5, 4), np.uint8), y=np.array(["pear", "apple"]))
    found = load(tmp_path / "set.npz")
    assert found.class_names == ("apple", "pear") and found.labels.tolist() == [1, 0] and found.arrays.shape == (2, 5, 5, 3)


@pytest.mark.parametrize(
    ("arrays", "part"),
    [
        ({"x": np.zeros((2, 5, 5), np.uint8)}, "lacks the arrays"),
        ({"x": np.zeros((2, 5, 5)), "y": np.arange(2)}, "float64"),
        ({"x": np.zeros((2, 5), np.uint8), "y": np.arange(2)}, "does not hold pixels"),
        ({"x": np.full((2, 5, 5), 300), "y": np.arange(2)}, "does not hold pixels"),
        ({"x": np.zeros((2, 5, 5), np.uint8), "y": np.arange(3)}, "does not label"),
        ({"x": np.zeros((2, 5, 5), np.uint8), "y": np.array([0.0, 1.0])}, "does not label"),
        ({"x": np.zeros((2, 5, 5), np.uint8), "y": np.array([0, 2]), "class_names": np.array(["a", "b"])}, "no class name"),
        ({"x": np.zeros((2, 5, 5), np.uint8), "y": np.array([0, 1]), "class_names": np.array(["a", "b", "c"])}, "no image: c"),
        ({"x": np.zeros((0, 5, 5), np.uint8), "y": np.zeros(0, int)}, "is empty"),
        ({"x": np.zeros((2, 5, 5), np.uint8), "y": np.zeros(2, int)}, "fewer than two"),
        ({"x": np.array([{"a": 1}], dtype=object), "y": np.zeros(1, int)}, "not a readable .npz"),
    ],
)
def test_npz_that_does_not_fit_is_refused(tmp_path: Path, arrays: dict[str, Any], part: str) -> None:
    np.savez(tmp_path / "set.npz", **arrays)
    refused(tmp_path / "set.npz", "set.npz", part)


def test_a_broken_npz_is_refused(tmp_path: Path) -> None:
    (tmp_path / "set.npz").write_bytes(b"PK\x03\x04 and then nothing")
    refused(tmp_path / "set.npz", "not a readable .npz")
    np.save(tmp_path / "other.npy", np.zeros(3))
    (tmp_path / "other.npy").rename(tmp_path / "other.npz")
    refused(tmp_path / "other.npz", "not a readable .npz")


def write_idx(folder: Path, name: str, values: np.ndarray, *, packed: bool = True) -> None:
    content = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.astype(np.uint8).tobytes()
    (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(content) if packed else content)


def test_idx_files_give_both_splits_and_names(tmp_path: Path) -> None:
    images = np.arange(5 * 6 * 7).reshape(5, 6, 7) % 256
    write_idx(tmp_path, "train-images-idx3-ubyte", images)
    write_idx(tmp_path, "train-labels-idx1-ubyte", np.array([0, 1, 1, 0, 1]))
    write_idx(tmp_path, "t10k-images.idx3-ubyte", images[:2], packed=False)
    write_idx(tmp_path, "t10k-labels.idx1-ubyte", np.array([1, 0]), packed=False)
    found = load(tmp_path)
    assert found.class_names == ("0", "1") and sorted(found.splits.tolist()) == ["test"] * 2 + ["train"] * 5
    np.testing.assert_array_equal(found.arrays[found.splits == "train"], images)
    (tmp_path / "labels.txt").write_text("shirt\nshoe\n")
    assert load(tmp_path).class_names == ("shirt", "shoe")


def test_idx_files_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    write_idx(tmp_path, "train-images-idx3-ubyte", np.zeros((3, 4, 4)))
    refused(tmp_path, "no IDX file of labels")
    write_idx(tmp_path, "train-labels-idx1-ubyte", np.zeros(2))
    refused(tmp_path, "do not fit")
    file = tmp_path / "train-labels-idx1-ubyte.gz"
    file.write_bytes(file.read_bytes()[:-9])
    refused(tmp_path, "cannot be read", file.name)
    file.unlink()
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(struct.pack(">HBBI", 0, 8, 1, 3) + b"\0\1")
    refused(tmp_path, "not whole")
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(b"\0\0\x0d\1 and more")
    refused(tmp_path, "not an IDX file")


# Samples, labels, sizes


def test_the_sample_carries_its_note() -> None:
    digits = load("sample:digits")
    assert len(digits) == 1797 and digits.class_names == tuple("0123456789") and "scikit-learn" in digits.note
    refused("sample:digit", "Did you mean `digits`")


def make(labels: list[int], splits: list[str] | None = None) -> Examples:
    images = np.arange(len(labels), dtype=np.uint8)[:, None, None] + np.zeros((1, 4, 4), np.uint8)
    return Examples(
        class_names=("Apple_rust", "Grape_rot", "Grape_rust"),
        labels=np.array(labels),
        arrays=images,
        splits=None if splits is None else np.array(splits),
        source="leaves",
    )


def test_labels_are_chosen_by_name_or_glob_and_renumbered() -> None:
    chosen = choose_labels(make([0, 1, 2, 1, 0]), ["Grape*"])
    assert chosen.class_names == ("Grape_rot", "Grape_rust") and chosen.labels.tolist() == [0, 1, 0]
    assert chosen.arrays[:, 0, 0].tolist() == [1, 2, 3]
    assert choose_labels(make([0, 1, 2]), ["Grape_rust", "Apple_rust"]).class_names == ("Apple_rust", "Grape_rust")


def test_an_unknown_label_names_the_nearest() -> None:
    with pytest.raises(DataError, match="Did you mean `Grape_rust`") as caught:
        choose_labels(make([0, 1, 2]), ["Apple*", "Grape_rusty"])
    assert "Grape_rot" in str(caught.value)


def test_per_class_draws_by_seed_and_keeps_every_split() -> None:
    examples = make(
        [0] * 50 + [1] * 40 + [2] * 2, (["train"] * 48 + ["val", "test"]) + ["train"] * 38 + ["val", "test"] + ["train", "test"]
    )
    drawn = draw_per_class(examples, 5, seed=3)
    assert list(drawn.counts().values()) == [5, 5, 2]
    assert all(split in set(drawn.splits[drawn.labels == label]) for split in ("train", "val", "test") for label in (0, 1))
    again = draw_per_class(examples, 5, seed=3)
    np.testing.assert_array_equal(drawn.arrays, again.arrays)
    assert (draw_per_class(examples, 5, seed=4).arrays[:, 0, 0] != drawn.arrays[:, 0, 0]).any()


def test_fingerprints_are_of_the_content_and_the_shape(tmp_path: Path) -> None:
    found = load(class_folders(tmp_path, {"a": 2, "b": 1}))
    (tmp_path / "b" / "000.png").write_bytes((tmp_path / "a" / "000.png").read_bytes())
    assert found.fingerprint_of(0) == found.fingerprint_of(2) != found.fingerprint_of(1)
    flat = Examples(class_names=("a", "b"), labels=[0], arrays=np.zeros((1, 4, 9), np.uint8))
    tall = Examples(class_names=("a", "b"), labels=[0], arrays=np.zeros((1, 9, 4), np.uint8))
    assert flat.fingerprint_of(0) != tall.fingerprint_of(0)


def test_examples_are_files_or_arrays_and_aligned() -> None:
    with pytest.raises(DataError, match="either files or arrays"):
        Examples(class_names=("a", "b"), labels=[0, 1])
    with pytest.raises(DataError, match="3 for 2"):
        Examples(class_names=("a", "b"), labels=[0, 1], paths=np.array(["x", "y", "z"]))

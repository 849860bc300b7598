"""Sets of labels and numbers as tables write them, through to the targets, the drawing of a few and `data.csv`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_files import class_folders

import tfl
from tfl.data.examples import Examples
from tfl.data.source import load_source
from tfl.data.targets import target_text
from tfl.errors import DataError, MismatchError


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A CSV file to write, next to the folder `img` with `00.png` to `05.png`."""
    class_folders(tmp_path, {"img": 6})
    for number, file in enumerate(sorted((tmp_path / "img").iterdir())):
        file.rename(file.with_name(f"{number:02d}.png"))
    return tmp_path / "list.csv"


def write(table: Path, header: str, *cells: str) -> Path:
    table.write_text("\n".join([header, *(f"img/{number:02d}.png,{text}" for number, text in enumerate(cells))]))
    return table


def load(source: Path, task: str, **options: Any) -> Examples:
    return load_source(tfl.Data(str(source), **options), task=task)


def refused(source: Path, task: str, *parts: str, **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        load(source, task, **options)
    assert all(part in str(caught.value) for part in parts), caught.value
    return caught.value


@pytest.mark.parametrize(
    ("header", "cells"),
    [
        ("path,tags", ["cat;dog", "cat", "dog", "", "cat; dog", "dog"]),
        ("path,label", ["cat|dog", "cat", "dog", "", "cat|dog", "dog"]),
        ("path,labels", ["\"['cat', 'dog']\"", "['cat']", "['dog']", "[]", "\"['cat','dog']\"", "['dog']"]),
        ("path,cat,dog", ["1,1", "1,0", "0,1", "0,0", "1,1", "0,1"]),
        ("path,cat,dog", ["True,1.0", "1,False", "0,1", "0,0", "1,1", "0,1"]),
    ],
)
def test_labels_in_sets_lists_and_columns(table: Path, header: str, cells: list[str]) -> None:
    found = load(write(table, header, *cells), "multilabel")
    assert found.class_names == ("cat", "dog") and found.targets is not None and not len(found.labels)
    assert found.targets.tolist() == [[1, 1], [1, 0], [0, 1], [0, 0], [1, 1], [0, 1]]
    assert [target_text(found, index) for index in range(4)] == ["cat;dog", "cat", "dog", ""]
    assert found.counts() == {"cat": 3, "dog": 4}


def test_columns_of_labels_are_named_with_commas_and_may_have_gaps(table: Path) -> None:
    cells = ["1,1,7", "1,0,7", "0,,7", "0,0,8", "1,1,8", "0,nan,8"]
    found = load(write(table, "path,cat,dog,size", *cells), "multilabel", label_column="dog, cat")
    assert found.class_names == ("dog", "cat") and found.targets is not None
    assert np.isnan(found.targets[:, 0]).tolist() == [False, False, True, False, False, True]
    assert any("`dog` (2 of 6)" in finding["note"] for finding in found.findings)
    refused(table, "multilabel", "neither 0 nor 1 in `size`, but `7`", label_column="cat,size")


def test_one_number_and_several_with_missing_ones(table: Path) -> None:
    found = load(write(table, "path,age", "3.5", "7", "", "nan", "2", "4"), "regress")
    assert found.class_names == ("age",) and found.targets is not None
    np.testing.assert_allclose(found.targets[:, 0], [3.5, 7, np.nan, np.nan, 2, 4])
    assert any("missing values" in finding["note"] and "`age` (2 of 6)" in finding["note"] for finding in found.findings)
    assert [target_text(found, index) for index in (0, 1, 2)] == ["3.5", "7", ""]
    cells = [f"{number},{number * 2},{number * 3.5}" for number in range(6)]
    refused(write(table, "path,row,weight,height", *cells), "regress", "several columns", "data.label_column=NAME or NAME,NAME")
    both = load(table, "regress", label_column="weight,height")
    assert both.class_names == ("weight", "height") and target_text(both, 1) == "weight=2;height=3.5"


def test_what_is_no_number_or_never_changes_is_refused(table: Path) -> None:
    refused(write(table, "path,age", "3", "old", "5", "6", "7", "8"), "regress", "line 3: no number in `age`", label_column="age")
    refused(write(table, "path,age", *["3"] * 6), "regress", "never changes", "`age` (3 in every row)")
    refused(write(table, "path,age", *["inf", *"12345"]), "regress", "no number in `age`", label_column="age")
    refused(write(table, "path,tags", *[""] * 6), "multilabel", "no cell has a label", label_column="tags")


def test_where_the_task_is_classify_the_other_task_is_named(table: Path) -> None:
    sets = refused(write(table, "path,label", "a;b", "a", "b", "a;b", "a", "b"), "classify", "--set task=multilabel")
    numbers = refused(write(table, "path,age", *(f"{n}.37" for n in range(6))), "classify", "--set task=regress")
    columns = refused(write(table, "path,cat,dog", "1,1", "1,0", "0,1", "0,0", "1,1", "0,1"), "classify", "task=multilabel")
    assert [error.changes for error in (sets, numbers, columns) if isinstance(error, MismatchError)] == [
        {"task": "multilabel"},
        {"task": "regress"},
        {"task": "multilabel"},
    ]


def test_class_folders_named_by_numbers_are_numbers_and_others_are_not(tmp_path: Path) -> None:
    class_folders(tmp_path / "ages", {"7": 2, "31": 3})
    found = load(tmp_path / "ages", "regress")
    assert found.class_names == ("value",) and found.targets is not None and sorted(found.targets[:, 0]) == [7, 7, 31, 31, 31]
    class_folders(tmp_path / "pets", {"cat": 2, "dog": 3})
    refused(tmp_path / "pets", "regress", "needs a number", "--set task=classify")
    refused(tmp_path / "pets", "multilabel", "any number of labels", "cat;dog")


def test_arrays_of_targets(tmp_path: Path) -> None:
    pixels = np.zeros((4, 5, 5), np.uint8)
    marks = np.array([[0, 1], [1, 1], [0, 0], [1, 0]])
    np.savez(tmp_path / "marks.npz", x=pixels, y=marks, class_names=np.array(["cat", "dog"]))
    found = load(tmp_path / "marks.npz", "multilabel")
    assert found.class_names == ("cat", "dog") and found.targets is not None and found.targets.tolist() == marks.tolist()
    refused(tmp_path / "marks.npz", "classify", "--set task=multilabel")
    np.savez(tmp_path / "ages.npz", x=pixels, y=np.array([0.5, 1.5, 2.5, 9.0]))
    assert load(tmp_path / "ages.npz", "regress").class_names == ("value",)
    refused(tmp_path / "ages.npz", "classify", "--set task=regress")
    refused(tmp_path / "ages.npz", "multilabel", "zeros and ones")


def test_a_few_of_each_label_or_part_of_the_range(table: Path) -> None:
    targets = np.array([[1, 0]] * 40 + [[1, 1]] * 5 + [[0, 0]] * 40)
    several = Examples(class_names=("often", "rare"), targets=targets, contents=np.array([b"x"] * 85))
    from tfl.data.subset import choose_labels, draw_per_class

    few = draw_per_class(several, 4, seed=1)
    assert few.targets is not None and len(few) == 12 and few.targets.sum(axis=0).tolist() == [8, 4]
    assert choose_labels(several, ["ra*"]).class_names == ("rare",) and len(choose_labels(several, ["ra*"])) == 85
    numbers = Examples(class_names=("age",), targets=np.arange(100)[:, None], contents=np.array([b"x"] * 100))
    drawn = draw_per_class(numbers, 3, seed=1)
    assert len(drawn) == 15 and draw_per_class(numbers, 3, seed=1).targets.tolist() == drawn.targets.tolist()

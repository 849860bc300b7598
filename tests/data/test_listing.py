"""Which images a run used, and what changed from one run to another."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

import tfl
from tfl.data.examples import Examples
from tfl.data.listing import Listed, data_changes, read_listing, write_listing
from tfl.data.split import Split
from tfl.errors import RunError

ANT, BEE = Listed("train", "ant", "f1", "ant/1.png"), Listed("val", "bee", "f2", "bee/2.png")
FLY = Listed("test", "fly", "f3", "fly/3.png")


def with_(row, **changes):
    return dataclasses.replace(row, **changes)


def counts(found):
    return {kind: len(rows) for kind, rows in found.of_kind().items() if rows}


@pytest.mark.parametrize(
    ("after", "kinds"),
    [
        ([ANT, BEE, FLY], {}),
        ([ANT, BEE], {"removed": 1}),
        ([ANT, BEE, FLY, with_(FLY, fingerprint="f4", file="fly/4.png")], {"added": 1}),
        ([with_(ANT, fingerprint="f9"), BEE, FLY], {"changed": 1}),
        ([with_(ANT, label="bee"), BEE, FLY], {"relabelled": 1}),
        ([with_(ANT, label="bee", file="bee/1.png"), BEE, FLY], {"relabelled": 1}),
        ([with_(ANT, split="test"), BEE, FLY], {"moved": 1}),
        ([with_(ANT, file="ant/one.png"), BEE, FLY], {"renamed": 1}),
        ([with_(ANT, fingerprint="f9"), with_(BEE, label="ant")], {"changed": 1, "relabelled": 1, "removed": 1}),
    ],
)
def test_each_kind_of_change_is_told_apart(after, kinds):
    found = data_changes([ANT, BEE, FLY], after)
    assert counts(found) == kinds and bool(found) == bool(kinds)


def test_another_order_is_a_change():
    found = data_changes([ANT, BEE], [BEE, ANT])
    assert found.reordered and found and not counts(found)


def test_an_array_that_lost_its_first_image_lost_one_image():
    before = [Listed("train", "a", f"f{number}", f"#{number}") for number in range(5)]
    after = [with_(row, file=f"#{number}") for number, row in enumerate(before[1:])]
    assert counts(data_changes(before, after)) == {"removed": 1, "renamed": 4}


def test_copies_of_one_image_are_matched_one_by_one():
    copies = [with_(ANT, file=f"ant/{number}.png") for number in range(3)]
    assert counts(data_changes(copies, copies[:2])) == {"removed": 1}
    assert counts(data_changes(copies, [*copies[:2], with_(copies[2], label="bee")])) == {"relabelled": 1}


def bundle_of(examples, source):
    split = Split(train=np.array([0, 1]), val=np.array([2]), test=np.array([3]))
    count = len(examples)
    prints = [examples.fingerprint_of(index) for index in range(count)]
    hashed = {part: f"{part}-hash" for part in ("train", "val", "test")}
    return SimpleNamespace(
        examples=examples, split=split, fingerprints=prints, data=tfl.Data(source), content_hash=hashed.__getitem__
    )


def test_what_was_written_is_read_again(tmp_path):
    images = np.arange(5 * 4 * 4, dtype=np.uint8).reshape(5, 4, 4)
    examples = Examples(class_names=("a, b", "ü"), labels=np.array([0, 1, 0, 1, 0]), arrays=images)
    assert write_listing(tmp_path, bundle_of(examples, "arrays")) == {part: f"{part}-hash" for part in ("train", "val", "test")}
    rows = read_listing(tmp_path)
    assert [row.split for row in rows] == ["train", "train", "val", "test", ""]
    assert [row.label for row in rows] == ["a, b", "ü", "a, b", "ü", "a, b"]
    assert rows[1] == Listed("train", "ü", examples.fingerprint_of(1)[:32], "#1")


@pytest.mark.parametrize("place", ["here", "elsewhere"])
def test_files_go_by_their_place_below_the_source(tmp_path, place):
    files = [tmp_path / place / "ant" / f"{name}.png" for name in ("1", "2", "ü", "odd\udcff")]
    for number, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes([number]))
    examples = Examples(class_names=("ant",), labels=np.zeros(4, np.int32), paths=np.array([str(file) for file in files]))
    write_listing(tmp_path, bundle_of(examples, str(tmp_path / place)))
    assert [row.file for row in read_listing(tmp_path)] == ["ant/1.png", "ant/2.png", "ant/ü.png", "ant/odd\udcff.png"]
    write_listing(tmp_path, bundle_of(examples, "tfds:by_name"))
    assert read_listing(tmp_path)[0].file == "1.png"


def test_a_run_by_an_older_tfl_has_none(tmp_path):
    assert read_listing(tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"a,b\n", b"split,label,fingerprint,file\ntrain,ant\n"])
def test_a_damaged_list_is_named(tmp_path, content):
    (tmp_path / "data.csv").write_bytes(content)
    with pytest.raises(RunError, match=r"data\.csv is damaged"):
        read_listing(tmp_path)


def test_labels_and_numbers_are_written_readably(tmp_path):
    targets = np.array([[1, 1], [0, 1], [0, 0]])
    pets = Examples(class_names=("cat", "dog"), targets=targets, contents=np.array([b"x", b"y", b"z"]))
    split = Split(train=np.array([0]), val=np.array([1]), test=np.array([2]))
    bundle = SimpleNamespace(
        examples=pets,
        split=split,
        data=tfl.Data("pets.csv"),
        fingerprints=[pets.fingerprint_of(index) for index in range(3)],
        content_hash=lambda split: split,
    )
    write_listing(tmp_path, bundle)
    assert [row.label for row in read_listing(tmp_path)] == ["cat;dog", "dog", ""]
    sizes = Examples(class_names=("height", "kg"), targets=targets * 1.5, contents=pets.contents)
    write_listing(tmp_path, SimpleNamespace(**{**vars(bundle), "examples": sizes}))
    assert [row.label for row in read_listing(tmp_path)] == ["height=1.5;kg=1.5", "height=0;kg=1.5", "height=0;kg=0"]

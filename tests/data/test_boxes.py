"""Pictures with boxes, in the forms in which people have them, and what is wrong with a box."""

import json

import numpy as np
import pytest
from PIL import Image

import tfl
from tfl.data.source import load_source
from tfl.errors import DataError, MismatchError

OBJECT = "<object><name>{}</name><bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
CELL, DOT = ("cell", 10, 5, 30, 25), ("dot", 0, 0, 8, 4)


def picture(file, size=(40, 40)):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (200, 180, 180)).save(file)


def annotate(folder, stem, *objects, size=(40, 40)):
    picture(folder / "JPEGImages" / f"{stem}.jpg", size)
    rows = "".join(OBJECT.format(*one) for one in objects)
    sides = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    (folder / "Annotations").mkdir(parents=True, exist_ok=True)
    file = folder / "Annotations" / f"{stem}.xml"
    file.write_text(f"<annotation><filename>{stem}.jpg</filename>{sides}{rows}</annotation>")
    return file


def load(source, **options):
    return load_source(tfl.Data(str(source), **options), task="detect")


def boxes_of(examples, index):
    rows = examples.box_rows[index]
    return [(examples.class_names[int(row[0])], *np.round(row[1:] * 40).astype(int).tolist()) for row in rows if row[0] == row[0]]


@pytest.fixture
def voc(tmp_path):
    for stem, objects in (("a", (CELL, DOT)), ("b", (CELL,)), ("c", ()), ("d", (DOT,))):
        annotate(tmp_path / "voc", stem, *objects)
    sets = tmp_path / "voc" / "ImageSets" / "Main"
    sets.mkdir(parents=True)
    for split, stems in (("train", "a\nb\n"), ("val", "c\n"), ("test", "d\n"), ("trainval", "a\nb\nc\n")):
        (sets / f"{split}.txt").write_text(stems)
    return tmp_path / "voc"


def test_pascal_voc_with_its_division(voc):
    found = load(voc)
    assert found.class_names == ("cell", "dot") and found.splits.tolist() == ["train", "train", "val", "test"]
    assert [boxes_of(found, at) for at in range(4)] == [[CELL, DOT], [CELL], [], [DOT]]
    assert found.counts() == {"cell": 2, "dot": 2}
    assert "1 of them without a box" in found.findings[0]["note"]
    only = load(voc, labels=("dot",))
    assert [boxes_of(only, at) for at in range(4)] == [[DOT], [], [], [DOT]]


def test_coco_of_split_folders(tmp_path):
    for split, stem in (("train", "a"), ("test", "b")):
        picture(tmp_path / split / f"{stem}.jpg")
        rows = [
            {"id": 1, "image_id": 7, "category_id": 3, "bbox": [10, 5, 20, 20]},
            {"id": 2, "image_id": 7, "category_id": 3, "bbox": [0, 0, 40, 40], "iscrowd": 1},
        ]
        document = {"images": [{"id": 7, "file_name": f"{stem}.jpg", "width": 40, "height": 40}], "annotations": rows}
        text = json.dumps({**document, "categories": [{"id": 0, "name": "cells"}, {"id": 3, "name": "cell"}]})
        (tmp_path / split / "_annotations.coco.json").write_text(text)
    found = load(tmp_path)
    assert sorted(found.splits.tolist()) == ["test", "train"] and boxes_of(found, 0) == boxes_of(found, 1) == [CELL]


def test_a_table_takes_sizes_from_the_pictures(tmp_path):
    for name, side in (("a.jpg", 40), ("b.jpg", 80)):
        picture(tmp_path / "pictures" / name, (side, side))
    rows = "filename,x_min,y_min,x_max,y_max,label\na.jpg,10,5,30,25,cell\na.jpg,0,0,8,4,dot\nb.jpg,20,10,60,50,cell\n"
    (tmp_path / "boxes.csv").write_text(rows)
    found = load(tmp_path / "boxes.csv")
    assert [boxes_of(found, at) for at in range(2)] == [[CELL, DOT], [CELL]] and found.splits is None


def test_boxes_that_cannot_be_used_are_left_out_and_told(tmp_path):
    annotate(tmp_path, "a", CELL, ("cell", 10, 5, 30, 25), ("dot", 10, 5, 30, 25), ("dot", 5, 5, 5, 9), ("dot", 50, 5, 60, 9))
    annotate(tmp_path, "b", ("cell", 20, 20, 60, 30))
    picture(tmp_path / "JPEGImages" / "bare.jpg")
    found = load(tmp_path)
    assert boxes_of(found, 0) == [CELL, ("dot", *CELL[1:])] and boxes_of(found, 1) == [("cell", 20, 20, 40, 30)]
    said = {finding["kind"]: finding for finding in found.findings}
    kinds = {"boxes_empty", "boxes_outside", "boxes_clipped", "boxes_doubled", "boxes_of_two_classes", "boxes_missing"}
    assert kinds < set(said) and said["boxes_missing"]["files"] == ["bare.jpg"]
    assert said["boxes_clipped"]["note"].startswith("1 box of 1 images cut off") and "b.jpg" in said["boxes_clipped"]["note"]


def test_bad_annotations_have_one_clear_message(tmp_path, voc):
    file = annotate(tmp_path / "evil", "a", CELL)
    file.write_text('<!DOCTYPE x [<!ENTITY a "aaa">]>' + file.read_text())
    with pytest.raises(DataError, match="declares a document type"):
        load(tmp_path / "evil")
    annotate(tmp_path / "text", "a", ("cell", "ten", 5, 30, 25))
    with pytest.raises(DataError, match=r"a\.xml: a corner of a box is no number"):
        load(tmp_path / "text")
    annotate(tmp_path / "gone", "a", CELL)
    (tmp_path / "gone" / "JPEGImages" / "a.jpg").unlink()
    with pytest.raises(DataError, match="None of the images"):
        load(tmp_path / "gone")
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="no boxes"):
        load(tmp_path / "none")
    with pytest.raises(DataError, match="This sample has no boxes"):
        load("sample:digits")
    with pytest.raises(MismatchError, match="--set task=detect"):
        load_source(tfl.Data(str(voc)))
    with pytest.raises(MismatchError, match="--set task=detect"):
        load_source(tfl.Sample("cells"))

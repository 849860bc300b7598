"""What to label next, the page for it, and labels put to a source."""

import csv

import numpy as np
import pytest
from PIL import Image

import tfl
from tfl.data.source import load_source
from tfl.errors import DataError
from tfl.labelling import read_labels, with_labels


def colours(folder, **counts):
    for number, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            rng = np.random.default_rng([number, index])
            pixels = rng.integers(0, 120, (24, 24, 3)).astype(np.uint8)
            pixels[..., number % 3] |= 128
            Image.fromarray(pixels).save(folder / name / f"{name}{index}.png")
    return folder


def test_new_labels_are_trained_on_and_never_tested(tmp_path):
    source = tfl.Data(str(colours(tmp_path / "known", red=6, green=6)))
    pool = colours(tmp_path / "pool", open=3)
    labels = {str(file): "red" for file in sorted(pool.rglob("*.png"))}
    table = with_labels(source, load_source(source), labels, tmp_path / "labelled.csv")
    found = load_source(tfl.Data(str(table)))
    assert found.counts() == {"green": 6, "red": 9}
    rows = list(csv.DictReader(table.open()))
    assert [row["split"] for row in rows].count("train") == 3 and all(row["path"].startswith("/") for row in rows)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,class\na.png,red\n", "no list of labels"),
        ("path,label\na.png,\n", "Line 2 .* has no label"),
        ("path,label\na.png,red\na.png,green\n", "labels a.png twice"),
        ("path,label\n", "has no labels"),
        ("", "no list of labels"),
    ],
)
def test_lists_of_labels_that_do_not_fit_are_refused(tmp_path, text, words):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DataError, match=words):
        read_labels(tmp_path / "labels.csv")


def test_labels_that_are_no_class_are_refused(tmp_path):
    source = tfl.Data(str(colours(tmp_path / "known", red=3, green=3)))
    with pytest.raises(DataError, match="no class of the source"):
        with_labels(source, load_source(source), {"a.png": "blue"}, tmp_path / "labelled.csv")


def test_a_source_that_is_one_file_is_refused(tmp_path):
    source = tfl.Sample("digits", per_class=3)
    with pytest.raises(DataError, match="source of files"):
        with_labels(source, load_source(source), {"a.png": "0"}, tmp_path / "labelled.csv")

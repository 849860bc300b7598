"""Texts and sounds as sources have them, and what is said where a source holds another kind than the recipe says."""

from __future__ import annotations

import json
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_files import class_folders

import tfl
from tfl.data.examples import Examples
from tfl.data.source import load_source
from tfl.errors import DataError, MismatchError

REVIEWS = [
    (f"the {part} is {word} , and so it goes on", label)
    for part in ("plot", "cast", "music")
    for word, label in (("fine", "pos"), ("dull", "neg"), ("warm", "pos"), ("stale", "neg"))
]


def texts(source: Path | str, *, column: str | None = None, task: str = "classify", **options: Any) -> Examples:
    return load_source(tfl.Data(str(source), input=tfl.Text(column=column), **options), task=task)


def sounds(source: Path | str, **options: Any) -> Examples:
    return load_source(tfl.Data(str(source), input=tfl.Audio(), **options))


def refused(source: Path | str, *parts: str, given: Any = None, **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        load_source(tfl.Data(str(source), input=given, **options))
    assert all(part in str(caught.value) for part in parts), caught.value
    return caught.value


def notes(examples: Examples) -> str:
    return "\n".join(finding["note"] for finding in examples.findings)


def write_wav(file: Path, *, seed: int = 0) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(file), "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(8000)
        stream.writeframes(np.random.default_rng(seed).integers(-999, 999, 400).astype("<i2").tobytes())


@pytest.mark.parametrize(
    ("name", "form"), [("a.csv", '"{0}",{1}'), ("a.tsv", "{0}\t{1}"), ("a.csv", '"{0}";{1}'), ("a.jsonl", "")]
)
def test_texts_in_the_cells_of_a_table(tmp_path: Path, name: str, form: str) -> None:
    mark = next((mark for mark in "\t;" if mark in form), ",")
    lines = [f"review{mark}sentiment", *(form.format(*row) for row in REVIEWS)]
    if name.endswith("jsonl"):
        lines = [json.dumps({"review": text, "sentiment": label}) for text, label in REVIEWS]
    (tmp_path / name).write_text("\n".join(lines))
    found = texts(tmp_path / name)
    assert found.contents is not None and found.bytes_of(1) == REVIEWS[1][0].encode()
    assert found.class_names == ("neg", "pos") and found.counts() == {"neg": 6, "pos": 6}
    assert "the column `review` as the text, the column `sentiment` as the label" in notes(found)
    assert (found.noun, found.nouns) == ("text", "texts")


def test_the_text_is_the_long_column_or_the_one_that_is_named(tmp_path: Path) -> None:
    rows = [f'{number},"{text}",short {number},{label}' for number, (text, label) in enumerate(REVIEWS)]
    (tmp_path / "a.csv").write_text("\n".join(["nr,words,other words,label", *rows]))
    assert texts(tmp_path / "a.csv").bytes_of(0) == REVIEWS[0][0].encode()
    assert texts(tmp_path / "a.csv", column="other words").bytes_of(3) == b"short 3"
    refused(tmp_path / "a.csv", "no column `wordz`", "`words`", given=tfl.Text(column="wordz"))
    (tmp_path / "b.csv").write_text(
        "\n".join(["first,second,label", *(f"{b} is {a[:9]},{a[:9]} {b} x,{c}" for a, c in REVIEWS for b in "xy")])
    )
    refused(tmp_path / "b.csv", "no column that holds texts, or several", "data.input.column=NAME", given=tfl.Text())


def test_tables_without_a_header_side_by_side_are_the_splits(tmp_path: Path) -> None:
    for name in ("train", "dev", "test"):
        lines = (f"{text} in {name}\t{int(label == 'pos')}" for text, label in REVIEWS)
        (tmp_path / f"{name}.tsv").write_text("\n".join(lines))
    found = texts(tmp_path)
    assert len(found) == 36 and found.class_names == ("0", "1")
    assert found.splits is not None and {str(name): int((found.splits == name).sum()) for name in found.splits} == {
        "train": 12,
        "val": 12,
        "test": 12,
    }
    assert "train.tsv has no header: its first line is read as a text too" in notes(found)
    assert "The texts and their labels are those that dev.tsv and test.tsv and train.tsv list." in notes(found)


def test_quotes_between_tabs_may_be_part_of_a_text(tmp_path: Path) -> None:
    lines = ["text\tlabel", '"a b c\tx', 'd "e" f\ty', 'g h i"\tx', '"j k l" m\ty']
    (tmp_path / "a.tsv").write_text("\n".join(lines))
    assert [texts(tmp_path / "a.tsv").bytes_of(index) for index in range(4)] == [b'"a b c', b'd "e" f', b'g h i"', b'"j k l" m']
    (tmp_path / "b.tsv").write_text('text\tlabel\n"one\ntwo three"\tx\n"four ""five"" six"\ty\n')
    assert [texts(tmp_path / "b.tsv").bytes_of(index) for index in range(2)] == [b"one\ntwo three", b'four "five" six']


def test_class_folders_of_text_files_and_a_table_of_their_paths(tmp_path: Path) -> None:
    for number, (text, label) in enumerate(REVIEWS):
        (tmp_path / "set" / label).mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / label / f"{number}.txt").write_text(text)
    found = texts(tmp_path / "set")
    assert found.paths is not None and found.counts() == {"neg": 6, "pos": 6}
    lines = ["path,label", *(f"set/{label}/{number}.txt,{label}" for number, (_, label) in enumerate(REVIEWS))]
    (tmp_path / "list.csv").write_text("\n".join(lines))
    listed = texts(tmp_path / "list.csv")
    assert listed.paths is not None and listed.bytes_of(0) == REVIEWS[0][0].encode()


def test_texts_in_parquet_with_names_of_classes(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    features = {"text": {"_type": "Value"}, "label": {"_type": "ClassLabel", "names": ["neg", "pos"]}}
    table = arrow.table({"text": [text for text, _ in REVIEWS], "label": [int(label == "pos") for _, label in REVIEWS]})
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    (tmp_path / "data").mkdir()
    for split in ("train", "test"):
        parquet.write_table(table, tmp_path / "data" / f"{split}-00000-of-00001.parquet")
    found = texts(tmp_path)
    assert found.class_names == ("neg", "pos") and len(found) == 24 and found.splits is not None
    error = refused(tmp_path, "texts in its column `text`", "--set data.input=text")
    assert isinstance(error, MismatchError) and error.changes == {"data.input": "text"}


def test_sounds_in_class_folders_tables_and_file_names(tmp_path: Path) -> None:
    for number in range(8):
        write_wav(tmp_path / "set" / "ab"[number % 2] / f"{number}.wav", seed=number)
    assert sounds(tmp_path / "set").counts() == {"a": 4, "b": 4}
    lines = ["fname,label", *(f"{number},{'ab'[number % 2]}" for number in range(8))]
    (tmp_path / "list.csv").write_text("\n".join(lines))
    assert len(sounds(tmp_path / "list.csv")) == 8
    for digit in "07":
        for speaker in ("ann", "bob"):
            for take in range(2):
                write_wav(tmp_path / "flat" / f"{digit}_{speaker}_{take}.wav")
    found = sounds(tmp_path / "flat")
    assert found.class_names == ("0", "7") and "has the class `0`" in notes(found)
    assert found.nouns == "sounds"


def test_sounds_in_parquet_become_files_with_their_ending(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    write_wav(tmp_path / "one.wav")
    content = (tmp_path / "one.wav").read_bytes()
    rows = [{"bytes": content, "path": f"{number}.wav"} for number in range(4)]
    parquet.write_table(arrow.table({"audio": rows, "label": list("abab")}), tmp_path / "set.parquet")
    found = sounds(tmp_path / "set.parquet")
    assert found.paths is not None and str(found.paths[0]).endswith(".wav") and found.bytes_of(2) == content


def test_a_source_of_another_kind_is_named(tmp_path: Path) -> None:
    for number in range(4):
        write_wav(tmp_path / "sounds" / "ab"[number % 2] / f"{number}.wav")
    error = refused(tmp_path / "sounds", "holds 4 sounds (.wav) and no images", "input=tfl.Audio()", "--set data.input=audio")
    assert isinstance(error, MismatchError) and error.changes == {"data.input": "audio"}
    refused(tmp_path / "sounds" / "a", "holds 2 sounds (.wav) and no images")
    class_folders(tmp_path / "set", {"a": 3, "b": 3})
    refused(tmp_path / "set", "6 images (.png) and no sounds", "images are the default", given=tfl.Audio())
    (tmp_path / "a.csv").write_text("\n".join(["id,text,label", *(f'{n},"{a}",{b}' for n, (a, b) in enumerate(REVIEWS))]))
    refused(tmp_path / "a.csv", "no column that names images", "texts in its column `text`")
    (tmp_path / "tables").mkdir()
    (tmp_path / "a.csv").rename(tmp_path / "tables" / "train.csv")
    refused(tmp_path / "tables", "texts in its column `text`")
    refused("sample:reviews", "holds texts and no images", "tfl.Text()")


def test_sounds_of_formats_that_are_not_read_are_named(tmp_path: Path) -> None:
    for number in range(4):
        write_wav(tmp_path / "ab"[number % 2] / f"{number}.wav")
    (tmp_path / "a" / "4.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    assert "1 of 5 sounds have names of formats that are not read (.m4a): convert" in notes(sounds(tmp_path))


def test_a_test_table_without_labels_is_left_out(tmp_path: Path) -> None:
    for name in ("train", "dev"):
        (tmp_path / f"{name}.tsv").write_text("\n".join(["sentence\tlabel", *(f"{a}\t{b}" for a, b in REVIEWS)]))
    (tmp_path / "test.tsv").write_text("\n".join(["index\tsentence", *(f"{n}\t{a}" for n, (a, _) in enumerate(REVIEWS))]))
    found = texts(tmp_path)
    assert len(found) == 24 and "those that dev.tsv and train.tsv list" in notes(found)
    assert "test.tsv has no labels and is left out" in notes(found)
    (tmp_path / "test.tsv").write_text("\n".join(["sentence\tlabel", *(f"{a}\t" for a, _ in REVIEWS)]))
    assert len(texts(tmp_path)) == 24 and "12 texts of the test split" in notes(texts(tmp_path))


def test_a_missing_file_in_a_table_with_captions_stays_a_missing_file(tmp_path: Path) -> None:
    lines = ["image,caption,label", *(f'{n}.png,"{a}",{b}' for n, (a, b) in enumerate(REVIEWS))]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    refused(tmp_path / "a.csv", "no file at")


def test_the_sample_of_reviews() -> None:
    found = texts("sample:reviews")
    assert len(found) == 2000 and found.note == "templated, not written by people"

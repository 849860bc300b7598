"""Parquet files as Hugging Face datasets write them, and as tables of paths."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from image_files import class_folders

import tfl
from tfl.data.examples import Examples
from tfl.data.exclude import names_in_source
from tfl.data.source import load_source
from tfl.errors import DataError, MissingExtraError

pa = pytest.importorskip("pyarrow", reason="needs tfl[parquet]")
pq = pytest.importorskip("pyarrow.parquet", reason="needs tfl[parquet]")
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


@pytest.fixture
def images(tmp_path: Path) -> list[bytes]:
    folder = class_folders(tmp_path / "files", {"x": 9})
    return [file.read_bytes() for file in sorted((folder / "x").iterdir())]


def load(source: Path, **options: Any) -> Examples:
    return load_source(tfl.Data(str(source), **options))


def write(
    file: Path, images: list[bytes | None], labels: list[Any], *, names: list[str] | None = None, **more: list[Any]
) -> Path:
    table = pa.table({"image": pa.array([{"bytes": one, "path": "1.png"} for one in images], IMAGE), "label": labels, **more})
    if names is not None:
        features = {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({b"huggingface": json.dumps({"info": {"features": features}}).encode()})
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file)
    return file


def test_shards_of_splits_with_names_of_classes(tmp_path: Path, images: list[bytes]) -> None:
    data = tmp_path / "set" / "data"
    write(data / "train-00000-of-00002.parquet", images[:3], [0, 1, 0], names=["cat", "dog"])
    write(data / "train-00001-of-00002.parquet", images[3:6], [1, 0, 1], names=["cat", "dog"])
    write(data / "test-00000-of-00001.parquet", images[6:], [1, 1, 0], names=["cat", "dog"])
    found = load(tmp_path / "set")
    assert found.class_names == ("cat", "dog") and found.splits.tolist() == ["test"] * 3 + ["train"] * 6
    assert [found.bytes_of(index) for index in range(9)] == images[6:] + images[:6]
    assert found.labels.tolist() == [1, 1, 0, 0, 1, 0, 1, 0, 1]
    assert names_in_source(found)[:4:3] == ["test-00000-of-00001/000001.png", "train-00000-of-00002/000001.png"]
    written = [Path(path).stat().st_mtime_ns for path in found.paths]
    assert [Path(path).stat().st_mtime_ns for path in load(tmp_path / "set").paths] == written


def test_a_shard_that_is_not_there_is_an_error(tmp_path: Path, images: list[bytes]) -> None:
    write(tmp_path / "set" / "data" / "train-00000-of-00003.parquet", images[:3], ["a", "b", "a"])
    write(tmp_path / "set" / "data" / "train-00002-of-00003.parquet", images[3:6], ["a", "b", "a"])
    with pytest.raises(DataError, match=r"2 of 3; not there: train-00001-of-00003\.parquet"):
        load(tmp_path / "set")
    assert len(load(tmp_path / "set" / "data" / "train-00002-of-00003.parquet")) == 3


def test_text_labels_binary_images_and_other_columns(tmp_path: Path, images: list[bytes]) -> None:
    table = pa.table({"img": pa.array(images[:4], pa.binary()), "species": ["a", "b", "a", "b"], "boxes": [[{"x": 1}]] * 4})
    pq.write_table(table, tmp_path / "one.parquet")
    found = load(tmp_path / "one.parquet")
    assert found.class_names == ("a", "b") and found.splits is None and found.bytes_of(2) == images[2]
    write(tmp_path / "two.parquet", images[:4], [0, 1, 0, 1], colour=["x", "x", "y", "y"])
    assert load(tmp_path / "two.parquet").class_names == ("0", "1")
    assert load(tmp_path / "two.parquet", label_column="colour").class_names == ("x", "y")


def test_a_test_split_whose_labels_are_held_back_is_left_out(tmp_path: Path, images: list[bytes]) -> None:
    write(tmp_path / "set" / "train-00000-of-00001.parquet", images[:6], [0, 1] * 3, names=["cat", "dog"])
    write(tmp_path / "set" / "test-00000-of-00001.parquet", images[6:], [-1] * 3, names=["cat", "dog"])
    found = load(tmp_path / "set")
    assert len(found) == 6 and any("3 images of the test split" in finding["note"] for finding in found.findings)


def test_a_table_of_paths(tmp_path: Path) -> None:
    class_folders(tmp_path, {"images": 4})
    pq.write_table(
        pa.table({"file_name": [f"images/{n:03d}.png" for n in range(4)], "label": list("abab")}), tmp_path / "metadata.parquet"
    )
    assert names_in_source(load(tmp_path)) == [f"images/{n:03d}.png" for n in range(4)]
    assert load(tmp_path / "metadata.parquet").class_names == ("a", "b")


def test_sets_of_labels_and_numbers_are_refused(tmp_path: Path, images: list[bytes]) -> None:
    with pytest.raises(DataError, match="several labels per image"):
        load(write(tmp_path / "sets.parquet", images[:4], [["a", "b"], ["a"], ["b"], ["b", "c"]]))
    with pytest.raises(DataError, match="a number to predict"):
        load(write(tmp_path / "real.parquet", images, [n * 0.37 for n in range(9)]))


def test_what_cannot_be_read_is_refused(tmp_path: Path, images: list[bytes]) -> None:
    with pytest.raises(
        DataError, match=r"holes\.parquet has rows without the bytes of an image in `image`: row 2 of holes\.parquet"
    ):
        load(write(tmp_path / "holes.parquet", [images[0], None], ["a", "b"]))
    with pytest.raises(DataError, match="no label"):
        load(write(tmp_path / "unlabelled.parquet", images[:3], [0, -1, 1], names=["a", "b"]))
    write(tmp_path / "mixed" / "train-00000-of-00001.parquet", images[:2], ["a", "b"])
    pq.write_table(pa.table({"path": ["1.png"], "label": ["a"]}), tmp_path / "mixed" / "test-00000-of-00001.parquet")
    with pytest.raises(DataError, match="do not have the same column of images"):
        load(tmp_path / "mixed")


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, images: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path / "one.parquet", images[:4], ["a", "b", "a", "b"])
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'tfl\[parquet\]'"):
        load(file)


def test_a_column_that_is_shorter_than_the_metadata_say_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(
        pa.table({"image": [b"\x89PNG" + bytes([n]) for n in range(6)], "label": list("ababab")}), tmp_path / "set.parquet"
    )
    whole = pq.ParquetFile.iter_batches

    def short(self: Any, **options: Any) -> Any:
        for batch in whole(self, **options):
            yield batch if options["columns"] == ["image"] else batch.slice(0, len(batch) - 1)

    monkeypatch.setattr(pq.ParquetFile, "iter_batches", short)
    with pytest.raises(DataError, match=r"set\.parquet is not a readable Parquet file: column `label` has 5 of 6 rows"):
        load_source(tfl.Data(str(tmp_path / "set.parquet")))

"""Archives of every layout are the same data as what they were made from, with the same names."""

from __future__ import annotations

import io
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_files import class_folders

import tfl
from tfl.data.archives import unpacked
from tfl.data.bundle import Bundle
from tfl.data.examples import Examples
from tfl.data.exclude import names_in_source
from tfl.data.listing import read_listing, write_listing
from tfl.data.source import load_source
from tfl.data.split import split
from tfl.errors import DataError
from tfl.storage import cache_home


def audit(examples: Examples, *, on_bad: Any = "error", bits: int | None = None, data: Any = None, keep: bool = False) -> Any:
    """The audit of images at 32 pixels, or at the size of `data`."""
    from tfl.data.audit import audit as audit_examples
    from tfl.modalities.image.modality import ImageModality

    modality = ImageModality(data or tfl.Data("x", image_size=(32, 32), bits=bits))
    return audit_examples(examples, modality=modality, on_bad=on_bad, keep=keep)


def load(source: Path, **options: Any) -> Examples:
    return load_source(tfl.Data(str(source), **options))


@pytest.mark.parametrize(
    ("kind", "suffix"), [("zip", ".zip"), ("tar", ".tar"), ("gztar", ".tar.gz"), ("bztar", ".tar.bz2"), ("xztar", ".tar.xz")]
)
def test_an_archive_is_the_folder_that_it_was_made_from(tmp_path: Path, kind: str, suffix: str) -> None:
    folder = class_folders(tmp_path / "set", {"a": 3, "b": 2})
    whole = load(folder)
    file = Path(shutil.make_archive(str(tmp_path / "packed"), kind, folder))
    assert file.name == f"packed{suffix}"
    found = load(file)
    assert found.class_names == whole.class_names and found.labels.tolist() == whole.labels.tolist() and found.source == str(file)
    assert names_in_source(found) == names_in_source(whole) == ["a/000.png", "a/001.png", "a/002.png", "b/000.png", "b/001.png"]
    assert [found.fingerprint_of(index) for index in range(5)] == [whole.fingerprint_of(index) for index in range(5)]


def test_an_archive_is_unpacked_once_and_again_when_it_changes(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "set", {"a": 3, "b": 2})
    file = Path(shutil.make_archive(str(tmp_path / "set"), "zip", folder))
    first = unpacked(file)
    written = (first / "a" / "000.png").stat().st_mtime_ns
    assert unpacked(file) == first and (first / "a" / "000.png").stat().st_mtime_ns == written
    copied = Path(shutil.copy(file, tmp_path / "copy.zip"))
    assert unpacked(copied) == first
    class_folders(folder, {"c": 1})
    shutil.make_archive(str(tmp_path / "set"), "zip", folder)
    assert load(file).class_names == ("a", "b", "c") and unpacked(file) != first


def test_splits_tables_and_arrays_in_archives_are_read(tmp_path: Path) -> None:
    for name in ("train", "val"):
        class_folders(tmp_path / "splits" / name, {"a": 3, "b": 2})
    assert set(load(Path(shutil.make_archive(str(tmp_path / "splits"), "zip", tmp_path / "splits"))).splits) == {"train", "val"}
    class_folders(tmp_path / "wrapped" / "set", {"images": 4})
    lines = [f"images/{n:03d}.png,{'ab'[n % 2]}" for n in range(4)]
    (tmp_path / "wrapped" / "set" / "labels.csv").write_text("\n".join(["path,label", *lines]))
    table = load(Path(shutil.make_archive(str(tmp_path / "wrapped"), "gztar", tmp_path / "wrapped")))
    assert table.class_names == ("a", "b") and names_in_source(table)[0] == "set/images/000.png"
    (tmp_path / "arrays").mkdir()
    np.savez(tmp_path / "arrays" / "set.npz", x=np.zeros((4, 5, 5), np.uint8), y=np.arange(4) % 2)
    assert load(Path(shutil.make_archive(str(tmp_path / "arrays"), "zip", tmp_path / "arrays"))).arrays.shape == (4, 5, 5)


def test_lists_of_images_name_them_as_the_archive_does(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "set", {"a": 6, "b": 6})
    file = Path(shutil.make_archive(str(tmp_path / "set"), "zip", folder))
    exclude = tmp_path / "exclude.txt"
    exclude.write_text("a/002.png\n")
    data = tfl.Data(str(file), exclude=str(exclude))
    examples = load_source(data)
    assert len(examples) == 11
    fingerprints = audit(examples).fingerprints
    parts = split(examples, validation=0.2, test=0.2, seed=0, fingerprints=fingerprints)
    write_listing(tmp_path, Bundle(examples=examples, split=parts, data=data, seed=0, fingerprints=fingerprints))
    listed = read_listing(tmp_path)
    assert listed is not None and [row.file for row in listed][:3] == ["a/000.png", "a/001.png", "a/003.png"]


def test_messages_name_the_archive_and_not_the_cache(tmp_path: Path) -> None:
    file = Path(shutil.make_archive(str(tmp_path / "set"), "zip", class_folders(tmp_path / "set", {"a": 2, "b": 0})))
    with pytest.raises(DataError, match=r"set\.zip has no images of these classes: b") as caught:
        load(file)
    assert str(cache_home()) not in str(caught.value)
    with zipfile.ZipFile(tmp_path / "nested.zip", "w") as outer:
        outer.write(file, "train.zip")
    with pytest.raises(DataError, match=r"holds archives: train\.zip"):
        load(tmp_path / "nested.zip")


def test_advice_about_an_archive_can_be_followed(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "set", {"a": 2, "b": 2})
    rows = [f"{name}/{n:03d}.png,{'xy'[n]}" for name in "ab" for n in range(2)]
    (folder / "labels.csv").write_text("\n".join(["path,label", *rows]))
    file = Path(shutil.make_archive(str(tmp_path / "set"), "zip", folder))
    with pytest.raises(DataError, match="Unpack the archive first"):
        load(file)
    (tmp_path / "outer").mkdir()
    shutil.copy(file, tmp_path / "outer" / "inner.zip")
    (tmp_path / "outer" / "README.md").write_text("read me")
    outer = Path(shutil.make_archive(str(tmp_path / "outer"), "zip", tmp_path / "outer"))
    with pytest.raises(DataError, match=r"It holds archives: inner\.zip") as error:
        load(outer)
    assert str(cache_home()) not in str(error.value)


def test_names_of_other_systems_are_read(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "set", {"a": 1, "b": 1})
    content = [(folder / name / "000.png").read_bytes() for name in "ab"]
    file = tmp_path / "set.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("crème\\000.png", content[0])
        archive.writestr("b\\000.png", content[1])
    data = bytearray(file.read_bytes())
    for mark, flags in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # UTF-8 without the flag that says so, as some programs write it
        data[data.index(mark) + flags : data.index(mark) + flags + 2] = b"\0\0"
    file.write_bytes(data)
    assert load(file).class_names == ("b", "crème")


def test_links_inside_a_tar_are_the_files_that_they_lead_to(tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "set", {"a": 2, "b": 1})
    (folder / "b" / "linked.png").symlink_to("../a/001.png")
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        for name in ("a/000.png", "a/001.png", "b/000.png", "b/linked.png"):
            archive.add(folder / name, name)
    found = load(tmp_path / "set.tar")
    assert len(found) == 4 and found.fingerprint_of(3) == found.fingerprint_of(1)
    assert not Path(str(found.paths[3])).is_symlink()
    assert io.BytesIO(found.bytes_of(3)).read(4) == b"\x89PNG"

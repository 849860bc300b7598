"""CSV files and folders as other systems and other people leave them: read, or refused in one message."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import class_folders

import tfl
from tfl.data.csv_source import read_csv
from tfl.data.examples import Examples
from tfl.data.source import load_source
from tfl.errors import BadImageError, DataError


def audit(examples: Examples, *, on_bad: Any = "error", bits: int | None = None, data: Any = None, keep: bool = False) -> Any:
    """The audit of images at 32 pixels, or at the size of `data`."""
    from tfl.data.audit import audit as audit_examples
    from tfl.modalities.image.modality import ImageModality

    modality = ImageModality(data or tfl.Data("x", image_size=(32, 32), bits=bits))
    return audit_examples(examples, modality=modality, on_bad=on_bad, keep=keep)


few = settings(settings.get_profile("malformed"), max_examples=150)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A CSV file to write, in a folder with four images in `img/x`, beside a folder with one that is none of its business."""
    class_folders(tmp_path / "set" / "img", {"x": 4})
    class_folders(tmp_path / "private", {"x": 1})
    return tmp_path / "set" / "list.csv"


def read(table: Path, content: bytes | str) -> Examples:
    table.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_csv(table)


def refused(table: Path, content: bytes | str, *parts: str) -> str:
    with pytest.raises(DataError) as caught:
        read(table, content)
    message = str(caught.value)
    assert "list.csv" in message and len(message) < 10_000
    assert all(part in message for part in parts), message
    return message


TWO = "path,label\nimg/x/000.png,a\nimg/x/001.png,b\n"


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_byte_order_marks_do_not_matter(table: Path, ends: str, mark: str) -> None:
    found = read(table, mark + TWO.replace("\n", ends))
    assert found.class_names == ("a", "b") and len(found) == 2


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_the_marks_between_columns_and_utf_16_with_its_mark_are_read(table: Path, mark: str, encoding: str) -> None:
    found = read(table, TWO.replace(",", mark).replace(f"{mark}a", f"{mark}crème").encode(encoding))
    assert found.class_names == ("b", "crème") and len(found) == 2


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32", "latin-1"])
def test_other_encodings_are_refused(table: Path, encoding: str) -> None:
    refused(table, TWO.replace(",a", ",crème").encode(encoding))


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("path\nimg/x/000.png\n", "label"),
        ("label\na\n", "path"),
        ("img/x/000.png,a\nimg/x/001.png,b\n", "wrong header"),
        ('path,label\n"img/x/000.png"x,a\n', "quotes"),
        ("path,label\nimg/x/000.png\n", "no label"),
        ("path,label\nimg/x/\0000.png,a\n", "NUL"),
        ("path,label\n~\0/000.png,a\n", "NUL"),
        (f"path,label\n{'x' * 10_000_000},a\n", "line 2"),
        (f"path,label\n{'x/' * 50_000}y.png,a\n", "no file at"),
        (f"{'x' * 100_000},label\n", "wrong header"),
        ("path,label\nimg/x,a\n", "no file at"),
        ("path,label,split\nimg/x/000.png,a,train\nimg/x/000.png,a,test\n", "in the split `test` here and `train` on line 2"),
        ("path,label\nimg/x/000.png,a\nimg/./x/../x/000.png,b\n", "labelled `b` here and `a` on line 2"),
    ],
)
def test_what_cannot_be_meant_is_refused(table: Path, content: str, part: str) -> None:
    refused(table, content, part)


def test_the_same_file_twice_under_one_label_has_one_fingerprint(table: Path) -> None:
    fingerprints = audit(read(table, TWO + "img/x/000.png,a\n")).fingerprints
    assert len(fingerprints) == 1 + len(set(fingerprints))


@pytest.mark.parametrize("path", ["../private/x/000.png", "img/../../private/x/000.png", "./../private/x/000.png", ".."])
def test_a_relative_path_does_not_leave_the_folder(table: Path, path: str) -> None:
    refused(table, f"path,label\n{path},a\nimg/x/000.png,b\n", "line 2", path, "leaves the folder", "absolute path")


def test_a_path_through_a_parent_that_stays_inside_is_taken(table: Path) -> None:
    found = read(table, "path,label\nimg/../img/x/000.png,a\nimg/x/..x.png,b\n") if _touch(table, "img/x/..x.png") else None
    assert found is not None and len(found) == 2


def _touch(table: Path, name: str) -> bool:
    (table.parent / name).touch()
    return True


def test_a_path_that_is_written_out_is_named_by_who_wrote_it(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = table.parent.parent / "private" / "x" / "000.png"
    monkeypatch.setenv("HOME", str(table.parent.parent))
    found = read(table, f"path,label\n{outside},a\n~/private/x/000.png,a\nimg/x/000.png,b\n")
    assert found.paths is not None and found.paths.tolist()[:2] == [str(outside)] * 2


CELL = st.text(st.characters(codec="utf-8") | st.sampled_from('",;\n\r\t \0./~'), max_size=30)


@few
@given(rows=st.lists(st.lists(CELL, max_size=4), max_size=5), quoted=st.booleans())
def test_any_cells_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], quoted: bool) -> None:
    folder = tmp_path_factory.getbasetemp() / "cells"
    if not folder.is_dir():
        class_folders(folder / "img", {"x": 1})
    cells = [[f'"{cell.replace(chr(34), chr(34) * 2)}"' if quoted else cell for cell in row] for row in rows]
    lines = ["path,label,split", "img/x/000.png,a,", *(",".join(row) for row in cells)]
    try:
        found = read(folder / "list.csv", "\n".join(lines))
    except DataError as error:
        assert "list.csv" in str(error)
    else:
        assert all(Path(path).resolve().is_relative_to(folder.resolve()) for path in found.paths.tolist())  # type: ignore[union-attr]


@few
@given(content=st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    file = tmp_path_factory.getbasetemp() / "bytes.csv"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"bytes\.csv"):
        read_csv(file)


# Folders


def load(folder: Path) -> Examples:
    return load_source(tfl.Data(str(folder)))


def test_linked_images_and_class_folders_are_followed_and_deeper_links_are_not(tmp_path: Path) -> None:
    class_folders(tmp_path / "disk", {"x": 2, "y": 2})
    class_folders(tmp_path / "set", {"a": 1})
    (tmp_path / "set" / "a" / "linked.png").symlink_to(tmp_path / "disk" / "x" / "000.png")
    (tmp_path / "set" / "b").symlink_to(tmp_path / "disk" / "y")
    (tmp_path / "set" / "a" / "deeper").symlink_to(tmp_path / "disk" / "x")
    (tmp_path / "set" / "a" / "round").symlink_to(tmp_path / "set")
    found = load(tmp_path / "set")
    assert found.paths is not None
    assert [os.path.relpath(path, tmp_path / "set") for path in found.paths] == [
        *("a/000.png", "a/linked.png", "b/000.png", "b/001.png")
    ]


def test_a_link_to_nothing_and_one_to_itself_are_named(tmp_path: Path) -> None:
    class_folders(tmp_path, {"a": 2, "b": 2})
    (tmp_path / "a" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    (tmp_path / "b" / "round.png").symlink_to(tmp_path / "b" / "round.png")
    with pytest.raises(BadImageError) as caught:
        audit(load(tmp_path))
    assert "gone.png cannot be read" in str(caught.value) and "round.png cannot be read" in str(caught.value)


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    class_folders(tmp_path, {"a": 1, "b": 1})
    (Path(os.fsdecode(os.fsencode(tmp_path / "a") + b"/caf\xe9.png"))).write_bytes(b"")
    with pytest.raises(DataError, match=r"not UTF-8 text.*caf\\xe9"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["two\nlines", "tab\tbed", "\u2028", "x" * 201, "bell\a"])
def test_a_class_name_that_would_break_a_list_of_labels_is_refused(table: Path, name: str) -> None:
    table.write_text(f'path,label\nimg/x/000.png,a\nimg/x/001.png,"b{name}c"\n')
    with pytest.raises(DataError, match="a name that cannot be used"):
        load(table)


def test_names_that_look_like_markup_are_printed_as_they_are(tmp_path: Path) -> None:
    from rich.console import Console

    from tfl.job import prepare_data

    folder = tmp_path / "photos[bold"
    class_folders(folder, {"[red]": 6, "b": 6})
    for name in ("[", "]x[blink].png"):
        (folder / "b" / name).write_bytes((folder / "b" / "000.png").read_bytes())
    csv = tmp_path / "[" / "b].csv"
    csv.parent.mkdir()
    rows = [f"{file},[/{file.parent.name}]" for file in sorted(folder.rglob("*[0-9g]"))]
    csv.write_text("\n".join(["path,label", *rows]))
    for source in (folder, csv):
        said = Console(file=io.StringIO(), width=1000)
        recipe = tfl.Recipe(name="x", data=tfl.Data(str(source), image_size=(8, 8)), backbone=tfl.Backbone("mini"))
        prepare_data(recipe, said)
        assert str(source) in said.file.getvalue()  # type: ignore[attr-defined]


def test_a_source_below_the_home_of_nobody_is_told() -> None:
    with pytest.raises(DataError, match="nothing at this source"):
        load(Path("~nobody-of-this-name/photos"))


def test_a_list_to_exclude_below_the_home_of_nobody_is_told(tmp_path: Path) -> None:
    class_folders(tmp_path, {"a": 1, "b": 1})
    with pytest.raises(DataError, match="cannot be read"):
        load_source(tfl.Data(str(tmp_path), exclude="~nobody-of-this-name/exclude.txt"))


def test_a_source_of_a_name_too_long_for_any_disk_is_told() -> None:
    with pytest.raises(DataError, match="Cannot look at"):
        load(Path("x" * 5000))

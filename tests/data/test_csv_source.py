"""Tables as people have them: other names of columns, other marks, paths of other computers, folds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from image_files import class_folders

import tfl
from tfl.data.examples import Examples
from tfl.data.exclude import names_in_source
from tfl.data.source import load_source
from tfl.errors import DataError


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A CSV file to write, beside the folder `img` with `a00.png` to `a05.png`."""
    class_folders(tmp_path, {"img": 6})
    for file in (tmp_path / "img").iterdir():
        file.rename(file.with_name(f"a{file.name[1:]}"))
    return tmp_path / "list.csv"


def load(source: Path | str, **options: Any) -> Examples:
    return load_source(tfl.Data(str(source), **options))


def refused(source: Path | str, *parts: str, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        load(source, **options)
    assert all(part in str(caught.value) for part in parts), caught.value
    return str(caught.value)


def write(table: Path, header: str, form: str, **lists: list[str]) -> Path:
    """A row for each of the six images: `form` with `{n}` and one value of each list."""
    lines = [form.format(n=n, label="ab"[n % 2], **{name: values[n] for name, values in lists.items()}) for n in range(6)]
    table.write_text("\n".join([header, *lines]))
    return table


NOTES = {
    "image_id,label": "a{n:02d},{label}",
    "filename,class": "img/a{n:02d}.png,{label}",
    "Id,breed": "a{n:02d},{label}",
    "class id,filepaths,labels": "7,img/a{n:02d}.png,{label}",
    "sha,file,price,kind": "{n}{n}x,a{n:02d}.png,{n}.25,{label}",
    "Image ID;Class Name": "img\\a{n:02d}.png;{label}",
    "photo|species": ".\\img\\a{n:02d}.png|{label}",
    "file\tlabel": "img/a{n:02d}.png\t{label}",
    "lesion,image,dx,age": "L{n},a{n:02d},{label},4{n}",
    "img,species,species_id": "img/a{n:02d}.png,{label},{n}",
}


@pytest.mark.parametrize("header", NOTES)
def test_columns_of_any_name_are_found_and_said(table: Path, header: str) -> None:
    found = load(write(table, header, NOTES[header]))
    assert found.class_names == ("a", "b") and found.labels.tolist() == [0, 1] * 3
    assert names_in_source(found) == [f"img/a{n:02d}.png" for n in range(6)]
    (note,) = [finding["note"] for finding in found.findings if finding["kind"] == "table_read"]
    assert "list.csv is read with the column" in note


def test_tab_separated_values_and_json_lines_are_read(table: Path) -> None:
    tsv = write(table.with_suffix(".tsv"), "path\tlabel", "img/a{n:02d}.png\t{label}, ripe; {label}")
    assert load(tsv).class_names == ("a, ripe; a", "b, ripe; b")
    lines = table.with_suffix(".jsonl")
    lines.write_text("".join(f'{{"file_name": "img/a{n:02d}.png", "label": {n % 2}, "note": null}}\r\n' for n in range(6)))
    assert load(lines).class_names == ("0", "1")
    lines.write_text('{"file_name": "img/a00.png", "label": "a"}\n[1]\n')
    refused(lines, "line 2 is not a JSON object")
    lines.write_text('{"file_name": "img/a00.png", "label": "a"}\n{"file_name":\n')
    refused(lines, "line 2 is not JSON")
    lines.write_text(
        "".join(
            f'{{"file_name": "img/a{n:02d}.png", "label": {["a", "b"][: 1 + n % 2]!r}}}\n'.replace("'", '"') for n in range(6)
        )
    )
    refused(lines, "several labels per image")


def test_where_several_columns_may_be_meant_they_are_listed_and_can_be_named(table: Path) -> None:
    write(table, "file,colour,shape", "img/a{n:02d}.png,{label},{shape}", shape=list("xxyyxx"))
    refused(table, "may be the label", "`colour` (a, …)", "`shape` (x, …)", "data.label_column")
    assert load(table, label_column="shape").class_names == ("x", "y")
    refused(table, "no column `shapes`, which `data.label_column` names", "Did you mean `shape`", label_column="shapes")
    write(table, "left,right,label", "img/a{n:02d}.png,img/a0{other}.png,{label}", other=list("123450"))
    refused(table, "several columns that name images", "`left`", "`right`", "data.path_column")
    assert names_in_source(load(table, path_column="right"))[0] == "img/a01.png"
    write(table, "alpha,beta", "x{n},{label}")
    refused(table, "no column that names images", "alpha", "data.path_column")


def test_a_setting_on_the_command_line_names_the_column(table: Path) -> None:
    write(table, "file,colour,shape", "img/a{n:02d}.png,{label},{shape}", shape=list("xxyyxx"))
    recipe = tfl.Recipe(name="x", data=tfl.Data(str(table)), backbone=tfl.Backbone("mini"))
    assert load_source(recipe.override("data.label_column", "shape").data).class_names == ("x", "y")
    assert tfl.Recipe.from_json(recipe.to_json()).data.label_column is None


def test_files_are_found_by_name_only_where_one_can_be_meant(table: Path) -> None:
    write(table, "image_id,label", "a{n:02d},{label}")
    class_folders(table.parent, {"masks": 6})
    for file in (table.parent / "masks").iterdir():
        file.rename(file.with_name(f"a{file.name[1:]}"))
    refused(table, "several files are called a00")
    table = table.rename(table.with_name("img_labels.csv"))
    assert names_in_source(load(table))[0] == "img/a00.png"
    table.write_text(table.read_text().replace("a05", "a99"))
    refused(table, "1 entry", "line 7: no file at", "a99")


def test_a_file_that_is_missing_is_not_looked_for_elsewhere(table: Path) -> None:
    class_folders(table.parent / "old", {"img": 9})
    write(table, "path,label", "img/a{n:02d}.png,{label}")
    table.write_text(table.read_text() + "\nimg/007.png,a\n")
    refused(table, "no file at", "img/007.png")


def test_the_beginning_of_paths_from_another_computer_is_said(table: Path) -> None:
    refused(write(table, "path,label", "/content/set/img/a{n:02d}.png,{label}"), "without the beginning `/content/set/`")
    refused(
        write(table, "path,label", "C:\\me\\img\\a{n:02d}.png,{label}"), "Windows computer", "without the beginning `C:\\me\\`"
    )


def test_the_case_of_a_name_does_not_matter_where_one_file_has_it(table: Path) -> None:
    assert names_in_source(load(write(table, "path,label", "IMG/A{n:02d}.PNG,{label}")))[0] == "img/a00.png"
    (table.parent / "img" / "A00.PNG").write_bytes((table.parent / "img" / "a00.png").read_bytes())
    refused(write(table, "path,label", "Img/a{n:02d}.Png,{label}"), "several files are called Img/a00.Png")


def test_the_line_by_which_spreadsheets_say_the_mark_is_no_header(table: Path) -> None:
    found = load(write(table, "sep=;\npath;label", "img/a{n:02d}.png;{label}, ripe"))
    assert found.class_names == ("a, ripe", "b, ripe")
    refused(write(table, "sep=;\npath;label", "img/b{n:02d}.png;{label}"), "line 3: no file at")


def test_cells_that_are_addresses_are_to_be_downloaded(table: Path) -> None:
    refused(
        write(table, "image,label", "https://example.org/a{n:02d}.png,{label}"),
        "an address on the network",
        "download the images",
    )


def test_a_table_without_header_or_in_another_encoding_is_told_what_to_do(table: Path) -> None:
    refused(write(table, "img/a05.png,b", "img/a{n:02d}.png,{label}"), "first line that names an image", "path,label")
    table.write_bytes(b"path,label\nimg/a00.png,cr\xe8me\n")
    refused(table, "not UTF-8", "as Windows-1252 it would read 'crème'", "iconv")


def test_a_column_for_each_label_is_recognised(table: Path) -> None:
    write(table, "image,mel,nv", "a{n:02d},{one},{two}", one=["1.0", "0.0"] * 3, two=["0.0", "1.0"] * 3)
    refused(table, "one column for each label", "`mel`", "exactly one 1", "idxmax")
    write(table, "image,mel,nv", "a{n:02d},{one},{two}", one=["1", "0"] * 3, two=["1"] * 5 + ["0"])
    refused(table, "one column for each label", "several labels per image: --set task=multilabel")


def test_sets_and_numbers_are_refused_in_every_kind_of_table(table: Path) -> None:
    sets = write(
        table, "path,label", "img/a{n:02d}.png,{sets}", sets=["daisy", "daisy;wild", "rose", "rose;wild", "daisy", "rose"]
    )
    refused(sets, "list.csv, column `label`", "2 of 6 cells", "several labels per image")
    refused(write(table, "path,weight", "img/a{n:02d}.png,{n}.37"), "column `weight`", "a number to predict")
    refused(write(table, "path,weight,label", "img/a{n:02d}.png,{n}.37,{label}"), "a number to predict", label_column="weight")


def test_a_fold_column_with_names_of_splits_is_the_split(table: Path) -> None:
    write(table, "path,label,fold", "img/a{n:02d}.png,{label},{fold}", fold=["train"] * 3 + ["Val", "val", "test"])
    assert load(table).splits.tolist() == ["train"] * 3 + ["val", "val", "test"]
    write(table, "path,label,data set", "img/a{n:02d}.png,{label},{fold}", fold=["train"] * 4 + ["valid"] * 2)
    assert load(table).splits.tolist() == ["train"] * 4 + ["val"] * 2


def test_a_numbered_fold_is_offered_as_the_test_split(table: Path) -> None:
    write(table, "path,label,fold", "img/a{n:02d}.png,{label},{fold}", fold=list("001122"))
    found = load(table)
    assert found.splits is None and any("--set data.test_fold=0" in finding["note"] for finding in found.findings)
    chosen = load(table, test_fold="2")
    assert chosen.splits.tolist() == ["train"] * 4 + ["test"] * 2 and not chosen.findings
    refused(table, "no fold `7`", "0, 1, 2", test_fold="7")
    refused(write(table, "path,label", "img/a{n:02d}.png,{label}"), "no column `fold`", test_fold="7")


def test_a_test_split_without_labels_is_left_out_and_said(table: Path) -> None:
    write(
        table,
        "path,label,split",
        "img/a{n:02d}.png,{given},{split}",
        given=list("abab") + ["", ""],
        split=["train"] * 4 + ["test"] * 2,
    )
    found = load(table)
    assert len(found) == 4 and any("2 images of the test split" in finding["note"] for finding in found.findings)
    write(
        table,
        "path,label,split",
        "img/a{n:02d}.png,{given},{split}",
        given=list("abab") + ["", ""],
        split=["train"] * 5 + ["test"],
    )
    refused(table, "no label")


def test_columns_of_a_source_without_a_table_are_said_not_to_be_used(tmp_path: Path) -> None:
    found = load(class_folders(tmp_path, {"a": 2, "b": 2}), label_column="kind")
    assert any("`data.label_column` is not used" in finding["note"] for finding in found.findings)

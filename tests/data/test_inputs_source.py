"""Tables whose columns are the inputs of an example."""

import numpy as np
import pytest
from PIL import Image

import tfl
from tfl.data.inputs_source import read_unlabelled
from tfl.data.source import load_source
from tfl.errors import DataError
from tfl.modalities.several.packed import unpack

INPUTS = {"photo": tfl.Image(), "note": tfl.Text(column="text"), "plot": tfl.Table(columns=("age",))}


@pytest.fixture
def folder(tmp_path):
    for number in range(4):
        Image.new("RGB", (20, 20), (number, 0, 0)).save(tmp_path / f"{number}.png")
    lines = [f"{number}.png,note {number},{number},{'ab'[number % 2]},train" for number in range(4)]
    lines += [",all alone,,a,test", "0.png,,,b,test"]
    (tmp_path / "rows.csv").write_text("Photo,text,age,label,split\n" + "\n".join(lines) + "\n")
    return tmp_path


def test_rows_have_the_inputs_that_their_cells_have(folder):
    examples = load_source(tfl.Data(str(folder / "rows.csv"), inputs=INPUTS), check_classes=False)
    assert (len(examples), examples.class_names, examples.splits.tolist()[-1]) == (6, ("a", "b"), "test")
    parts = [sorted(unpack(examples.bytes_of(index))) for index in range(6)]
    assert parts == [["note", "photo", "plot"]] * 4 + [["note"], ["photo"]]
    photos, rows = examples.of_input("photo")
    assert photos.name_of(4) == str(folder / "0.png") and rows.tolist() == [0, 1, 2, 3, 5]
    assert photos.labels.tolist() == examples.labels[rows].tolist()


def test_rows_for_prediction_need_no_label_and_not_every_column(folder):
    (folder / "new.csv").write_text("text\nwet\n\n")
    packed, names, notes = read_unlabelled(folder / "new.csv", INPUTS)
    assert [sorted(unpack(packed[at])) for at in range(len(packed))] == [["note"]]
    assert names == [f"{folder / 'new.csv'}:2"] and len(notes) == 2
    (folder / "other.csv").write_text("colour\nred\n")
    with pytest.raises(DataError, match="no column"):
        read_unlabelled(folder / "other.csv", INPUTS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("photo,text,age,label\nnone.png,x,1,a\n", "line 2: no file at"),
        ("photo,label\n0.png,a\n", "has no column `text`, `age`"),
        ("photo,text,age\n0.png,x,1\n1.png,y,2\n", "has no column that can be the label"),
    ],
)
def test_what_is_wrong_with_a_table_is_one_message(folder, text, said):
    (folder / "bad.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        load_source(tfl.Data(str(folder / "bad.csv"), inputs=INPUTS))


def test_parquet_holds_contents_next_to_texts_and_numbers(folder):
    arrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    photos = [
        {"bytes": (folder / f"{number % 4}.png").read_bytes(), "path": None} if number != 3 else None for number in range(8)
    ]
    columns = {
        "photo": photos,
        "text": [f"note {number}" for number in range(8)],
        "age": list(range(8)),
        "label": list("abababab"),
    }
    parquet.write_table(arrow.table(columns), folder / "rows.parquet")
    examples = load_source(tfl.Data(str(folder / "rows.parquet"), inputs=INPUTS))
    assert examples.of_input("photo")[1].tolist() == [0, 1, 2, 4, 5, 6, 7]
    assert unpack(examples.bytes_of(5))["photo"] == (folder / "1.png").read_bytes()
    assert np.bincount(examples.labels).tolist() == [4, 4]

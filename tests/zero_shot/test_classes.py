"""Tables of attributes and lists of classes: what is read, and what is refused with a message."""

import pytest

from tfl.errors import DataError
from tfl.zero_shot.classes import attributes_of, read_descriptions


def test_a_table_and_a_dictionary_say_the_same(tmp_path):
    file = tmp_path / "a.csv"
    file.write_text("class,striped,hooves\nzebra,1,1\ntiger,1,0\n")
    table, plain = attributes_of(str(file)), attributes_of({"zebra": ("striped", "hooves"), "tiger": ("striped",)})
    assert (table.class_names, table.names) == (plain.class_names, plain.names)
    assert table.values.tolist() == plain.values.tolist() == [[1, 1], [1, 0]]
    assert table.of(["Tiger"]).tolist() == [[1, 0]]


def test_columns_may_come_in_another_order(tmp_path):
    file = tmp_path / "a.tsv"
    file.write_text("class\thooves\tstriped\nokapi\t1\t0\nbee\t0\t1\n")
    known = attributes_of({"zebra": ("striped", "hooves"), "tiger": ("striped",)})
    assert attributes_of(str(file)).like(known).values.tolist() == [[0, 1], [1, 0]]
    with pytest.raises(DataError, match="other attributes"):
        attributes_of({"bee": ("wings",), "ant": ()}).like(known)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("class,striped\nzebra,80\ntiger,20\n", "Divide percentages by 100"),
        ("class,striped\nzebra,yes\ntiger,0\n", "Line 2 of"),
        ("class,striped\nzebra,1\ntiger\n", "Line 3 of"),
        ("class,striped\nzebra,1\ntiger,1\n", "describes classes alike"),
        ("class,striped\nzebra,1\nzebra,0\n", "twice"),
        ("class\nzebra\n", "is no table of attributes"),
        ("", "is no table of attributes"),
    ],
)
def test_what_is_no_table_of_attributes_is_refused(tmp_path, text, said):
    file = tmp_path / "a.csv"
    file.write_text(text)
    with pytest.raises(DataError, match=said):
        attributes_of(str(file))


def test_a_missing_class_is_named():
    with pytest.raises(DataError, match=r"does not describe every class.*okapi"):
        attributes_of({"zebra": ("striped",), "tiger": ()}).of(["zebra", "okapi"])


@pytest.mark.parametrize(
    ("text", "said"), [("zebra\n", "two classes or more"), ("zebra\nzebra\n", "a class twice"), (None, "There is no list")]
)
def test_what_is_no_list_of_classes_is_refused(tmp_path, text, said):
    file = tmp_path / "classes.txt"
    if text is not None:
        file.write_text(text)
    with pytest.raises(DataError, match=said):
        read_descriptions(file)

"""Columns as a vector: numbers, values, and what is missing or unknown."""

import numpy as np
import pytest
import tensorflow as tf

import tfl
from tfl.errors import DataError
from tfl.modalities.several.packed import pack
from tfl.modalities.table.modality import TableModality, row_content, with_values

ROWS = [{"age": "3", "sex": "f"}, {"age": "n/a", "sex": "m"}, {"age": "-1.5e1", "sex": ""}, {"age": "7", "sex": "new"}]


@pytest.fixture(scope="module")
def table():
    training = [content for row in ROWS[:3] if (content := row_content(row)) is not None]
    return TableModality(with_values(tfl.Table(columns=("age", "sex")), training))


def test_a_row_becomes_numbers_and_one_number_for_each_value(table):
    assert table.values == {"sex": ("f", "m")}
    vectors = table.encode(tf.constant([row_content(row) for row in ROWS])).numpy()
    assert np.isnan(vectors[1, 0])
    expected = [[3, 0, 1, 0, 0], [0, 1, 0, 1, 0], [-15, 0, 0, 0, 1], [7, 0, 0, 0, 1]]
    np.testing.assert_array_equal(np.nan_to_num(vectors), expected)
    assert table.of_numbers.tolist() == [True, False, False, False, False]


def test_a_word_in_a_column_of_numbers_is_found_before_decoding(table):
    assert table.check(row_content({"age": "old"})).trouble == "not_a_number"
    assert table.check(pack({"age": b"1e39"})).trouble == "not_a_number"
    assert not table.check(row_content({"sex": "whatever"})).trouble


def test_columns_of_names_are_refused():
    rows = [row_content({"name": f"person {number}"}) for number in range(30)]
    with pytest.raises(DataError, match="nearly as many values as rows"):
        with_values(tfl.Table(columns=("name",)), rows)
    with pytest.raises(DataError, match="is empty in every row"):
        with_values(tfl.Table(columns=("age",)), rows)

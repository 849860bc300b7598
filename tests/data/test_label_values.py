"""Columns that are classes are taken, and those that are sets of labels or numbers are not."""

from __future__ import annotations

from collections import Counter

import pytest

from tfl.data.label_values import check_labels, looks_like_numbers, separator_of_sets
from tfl.errors import DataError

NAMES = {
    "one mark": ["salt & pepper", "Apple___Black_rot", "5-10", "a/b", "x+y", "don't know"],
    "commas": ["Pepper,_bell___healthy", "Pepper,_bell___Bacterial_spot", "Corn_(maize)___healthy", "Tomato___healthy"],
    "variants": ["apple, ripe", "apple, unripe", "pear, ripe", "pear, unripe", "apple"],
    "synonyms": ["tench, Tinca tinca", "great white shark, white shark, man-eater", "tiger shark", "white shark"],
    "species": ["Black Tern", "Common Tern", "Black footed Albatross", "Sooty Albatross", "American Crow", "Fish Crow"],
    "colours": [f"{colour} {fruit}" for colour in ("red", "green", "brown") for fruit in ("apple", "pear", "plum")],
    "hierarchy": ["Animalia|Aves", "Animalia|Mammalia", "Plantae|Rosales"],
    "semicolon once": ["a;b", "c", "d"],
    "ids": [str(number) for number in range(102)],
    "brackets": ["(a)", "(b)", "(c, d)x"],
}
SETS = {
    ";": ["daisy;wild", "daisy", "rose", "rose;wild"],
    "|": ["Cardiomegaly", "Cardiomegaly|Effusion", "Effusion|Mass"],
    ",": ["cat, dog", "cat", "dog", "dog, bird", "bird"],
    " ": [
        "clear primary",
        "cloudy",
        "haze primary",
        "agriculture clear primary",
        "agriculture clear primary water",
        "clear",
        "haze",
    ]
    + ["agriculture haze primary", "clear water", "agriculture clear", "primary water"],
}


@pytest.mark.parametrize("kind", NAMES)
def test_names_of_classes_are_no_sets(kind: str) -> None:
    assert separator_of_sets(NAMES[kind]) is None
    check_labels(NAMES[kind] * 5, where="x.csv, column `label`")


@pytest.mark.parametrize("mark", SETS)
def test_sets_of_labels_are_found_by_the_mark_between_them(mark: str) -> None:
    assert separator_of_sets(SETS[mark]) == mark


@pytest.mark.parametrize("cells", [["['a', 'b']", "['a']"], ['["a", "b"]', "[]"], ["{1, 2}", "{2}"]])
def test_lists_are_sets(cells: list[str]) -> None:
    assert separator_of_sets(cells) == ","


def test_the_message_counts_the_sets_and_shows_them() -> None:
    with pytest.raises(DataError) as caught:
        check_labels(["daisy;wild"] * 3 + ["daisy"] * 4 + ["rose;wild"], where="x.csv, column `label`")
    message = str(caught.value)
    assert "x.csv, column `label`" in message and "several labels per example" in message
    assert "4 of 8 cells" in message and "`daisy;wild` (3)" in message and "data.label_column" in message


@pytest.mark.parametrize(
    "counts",
    [
        Counter({f"{value * 0.37:.3f}": 1 for value in range(42)}),
        Counter({f"{value / 4}": 30 for value in range(42)}),
        Counter({str(value): 1 for value in range(20, 60, 3)}),
        Counter({str(age): 1 + age % 4 for age in range(18, 90, 2)}),
        Counter({"-1.5e3": 1, "2.25": 1, "7": 1}),
    ],
    ids=["decimals", "many decimals", "integers", "ages", "exponents"],
)
def test_numbers_to_predict_are_refused(counts: Counter[str]) -> None:
    with pytest.raises(DataError, match=r"a number to predict \(regression\).*different numbers from"):
        check_labels(list(counts.elements()), where="x.csv, column `y`")


@pytest.mark.parametrize(
    "counts",
    [
        Counter({"1.0": 9, "2.0": 12, "3.0": 4}),
        Counter({str(number): 1 for number in range(10)}),
        Counter({str(number): 3 + number % 5 for number in range(1, 103)}),
        Counter({str(1_355_868 + 17 * number): 8 for number in range(300)}),
        Counter({str(year): 20 for year in range(1990, 2020)}),
        Counter({f"{stars / 2}": 12 for stars in range(1, 11)}),
        Counter({"nan": 9, "inf": 9, "1": 9}),
        Counter({"3": 5}),
    ],
    ids=["floats", "one of each digit", "flowers", "species", "years", "stars", "words", "one"],
)
def test_numbers_that_name_classes_are_classes(counts: Counter[str]) -> None:
    assert not looks_like_numbers(counts)

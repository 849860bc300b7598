"""Classes of a source stand for classes of the data: by name with care, else by what the source says of training examples."""

import numpy as np
import pytest

from tfl.model.class_mapping import LEFT_OUT, by_assignment, by_names, map_classes, same_names


def named(source, target):
    found = by_names(source, target)
    return None if found is None else {name: target[place] for name, place in zip(source, found, strict=True) if place >= 0}


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        (("zebra", "horse"), ("Zebra",), {"zebra": "Zebra"}),
        (("African_elephant", "zebra"), ("african-elephants",), {"African_elephant": "african-elephants"}),
        (("tabby, tabby cat", "tiger cat", "catamaran"), ("cat",), {"tabby, tabby cat": "cat", "tiger cat": "cat"}),
        (("maple leaf", "wolf"), ("leaves", "wolves"), {"maple leaf": "leaves", "wolf": "wolves"}),
        (("daisies", "boxes"), ("daisy", "box"), {"daisies": "daisy", "boxes": "box"}),
        (("dining_table", "table lamp"), ("table",), {"dining_table": "table"}),  # a lamp is no table
        (("Tomato___healthy", "Apple___scab"), ("tomato", "apple"), {"Tomato___healthy": "tomato", "Apple___scab": "apple"}),
        (("tiger", "tiger cat"), ("cat", "tiger"), {"tiger": "tiger", "tiger cat": "cat"}),
        (("brown bear", "ice bear"), ("bear", "brown bear"), {"brown bear": "brown bear", "ice bear": "bear"}),
        (
            ("American black bear", "ice bear"),
            ("bear", "black bear"),
            {"American black bear": "black bear", "ice bear": "bear"},
        ),
        (("crane", "crane", "dog"), ("crane", "dog"), {"crane": "crane", "dog": "dog"}),
        (("0", "1", "10"), ("1", "0"), {"0": "0", "1": "1"}),
        (("Käfer", "Straße"), ("käfer",), {"Käfer": "käfer"}),
    ],
)
def test_names_decide(source, target, expected):
    assert named(source, target) == expected


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (("zebra", "catamaran"), ("cat", "zebra")),  # no part of a word
        (("Siamese cat", "dog"), ("Siamese", "cat")),  # both would take the same class
        (("cat", "dog"), ("cat", "cats")),
        (("bus", "dog"), ("???", "dog")),  # no word to look for
        (("a1s", "b"), ("a1", "b")),  # a number has no plural
    ],
)
def test_names_do_not_decide(source, target):
    assert by_names(source, target) is None


def test_a_name_that_is_the_same_twice_is_not_the_same():
    assert same_names(("crane", "crane", "tabby, tabby cat"), ("crane", "tabby cat", "cat")) == [None, 2, None]


def test_assignment_goes_to_the_largest_mean_and_leaves_out_what_says_little():
    means = np.array([[0.50, 0.30, 0.15, 0.05], [0.10, 0.45, 0.25, 0.20], [0.30, 0.30, 0.40, 0.00]])
    assert by_assignment(means).tolist() == [0, 1, 2, LEFT_OUT]  # 0.20 is below an even share of four classes


def test_rare_classes_count_as_much_as_common_ones():
    said = np.array([[0.6, 0.4]] * 30 + [[0.3, 0.7]] * 2)
    found = map_classes(("a", "b"), ("common", "rare"), said, np.array([0] * 30 + [1] * 2))
    assert found.by == "assignment" and found.goes_to.tolist() == [0, 1]
    np.testing.assert_allclose(found.means, [[0.6, 0.4], [0.3, 0.7]])


def test_a_class_that_nothing_stands_for_is_named():
    said = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    found = map_classes(None, ("x", "y", "z"), said, np.arange(3))
    assert found.without == ("y",) and found.to_json()["without"] == ["y"]
    assert [(row["source"], row["target"]) for row in found.rows] == [("class 0", "x"), ("class 1", "z")]
    assert found.matrix.tolist() == [[1, 0, 0], [0, 0, 1]]


def test_names_come_before_what_is_said_and_rows_have_their_shares():
    said = np.array([[0.1, 0.6, 0.3], [0.5, 0.4, 0.1]])
    found = map_classes(("dog", "tiger cat", "tabby cat"), ("cat", "dog"), said, np.array([0, 1]))
    assert found.by == "names" and found.to_json()["left_out"] == 0
    assert found.rows == [
        {"index": 1, "source": "tiger cat", "target": "cat", "share": 0.6},
        {"index": 2, "source": "tabby cat", "target": "cat", "share": 0.3},
        {"index": 0, "source": "dog", "target": "dog", "share": 0.5},
    ]

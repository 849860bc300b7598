"""Marks of a column: only what paired tests show is called the best."""

import numpy as np
import pytest

from tfl.studies.compare import Scores, differences, mark_column, paired_p


def by_seed(right_by_seed, *, of=40):
    """Tests by seed in which the first so many examples are right."""
    names = tuple(f"c{at}" for at in range(of))
    return {
        seed: Scores(contents=names, values=(np.arange(of) < right).astype(float)) for seed, right in enumerate(right_by_seed)
    }


def marks(rows, **options):
    return {name: found["mark"] for name, found in mark_column(rows, **options).items()}


def test_a_clear_difference_on_every_seed_is_marked():
    rows = {"a": by_seed([38, 39, 37]), "b": by_seed([10, 11, 12]), "c": by_seed([9, 12, 10])}
    assert marks(rows) == {"a": "best", "b": "worse", "c": "worse"}


def test_one_row_that_is_not_shown_to_be_worse_leaves_no_best():
    rows = {"a": by_seed([38, 39, 37]), "b": by_seed([10, 11, 12]), "c": by_seed([37, 39, 37])}
    assert marks(rows) == {"a": "tied", "b": "worse", "c": "tied"}


def test_seeds_that_disagree_are_no_evidence_though_there_are_many_examples():
    rows = {"a": by_seed([400, 100, 300], of=400), "b": by_seed([100, 390, 200], of=400)}
    assert marks(rows) == {"a": "tied", "b": "tied"}


def test_few_examples_are_no_evidence_though_all_seeds_agree():
    rows = {"a": by_seed([4, 4, 4, 4], of=5), "b": by_seed([3, 3, 3, 3], of=5)}
    assert marks(rows) == {"a": "tied", "b": "tied"}


def test_with_one_seed_the_examples_decide():
    rows = {"a": by_seed([40]), "b": by_seed([30])}
    found = mark_column(rows)
    assert found["a"]["mark"] == "best" and found["b"]["p"] == pytest.approx(2 * 0.5**10)
    assert found["b"]["behind"] == pytest.approx(0.25)


def test_holm_makes_more_rows_harder():
    rows = {"a": by_seed([40]), "b": by_seed([34])}
    assert marks(rows)["b"] == "worse"  # p = 2 / 2 ** 6
    rows |= {name: by_seed([34]) for name in "cd"}
    assert marks(rows)["b"] == "tied"


def test_a_smaller_error_is_better():
    def errors(level):
        return {seed: Scores(contents=tuple("abcdefghijkl"), values=np.full(12, level + seed / 100)) for seed in range(3)}

    found = mark_column({"near": errors(0.1), "far": errors(2.0)}, lower_is_better=True)
    assert (found["near"]["mark"], found["far"]["mark"]) == ("best", "worse") and found["far"]["behind"] == pytest.approx(1.9)


def test_a_lucky_seed_of_a_row_that_lacks_the_others_is_not_the_highest_mean():
    rows = {"a": by_seed([20, 20]), "lucky": {0: by_seed([30])[0]}}
    found = mark_column(rows)
    assert found["a"]["p"] is None and found["lucky"]["mark"] == "tied" and found["lucky"]["p"] == 1.0


def test_examples_are_matched_by_content_and_copies_are_counted():
    first = {0: Scores(contents=("x", "y", "y", "z"), values=np.array([1.0, 1, 1, 0]))}
    second = {0: Scores(contents=("y", "w", "x", "y"), values=np.array([0.0, 1, 1, 0]))}
    gap = differences(first, second)[0]
    assert sorted(zip(gap.contents, gap.values.tolist(), strict=True)) == [("x", 0.0), ("y", 1.0), ("y", 1.0)]
    assert paired_p({}) == 1.0 and paired_p({0: gap}) == 1.0  # both differences are about one content


def test_one_row_is_compared_with_nothing():
    assert mark_column({"a": by_seed([20]), "b": {}}) == {}

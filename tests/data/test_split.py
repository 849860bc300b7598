"""Splits are stratified and seeded, and nothing that belongs together is torn apart."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfl.data.examples import Examples
from tfl.data.split import raised_shares, split
from tfl.errors import DataError


def make(counts: Sequence[int], *, groups: Sequence[object] | None = None, splits: Sequence[str] | None = None) -> Examples:
    labels = np.repeat(np.arange(len(counts)), counts)
    return Examples(
        class_names=tuple("abcdefgh"[: len(counts)]),
        labels=labels,
        arrays=np.random.default_rng(0).integers(0, 256, (len(labels), 4, 4)).astype(np.uint8),
        groups=None if groups is None else np.array(groups),
        splits=None if splits is None else np.array(splits),
        source="memory",
    )


def test_every_class_gets_its_shares() -> None:
    examples = make([100, 40, 10])
    parts = split(examples, validation=0.2, test=0.1, seed=0)
    for name, counts in {"train": [70, 28, 7], "val": [20, 8, 2], "test": [10, 4, 1]}.items():
        assert np.bincount(examples.labels[parts[name]]).tolist() == counts
    together = np.concatenate([parts.train, parts.val, parts.test])
    assert sorted(together) == list(range(150)) and parts.notes == ()


def test_the_seed_decides() -> None:
    examples = make([30, 30])
    first, again, other = (split(examples, validation=0.2, test=0.2, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.test, again.test)
    np.testing.assert_array_equal(first.train, again.train)
    assert first.test.tolist() != other.test.tolist()


def test_exact_duplicates_stay_together() -> None:
    examples = make([60, 60])
    fingerprints = [str(index % 50) for index in range(120)]
    of_each = split(examples, validation=0.3, test=0.3, seed=0, fingerprints=fingerprints).names(120)
    for content in range(50):
        assert len(set(of_each[content::50])) == 1
    assert abs((of_each == "test").sum() - 36) <= 6


def test_duplicates_are_found_without_fingerprints_given() -> None:
    examples = make([20, 20])
    examples.arrays[20:] = examples.arrays[:20]
    of_each = split(examples, validation=0.2, test=0.2, seed=3).names(40)
    np.testing.assert_array_equal(of_each[:20], of_each[20:])


def test_groups_and_duplicates_tie_into_one() -> None:
    examples = make([6, 6], groups=["p", "p", "q", "q", "r", "s", "t", "u", "v", "w", "x", "y"])
    fingerprints = ["1", "2", "2", "3", *(str(index) for index in range(4, 12))]
    of_each = split(examples, validation=0.2, test=0.2, seed=0, fingerprints=fingerprints).names(12)
    assert len(set(of_each[:4])) == 1


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 14), min_size=60, max_size=60), st.integers(0, 5), st.sampled_from([0.1, 0.25, 0.4]))
def test_groups_never_straddle_and_every_class_is_everywhere(groups: list[int], seed: int, share: float) -> None:
    examples = make([25, 35], groups=groups)
    try:
        parts = split(examples, validation=share, test=share, seed=seed, fingerprints=[str(index) for index in range(60)])
    except DataError as error:
        assert "cannot be in every split" in str(error)
        return
    of_each = parts.names(60)
    for group in set(groups):
        assert len(set(of_each[np.array(groups) == group])) == 1
    for name in ("train", "val", "test"):
        assert set(examples.labels[parts[name]]) == {0, 1}


def test_large_groups_are_balanced() -> None:
    groups = np.repeat(np.arange(40), 5)
    examples = make([100, 100], groups=groups)
    parts = split(examples, validation=0.2, test=0.2, seed=0)
    for part in (parts.val, parts.test):
        assert np.abs(np.bincount(examples.labels[part]) - 20).max() <= 5


@pytest.mark.parametrize("count", [1, 2])
def test_a_class_too_small_for_every_split_is_named(count: int) -> None:
    with pytest.raises(DataError, match="Class `b` of memory") as caught:
        split(make([10, count]), validation=0.2, test=0.2, seed=0)
    assert f"{count} example" in str(caught.value)


def test_a_class_of_one_group_is_named_with_its_groups() -> None:
    with pytest.raises(DataError, match="5 examples in 1 group that stays together"):
        split(make([10, 5], groups=[*range(10), *["same"] * 5]), validation=0.2, test=0.2, seed=0)


def test_copies_across_classes_are_the_reason_why_a_class_cannot_be_in_every_split() -> None:
    prints = [f"{index}" for index in range(10)] + ["3"] * 4 + ["20"]
    with pytest.raises(DataError, match="Class `b`") as caught:
        split(make([10, 5]), validation=0.2, test=0.2, seed=0, fingerprints=prints)
    said = str(caught.value)
    assert "some are exact copies of examples of other classes: 4 with `a`" in said and "tfl audit" in said
    with pytest.raises(DataError) as caught:  # of one class alone
        split(make([10, 5]), validation=0.2, test=0.2, seed=0, fingerprints=[*map(str, range(10)), *["x"] * 5])
    assert "other classes" not in str(caught.value) and "Add examples of it" in str(caught.value)


def test_three_images_are_enough() -> None:
    parts = split(make([3, 3]), validation=0.4, test=0.5, seed=0)
    assert [len(parts[name]) for name in ("train", "val", "test")] == [2, 2, 2]


def test_a_source_keeps_its_own_splits() -> None:
    own = ["train", "val", "test", "train"] * 5
    examples = make([8, 12], splits=own)
    parts = split(examples, validation=0.5, test=0.3, seed=0)
    assert parts.names(20).tolist() == own


def test_what_a_source_lacks_is_drawn_from_its_training_images() -> None:
    own = np.array((["train"] * 10 + ["test"] * 5) * 2)
    parts = split(make([15, 15], splits=own), validation=0.2, test=0.9, seed=0)
    np.testing.assert_array_equal(parts.test, np.flatnonzero(own == "test"))
    assert len(parts.val) == 4 and len(parts.train) == 16 and set(own[parts.val]) == {"train"}


def test_open_rows_are_drawn_before_training_rows() -> None:
    own = np.array((["train"] * 10 + [""] * 10 + ["test"] * 5) * 2)
    parts = split(make([25, 25], splits=own), validation=0.4, test=0.2, seed=0)
    assert len(parts.val) == 8 and set(own[parts.val]) == {""}


def test_a_drawn_split_never_shares_content_with_the_training_images() -> None:
    own = (["train"] * 12 + ["test"] * 4) * 2
    fingerprints = [str(index // 2) for index in range(32)]
    of_each = split(make([16, 16], splits=own), validation=0.3, test=0.2, seed=1, fingerprints=fingerprints).names(32)
    for index in range(0, 32, 2):
        assert of_each[index] == of_each[index + 1]


def test_duplicates_across_a_sources_own_splits_are_kept_and_said() -> None:
    own = ["train", "train", "val", "test"] * 4
    fingerprints = [str(index) for index in range(16)]
    fingerprints[3] = "0"
    parts = split(make([8, 8], splits=own), validation=0.2, test=0.2, seed=0, fingerprints=fingerprints)
    assert parts.names(16).tolist() == own
    assert len(parts.notes) == 1 and "1 example" in parts.notes[0]


def test_a_split_of_the_sources_own_without_a_class_is_an_error() -> None:
    with pytest.raises(DataError, match="test split of memory has no examples of these classes: a"):
        split(make([3, 3], splits=["train", "train", "val", "train", "val", "test"]), validation=0.2, test=0.2, seed=0)


def test_train_per_class_shrinks_training_alone() -> None:
    examples = make([50, 50])
    whole = split(examples, validation=0.2, test=0.2, seed=0)
    small = split(examples, validation=0.2, test=0.2, seed=0, train_per_class=7)
    np.testing.assert_array_equal(whole.test, small.test)
    np.testing.assert_array_equal(whole.val, small.val)
    assert np.bincount(examples.labels[small.train]).tolist() == [7, 7] and set(small.train) <= set(whole.train)


def test_one_rare_class_changes_no_other_class() -> None:
    examples = make([150, 150, 150, 150, 3])
    parts = split(examples, validation=0.2, test=0.2, seed=0)
    counts = {name: np.bincount(examples.labels[parts[name]]).tolist() for name in ("train", "val", "test")}
    assert counts == {"train": [90, 90, 90, 90, 1], "val": [30, 30, 30, 30, 1], "test": [30, 30, 30, 30, 1]}
    assert parts.notes == (
        "Class `e` has 3 examples: 1 to train, 1 to validate, 1 to test, so that it is in every split. Other classes keep their "
        "shares.",
    )
    assert raised_shares(examples, validation=0.2, test=0.2) == parts.notes


def test_raised_shares_are_counted_within_what_the_source_leaves_open() -> None:
    own = ["train"] * 20 + ["test"] * 5 + ["train"] * 3 + ["test"]
    examples = make([25, 4], splits=own)
    parts = split(examples, validation=0.2, test=0.5, seed=0)
    assert "Class `b` has 4 examples: 2 to train, 1 to validate, 1 to test" in parts.notes[0]
    assert raised_shares(examples, validation=0.2, test=0.5) == parts.notes


def test_many_small_classes_make_one_note() -> None:
    notes = split(make([3] * 8), validation=0.2, test=0.2, seed=0).notes
    assert len(notes) == 1 and "`e`" in notes[0] and "`f`" not in notes[0] and "and 3 more classes" in notes[0]


@pytest.mark.parametrize("sizes", [(5, 5, 5), (10, 1, 1), (8, 2, 1)])
def test_a_rare_class_of_three_groups_is_in_every_split(sizes: tuple[int, ...]) -> None:
    groups = [*range(100), *np.repeat(["x", "y", "z"], sizes)]
    examples = make([100, sum(sizes)], groups=[str(group) for group in groups])
    parts = split(examples, validation=0.2, test=0.2, seed=0)
    for name, expected in (("train", 60), ("val", 20), ("test", 20)):
        counts = np.bincount(examples.labels[parts[name]])
        assert counts[0] == expected and counts[1] >= 1


def test_strata_that_cannot_be_in_every_split_are_no_condition():
    targets, groups = np.arange(30.0)[:, None], np.array(["a"] * 10 + [f"g{at}" for at in range(20)])
    contents = np.array([b"%d" % at for at in range(30)])
    examples = Examples(class_names=("age",), targets=targets, contents=contents, groups=groups)
    strata = np.repeat(np.arange(3, dtype=np.int32), 10)
    parts = split(examples, validation=0.2, test=0.2, seed=0, strata=strata)
    of_each = parts.names(30)
    assert len(set(of_each[:10])) == 1 and len(parts.val) and len(parts.test)
    own = np.array(["train"] * 20 + ["val"] * 5 + ["test"] * 5)
    kept = split(dataclasses.replace(examples, groups=None, splits=own), validation=0.2, test=0.2, seed=0, strata=strata)
    assert kept.names(30).tolist() == own.tolist()

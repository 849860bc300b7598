"""The length that is chosen, and rows grouped by length."""

from __future__ import annotations

import numpy as np
import pytest

from tfl.modalities.text.length import choose_length, length_groups, padded_length


def test_the_smallest_multiple_of_eight_that_covers_99_percent() -> None:
    assert choose_length([9] * 99 + [100], maximum=512).tokens == 16
    assert choose_length([8] * 99 + [100], maximum=512).tokens == 8
    assert choose_length([9] * 98 + [100, 101], maximum=512).tokens == 104
    assert choose_length([3], maximum=512).tokens == 8
    assert choose_length([], maximum=512).tokens == 8


def test_the_network_limits_it_and_that_is_said() -> None:
    found = choose_length([600] * 5 + [10] * 5, maximum=510)
    assert (found.tokens, found.cut, found.limited) == (510, 5, True)
    assert str(found) == (
        "length: 510 tokens, the most that the network takes; 5 of 10 texts lose their end (the longest has 600)"
    )
    assert "all 2 texts are read whole" in str(choose_length([5, 6], maximum=512))


@pytest.mark.parametrize("count", [0, 1, 7, 64, 100])
def test_groups_hold_every_row_once_and_are_of_similar_length(count: int) -> None:
    lengths = np.random.default_rng(0).integers(3, 60, count)
    groups = length_groups(lengths, 16)
    together = np.concatenate([np.zeros(0, np.int64), *groups])
    assert sorted(together.tolist()) == list(range(count))
    assert all(len(group) <= 16 for group in groups)
    assert (np.diff(lengths[together]) <= 0).all()


def test_batches_are_cut_to_a_multiple_of_eight() -> None:
    assert [padded_length([5, length], most=64) for length in (8, 9, 61, 64)] == [8, 16, 64, 64]

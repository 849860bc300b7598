"""The index finds what a comparison of all pairs finds, and looks at far fewer."""

from __future__ import annotations

import numpy as np
import pytest

from tfl.modalities.image.audit.candidates import MOST_BITS, directions, near_by_features, near_by_hash
from tfl.modalities.image.audit.thumbnails import MIRROR


def flipped(value: np.uint64, bits: int, rng: np.random.Generator) -> np.uint64:
    for bit in rng.permutation(63)[:bits]:
        value = value ^ np.uint64(1 << int(bit))
    return value


@pytest.mark.parametrize("bits", range(MOST_BITS + 1))
@pytest.mark.parametrize("mirrored", [False, True])
def test_every_pair_within_reach_is_found(bits: int, mirrored: bool) -> None:
    rng = np.random.default_rng(bits)
    hashes = rng.integers(0, 2**63, 300, dtype=np.uint64)
    hashes[250] = flipped(hashes[7] ^ (MIRROR if mirrored else np.uint64(0)), bits, rng)
    assert near_by_hash(hashes).tolist() == [[7, 250]]


def test_pairs_beyond_reach_are_not() -> None:
    rng = np.random.default_rng(1)
    hashes = rng.integers(0, 2**63, 2, dtype=np.uint64)
    hashes[1] = flipped(hashes[0], MOST_BITS + 1, rng)
    assert near_by_hash(hashes).shape == (0, 2)
    assert near_by_hash(hashes[:0]).shape == (0, 2)


def test_it_agrees_with_all_pairs() -> None:
    rng = np.random.default_rng(2)
    hashes = rng.integers(0, 2**63, 400, dtype=np.uint64)
    hashes[200:] = [flipped(value, int(rng.integers(0, 12)), rng) for value in hashes[:200]]
    apart = np.minimum(np.bitwise_count(hashes[:, None] ^ hashes), np.bitwise_count(hashes[:, None] ^ hashes ^ MIRROR))
    expected = np.argwhere(np.triu(apart <= MOST_BITS, 1))
    assert near_by_hash(hashes).tolist() == expected.tolist()


def test_features_of_neighbours_are_paired_once() -> None:
    features = np.eye(6, dtype=np.float32)
    features[5] = features[2] + 0.05 * features[1]
    vectors = features / np.linalg.norm(features, axis=1, keepdims=True)
    assert near_by_features(vectors, at_least=0.9).tolist() == [[2, 5]]
    assert near_by_features(vectors[:1], at_least=0.9).shape == (0, 2)


def test_directions_have_length_one_and_no_common_part() -> None:
    vectors = directions(np.random.default_rng(0).normal(100, 1, (50, 8)))
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(50), abs=1e-5)
    assert abs(float(vectors.mean())) < 0.1

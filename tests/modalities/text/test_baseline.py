"""TF-IDF with a linear model for every task."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tfl.modalities.text.baseline import STRENGTHS, tfidf_baseline

GOOD, BAD = ("fine", "moving", "a joy"), ("dull", "empty", "a bore")


def reviews(count: int, seed: int) -> tuple[list[str], np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    return [f"this film number {rng.integers(50)} is {rng.choice(GOOD if label else BAD)}" for label in labels], labels


TRAIN, VAL, TEST = reviews(80, 0), reviews(40, 1), reviews(40, 2)


def test_classes() -> None:
    def one_hot(part: tuple[list[str], np.ndarray]) -> tuple[list[str], np.ndarray]:
        return part[0], np.eye(3, dtype=np.float32)[part[1]]

    found = tfidf_baseline("classify", train=one_hot(TRAIN), val=one_hot(VAL), texts=TEST[0])
    assert found.outputs.shape == (40, 3)
    np.testing.assert_allclose(found.outputs.sum(1), 1, atol=1e-6)
    assert (found.outputs.argmax(1) == TEST[1]).all() and not found.outputs[:, 2].any()


def test_three_classes() -> None:
    words = ["apple", "pear", "plum"]
    texts, targets = [f"an {words[label % 3]} tree" for label in range(30)], np.eye(3, dtype=np.float32)[np.arange(30) % 3]
    found = tfidf_baseline("classify", train=(texts, targets), val=(texts, targets), texts=words)
    assert found.outputs.argmax(1).tolist() == [0, 1, 2]


def test_several_labels_some_of_them_unknown_or_constant() -> None:
    def labels(part: tuple[list[str], np.ndarray]) -> tuple[list[str], np.ndarray]:
        targets = np.stack([part[1], 1 - part[1], np.ones(len(part[1]))], axis=1).astype(np.float32)
        targets[::7, 0] = np.nan
        return part[0], targets

    found = tfidf_baseline("multilabel", train=labels(TRAIN), val=labels(VAL), texts=TEST[0])
    assert ((found.outputs[:, 0] > 0.5) == TEST[1]).all() and ((found.outputs[:, 1] > 0.5) != TEST[1]).all()
    assert (found.outputs[:, 2] == 1).all()


def test_numbers() -> None:
    def numbers(part: tuple[list[str], np.ndarray]) -> tuple[list[str], np.ndarray]:
        return part[0], (100.0 + 10.0 * part[1][:, None]).astype(np.float32)

    found = tfidf_baseline("regress", train=numbers(TRAIN), val=numbers(VAL), texts=TEST[0])
    assert np.abs(found.outputs[:, 0] - (100 + 10 * TEST[1])).mean() < 2


def test_the_validation_split_decides_the_strength() -> None:
    rng = np.random.default_rng(0)
    noise = [(part[0], np.eye(2, dtype=np.float32)[rng.integers(0, 2, len(part[0]))]) for part in (TRAIN, VAL)]
    signal = [(part[0], np.eye(2, dtype=np.float32)[part[1]]) for part in (TRAIN, VAL)]
    assert tfidf_baseline("classify", train=noise[0], val=noise[1], texts=["a"]).strength == STRENGTHS[0]
    assert tfidf_baseline("classify", train=signal[0], val=signal[1], texts=["a"]).strength == STRENGTHS[-1]


@pytest.mark.slow
def test_it_reaches_what_was_measured_by_hand() -> None:
    folder = Path(os.environ.get("TFL_TEST_DATA", "/nonexistent")) / "sst2"
    if not folder.is_dir():
        pytest.skip(f"no sentences: {folder} is missing (set TFL_TEST_DATA)")

    def read(name: str) -> tuple[list[str], np.ndarray]:
        rows = [line.rsplit("\t", 1) for line in (folder / f"{name}.tsv").read_text().splitlines()]
        return [text for text, _ in rows], np.eye(2, dtype=np.float32)[[int(label) for _, label in rows]]

    test = read("test")
    found = tfidf_baseline("classify", train=read("train"), val=read("dev"), texts=test[0])
    assert (found.outputs.argmax(1) == test[1].argmax(1)).mean() >= 0.811

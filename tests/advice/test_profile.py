"""Scores, intervals that cover, ties, and sentences that fit them."""

from __future__ import annotations

import dataclasses
import io
import json

import numpy as np
import pytest
from rich.console import Console
from sklearn.metrics import f1_score

from tfl.advice.profile import Profile, make_profile


def describe(*taps: str, compute: float = 1.0):
    return {
        "block": " + ".join(taps),
        "taps": taps,
        "output_shape": (8, 8, 4),
        "features": 4 * len(taps),
        "C": 0.1,
        "compute": compute,
    }


def answers(labels: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Right in about that share."""
    return np.where(rng.uniform(size=len(labels)) < share, labels, (labels + 1) % (labels.max() + 1))


def profile_of(shares, *, count=600, names=None, together=None, units=None, metric="accuracy", seed=0) -> Profile:
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    names = names or [f"block{number}" for number in range(len(shares))]
    rows = [describe(name, compute=(number + 1) / len(shares)) for number, name in enumerate(names)]
    predicted = [answers(labels, share, rng) for share in shares]
    if together is not None:
        rows.append(describe(*names[-2:]))
        predicted.append(answers(labels, together, rng))
    units = np.arange(count) if units is None else units
    return make_profile(rows, np.stack(predicted), labels, units, metric=metric, classes=3, folds=5)


def test_the_clear_winner_is_sure_of_it():
    profile = profile_of([0.5, 0.9, 0.6])
    assert profile.best.block == "block1" and profile.tied_with_best == ()
    assert profile.best.p_best == 1 and profile.best.behind == 0
    assert profile.scores["block1"] == profile.best.accuracy
    assert profile.commonest == pytest.approx(1 / 3)


def test_equals_share_what_is_sure_and_are_named():
    profile = profile_of([0.5, 0.8, 0.8, 0.8])
    shares = [row.p_best for row in profile.rows]
    assert sum(shares) == pytest.approx(1) and max(shares) < 0.95 and shares[0] == 0
    assert len(profile.tied_with_best) >= 1 and "block0" not in profile.tied_with_best


def test_the_same_answers_are_exactly_as_good():
    labels = np.arange(90) % 3
    same = answers(labels, 0.8, np.random.default_rng(0))
    rows = [describe("a"), describe("b")]
    profile = make_profile(rows, np.stack([same, same]), labels, np.arange(90), classes=3, folds=5)
    assert profile.best.block == "a" and profile.tied_with_best == ("b",)
    assert [row.p_best for row in profile.rows] == [0.5, 0.5]


def test_blocks_are_compared_on_the_same_images():
    """Two blocks that differ on few images are told apart where their separate intervals overlap."""
    labels = np.zeros(400, int)
    one, two = np.zeros(400, int), np.zeros(400, int)
    labels[0], one[:100], two[:120] = 1, 2, 2
    profile = make_profile([describe("a"), describe("b")], np.stack([one, two]), labels, np.arange(400), classes=3, folds=5)
    assert profile.rows[0].interval[0] < profile.rows[1].interval[1]
    assert profile.tied_with_best == ()


def test_intervals_cover_what_they_claim():
    inside = 0
    for seed in range(100):
        row = profile_of([0.8], count=150, seed=seed).rows[0]
        inside += row.interval[0] <= 0.8 <= row.interval[1]
    assert 88 <= inside <= 100


def test_images_that_belong_together_widen_the_interval():
    labels = np.arange(600) % 3
    right = np.repeat(np.random.default_rng(0).uniform(size=60) < 0.8, 10)
    predicted = np.where(right, labels, (labels + 1) % 3)[None]
    alone, grouped = (
        make_profile([describe("a")], predicted, labels, units, classes=3, folds=5)
        for units in (np.arange(600), np.arange(600) // 10)
    )
    widths = [profile.rows[0].interval[1] - profile.rows[0].interval[0] for profile in (alone, grouped)]
    assert widths[1] > 2 * widths[0]
    assert (alone.units, grouped.units) == (600, 60)


def test_a_perfect_score_is_not_certain():
    row = profile_of([1.0], count=30).rows[0]
    assert row.accuracy == 1 and 0.8 < row.interval[0] < 0.95 and row.interval[1] == 1


def test_macro_f1_is_scikit_learns_and_may_choose_another_block():
    labels = np.array([0] * 90 + [1] * 10)
    common = np.zeros(100, int)
    fair = np.where(np.arange(100) % 9 == 0, 1 - labels, labels)
    rows, predicted = [describe("common"), describe("fair")], np.stack([common, fair])
    profile = make_profile(rows, predicted, labels, np.arange(100), metric="macro_f1", classes=2, folds=5)
    for row, named in zip(profile.rows, predicted, strict=True):
        assert row.macro_f1 == pytest.approx(f1_score(labels, named, average="macro"))
        assert row.macro_f1_interval[0] <= row.macro_f1 <= row.macro_f1_interval[1]
    assert profile.best.block == "fair"
    by_accuracy = make_profile(rows, predicted, labels, np.arange(100), classes=2, folds=5)
    assert by_accuracy.best.block == "common"


def test_an_early_winner_is_a_setting():
    said = " ".join(profile_of([0.5, 0.9, 0.6]).advice)
    assert "`block1`, block 2 of 3, serves this task best" in said
    assert "head=tfl.Head(taps=('block1',))" in said and "--set head.taps=block1" in said and "67% as much" in said


def test_the_last_block_is_right_where_it_wins():
    said = profile_of([0.4, 0.5, 0.9]).advice
    assert "which is right here" in said[1] and "head.taps" not in " ".join(said)


def test_an_earlier_block_that_is_tied_saves_computation():
    labels = np.arange(90) % 3
    poor, good = (answers(labels, share, np.random.default_rng(0)) for share in (0.4, 0.8))
    rows = [describe(f"block{number}", compute=number / 3) for number in (1, 2, 3)]
    said = make_profile(rows, np.stack([poor, good, good]), labels, np.arange(90), classes=3, folds=5).advice
    assert "Not distinguishable from it on 90 examples: `block3`." in said
    assert "is one of these" in said[2] and "`block2`, takes 67% of the computation" in said[3]


@pytest.mark.parametrize(("share", "word"), [(0.97, "better"), (0.5, "worse"), (0.81, "not distinguishable from it")])
def test_several_blocks_are_judged_against_the_best(share, word):
    profile = profile_of([0.5, 0.8], together=share)
    assert profile.together is not None and profile.together.block == "block0 + block1"
    assert (profile.together.behind < 0) == (share > 0.8)
    said = profile.advice[-1]
    assert f", {word}." in said and ("head.taps=block0,block1" in said) == (word == "better")
    assert profile.best.block == "block1"


def test_it_is_json_and_a_table():
    profile = profile_of([0.5, 0.8], together=0.9)
    document = json.loads(json.dumps(profile.as_json()))
    assert document["best"] == "block1" and document["rows"][0]["output_shape"] == [8, 8, 4]
    assert document["advice"] == list(profile.advice) and document["together"]["taps"] == ["block0", "block1"]
    console = Console(width=160, file=io.StringIO())
    console.print(profile.table())
    text = console.file.getvalue()
    assert "block0 + block1" in text and "best" in text and f"{profile.best.accuracy:.3f}" in text


def test_a_run_on_far_fewer_images_is_a_reason_for_doubt():
    profile = profile_of([0.5, 0.9, 0.6], count=300)
    said = dataclasses.replace(profile, train_examples=40).advice
    assert said[:-1] == profile.advice
    assert "240 examples" in said[-1] and "train on 40" in said[-1]
    assert dataclasses.replace(profile, train_examples=225).advice == profile.advice

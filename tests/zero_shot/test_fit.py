"""Methods, their choice and their evaluation, on features made from attributes."""

import dataclasses

import numpy as np
import pytest

import tfl
from tfl.errors import DataError
from tfl.zero_shot.classes import Attributes
from tfl.zero_shot.few import chosen_cache
from tfl.zero_shot.fit import ZeroShotHead, evaluate_head, fit_head, harmonic, per_class_accuracy
from tfl.zero_shot.methods import fit_eszsl

SEEN, NEW = 10, 4


@pytest.fixture(scope="module")
def table():
    """Fourteen classes with eight attributes, no two alike."""
    draw = np.random.default_rng(0)
    values = np.unique(draw.integers(0, 2, (60, 8)), axis=0)
    values = draw.permutation(values)[: SEEN + NEW].astype(float)
    return Attributes(tuple(f"c{n}" for n in range(SEEN + NEW)), tuple(f"a{n}" for n in range(8)), values)


@pytest.fixture(scope="module")
def examples(table):
    """A function that makes features of some classes: their attributes, mixed into 20 numbers, with noise."""
    mix = np.random.default_rng(1).normal(size=(8, 20))

    def make(classes, each, seed):
        labels = np.repeat(classes, each)
        noise = np.random.default_rng(seed).normal(0, 0.5, (len(labels), 20))
        return table.values[labels] @ mix + noise, labels

    return make


@pytest.fixture(scope="module")
def fitted(table, examples):
    train, val = examples(np.arange(SEEN), 20, 2), examples(np.arange(SEEN), 8, 3)
    return lambda method, **options: fit_head(
        *train, val, table.class_names[:SEEN], table, settings=tfl.ZeroShot("table", method=method, **options), seed=0
    )


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dap", "eszsl", "auto"])
def test_unseen_classes_are_named_far_above_chance(fitted, table, examples, method):
    head, about = fitted(method)
    features, labels = examples(np.arange(SEEN, SEEN + NEW), 15, 4)
    found = evaluate_head(head, examples(np.arange(SEEN), 8, 5), (features, labels - SEEN), table.class_names[SEEN:], seed=0)
    assert found["accuracy"] > 0.5 > 1.5 * found["chance"]
    low, high = found["interval"]
    assert low <= found["accuracy"] <= high
    assert about["method"] in ("dap", "eszsl") and {row["method"] for row in about["tried"]} >= {about["method"]}
    assert sum(row["count"] for row in found["rows"]) == len(labels)


def test_calibrated_stacking_lowers_seen_classes(fitted, table, examples):
    head, _ = fitted("eszsl")
    features, labels = examples(np.arange(SEEN, SEEN + NEW), 15, 4)
    found = evaluate_head(head, examples(np.arange(SEEN), 8, 5), (features, labels - SEEN), table.class_names[SEEN:], seed=0)
    assert head.penalty >= 0
    assert found["generalised"]["unseen"] >= found["uncalibrated"]["unseen"]
    assert found["generalised"]["seen"] <= found["uncalibrated"]["seen"]
    most = dataclasses.replace(head, penalty=1e6)
    found = evaluate_head(most, examples(np.arange(SEEN), 8, 5), (features, labels - SEEN), table.class_names[SEEN:], seed=0)
    assert found["generalised"]["seen"] == 0 and found["generalised"]["unseen"] == found["accuracy"]
    assert fitted("eszsl", calibrated=False)[0].penalty == 0


def test_the_closed_form_is_that_of_the_paper(examples, table):
    features, labels = examples(np.arange(SEEN), 6, 2)
    (found,) = fit_eszsl(features, labels, table.values, gammas=(0.5,), lambdas=(2.0,))
    rows = (features - features.mean(axis=0)) / features.std(axis=0)
    vectors = table.values[:SEEN] / np.maximum(np.linalg.norm(table.values[:SEEN], axis=1, keepdims=True), 1e-12)
    right = np.where(labels[:, None] == np.arange(SEEN), 1.0, -1.0)
    inner = np.linalg.inv(rows.T @ rows / len(rows) + 0.5 * np.eye(20)) @ rows.T @ right / len(rows) @ vectors
    expected = rows @ inner @ np.linalg.inv(vectors.T @ vectors + 2.0 * np.eye(8)) @ vectors.T
    np.testing.assert_allclose(found.scores(features, table.values[:SEEN]), expected, atol=1e-8)


@pytest.mark.slow
def test_a_head_is_what_it_was_after_it_is_kept(fitted, table, examples, tmp_path):
    head, about = fitted("auto")
    np.savez(tmp_path / "head.npz", **head.arrays())
    document = {**about, "classes": table.class_names, "attributes": table.names, "seen": head.seen}
    again = ZeroShotHead.load({**document, "scale": head.scale, "penalty": head.penalty}, tmp_path / "head.npz")
    features = examples(np.arange(3), 2, 9)[0]
    np.testing.assert_array_equal(again.logits(features, table), head.logits(features, table))


def test_too_few_seen_classes_are_refused(table, examples):
    train = examples(np.arange(3), 5, 2)
    with pytest.raises(DataError, match="4 or more"):
        fit_head(*train, train, table.class_names[:3], table, settings=tfl.ZeroShot("table"), seed=0)


@pytest.mark.slow
def test_a_few_labels_help(fitted, table, examples):
    head, _ = fitted("auto")
    new = Attributes(table.class_names[SEEN:], table.names, table.values[SEEN:] * 0 + np.eye(NEW, 8))  # described wrongly
    few, labels = examples(np.arange(SEEN, SEEN + NEW), 4, 6)
    cache = chosen_cache(head.standardised(few), labels - SEEN, head.logits(few, new))
    features, truth = examples(np.arange(SEEN, SEEN + NEW), 15, 7)
    plain = head.logits(features, new)
    helped = cache.logits(head.standardised(features), plain)
    right = [per_class_accuracy(logits.argmax(axis=1), truth - SEEN) for logits in (plain, helped)]
    assert right[1] > right[0] + 0.1 and right[1] > 0.8


def test_the_harmonic_mean_of_nothing_is_nothing():
    assert harmonic(0.0, 1.0) == 0.0

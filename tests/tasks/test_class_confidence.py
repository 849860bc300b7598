"""Prediction sets: the promised coverage, on images that decided nothing, and all classes where nothing can be promised."""

import numpy as np
import pytest
from scipy.stats import beta

from tfl.tasks.class_confidence import measure_sets, prediction_sets, set_threshold
from tfl.tasks.intervals import clopper_pearson


def drawn(count, seed, classes=5, skill=1.5):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, classes, count)
    odds = np.exp(generator.normal(size=(count, classes)) + skill * np.eye(classes)[labels])
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32), labels


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("count", [20, 150])
def test_new_images_are_covered_as_often_as_promised(coverage, count):
    covered = []
    for seed in range(200):
        threshold, note = set_threshold(*drawn(count, seed), coverage=coverage)
        probabilities, labels = drawn(300, seed + 1000)
        covered.append(measure_sets(prediction_sets(probabilities, threshold), labels)["coverage"])
        assert note == "" and threshold > 0
    assert coverage - 0.01 <= np.mean(covered) <= coverage + 1 / (count + 1) + 0.02


def test_the_rank_allows_for_a_finite_sample():
    """The plain quantile of 9 values would leave out one of them; (9 + 1) · 0.9 is the ninth, so the lowest decides."""
    probabilities = np.stack([np.linspace(0.1, 0.9, 9), np.linspace(0.9, 0.1, 9)], axis=1)
    assert set_threshold(probabilities, np.zeros(9, int), coverage=0.9)[0] == pytest.approx(0.1)


@pytest.mark.parametrize(("count", "coverage", "needed"), [(8, 0.9, 9), (1, 0.5, None), (30, 0.99, 99)])
def test_too_few_images_give_sets_of_all_classes_and_say_so(count, coverage, needed):
    probabilities, labels = drawn(count, 0)
    threshold, note = set_threshold(probabilities, labels, coverage=coverage)
    if needed is None:
        assert note == "" and threshold > 0
        return
    assert f"{count} validation examples are too few" in note and str(needed) in note
    assert prediction_sets(drawn(20, 1)[0], threshold).all()


def test_the_most_probable_class_is_always_in_the_set():
    probabilities, _ = drawn(100, 3)
    sets = prediction_sets(probabilities, 1.0)
    assert sets[np.arange(100), probabilities.argmax(1)].all() and sets.sum() == 100


def test_the_figures_of_sets():
    sets = np.array([[True, False, False], [True, True, False], [False, True, True], [True, True, True]])
    found = measure_sets(sets, np.array([0, 2, 1, 2]))
    assert (found["count"], found["covered"], found["coverage"]) == (4, 3, 0.75)
    assert (found["mean_size"], found["single"]) == (2.0, 0.25)
    assert found["coverage_interval"] == clopper_pearson(3, 4)


@pytest.mark.parametrize(("successes", "count"), [(0, 7), (7, 7), (3, 10), (950, 1000)])
def test_the_interval_is_clopper_and_pearsons(successes, count):
    low = beta.ppf(0.025, successes, count - successes + 1) if successes else 0.0
    high = beta.ppf(0.975, successes + 1, count - successes) if successes < count else 1.0
    assert clopper_pearson(successes, count) == pytest.approx([low, high])

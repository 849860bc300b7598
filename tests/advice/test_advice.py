"""The parts of advice that need no network: expected accuracies, the four-field table, the order of options."""

import numpy as np
import pytest

import tfl
from tfl.advice.advice import Expected, Option, expected_accuracy, four_fields, ranked


def test_the_interval_covers_the_accuracy_of_classifiers_that_are_right_so_often():
    """Of independent answers the interval covers more than 90%: it allows for other training examples, too."""
    rng, covered = np.random.default_rng(0), []
    for accuracy in (0.6, 0.9, 0.98):
        for _ in range(200):
            labels = np.arange(60) % 3
            right = rng.random(60) < accuracy
            found = expected_accuracy(np.where(right, labels, (labels + 1) % 3), labels, classes=3)
            covered.append(found.low <= accuracy <= found.high)
    assert np.mean(covered) > 0.92


def test_a_perfect_score_on_few_examples_is_not_certain():
    labels = np.arange(20) % 2
    found = expected_accuracy(labels, labels, classes=2)
    assert found.mean == 1 and found.low < 0.95 and found.high == 1


def test_balanced_counts_every_class_alike():
    labels = np.array([0] * 90 + [1] * 10)
    always_first = np.zeros(100, int)
    assert expected_accuracy(always_first, labels, classes=2).mean == 0.9
    assert expected_accuracy(always_first, labels, classes=2, balanced=True).mean == 0.5


def test_a_class_without_examples_does_not_count():
    labels = np.arange(20) % 2
    assert expected_accuracy(labels, labels, classes=3, balanced=True).mean == 1


def test_the_table_has_four_fields():
    words = {four_fields(count=count, similar=similar)[0] for count in (100, 5000) for similar in (True, False)}
    assert len(words) == 4
    assert four_fields(count=100, similar=False)[1] == "features" and four_fields(count=5000, similar=True)[1] == "finetune"


def test_shifted_stays_a_share():
    assert Expected(mean=0.95, low=0.9, high=0.99, count=50).shifted(0.04).high == 1.0


@pytest.mark.parametrize("recommended", [0, 1, 2])
def test_the_advised_option_is_in_front(recommended):
    options = [
        Option(
            backbone=tfl.Backbone("mini"),
            strategy="features",
            name=str(mean),
            expected=None if mean is None else Expected(mean=mean, low=0, high=1, count=9),
            recommended=at == recommended,
        )
        for at, mean in enumerate((0.5, None, 0.7))
    ]
    found = [option.name for option in ranked(options)]
    assert found[0] == options[recommended].name and found[1:] == [one for one in ("0.7", "0.5", "None") if one != found[0]]

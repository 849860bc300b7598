"""The paired test: which images two runs share, whether one is better, and what is said of that."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from tfl.evaluate.compare.paired import (
    Answers,
    compare_tests,
    holm,
    mcnemar,
    pair_examples,
    pair_in_words,
    paired_difference,
    verdict_of,
)
from tfl.evaluate.predictions import Predictions
from tfl.tasks.base import task_of


def answers(right, *, contents=None, files=None, labels=None, class_names=("a", "b")):
    """Answers on images, right where `right` says so."""
    count = len(right)
    labels = np.arange(count) % 2 if labels is None else np.asarray(labels)
    said = np.where(right, labels, 1 - labels)
    predictions = Predictions(
        class_names=class_names,
        files=tuple(files or (f"{number}.png" for number in range(count))),
        indices=np.arange(count),
        task=task_of("classify"),
        targets=np.eye(2)[labels],
        outputs=np.where(np.arange(2) == said[:, None], 0.9, 0.1),
    )
    return Answers(predictions=predictions, contents=None if contents is None else tuple(contents))


def compared(first, second, *, others=()):
    pair = compare_tests(first, second)
    return pair | {"p_corrected": holm([pair["p"], *others])[0]}


@pytest.mark.parametrize(("b", "c"), [(0, 1), (3, 9), (10, 10), (40, 12)])
def test_mcnemar_is_the_exact_two_sided_binomial(b, c):
    expected = min(1.0, 2 * binom.cdf(min(b, c), b + c, 0.5))
    assert mcnemar(b, c) == pytest.approx(expected) == mcnemar(c, b)


def test_holm_is_between_bonferroni_and_nothing():
    p = [0.01, 0.02, 0.5, 0.04]
    corrected = holm(p)
    assert corrected == pytest.approx([0.04, 0.06, 0.5, 0.08])
    assert holm([0.9, 0.8]) == [1.0, 1.0] and holm([]) == []


def test_false_alarms_are_as_rare_as_promised():
    generator, alarms = np.random.default_rng(0), 0
    for _ in range(300):
        p = [mcnemar(*generator.multinomial(200, [0.1, 0.1, 0.8])[:2]) for _ in range(3)]
        alarms += min(holm(p)) < 0.05
    assert alarms <= 0.05 * 300 + 3 * np.sqrt(0.05 * 0.95 * 300)


def test_images_are_found_by_content_in_any_order_and_under_any_name():
    first = answers([1, 1, 0, 1], contents=("w", "x", "y", "z"), labels=[0, 1, 0, 1])
    second = answers([1, 0, 1, 1], contents=("z", "y", "x", "w"), labels=[1, 0, 1, 0], files=("4", "3", "2", "1"))
    pairing = pair_examples(first, second)
    assert pairing.same and pairing.by == "content"
    assert first.right[pairing.first].tolist() == second.right[pairing.second].tolist()
    assert compare_tests(first, second)["p"] == 1.0


def test_only_common_images_count_and_other_labels_are_left_out():
    first = answers([1, 1, 1, 1], contents=("w", "x", "y", "z"), labels=[0, 0, 0, 0])
    second = answers([0, 0, 1], contents=("x", "y", "q"), labels=[0, 1, 0])
    pair = compare_tests(first, second)
    assert (pair["count"], pair["relabelled"], pair["same_examples"]) == (1, 1, False)
    assert pair["accuracy"] == [1.0, 0.0] and (pair["only_first"], pair["only_second"]) == (1, 0)


def test_classes_are_compared_by_name():
    first = answers([1, 1], contents=("x", "y"), labels=[0, 1], class_names=("a", "b"))
    second = answers([1, 1], contents=("x", "y"), labels=[1, 0], class_names=("b", "a"))
    assert compare_tests(first, second)["same_examples"]


def test_without_contents_only_whole_tests_are_matched_by_name():
    first, second = answers([1, 1, 0]), answers([1, 0, 0], contents=("x", "y", "z"))
    pair = compare_tests(first, second)
    assert pair["matched_by"] == "name" and pair["same_examples"] and pair["count"] == 3
    assert compare_tests(first, answers([1, 0])) is None


def test_copies_of_an_image_are_paired_one_by_one():
    pairing = pair_examples(answers([1, 1, 1], contents="xxy", labels=[0, 0, 0]), answers([1, 1], contents="xx", labels=[0, 0]))
    assert len(pairing.first) == 2 and len(set(pairing.first)) == 2 == len(set(pairing.second))


def test_a_clear_gain_is_called_better():
    pair = compared(answers(np.arange(200) >= 60), answers(np.arange(200) >= 10))
    assert verdict_of(pair) == "better"
    words = pair_in_words("old", "new", pair)
    assert words.startswith("new is better than old: 95.0% against 70.0% of the same 200 test examples, +25.0 points")
    assert "p < 0.0001" in words
    assert pair_in_words("new", "old", compared(answers(np.arange(200) >= 10), answers(np.arange(200) >= 60))).startswith(
        "old is worse"
    )


def test_noise_is_not_called_an_improvement():
    generator = np.random.default_rng(1)
    one, other = generator.uniform(size=100) < 0.88, generator.uniform(size=100) < 0.9
    other[:3] = True
    words = pair_in_words("old", "new", compared(answers(one), answers(other)))
    assert words.startswith("There is no evidence that new is ") and "could be chance" in words


def test_so_many_comparisons_need_more():
    pair = compare_tests(answers(np.arange(100) >= 9), answers(np.arange(100) >= 2))
    assert pair["p"] < 0.05
    alone, among = compared(answers(np.arange(100) >= 9), answers(np.arange(100) >= 2)), holm([pair["p"]] * 4)[0]
    assert verdict_of(alone) == "better" and verdict_of(pair | {"p_corrected": among}) == "no evidence"


def test_too_few_images_apart_is_said():
    words = pair_in_words("old", "new", compared(answers(np.arange(50) >= 5), answers(np.arange(50) >= 0)))
    assert "no evidence" in words and "5 examples only: too few for any difference to show" in words
    assert "too few" not in pair_in_words("old", "new", compared(answers(np.arange(50) >= 6), answers(np.arange(50) >= 0)))


def test_the_same_answers_are_called_that():
    right = np.arange(50) >= 5
    assert "right and wrong on the same examples" in pair_in_words("a", "b", compared(answers(right), answers(right)))


def test_the_difference_s_interval_holds_it():
    difference, (low, high) = paired_difference(np.arange(100) >= 5, np.arange(100) >= 25)
    assert difference == pytest.approx(0.2) and low < 0.2 < high


def numbers(outputs, targets, *, contents=None, names=("age",)):
    """Answers that are numbers."""
    outputs, targets = np.asarray(outputs, float).reshape(-1, len(names)), np.asarray(targets, float).reshape(-1, len(names))
    files = tuple(f"{number}.png" for number in range(len(outputs)))
    options = {"class_names": names, "files": files, "indices": np.arange(len(outputs)), "targets": targets, "outputs": outputs}
    return Answers(predictions=Predictions(task=task_of("regress"), **options), contents=contents)


def test_numbers_are_compared_by_their_errors():
    truth = np.linspace(20, 60, 40)
    near, far = numbers(truth + 1, truth), numbers(truth + np.tile([2.0, 4.0], 20), truth)
    pair = compare_tests(far, near)
    assert pair["mae"] == pytest.approx([3.0, 1.0]) and pair["difference"] == pytest.approx(-2.0) and pair["interval"][1] < 0
    pair["p_corrected"] = pair["p"]
    assert verdict_of(pair) == "better"
    words = pair_in_words("old", "new", pair, nouns=("photo", "photos"))
    assert words.startswith("new is better than old: off by 1 against 3 on average on the same 40 test photos, -2 (95%")


def test_errors_that_may_be_chance_and_equal_ones_are_said():
    generator, truth = np.random.default_rng(0), np.arange(30.0)
    one, other = (numbers(truth + generator.normal(size=30), truth) for _ in range(2))
    pair = compare_tests(one, other)
    assert "could be chance" in pair_in_words("a", "b", pair | {"p_corrected": pair["p"]})
    same = compare_tests(one, one)
    assert same["p"] == 1.0 and "the same mean absolute error" in pair_in_words("a", "b", same | {"p_corrected": 1.0})


def test_a_missing_number_is_left_out_of_the_error():
    found = numbers([[1.0, 5.0], [2.0, 8.0]], [[2.0, np.nan], [2.0, 6.0]], names=("age", "height"))
    assert found.errors.tolist() == [1.0, 1.0] and found.truths[0] == (("age", 2.0),)


def test_labels_are_right_where_all_of_them_are():
    options = {"class_names": ("cat", "dog"), "files": ("0.png", "1.png", "2.png"), "indices": np.arange(3)}
    targets, outputs = np.array([[1, 0], [1, 1], [np.nan, 0]]), np.array([[0.9, 0.2], [0.9, 0.2], [0.9, 0.1]])
    found = Answers(
        predictions=Predictions(
            task=task_of("multilabel"), targets=targets, outputs=outputs, predicted=("cat", "cat", "cat"), **options
        ),
        contents=None,
    )
    assert found.right.tolist() == [True, False, True]
    assert compare_tests(found, found)["accuracy"] == pytest.approx([2 / 3, 2 / 3])


def test_other_tasks_are_not_compared():
    assert compare_tests(numbers([1, 2], [1, 2]), answers([1, 1])) is None

"""A stage is kept where its gain over the start is more than chance; otherwise its start is restored, and that is reported."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp

import tfl
from tfl.runs import Run
from tfl.tasks.base import task_of
from tfl.train.evidence import example_scores, p_value
from tfl.train.stage import train_stage


@pytest.mark.parametrize(("won", "lost"), [(4, 0), (5, 3), (0, 2), (1, 0)])
def test_right_and_wrong_answers_have_the_sign_test(won, lost):
    before = np.array([0.0] * won + [1.0] * lost + [1.0] * 10)
    after = np.array([1.0] * won + [0.0] * lost + [1.0] * 10)
    assert p_value(after, before) == pytest.approx(binomtest(won, won + lost, alternative="greater").pvalue)
    assert p_value(before, before) == 1.0


def test_losses_have_a_permutation_test_near_the_t_test():
    rng = np.random.default_rng(0)
    before = rng.normal(size=80)
    after = before + rng.normal(0.15, 1.0, 80)
    expected = ttest_1samp(after - before, 0, alternative="greater").pvalue
    assert p_value(after, before) == pytest.approx(expected, abs=0.02)
    assert p_value(after, before) == p_value(after, before)


def test_scores_are_higher_where_answers_are_better():
    classes, logits = np.eye(2, dtype=np.float32)[[0, 1]], np.array([[3.0, 0.0], [1.0, 0.0]])
    for metric in ("val_accuracy", "val_macro_f1", "val_loss"):
        first, second = example_scores(task_of("classify"), metric, logits, classes)
        assert first > second
    numbers = task_of("regress").fitted(np.array([[0.0], [10.0]], np.float32))
    first, second = example_scores(numbers, "val_mae", np.array([[-1.0], [-1.0]]), np.array([[0.0], [10.0]], np.float32))
    assert first > second
    labels = np.array([[1.0, 0.0], [0.0, 1.0]], np.float32)
    first, second = example_scores(task_of("multilabel"), "val_mean_average_precision", np.array([[2.0, -2], [2, -2]]), labels)
    assert first > second


@pytest.mark.parametrize(("alpha", "kept"), [(1.0, True), (0.0, False)])
def test_a_stage_without_evidence_gives_way_to_its_start(tmp_path, recipe, bundle, network, changed, alpha, kept):
    recipe = changed(recipe, "head", epochs=1, learning_rate=1e-6)
    monitor = dataclasses.replace(recipe.monitor, alpha=alpha)
    recipe = dataclasses.replace(recipe, monitor=monitor, head=tfl.Head(dropout=0.0))
    run, assembled = Run.create(tmp_path / "run", recipe, command=[]), network(recipe)
    train_stage(run, assembled, recipe.stages[0], bundle, recipe=recipe)
    before = assembled.model.get_weights()
    result = train_stage(run, assembled, recipe.stages[1], bundle, recipe=recipe)
    assert result.epochs == 3 and (result.best_epoch > 0) is kept
    assert any("is no evidence" in notice for notice in result.notices) is not kept
    same = all(map(np.array_equal, before, assembled.model.get_weights()))
    assert same is not kept
    again = train_stage(run, network(recipe), recipe.stages[1], bundle, recipe=recipe)
    assert (again.best_epoch, again.best_value) == (result.best_epoch, result.best_value)

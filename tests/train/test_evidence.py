"""A stage is kept where its gain over the start is more than chance; otherwise its start is restored, and that is reported."""

import dataclasses

import numpy as np
import pytest
from scipy.stats import binomtest, ttest_1samp

import tfl
from tfl.runs import Run
from tfl.tasks.base import task_of
from tfl.train.evidence import Evidence, p_value
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


TRUTH = np.eye(2, dtype=np.float32)[np.arange(60) % 2]


def evidence(alpha=0.05, **options):
    return Evidence(task_of("classify"), TRUTH, metric="val_accuracy", alpha=alpha, **options)


def noisy(strength, seed=0):
    return strength * TRUTH + np.random.default_rng(seed).normal(size=TRUTH.shape)


def test_a_clear_gain_holds_and_its_reverse_does_not():
    gain = evidence().compare(noisy(4), noisy(0, seed=1))
    assert gain.holds and gain.metric > 0.2 and gain.interval[0] > 0 and gain.p < 0.01
    back = evidence().compare(noisy(0, seed=1), noisy(4))
    assert not back.holds and back.mean == pytest.approx(-gain.mean) and back.metric == pytest.approx(-gain.metric)


def test_being_too_sure_is_no_loss():
    same = evidence().compare(8 * noisy(1), noisy(1))
    assert abs(same.mean) < 1e-6 and not same.holds


def test_equal_candidates_are_no_evidence():
    same = evidence().compare(noisy(1), noisy(1))
    assert same.p == 1.0 and not same.holds


def test_a_lower_loss_with_a_lower_metric_does_not_hold():
    sure = np.where(TRUTH > 0, 3.0, 0.0)
    wrong_once = sure.copy()
    wrong_once[0] = [0.0, 0.2]
    barely = np.where(TRUTH > 0, 0.1, 0.0) * np.linspace(0.1, 1, 60)[:, None]
    gain = evidence(alpha=1.0).compare(wrong_once, barely)
    assert gain.mean > 0 > gain.metric and not gain.holds


@pytest.mark.slow
def test_chance_alone_rarely_holds():
    held = [evidence(alpha=0.1).compare(noisy(1, seed=2 * n), noisy(1, seed=2 * n + 1)).holds for n in range(40)]
    assert sum(held) <= 10


def test_balanced_evidence_weighs_each_class_the_same():
    truth = np.eye(2, dtype=np.float32)[[0] * 57 + [1] * 3]
    rare_right = np.where(truth > 0, 2.0, 0.0)
    common = np.tile([2.0, 0.0], (60, 1))
    plain = Evidence(task_of("classify"), truth, metric="val_accuracy", alpha=0.05).compare(rare_right, common)
    weighted = Evidence(task_of("classify"), truth, metric="val_accuracy", alpha=0.05, balanced=True).compare(rare_right, common)
    assert weighted.mean > plain.mean > 0


def test_numbers_are_compared_as_they_are():
    truth = np.linspace(-1, 1, 50, dtype=np.float32)[:, None]
    task = task_of("regress").fitted(truth)
    near, far = truth / truth.std(), np.zeros_like(truth)
    gain = Evidence(task, truth, metric="val_mae", alpha=0.05).compare(near, far)
    assert gain.holds and gain.metric > 0


@pytest.mark.slow
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
    assert any("that is no evidence" in notice for notice in result.notices) is not kept
    same = all(map(np.array_equal, before, assembled.model.get_weights()))
    assert same is not kept
    again = train_stage(run, network(recipe), recipe.stages[1], bundle, recipe=recipe)
    assert (again.best_epoch, again.best_value) == (result.best_epoch, result.best_value)

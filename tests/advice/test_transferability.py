"""Transferability scores against values that are known: an optimiser's evidence, hand formulas, small tables."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from tfl.advice.transferability import h_score, leep, log_me, n_leep
from tfl.errors import DataError

SCORES = (log_me, h_score, n_leep, lambda features, labels: h_score(features, labels, shrinkage=False))
FINITE = pytest.mark.parametrize("score", SCORES, ids=("log_me", "h_score", "n_leep", "h_score_plain"))


def problem(count=60, width=5, classes=3, *, apart=1.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    return rng.normal(size=(count, width)) + apart * rng.normal(size=(classes, width))[labels], labels


def evidence(features, target):
    """The largest log density per example over both precisions, by a general optimiser on the dense covariance."""
    count = len(features)

    def loss(logs):
        alpha, beta = np.exp(np.clip(logs, -20, 20))
        return -multivariate_normal.logpdf(target, np.zeros(count), features @ features.T / alpha + np.eye(count) / beta)

    starts = [(a, b) for a in (-2, 2) for b in (0, 3)]
    return (
        max(-minimize(loss, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-9}).fun for start in starts) / count
    )


@pytest.mark.parametrize(("count", "width", "classes"), [(40, 4, 3), (25, 40, 2)])
def test_log_me_is_the_evidence_at_its_maximum(count, width, classes):
    features, labels = problem(count, width, classes, seed=3)
    expected = np.mean([evidence(features, (labels == place).astype(float)) for place in range(classes)])
    assert log_me(features, labels) == pytest.approx(expected, abs=1e-5)


def test_h_score_of_the_classes_themselves_is_their_number_less_one():
    labels = np.repeat(np.arange(4), [2, 5, 9, 1])
    assert h_score(np.eye(4)[labels], labels, shrinkage=False) == pytest.approx(3)


def test_h_score_of_one_feature_is_the_share_of_its_variance_between_classes():
    feature = np.array([0.0, 1.0, 2.0, 4.0, 6.0])
    labels = np.array([7, 7, 7, 9, 9])
    between = (3 * (1 - 2.6) ** 2 + 2 * (5 - 2.6) ** 2) / 5
    assert h_score(feature[:, None], labels, shrinkage=False) == pytest.approx(between / feature.var())


def test_h_score_is_the_same_after_an_invertible_linear_map():
    features, labels = problem()
    mapped = features @ np.random.default_rng(1).normal(size=(5, 5)) + 7
    assert h_score(mapped, labels, shrinkage=False) == pytest.approx(h_score(features, labels, shrinkage=False))


def test_h_score_shrinks_as_ledoit_and_wolf():
    from sklearn.covariance import LedoitWolf
    from sklearn.preprocessing import StandardScaler

    features, labels = problem(30, 50)
    rows = StandardScaler().fit_transform(features)
    found = LedoitWolf().fit(rows)
    means = np.stack([rows[labels == label].mean(axis=0) for label in labels])
    expected = (1 - found.shrinkage_) * np.trace(np.linalg.inv(found.covariance_) @ (means.T @ means / 30))
    assert h_score(features, labels) == pytest.approx(expected)


def test_noise_that_is_wider_than_long_has_a_high_h_score_only_without_shrinkage():
    features, labels = problem(40, 200, 2, apart=0)
    assert h_score(features, labels, shrinkage=False) == pytest.approx(1)
    assert h_score(features, labels) < 0.5


def test_leep_of_a_small_table():
    """Two source classes; P(y=0 | z) is (0.9 + 0.6) / 1.7 and (0.1 + 0.4) / 1.3."""
    given = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    first, second = 1.5 / 1.7, 0.5 / 1.3
    answers = [0.9 * first + 0.1 * second, 0.6 * first + 0.4 * second, 0.2 * (1 - first) + 0.8 * (1 - second)]
    assert leep(given, np.array([0, 0, 1])) == pytest.approx(np.mean(np.log(answers)))


def test_n_leep_of_clusters_that_are_the_classes_is_zero():
    noise, labels = problem(90, 6, 3, apart=0)
    assert n_leep(noise + 40 * np.eye(3, 6)[labels], labels) == pytest.approx(0, abs=1e-6)


def test_n_leep_of_features_that_say_nothing_is_minus_the_entropy():
    rng = np.random.default_rng(0)
    labels = (np.arange(4000) % 4 == 0).astype(int)
    entropy = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert n_leep(rng.normal(size=(4000, 3)), labels) == pytest.approx(-entropy, abs=0.01)
    assert n_leep(np.ones((4000, 3)), labels) == pytest.approx(-entropy)
    assert n_leep(rng.normal(size=(4000, 3)), labels, components=1) == pytest.approx(-entropy)


@FINITE
def test_informative_features_score_above_noise(score):
    features, labels = problem(120, 20, 4, apart=1.0)
    noise, _ = problem(120, 20, 4, apart=0.0, seed=1)
    assert score(features, labels) > score(noise, labels)


@FINITE
def test_the_same_input_gives_the_same_score_and_half_precision_nearly_so(score):
    features, labels = problem(80, 8)
    assert score(features, labels) == score(features, labels)
    assert score(features.astype(np.float16), labels) == pytest.approx(score(features, labels), abs=0.05)


@FINITE
@pytest.mark.parametrize(
    "features",
    [
        np.ones((12, 3)),
        np.zeros((12, 3)),
        np.full((12, 2), 1e6) + np.eye(12, 2),
        np.random.default_rng(0).normal(size=(12, 300)),
        np.repeat(np.arange(2.0), 6)[:, None],
        np.full((12, 4), 60000, np.float16),
    ],
    ids=["constant", "zero", "far off", "wide", "one feature", "large halves"],
)
@pytest.mark.parametrize(
    "labels", [np.arange(12) % 2, np.arange(12) == 5, np.arange(12)], ids=["two", "a single one", "all differ"]
)
def test_odd_inputs_have_finite_scores(score, features, labels):
    assert np.isfinite(score(features, labels))


@FINITE
def test_what_cannot_be_scored_is_an_error(score):
    features, labels = problem()
    with pytest.raises(DataError, match=r"nothing to tell apart.*1 class"):
        score(features, np.zeros(60, int))
    with pytest.raises(DataError, match=r"shapes \(60, 5\) and \(59,\)"):
        score(features, labels[1:])
    features[4, 1] = np.nan
    with pytest.raises(DataError, match="1 of 60 examples"):
        score(features, labels)


def test_the_number_of_components_is_checked():
    with pytest.raises(DataError, match="from 1 to 60"):
        n_leep(*problem(), components=61)


def test_importing_them_imports_nothing_that_takes_long():
    code = (
        "import sys, tfl; before = set(sys.modules);"
        "import tfl.advice.transferability, tfl.advice.label_next, tfl.advice.learning_curve;"
        "new = {name.split('.')[0] for name in set(sys.modules) - before};"
        "sys.exit(bool(new & {'sklearn', 'scipy', 'tensorflow', 'keras'}))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""A linear head in one step: what the last layer of a network would learn from features that do not move.

For classes a logistic regression, for several labels one for each, for numbers a ridge regression; the strength of the penalty by
cross-validation over the training examples. Fine-tuning that starts from such a head distorts the features less than one that
starts from random weights (LP-FT; Kumar et al. 2022, *Fine-Tuning can Distort Pretrained Features and Underperform
Out-of-Distribution*).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.probes.folds import FOLDS, make_folds
from tfl.probes.linear import FIRST, fitted_probe, held_out
from tfl.probes.other import class_means, linear_svm
from tfl.recipe import OF_NUMBERS, LinearProbe
from tfl.tasks.base import Task
from tfl.tasks.heads import Heads

if TYPE_CHECKING:
    from numpy.typing import NDArray

PENALTIES = tuple(10.0**power for power in np.arange(-2, 6.5, 0.5))
"""Of the ridge regression, on standardised features."""
MOST_SEARCHED, _OF_EACH = 2000, 20
"""The C of a logistic regression is looked for on at most so many examples, or so many of each class where that is more: on 4,000
examples of 2,560 features cross-validation took two minutes, and C hardly depends on the number."""
_FEWEST = 4
"""With fewer units in a class, the strength is `FIRST` of `tfl.probes.linear` without a search."""


@dataclass(frozen=True, eq=False)
class LinearHead:
    """The weights of a Dense layer.

    Args:
        kernel: Array of shape `(features, width)`, float32.
        bias: Array of shape `(width,)`, float32.
        strengths: Floats, the penalty of each regression: `C` of scikit-learn for classes and labels, `alpha` for numbers; the
            temperature of class means.
    """

    kernel: NDArray[np.float32]
    bias: NDArray[np.float32]
    strengths: tuple[float, ...]


def linear_head(
    features: NDArray[np.floating],
    targets: NDArray[np.floating],
    units: NDArray[np.integer],
    *,
    task: str,
    balanced: bool = False,
    seed: int = 0,
    strengths: Sequence[float] | None = None,
    method: LinearProbe = "logistic",
) -> LinearHead:
    """The head that regressions give for features.

    Args:
        features: Array of shape `(n, features)`.
        targets: Array of shape `(n, width)`: one-hot classes; zeros and ones for labels; or numbers in the scale of the logits.
            NaN where one is missing.
        units: Integer array of shape `(n,)`; examples of one unit are held out together, those of unit -1 never.
        task: String, `classify`, `multilabel` or `regress`.
        balanced: Bool, whether every class has the same total weight. Defaults to False.
        seed: Int, decides the folds. Defaults to 0.
        strengths: Sequence of floats, the penalties, as `LinearHead.strengths` has them. Defaults to None, which chooses them
            by cross-validation.
        method: String, for classes: `logistic`, `svm` (a linear support vector machine) or `class_means` (the nearest class
            mean). Defaults to `logistic`.

    Raises:
        TflError: A feature is not a finite number.

    Example:

    >>> import numpy as np
    >>> from tfl.probes.head import linear_head
    >>> features = np.random.default_rng(0).normal(size=(60, 3))
    >>> classes = (features[:, 0] > 0).astype(int)
    >>> found = linear_head(features, np.eye(2)[classes], np.arange(60), task="classify")
    >>> bool(((features @ found.kernel + found.bias).argmax(axis=1) == classes).mean() > 0.9)
    True
    """
    features, targets = np.asarray(features, np.float32), np.asarray(targets, np.float64)
    if task == "classify":
        given = None if strengths is None else strengths[0]
        labels = targets.argmax(axis=1)
        if (labels == labels[0]).all():  # nothing to tell apart
            bias = np.where(np.arange(targets.shape[1]) == labels[0], 0.0, -30.0)
            return LinearHead(np.zeros((features.shape[1], len(bias)), np.float32), bias.astype(np.float32), (given or FIRST,))
        kernel, bias = np.zeros((features.shape[1], targets.shape[1])), np.full(targets.shape[1], -30.0)
        seen, places = np.unique(labels, return_inverse=True)
        if method == "logistic":
            probe, strength = _logistic(features, labels, units, balanced=balanced, seed=seed, strength=given)
            weights, intercepts = _on_features(probe)
            if len(seen) == 2:  # scikit-learn gives the difference of both
                weights, intercepts = np.stack([-weights[:, 0], weights[:, 0]], axis=1) / 2, np.array([-1, 1]) * intercepts / 2
        else:
            folds = folds_of(places, units, seed=seed)
            if method == "svm":
                weights, intercepts, strength = linear_svm(features, places, folds, balanced=balanced, strength=given)
            else:
                weights, intercepts, strength = class_means(features, places, folds, temperature=given)
        kernel[:, seen], bias[seen] = weights, intercepts
        return LinearHead(kernel.astype(np.float32), bias.astype(np.float32), (strength,))
    of_one = _ridge if task in OF_NUMBERS else _one_label
    each = [None] * targets.shape[1] if strengths is None else strengths
    columns = [
        of_one(features, target, units, balanced=balanced, seed=seed, strength=known)
        for target, known in zip(targets.T, each, strict=True)
    ]
    return LinearHead(
        np.stack([kernel for kernel, _, _ in columns], axis=1).astype(np.float32),
        np.array([bias for _, bias, _ in columns], np.float32),
        tuple(strength for _, _, strength in columns),
    )


def linear_head_of(
    task: Task,
    features: NDArray[np.float32],
    targets: NDArray[np.float32],
    units: NDArray[np.integer],
    *,
    method: LinearProbe = "logistic",
    balanced: bool = False,
    seed: int = 0,
    strengths: Sequence[float] | None = None,
) -> LinearHead:
    """The linear head of a task; of several targets one for each, side by side, on the examples that have it.

    Args:
        task: What is predicted, fitted to the training targets.
        features: `(n, width)`.
        targets: `(n, outputs)`, as the task has them; NaN where one is missing.
        units, method, balanced, seed, strengths: See `linear_head`.
    """
    if not isinstance(task, Heads):
        scaled = task.scaled(targets)
        return linear_head(
            features, scaled, units, task=task.name, method=method, balanced=balanced, seed=seed, strengths=strengths
        )
    found = []
    for part in task:
        known = part.known(targets)
        own = part.task.scaled(part.of(targets)[known])
        found.append(linear_head(features[known], own, units[known], task=part.task.name, balanced=balanced, seed=seed))
    return LinearHead(
        np.concatenate([one.kernel for one in found], axis=1),
        np.concatenate([one.bias for one in found]),
        tuple(strength for one in found for strength in one.strengths),
    )


def _logistic(
    features: NDArray[np.float32],
    labels: NDArray[np.integer],
    units: NDArray[np.integer],
    *,
    balanced: bool,
    seed: int,
    strength: float | None,
) -> tuple[Any, float]:
    """The fitted regression and its C."""
    names, places = np.unique(labels, return_inverse=True)
    if strength is not None:
        return fitted_probe(features, labels, strength, balanced=balanced), strength
    if len(names) > 1:
        some = _searched(places, seed=seed)
        folds = folds_of(places[some], units[some], seed=seed)
        if folds is not None:
            strength = held_out(features[some], places[some], folds, balanced=balanced).strength
    strength = FIRST if strength is None else strength
    return fitted_probe(features, labels, strength, balanced=balanced), strength


def _searched(places: NDArray[np.integer], *, seed: int) -> NDArray[np.int64]:
    """The examples on which the penalty is looked for, ascending: all, or about the same share of each class."""
    from sklearn.model_selection import train_test_split

    every, most = np.arange(len(places)), max(MOST_SEARCHED, _OF_EACH * (int(places.max()) + 1))
    if len(places) <= most or np.bincount(places).min() < 2:
        return every
    return np.sort(train_test_split(every, train_size=most, stratify=places, random_state=seed % 2**32)[0])


def folds_of(places: NDArray[np.integer], units: NDArray[np.integer], *, seed: int) -> NDArray[np.integer] | None:
    """The fold of each example, -1 for one of unit -1, which is never held out; None where a class has too few to be held out."""
    held = units >= 0
    if min(len(np.unique(units[held & (places == place)])) for place in range(int(places.max()) + 1)) < _FEWEST:
        return None
    folds = np.full(len(places), -1, np.int64)
    folds[held] = make_folds(places[held], np.unique(units[held], return_inverse=True)[1], most=FOLDS, seed=seed)
    return folds


def _on_features(probe: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights `(features, outputs)` and intercepts of a regression on standardised features, for the features as they are."""
    scaler, regression = probe
    weights = regression.coef_.T / scaler.scale_[:, None]
    return weights, regression.intercept_ - scaler.mean_ @ weights


def _one_label(
    features: NDArray[np.float32],
    target: NDArray[np.float64],
    units: NDArray[np.integer],
    *,
    balanced: bool,
    seed: int,
    strength: float | None,
) -> tuple[NDArray[np.float64], float, float]:
    known = np.isfinite(target)
    truth = target[known] > 0.5
    if truth.all() or not truth.any():  # nothing to learn from: the share, held off 0 and 1
        share = (truth.sum() + 1) / (len(truth) + 2)
        return np.zeros(features.shape[1]), float(np.log(share / (1 - share))), FIRST
    probe, used = _logistic(features[known], truth.astype(int), units[known], balanced=balanced, seed=seed, strength=strength)
    weights, intercepts = _on_features(probe)
    return weights[:, 0], float(intercepts[0]), used


def _ridge(
    features: NDArray[np.float32],
    target: NDArray[np.float64],
    units: NDArray[np.integer],
    *,
    balanced: bool,
    seed: int,
    strength: float | None,
) -> tuple[NDArray[np.float64], float, float]:
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    known = np.isfinite(target)
    groups = np.unique(units[known], return_inverse=True)[1]
    several = len(np.unique(groups)) < len(groups)
    folds = list(GroupKFold(min(FOLDS, int(groups.max()) + 1)).split(groups, groups=groups)) if several and groups.max() else None
    penalties = PENALTIES if strength is None else [strength]
    probe = make_pipeline(StandardScaler(), RidgeCV(penalties, cv=folds)).fit(features[known], target[known])
    scaler, regression = probe
    weights = regression.coef_ / scaler.scale_
    return weights, float(regression.intercept_ - scaler.mean_ @ weights), float(regression.alpha_)

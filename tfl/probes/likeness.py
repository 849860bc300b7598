"""How like the examples of a target some others are: the weights that make one set of examples stand for another.

    weight of an example x = P(target | x) / P(other | x) · others / targets

is the ratio of the densities of both sets at x, where a logistic regression tells which set an example is of (Bickel et al. 2007,
*Discriminative Learning for Differing Training and Test Distributions*). The probabilities are those of a cross-validation: a
regression on many features and few examples tells nearly any two sets apart that it was trained on. The weights are cut off at
√n times their mean (Ionides 2008, *Truncated Importance Sampling*), n being the number of others, and divided by their mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tfl.probes.folds import FOLDS, make_folds
from tfl.probes.linear import LEAST, held_out

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Likeness:
    """How like each other two sets of examples are.

    Args:
        weights: Array of shape `(n,)`, of the other examples, with a mean of one.
        auc: Float, the area under the ROC curve of the regression on held-out examples: about 0.5 where it cannot tell the sets
            apart, 1 where it always can.
        distance: Float, the proxy A-distance (Ben-David et al. 2006, *Analysis of Representations for Domain Adaptation*): twice
            (1 - 2 · error), the error that of held-out examples where both sets count the same; from 0, alike, to 2.
        effective: Float, how many examples of one weight these are worth, (Σ weights)² / Σ weights² (Kish 1965).
    """

    weights: NDArray[np.float64]
    auc: float
    distance: float
    effective: float


def likeness(
    target: NDArray[np.floating],
    other: NDArray[np.floating],
    *,
    units: NDArray[np.integer],
    other_units: NDArray[np.integer],
    seed: int = 0,
) -> Likeness:
    """How like `target` each example of `other` is, and both in all.

    Args:
        target: Array of shape `(m, features)`, at least two examples.
        other: Array of shape `(n, features)`, at least two examples.
        units, other_units: Integer arrays of shape `(m,)` and `(n,)`; examples of one unit are held out together.
        seed: Int, decides the folds. Defaults to 0.

    Raises:
        TflError: A feature is not a finite number.

    Example:

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> target, other = rng.normal(size=(40, 2)), np.concatenate([rng.normal(size=(40, 2)), rng.normal(4, 1, size=(40, 2))])
    >>> found = likeness(target, other, units=np.arange(40), other_units=np.arange(80))
    >>> bool(found.weights[:40].mean() > 1.5 > 0.5 > found.weights[40:].mean()), bool(35 < found.effective < 75)
    (True, True)
    """
    from sklearn.metrics import roc_auc_score

    features = np.concatenate([target, other]).astype(np.float32)
    is_target = np.arange(len(features)) < len(target)
    groups = np.concatenate([units, int(np.max(units)) + 1 + np.asarray(other_units) - int(np.min(other_units))])
    groups = np.unique(groups, return_inverse=True)[1]
    folds = make_folds(is_target.astype(int), groups, most=FOLDS, seed=seed)
    said = np.clip(held_out(features, is_target.astype(int), folds).probabilities[:, 1], LEAST, 1 - LEAST).astype(np.float64)
    ratio = said / (1 - said) * len(other) / len(target)
    errors = [np.mean((ratio > 1)[is_target == one] != one) for one in (True, False)]
    weights = ratio[~is_target]
    weights = np.minimum(weights, np.sqrt(len(weights)) * weights.mean())
    weights /= weights.mean()
    return Likeness(
        weights=weights,
        auc=float(roc_auc_score(is_target, said)),
        distance=float(max(0.0, 2 * (1 - 2 * np.mean(errors)))),
        effective=effective_number(weights),
    )


def effective_number(weights: NDArray[np.floating]) -> float:
    """How many examples of one weight these are worth.

    Example:

    >>> effective_number(np.array([1.0, 1, 1, 0])), effective_number(np.ones(5))
    (3.0, 5.0)
    """
    return float(weights.sum() ** 2 / np.square(weights).sum())


def weighted_order(weights: NDArray[np.floating], *, seed: int) -> NDArray[np.int64]:
    """Positions in the order of a draw without replacement, the next one in proportion to the weights of those that are left.

    The first ones of a longer draw are those of a shorter one (Efraimidis and Spirakis 2006, *Weighted Random Sampling with a
    Reservoir*).

    Args:
        weights: Array of shape `(n,)`, above zero.
        seed: Int, of the draw.

    Example:

    >>> int(weighted_order(np.array([1.0, 1e6, 1.0]), seed=0)[0])
    1
    """
    waited = np.random.default_rng(seed).exponential(size=len(weights)) / np.maximum(weights, np.finfo(np.float64).tiny)
    return np.argsort(waited, kind="stable")

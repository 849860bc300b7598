"""Whether two splits are of one kind: a classifier two-sample test (Lopez-Paz and Oquab 2017) on features.

A linear probe learns to tell the splits apart on one half of the examples and is evaluated on the other half. (Cross-validation
would use all examples for both, but then the scores hang together, and the test would find drift where there is none.) An area
under the ROC curve of 0.5 is guessing: the splits look alike. At 1.0 each example betrays its split: another camera, another
season, another way of saving files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.data.examples import Examples
from tfl.finding import Finding
from tfl.probes.folds import FOLDS, make_folds
from tfl.probes.linear import fitted_probe, held_out

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST = 0.6
"""A smaller area is no drift to speak of, however sure it is."""
SURE = 0.01
FEWEST = 40
_MOST = 2000
_RESAMPLES = 1000
_SHOWN = 12


@dataclass(frozen=True, eq=False)
class Drift:
    """How well two splits can be told apart.

    Args:
        auc: The area under the ROC curve, 0.5 to 1 for splits that differ.
        interval: 95%, by bootstrap.
        p_value: Of the Mann-Whitney U test: how likely so large an area is where the splits do not differ.
        strangest: Positions of the second split's examples that it was evaluated on, the least like the first ones first.
    """

    auc: float
    interval: tuple[float, float]
    p_value: float
    strangest: NDArray[np.int64]


def drift_findings(
    examples: Examples, features: NDArray[np.floating], splits: NDArray[Any], units: NDArray[np.int64], *, seed: int
) -> list[Finding]:
    """`drift` of the validation and of the test split against training, where there is any.

    Args:
        examples: The examples.
        features: `(n, width)`.
        splits: `(n,)` split names.
        units: `(n,)` what is held out together.
        seed: Decides halves and resamples.
    """
    found = []
    for other in ("val", "test"):
        drift = splits_apart(features, splits == "train", splits == other, units, seed=seed)
        if drift is None or drift.auc < LEAST or drift.p_value > SURE:
            continue
        low, high = drift.interval
        note = (
            f"The {other} split is not like the train split: a linear probe tells one {examples.noun} of each apart in "
            f"{drift.auc:.0%} of cases (AUC {drift.auc:.2f}, 95% interval {low:.2f} to {high:.2f}, p {_p(drift.p_value)}; 50% "
            "would be guessing). Other shares of the classes, another camera or another way of saving files do that. The files "
            "are the strangest of them, seen from train."
        )
        files = tuple(examples.name_of(int(index)) for index in drift.strangest[:_SHOWN])
        found.append(Finding(kind="drift", severity="warning", files=files, note=note, scores=(drift.auc,)))
    return found


def splits_apart(
    features: NDArray[np.floating], first: NDArray[np.bool_], second: NDArray[np.bool_], units: NDArray[np.int64], *, seed: int
) -> Drift | None:
    """The two-sample test; None where a part has fewer than 40 examples or everything is tied together.

    Args:
        features: `(n, width)`.
        first, second: `(n,)` which examples are in each part; of larger ones 2,000 each are drawn.
        units: `(n,)` what is held out together.
        seed: Decides the draw, the halves and the resamples.
    """
    rng = np.random.default_rng([seed, 7])
    parts = [np.flatnonzero(part) for part in (first, second)]
    if min(map(len, parts)) < FEWEST:
        return None
    indices = np.concatenate([np.sort(rng.permutation(part)[:_MOST]) for part in parts])
    labels = np.isin(indices, parts[1]).astype(np.int64)
    inside = np.unique(units[indices], return_inverse=True)[1]
    if min(len(np.unique(inside[labels == label])) for label in (0, 1)) < 2 * FOLDS:
        return None
    half = make_folds(labels, inside, most=2, seed=seed)
    learnt, tested = np.flatnonzero(half == 0), np.flatnonzero(half == 1)
    folds = make_folds(labels[learnt], np.unique(inside[learnt], return_inverse=True)[1], most=FOLDS, seed=seed)
    strength = held_out(features[indices[learnt]], labels[learnt], folds, balanced=True).strength
    probe = fitted_probe(features[indices[learnt]], labels[learnt], strength, balanced=True)
    scores = probe.decision_function(features[indices[tested]])
    auc, interval, p_value = _area(scores, labels[tested], rng)
    others = np.flatnonzero(labels[tested])
    return Drift(auc, interval, p_value, indices[tested[others[np.argsort(-scores[others], kind="stable")]]])


def _area(
    scores: NDArray[np.floating], labels: NDArray[np.int64], rng: np.random.Generator
) -> tuple[float, tuple[float, float], float]:
    from scipy.stats import mannwhitneyu, rankdata

    low, high = scores[labels == 0], scores[labels == 1]
    test = mannwhitneyu(high, low, alternative="greater")
    areas = []
    for _ in range(_RESAMPLES):
        some, others = rng.choice(low, len(low)), rng.choice(high, len(high))
        ranks = rankdata(np.concatenate([some, others]))[len(some) :]
        areas.append((ranks.sum() - len(others) * (len(others) + 1) / 2) / (len(some) * len(others)))
    edges = np.percentile(areas, [2.5, 97.5])
    return float(test.statistic / (len(low) * len(high))), (float(edges[0]), float(edges[1])), float(test.pvalue)


def _p(value: float) -> str:
    return "below 0.001" if value < 0.001 else f"{value:.3f}"

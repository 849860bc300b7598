"""What a finding is expected to cost: an accuracy with and without its files, on the same examples, with an interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.finding import Cost
from tfl.probes.linear import fitted_probe

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESAMPLES = 2000


def cost_of(
    measure: str,
    as_it_is: NDArray[np.bool_],
    without: NDArray[np.bool_],
    units: NDArray[np.integer],
    *,
    seed: int,
) -> Cost:
    """The difference of two accuracies on the same examples, and its interval by a paired bootstrap.

    Args:
        measure: Which accuracy, as a phrase.
        as_it_is, without: `(n,)` whether each example was answered rightly.
        units: `(n,)` what is resampled together: groups, and copies.
        seed: Of the resamples.

    Example:

    >>> import numpy as np
    >>> from tfl.audit.cost import cost_of
    >>> right = np.arange(100) % 10 > 0
    >>> cost_of("accuracy", right, right, np.arange(100), seed=0).interval
    (0.0, 0.0)
    """
    of_each = np.unique(units, return_inverse=True)[1]
    change = np.bincount(of_each, without.astype(float) - as_it_is)
    sizes = np.bincount(of_each).astype(float)
    rng = np.random.default_rng(seed)
    found = np.empty(RESAMPLES)
    for number in range(RESAMPLES):
        drawn = rng.integers(0, len(sizes), len(sizes))
        found[number] = change[drawn].sum() / sizes[drawn].sum()
    low, high = np.percentile(found, [2.5, 97.5])
    return Cost(
        measure=measure,
        as_it_is=float(as_it_is.mean()),
        without=float(without.mean()),
        difference=float(without.mean() - as_it_is.mean()),
        interval=(float(low), float(high)),
        count=len(as_it_is),
    )


def leak_cost(
    features: NDArray[np.floating],
    labels: NDArray[np.integer],
    splits: NDArray[Any],
    left_out: NDArray[np.bool_],
    units: NDArray[np.integer],
    *,
    strength: float,
    seed: int,
) -> Cost | None:
    """What leaked examples make of a test: a linear probe trained with them and without, evaluated on the same test examples.

    None where a probe cannot be trained or evaluated: no test split, or fewer than two classes left to train on.

    Args:
        features: `(n, width)`.
        labels: `(n,)`.
        splits: `(n,)` split names.
        left_out: `(n,)` the copies that are to be left out.
        units: `(n,)` what is resampled together.
        strength: The C of the probes.
        seed: Of the resamples.
    """
    test = np.flatnonzero(splits == "test")
    with_them = np.flatnonzero(splits == "train")
    without = with_them[~left_out[with_them]]
    if not len(test) or len(without) == len(with_them) or len(np.unique(labels[without])) < 2:
        return None
    right = [
        fitted_probe(features[train], labels[train], strength).predict(features[test]) == labels[test]
        for train in (with_them, without)
    ]
    return cost_of("Test accuracy of a linear probe", right[0], right[1], units[test], seed=seed)

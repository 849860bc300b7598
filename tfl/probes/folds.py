"""Folds of a cross-validation: stratified, and nothing that belongs together on both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDS = 5
"""At most so many, where nothing else is said."""


def make_folds(labels: NDArray[np.integer], units: NDArray[np.integer], *, most: int, seed: int) -> NDArray[np.int64]:
    """The fold that holds each example out: stratified by label, nothing of one unit in two folds.

    Args:
        labels: Integer array of shape `(n,)`.
        units: Integer array of shape `(n,)`; examples of one unit are held out together.
        most: Int, the largest number of folds; fewer are made where a class has fewer units.
        seed: Int, decides the folds.

    Returns:
        Integer array of shape `(n,)`, folds from 0.

    Example:

    >>> import numpy as np
    >>> from tfl.probes.folds import make_folds
    >>> sorted(make_folds(np.array([0, 0, 0, 1, 1, 1]), np.arange(6), most=5, seed=0).tolist())
    [0, 0, 1, 1, 2, 2]
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    pieces = [len(np.unique(units[labels == label])) for label in np.unique(labels)]
    options = {"n_splits": max(2, min(most, *pieces)), "shuffle": True, "random_state": seed}
    single = len(np.unique(units)) == len(units)
    splitter = StratifiedKFold(**options) if single else StratifiedGroupKFold(**options)
    folds = np.zeros(len(labels), np.int64)
    for number, (_, out) in enumerate(splitter.split(labels[:, None], labels, None if single else units)):
        folds[out] = number
    return folds

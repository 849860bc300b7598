"""The examples on which candidates are compared, and their folds."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING

import numpy as np

from tfl.data.bundle import Bundle, derived_seed
from tfl.data.split import tied_together
from tfl.probes.folds import make_folds

if TYPE_CHECKING:
    from numpy.typing import NDArray

FOLDS = 5
TRAINING_SAMPLE = 800
"""At most so many training examples take part in the comparison."""


def examples_for(
    bundle: Bundle, seed: int, *, sample: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The examples that are compared on, ascending; the fold of each, 0 for the validation split; and what belongs together."""
    strata = np.asarray(bundle.task.strata(bundle.examples))
    own = bundle.indices("train")
    train = stratified_sample(own[~bundle.is_extra(own)], strata, count=sample or TRAINING_SAMPLE, seed=seed)
    held = bundle.indices("val")
    if sample is not None:
        held = stratified_sample(held, strata, count=sample // 4, seed=seed)
    units = tied_together(bundle.examples, bundle.fingerprints)
    of_train = np.ones(len(train), np.int64)
    if max(len(np.unique(units[train[strata[train] == stratum]])) for stratum in np.unique(strata[train])) > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of classes with fewer examples than folds
            of_train += make_folds(strata[train], units[train], most=FOLDS - 1, seed=derived_seed(seed, "auto"))
    rows = np.concatenate([train, held])
    folds = np.concatenate([of_train, np.zeros(len(held), np.int64)])
    order = np.argsort(rows)
    return rows[order], folds[order], np.unique(units[rows[order]], return_inverse=True)[1]


def extra_examples_for(bundle: Bundle, seed: int, *, share: float) -> NDArray[np.int64]:
    """The extra examples, or where the others are sampled about the same share of them."""
    train = bundle.indices("train")
    extra = train[bundle.is_extra(train)]
    return stratified_sample(
        extra, np.asarray(bundle.task.strata(bundle.examples)), count=math.ceil(share * len(extra)), seed=seed
    )


def stratified_sample(indices: NDArray[np.int64], strata: NDArray[np.integer], *, count: int, seed: int) -> NDArray[np.int64]:
    """About `count` of the indices, the same share of every stratum and at least one of each."""
    if len(indices) <= count:
        return indices
    rng, share = np.random.default_rng(derived_seed(seed, "sample")), count / len(indices)
    groups = [indices[strata[indices] == stratum] for stratum in np.unique(strata[indices])]
    return np.concatenate([rng.permutation(group)[: math.ceil(share * len(group))] for group in groups])

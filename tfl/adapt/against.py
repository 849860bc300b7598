"""How far apart two domains are: the proxy A-distance between the examples of two sources, on features of one network."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.audit.vectors import vectors_of
from tfl.data.audit import audit as check_files
from tfl.data.bundle import Bundle, derived_seed
from tfl.data.source import load_source
from tfl.data.split import Split, tied_together
from tfl.embeddings.sources import read_source
from tfl.errors import DataError
from tfl.modalities.base import Modality, chosen, modality_of, settled
from tfl.modalities.several.modality import refuse_several
from tfl.probes.folds import FOLDS, make_folds
from tfl.probes.linear import held_out
from tfl.quiet import load_tensorflow
from tfl.recipe import Recipe
from tfl.tasks.base import task_of
from tfl.tasks.intervals import resamples

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

FEWEST = 20
"""Examples that each side needs."""
MOST = 2000
"""Examples of each side that are compared; of more so many are drawn."""
NEAR, FAR = 0.7, 1.5
"""Below and above these, distances are put into other words."""


@dataclass(frozen=True, kw_only=True)
class Distance:
    """The proxy A-distance between two sets of examples.

        distance = 2 (1 - 2 error)

    with the error of a linear classifier that tells the sets apart, under cross-validation, both sets counting the same: 0 where
    it guesses, 2 where it is always right. It bounds by how much the error of a classifier can grow from one domain to the other.

    Args:
        distance: Float; below zero, where the classifier is worse than a guess, it counts as 0.
        interval: Its 95% interval, by bootstrap over the examples, those that belong together as one.
        error: Float, the error.
        counts: How many examples of each side were compared.

    Source: Ben-David et al. 2006, *Analysis of Representations for Domain Adaptation*, section 4.
    """

    distance: float
    interval: tuple[float, float]
    error: float
    counts: tuple[int, int]

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        return {**dataclasses.asdict(self), "interval": list(self.interval), "counts": list(self.counts)}


def a_distance(
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    *,
    units: NDArray[np.integer] | None = None,
    other_units: NDArray[np.integer] | None = None,
    seed: int = 0,
) -> Distance:
    """The proxy A-distance between two sets of vectors.

    Args:
        first, second: Arrays of shape `(n, width)` and `(m, width)`.
        units, other_units: Integer arrays of shape `(n,)` and `(m,)`, what is held out and resampled together. Default to None,
            each example by itself.
        seed: Int, of folds and resamples.

    Raises:
        TflError: A feature is not a finite number.

    Example:

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> a_distance(rng.normal(size=(60, 2)), rng.normal(9, 1, size=(60, 2))).distance
    2.0
    """
    features = np.concatenate([first, second]).astype(np.float32)
    is_second = (np.arange(len(features)) >= len(first)).astype(np.int64)
    own = np.arange(len(first)) if units is None else np.unique(units, return_inverse=True)[1]
    others = np.arange(len(second)) if other_units is None else np.unique(other_units, return_inverse=True)[1]
    together = np.concatenate([own, int(own.max()) + 1 + others])
    folds = make_folds(is_second, together, most=FOLDS, seed=seed)
    said = held_out(features, is_second, folds, balanced=True).probabilities[:, 1] > 0.5
    wrong = said != is_second
    errors = [wrong[is_second == side].mean() for side in (0, 1)]
    drawn = [_resampled(wrong[is_second == side], together[is_second == side], seed=derived_seed(seed, side)) for side in (0, 1)]
    edges = np.percentile(_distance(np.mean(drawn, axis=0)), [2.5, 97.5])
    error = float(np.mean(errors))
    return Distance(
        distance=float(_distance(np.array(error))),
        interval=(float(edges[0]), float(edges[1])),
        error=error,
        counts=(len(first), len(second)),
    )


def _distance(error: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(0.0, 2 * (1 - 2 * error))


def _resampled(wrong: NDArray[np.bool_], units: NDArray[np.integer], *, seed: int) -> NDArray[np.float64]:
    """The share that is wrong in each resample of units."""
    inside = np.unique(units, return_inverse=True)[1]
    sizes, sums = np.bincount(inside), np.bincount(inside, wrong)
    return np.concatenate([sums[at].sum(axis=1) / sizes[at].sum(axis=1) for at in resamples(len(sizes), seed=seed)])


def compare_sources(recipe: Recipe, against: str, *, console: Console | None = None) -> Distance:
    """The proxy A-distance between the examples of `recipe.data` and those of another source of the same kind.

    Args:
        recipe: `data`, and `backbone`, whose features are compared; `seed`.
        against: The other source, with labels or without.
        console: Where messages of the store are shown; None shows nothing.

    Raises:
        DataError: A source cannot be read, or has too few examples.
    """
    refuse_several(recipe, "A comparison of two sources")
    recipe = settled(recipe)
    first = load_source(recipe.data, seed=recipe.split_seed, check_classes=False, task=recipe.task)
    load_tensorflow()
    recipe, _ = chosen(recipe, first)
    modality = modality_of(recipe)
    second = read_source([against], dataclasses.replace(recipe.data, source=against), kinds=(recipe.data.kind,), labels=False)
    sides = [_side(recipe, modality, examples) for examples in (first, second.examples)]
    vectors = [vectors_of(recipe, bundle, console=console) for bundle in sides]
    units = [tied_together(bundle.examples, bundle.fingerprints) for bundle in sides]
    return a_distance(*vectors, units=units[0], other_units=units[1], seed=derived_seed(recipe.seed, "against"))


def _side(recipe: Recipe, modality: Modality, examples: Any) -> Bundle:
    """The usable examples of one source, at most `MOST`, without labels."""
    plain = dataclasses.replace(
        examples, class_names=("examples",), labels=np.zeros(len(examples), np.int32), targets=None, splits=None
    )
    if len(plain) > MOST:
        plain = plain.take(np.sort(np.random.default_rng(recipe.seed).permutation(len(plain))[:MOST]))
    checked = check_files(plain, modality=modality, on_bad="report", keep=True)
    count = len(checked.examples)
    if count < FEWEST:
        raise DataError(
            f"{examples.source} has too few examples to compare.",
            received=f"{count} usable {modality.nouns}",
            allowed=f"{FEWEST} or more",
        )
    split = Split.only("train", count)
    return Bundle.of(checked, split=split, data=recipe.data, seed=recipe.seed, modality=modality, task=task_of("classify"))


def distance_sentence(found: Distance, *, source: str, against: str, nouns: str) -> str:
    """The distance, and what it means.

    Example:

    >>> near = Distance(distance=0.1, interval=(0.0, 0.3), error=0.475, counts=(60, 60))
    >>> distance_sentence(near, source="day", against="night", nouns="texts").partition(": ")[2].partition(". ")[0]
    'the features do not show two domains'
    """
    low, high = found.interval
    if low == 0:
        meaning = "the features do not show two domains"
    elif found.distance < NEAR:
        meaning = "the domains differ, and most examples could be of either"
    elif found.distance < FAR:
        meaning = "the domains differ clearly; expect a network trained on one to be right less often on the other"
    else:
        meaning = "nearly every example gives its domain away; a network trained on one may be right much less often on the other"
    return (
        f"The proxy A-distance between {source} and {against} is {found.distance:.2f} of 2 (95% interval {low:.2f} to "
        f"{high:.2f}; {found.counts[0]:,} and {found.counts[1]:,} {nouns}, told apart with an error of {found.error:.0%}, 50% "
        f"being a guess): "
        f"{meaning}. To adapt a network to the other without labels: --set target_data={against}."
    )

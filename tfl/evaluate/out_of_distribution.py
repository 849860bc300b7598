"""Is an example of the kind that the network was trained on? How far its features lie from those of the nearest training
examples.

    score(x) = 1 - cos(f(x), f(k-th nearest training example)),   f = the head's input, the output of the layer `head_pool`

Nearest neighbours as in Sun et al. 2022, *Out-of-Distribution Detection with Deep Nearest Neighbors*: features of length one,
a sample of the training examples, the k-th nearest. It is a product of matrices and a maximum, so every runtime has it.
`benchmarks/out_of_distribution.py` compares it with the Mahalanobis distance. NumPy only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.errors import TflError
from tfl.tasks.conformal import examples_needed, rank_of
from tfl.vectors import unit_length

if TYPE_CHECKING:
    from numpy.typing import NDArray

OLD_NAMES = {
    "unfamiliarity": "out_of_distribution_score",
    "is_unfamiliar": "is_out_of_distribution",
    "unfamiliar": "out_of_distribution",
    "unfamiliar_threshold": "out_of_distribution_threshold",
    "familiar": "in_distribution",
}
"""Names in run folders and exports of earlier versions, with what they are called now."""
BANK, PER_CLASS = 500, 5
"""An example is compared with this many training examples, or with this many per class if that is more. They travel in every
export; in `benchmarks/out_of_distribution.py` 200 did nearly as well."""
NEAREST = 1
"""Which of the nearest counts; the first needs no `top_k`, and did best in `benchmarks/out_of_distribution.py`."""
_ROWS = 4096


def with_current_names(value: Any) -> Any:
    """A document of a run folder or the outputs of an export, with every key of `OLD_NAMES` renamed, at any depth.

    Example:

    >>> with_current_names({"sets": {}, "unfamiliar": {"test": {"unfamiliar": 3}}})
    {'sets': {}, 'out_of_distribution': {'test': {'out_of_distribution': 3}}}
    """
    if not isinstance(value, Mapping):
        return value
    return {OLD_NAMES.get(name, name): with_current_names(part) for name, part in value.items()}


def bank_size(class_count: int) -> int:
    """The largest number of training examples that an example is compared with.

    Example:

    >>> bank_size(3), bank_size(200)
    (500, 1000)
    """
    return max(BANK, PER_CLASS * class_count)


def make_bank(features: NDArray[np.floating]) -> NDArray[np.float32]:
    """The features that scores are measured against: unit length, rounded to float16 as they are kept on disk.

    Raises:
        TflError: There are none, or one is not a number.
    """
    if not len(features):
        raise TflError("There are no training examples to compare an example with.")
    bank = unit_length(features).astype(np.float16).astype(np.float32)
    if not np.isfinite(bank).all():
        raise TflError(
            "Some features of the training examples are not numbers.",
            fix="The network's weights are damaged or overflowed: train again with a lower learning rate or in float32.",
        )
    return bank


def out_of_distribution_scores(
    features: NDArray[np.floating], bank: NDArray[np.float32], *, nearest: int = NEAREST
) -> NDArray[np.float32]:
    """The distance of each example from the training examples: 0 for one of them, 1 for one that has nothing in common with any.

    Args:
        features: Array of shape `(n, width)`, the output of the layer `head_pool`.
        bank: Array of shape `(rows, width)`, from `make_bank`.
        nearest: Int, which of the nearest rows counts, from 1.

    Returns:
        `(n,)` float32, at least 0.

    Example:

    >>> import numpy as np
    >>> bank = make_bank(np.array([[1.0, 0.0], [0.0, 1.0]]))
    >>> print(out_of_distribution_scores(np.array([[5.0, 0.0], [-1.0, -1.0]]), bank, nearest=1).round(2))
    [0.   1.71]
    """
    unit, found = unit_length(features), np.empty(len(features), np.float32)
    for start in range(0, len(unit), _ROWS):
        likeness = unit[start : start + _ROWS] @ bank.T
        found[start : start + _ROWS] = np.partition(likeness, len(bank) - nearest, axis=1)[:, len(bank) - nearest]
    return np.maximum(1 - found, 0)


def score_threshold(scores: NDArray[np.floating], *, share: float) -> tuple[float, str]:
    """The score up to which an example is in distribution: a new one of the same kind is with a probability of at least `share`.

    The rank is that of a conformal p-value, ⌈(n + 1) · share⌉ of n, which allows for `scores` being a sample.

    Args:
        scores: Array of shape `(n,)`, scores of examples that the network was not trained on.
        share: Float between 0 and 1.

    Returns:
        The threshold; and what must be said where there are too few examples for that share, else an empty string.

    Example:

    >>> import numpy as np
    >>> round(score_threshold(np.linspace(0.01, 0.99, 99), share=0.9)[0], 2)
    0.9
    """
    ordered = np.sort(np.asarray(scores, np.float64))
    rank = rank_of(len(ordered), share)
    if rank <= len(ordered):
        return float(ordered[rank - 1]), ""
    promised, needed = len(ordered) / (len(ordered) + 1), examples_needed(share)
    return float(ordered[-1]), (
        f"{len(ordered)} validation examples are too few to call {share:.3g} of such examples in distribution, "
        f"which takes {needed}: the threshold is the largest of their scores, which promises {promised:.3g}."
    )

"""Sets of classes that hold the right one as often as was promised: split conformal prediction.

    set(x) = {c : p(c | x) >= t} with the most probable class,   t = the ⌊(n + 1)(1 - coverage)⌋-th smallest p(true class)

over the n validation images: the least ambiguous sets of Sadinle, Lei and Wasserman 2019 (LAC), with the finite-sample rank of
Vovk et al. 2005. Of the usual scores this gives the smallest sets on average, and it is one comparison, which every runtime has;
adaptive sets (APS, Romano et al. 2020) sort the classes and are larger. The promise holds on average over images like those of
validation, not for every class by itself. NumPy and SciPy only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.evaluate.out_of_distribution import images_needed, rank_of

if TYPE_CHECKING:
    from numpy.typing import NDArray


def set_threshold(probabilities: NDArray[np.floating], labels: NDArray[np.integer], *, coverage: float) -> tuple[float, str]:
    """The probability from which on a class belongs to the set.

    Args:
        probabilities: `(n, classes)`, of images that the network did not learn from.
        labels: `(n,)`, their classes.
        coverage: How often the set is to hold the right class, 0 to 1.

    Returns:
        The threshold, 0 where there are too few images to promise anything but all classes; and what must then be said,
        else an empty string.

    Example:

    >>> import numpy as np
    >>> probabilities = np.stack([np.linspace(0.01, 0.99, 99), np.linspace(0.99, 0.01, 99)], axis=1)
    >>> round(set_threshold(probabilities, np.zeros(99, int), coverage=0.9)[0], 2)
    0.1
    """
    of_truth = np.sort(np.asarray(probabilities)[np.arange(len(labels)), labels])
    rank = rank_of(len(of_truth), coverage)
    if rank <= len(of_truth):
        return float(of_truth[len(of_truth) - rank]), ""
    return 0.0, (
        f"{len(of_truth)} validation images are too few to promise a coverage of {coverage:.3g}, which takes "
        f"{images_needed(coverage)}: the set holds every class."
    )


def prediction_sets(probabilities: NDArray[np.floating], threshold: float) -> NDArray[np.bool_]:
    """`(n, classes)`, whether a class belongs to the image's set; the most probable one always does.

    Example:

    >>> import numpy as np
    >>> prediction_sets(np.array([[0.6, 0.3, 0.1], [0.4, 0.3, 0.3]]), 0.5).tolist()
    [[True, False, False], [True, False, False]]
    """
    rows = np.asarray(probabilities, np.float32)
    return rows >= np.minimum(np.float32(threshold), rows.max(axis=1, keepdims=True))


def measure_sets(sets: NDArray[np.bool_], labels: NDArray[np.integer]) -> dict[str, Any]:
    """How the sets did on images that decided nothing.

    Args:
        sets: `(n, classes)`.
        labels: `(n,)`.

    Returns:
        `count`, `covered` (how many sets hold the right class), `coverage` with its exact 95% `coverage_interval`,
        `mean_size`, and `single`, the share of the sets with one class.
    """
    covered = int(np.asarray(sets)[np.arange(len(labels)), labels].sum())
    sizes = np.asarray(sets).sum(axis=1)
    return {
        "count": len(labels),
        "covered": covered,
        "coverage": covered / len(labels),
        "coverage_interval": clopper_pearson(covered, len(labels)),
        "mean_size": float(sizes.mean()),
        "single": float((sizes == 1).mean()),
    }


def clopper_pearson(successes: int, count: int) -> list[float]:
    """The exact 95% interval of a share (Clopper and Pearson 1934).

    Example:

    >>> [round(edge, 3) for edge in clopper_pearson(9, 10)]
    [0.555, 0.997]
    """
    from scipy.stats import binomtest

    found = binomtest(successes, count).proportion_ci(0.95, method="exact")
    return [float(found.low), float(found.high)]

"""A map of examples: what the head of a network reads of them, brought to two dimensions. NumPy and scikit-learn only.

PCA to at most 50 dimensions, then t-SNE (van der Maaten and Hinton 2008) from the first two of them, seeded. Kept in the run as
`projection.json`: for each split the examples' `index`, `x` and `y`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tfl.storage import write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "projection.json"
MOST_POINTS = 2000
FEWEST_POINTS = 8
_DIMENSIONS, _PERPLEXITY = 50, 30.0
_DIGITS = 4


def project(features: NDArray[np.floating], *, seed: int) -> NDArray[np.float64] | None:
    """`(n, 2)` positions in -1..1 where examples that are alike lie near each other; None where all are the same, or few.

    Args:
        features: `(n, width)`.
        seed: The same seed draws the same map.

    Example:

    >>> import numpy as np
    >>> two_groups = np.repeat([[0.0, 5.0, 1.0], [9.0, 0.0, 2.0]], 20, axis=0) + np.random.default_rng(0).normal(0, 0.1, (40, 3))
    >>> found = project(two_groups, seed=0)
    >>> within, between = np.ptp(found[:20], axis=0).max(), np.linalg.norm(found[:20].mean(0) - found[20:].mean(0))
    >>> found.shape, bool(within < between)
    ((40, 2), True)
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    rows = np.asarray(features, np.float64)
    if len(rows) < FEWEST_POINTS or not np.isfinite(rows).all() or not np.ptp(rows, axis=0).any():
        return None
    small = PCA(min(_DIMENSIONS, *rows.shape), random_state=seed).fit_transform(rows)
    start = "pca" if small.shape[1] > 1 else "random"
    perplexity = min(_PERPLEXITY, (len(rows) - 1) / 3)
    with threadpool_limits(1):  # threads that wait for each other made it thirty times slower where other work uses the cores
        found = TSNE(init=start, learning_rate="auto", perplexity=perplexity, random_state=seed).fit_transform(small)
    centred = found - (found.max(axis=0) + found.min(axis=0)) / 2
    return np.asarray(centred / np.maximum(np.abs(centred).max(axis=0), 1e-12), np.float64)


def write_projection(
    folder: Path | str,
    features: Mapping[str, NDArray[np.floating]],
    indices: Mapping[str, NDArray[np.integer]],
    *,
    seed: int,
) -> Path | None:
    """Writes `projection.json` into a run folder: all examples of these splits, or 2,000 of them, drawn by the seed.

    Args:
        folder: The run's.
        features: By split `(n, width)`, of the layer `head_pool`; the first split goes first where not all have room.
        indices: By split `(n,)`, the examples.
        seed: Of the draw and of the map.

    Returns:
        The file; None where there are too few examples, or all are the same.
    """
    generator, room = np.random.default_rng(seed), MOST_POINTS
    chosen: dict[str, NDArray[np.int64]] = {}
    for split, rows in features.items():
        chosen[split] = np.sort(generator.permutation(len(rows))[:room])
        room -= len(chosen[split])
    found = project(np.concatenate([features[split][at] for split, at in chosen.items()]), seed=seed)
    if found is None:
        return None
    document, start = {}, 0
    for split, at in chosen.items():
        places = found[start : start + len(at)].round(_DIGITS)
        document[split] = {
            "index": np.asarray(indices[split])[at].tolist(),
            "x": places[:, 0].tolist(),
            "y": places[:, 1].tolist(),
        }
        start += len(at)
    return write_json(Path(folder) / NAME, {"format": 1, "splits": document})

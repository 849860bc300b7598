"""Sets of examples that belong together: copies of one content, and whatever pairs join. NumPy and SciPy only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def exact_sets(fingerprints: Sequence[str]) -> list[NDArray[np.int64]]:
    """The positions of each content that occurs more than once, in order.

    Example:

    >>> from tfl.copy_sets import exact_sets
    >>> [members.tolist() for members in exact_sets(["x", "y", "x"])]
    [[0, 2]]
    """
    return members_of(first_positions(fingerprints))


def first_positions(fingerprints: Sequence[str]) -> NDArray[np.int64]:
    """`(n,)` the first position that has the same content.

    Args:
        fingerprints: One of the content of each example.
    """
    first: dict[str, int] = {}
    return np.array([first.setdefault(print_, index) for index, print_ in enumerate(fingerprints)], np.int64)


def joined(sets: NDArray[np.int64], pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """`(n,)` the number of each example's set, once the two ends of each pair are in one set.

    Args:
        sets: `(n,)` the number of each example's set, below n.
        pairs: `(m, 2)` positions.

    Example:

    >>> import numpy as np
    >>> from tfl.copy_sets import joined
    >>> joined(np.array([0, 1, 2, 0]), np.array([[1, 3]])).tolist()
    [0, 0, 1, 0]
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    count = len(sets)
    ends = np.concatenate([np.asarray(pairs, np.int64).reshape(-1, 2), np.stack([np.arange(count), sets], axis=1)])
    graph = coo_matrix((np.ones(len(ends), np.int8), (ends[:, 0], ends[:, 1])), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def members_of(sets: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """The members of each set with more than one, in the order of their first ones.

    Args:
        sets: `(n,)` the number of each example's set.
    """
    order = np.argsort(sets, kind="stable")
    ends = np.flatnonzero(np.diff(sets[order])) + 1
    several = [members for members in np.split(order, ends) if len(members) > 1]
    return sorted(several, key=lambda members: int(members[0]))


def near_sets_of(
    fingerprints: Sequence[str], pairs: NDArray[np.int64] | Sequence[NDArray[np.int64] | Sequence[int]]
) -> list[NDArray[np.int64]]:
    """The sets that near copies make together with exact ones, without those that hold one content alone.

    Args:
        fingerprints: One of the content of each example.
        pairs: `(m, 2)` positions of near copies; or sets of positions, of any sizes.

    Example:

    >>> import numpy as np
    >>> from tfl.copy_sets import near_sets_of
    >>> [members.tolist() for members in near_sets_of(["x", "y", "x", "z", "z"], np.array([[0, 1]]))]
    [[0, 1, 2]]
    """
    ends = [(int(one), int(members[0])) for members in pairs for one in members[1:]]
    content = first_positions(fingerprints)
    pairs = np.array(ends, np.int64).reshape(-1, 2)
    return [members for members in members_of(joined(content, pairs)) if len(np.unique(content[members])) > 1]

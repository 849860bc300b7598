"""Feature vectors brought to one length, so that they can be compared or stand side by side. NumPy only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SMALLEST = 1e-12


def unit_length(features: NDArray[np.floating]) -> NDArray[np.float32]:
    """Each row scaled to length one; a row of zeros stays as it is.

    Args:
        features: Array of shape `(n, width)`.

    Example:

    >>> import numpy as np
    >>> print(unit_length(np.array([[3.0, 4.0], [0.0, 0.0]])))
    [[0.6 0.8]
     [0.  0. ]]
    """
    rows = np.asarray(features, np.float32)
    squares = np.sum(rows * rows, axis=1, keepdims=True)
    return (rows / np.sqrt(np.maximum(squares, _SMALLEST))).astype(np.float32)


def side_by_side(vectors: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The features of several layers in one row, each scaled to the length `sqrt(width)` so that none outweighs the others.

    `tfl.model.head.tap_layers` does the same in the network.

    Args:
        vectors: Arrays of shape `(n, width)`, one for each layer.

    Returns:
        Array of shape `(n, sum of widths)`.

    Example:

    >>> import numpy as np
    >>> print(side_by_side([np.array([[9.0]], np.float32), np.array([[0.0, 0.1]], np.float32)]).round(3))
    [[1.    0.    1.414]]
    """
    lengths = [np.linalg.norm(vector, axis=1, keepdims=True) for vector in vectors]
    return np.concatenate(
        [
            vector * (np.sqrt(vector.shape[1]) / np.maximum(length, _SMALLEST))
            for vector, length in zip(vectors, lengths, strict=True)
        ],
        axis=1,
    )

"""Correlation alignment on vectors: source examples get the mean and the covariance of the target's, in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RIDGE = 1.0
"""What is added to the diagonal of both covariances of standardised vectors (Sun et al. 2016, algorithm 1)."""
_LEAST = 1e-6


@dataclass(frozen=True, kw_only=True, eq=False)
class Alignment:
    """A linear map of vectors of the source domain to those of the target domain.

        aligned(x) = mean_t + s_t * ((x - mean_s) / s_s) @ C_s^(-1/2) @ C_t^(1/2)

    with the means, the standard deviations s and, of standardised vectors, the covariances C, to each of which the identity times
    `RIDGE` is added.

    Args:
        kernel: Array of shape `(width, width)`.
        source_mean, target_mean: Arrays of shape `(width,)`.
    """

    kernel: NDArray[np.float64]
    source_mean: NDArray[np.float64]
    target_mean: NDArray[np.float64]

    def __call__(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """Vectors of the source domain, `(n, width)`, as if they were of the target domain."""
        return ((vectors - self.source_mean) @ self.kernel + self.target_mean).astype(np.float32)


def align(source: NDArray[np.floating], target: NDArray[np.floating]) -> Alignment:
    """The alignment of two sets of vectors.

    Args:
        source: Array of shape `(n, width)`.
        target: Array of shape `(m, width)`.

    Example:

    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> source, target = rng.normal(size=(500, 2)), rng.normal(size=(500, 2)) @ [[2.0, 1.0], [0.0, 0.5]] + 3
    >>> aligned = align(source, target)(source)
    >>> bool(np.allclose(aligned.mean(axis=0), target.mean(axis=0), atol=1e-4))
    True

    Source: Sun, Feng and Saenko 2016, *Return of Frustratingly Easy Domain Adaptation*.
    """
    own, other = (np.asarray(vectors, np.float64) for vectors in (source, target))
    means, scales = [], []
    for vectors in (own, other):
        means.append(vectors.mean(axis=0))
        scales.append(np.maximum(vectors.std(axis=0), _LEAST))
    roots = [
        _power(_covariance((vectors - mean) / scale), power)
        for vectors, mean, scale, power in zip((own, other), means, scales, (-0.5, 0.5), strict=True)
    ]
    kernel = (roots[0] @ roots[1]) / scales[0][:, None] * scales[1]
    return Alignment(kernel=kernel, source_mean=means[0], target_mean=means[1])


def _covariance(standardised: NDArray[np.float64]) -> NDArray[np.float64]:
    return standardised.T @ standardised / max(len(standardised) - 1, 1) + RIDGE * np.eye(standardised.shape[1])


def _power(matrix: NDArray[np.float64], power: float) -> NDArray[np.float64]:
    """Of a symmetric matrix whose eigenvalues are above zero."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * values**power) @ vectors.T)

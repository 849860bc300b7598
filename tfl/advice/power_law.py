"""Power laws of a classifier's errors by the number of training examples, with what is not known of them. NumPy only.

The curve is fitted to the odds of an error, error / (1 - error): where errors are rare these are the same, and elsewhere no error
above 1 is possible. Four points hardly determine three numbers. Each draw of a bootstrap therefore fits the curve to resampled
errors by bounded weighted least squares, with a penalty on the distance to an exponent and a floor that are drawn at random; the
draws together are the forecast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DRAWS = 1000
_EXPONENTS = np.geomspace(0.1, 3.0, 20)
_FLOORS = np.linspace(0.0, 1.0, 13)
"""As a share of the odds of an error at the largest size."""
_EXPONENT, _EXPONENT_SPREAD = 0.8, 0.9
"""The median of the exponents that are drawn, and the standard deviation of their logarithm; both chosen on synthetic
classes and scikit-learn's digits."""
_FLOOR_SHAPE, _FLOOR_SPREAD = (1.0, 3.0), 0.5
"""The floors that are drawn are Beta(1, 3); the weight of the penalty on the distance to them."""
_MISFIT = 0.01
"""How far a curve may be from an error for other reasons than noise."""
_FEW = 0.5
"""Examples added to the right and wrong ones (Jeffreys): without errors a resample has none either."""
_MOST_INFLATION, _MOST_ERROR = 3.0, 0.97


def resampled_errors(
    right: NDArray[np.float64],
    weights: NDArray[np.floating],
    units: NDArray[np.int64],
    inflation: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean accuracies `(sizes,)`, and errors in each draw of a bootstrap `(draws, sizes)`.

    Args:
        right: `(sizes, n)`, how often each example was answered rightly when it was held out, from 0 to 1.
        weights: `(n,)`, of the examples in the mean.
        units: `(n,)`; examples of one unit are drawn together.
        inflation: The variance of a mean over the splits, as a multiple of that over n examples that are tested once each.
        rng: Draws.
    """
    count = len(weights)
    shares = weights / weights.sum()
    means = np.clip(right @ weights / weights.sum(), 0, 1)
    drawn = rng.standard_gamma(1.0, (DRAWS, int(units.max()) + 1))[:, units] * shares
    deviations = drawn @ right.T / drawn.sum(axis=1, keepdims=True) - means
    varies = np.square(right - means[:, None]) @ shares  # less than that of one test, where examples are tested several times
    ratio = inflation * means * (1 - means) / np.maximum(varies, 1e-12)
    factor = np.sqrt(np.clip(ratio, 1, _MOST_INFLATION**2))
    errors = np.clip(1 - means - factor * deviations, 0, 1)
    wrong, well = rng.standard_gamma(_FEW, (2, DRAWS, 1))
    return means, (errors * count + wrong) / (count + wrong + well)


def power_laws(errors: NDArray[np.float64], sizes: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Floor, scale and exponent `(draws, 3)` of the odds of an error, for errors `(draws, sizes)`.

    The shapes are on a grid; the scale of each that fits best has a closed form.

    Args:
        errors: `(draws, sizes)`, from 0 to 1.
        sizes: `(sizes,)`, the numbers of training examples.
        rng: Draws the exponents and floors.

    Example:

    >>> import numpy as np
    >>> from tfl.advice.power_law import power_laws
    >>> sizes = np.array([50.0, 100.0, 200.0, 400.0])
    >>> floor, scale, exponent = power_laws(np.tile(2 / np.sqrt(sizes), (1000, 1)), sizes, np.random.default_rng(0)).T
    >>> odds = floor + scale * 800**-exponent
    >>> print(f"{np.mean(odds / (1 + odds)):.2f} {2 / np.sqrt(800):.2f}")
    0.07 0.07
    """
    draws = len(errors)
    odds = errors / (1 - np.minimum(errors, _MOST_ERROR))
    middle = np.minimum(errors.mean(axis=0), _MOST_ERROR)
    weights = (1 - middle) ** 4 / (errors.var(axis=0) + _MISFIT**2)  # the slope of the odds is (1 - error)^-2
    floors, exponents = (axis.ravel() for axis in np.meshgrid(_FLOORS, _EXPONENTS, indexing="ij"))
    shapes = floors[:, None] + (1 - floors[:, None]) * (sizes / sizes[-1]) ** -exponents[:, None]
    products, squares = (odds * weights) @ shapes.T, np.square(shapes) @ weights
    misfit = np.square(odds) @ weights - products.T**2 / squares[:, None]
    exponent = np.log(_EXPONENT) + _EXPONENT_SPREAD * rng.normal(size=draws)
    floor = rng.beta(*_FLOOR_SHAPE, size=draws)
    distance = ((np.log(exponents)[:, None] - exponent) / _EXPONENT_SPREAD) ** 2 + (
        (floors[:, None] - floor) / _FLOOR_SPREAD
    ) ** 2
    best = np.argmin(misfit + distance, axis=0)
    scale = products[np.arange(draws), best] / squares[best]
    at_one = scale * (1 - floors[best]) * sizes[-1] ** exponents[best]
    return np.stack([scale * floors[best], at_one, exponents[best]], axis=1)

"""Logistic regression under cross-validation, all folds at once: what every block's features can tell apart by a line.

The model is scikit-learn's: features standardised by the training part of each fold, an L2 penalty of strength 1/C, an
intercept without one. Only the way to its minimum differs. The folds are solved together, so that each step reads the
features once, by L-BFGS (Liu and Nocedal 1989) in the coordinates of the features' principal axes, each scaled by the
curvature it has there: ten to twenty steps instead of hundreds. BLAS runs on one thread: on matrices this
small several wait for each other. C is looked for from 1/64 on, up or down by factors of four, as long as the held-out log
loss falls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from tfl.errors import TflError
from tfl.tasks.base import task_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

STRENGTHS = tuple(4.0**power for power in range(-9, 6))
"""What C may be."""
FIRST = 4.0**-3
_CURVATURE = 0.1  # of the log loss at an example, p (1 - p): at most a quarter, and about this on the way
_TOLERANCE, _MOST_STEPS = 1e-4, 100
_WORTHWHILE = 0.999
_CELLS = 2**25  # of logits in memory at a time
_LEAST_SCALE = 1e-6
LEAST = np.float32(1e-7)
"""What a probability counts as, at least, before its logarithm is taken."""


@dataclass(frozen=True)
class HeldOut:
    """The predictions of linear probes on examples that they were not trained on.

    Args:
        probabilities: Array of shape `(n, classes)`, float32.
        strength: Float, the inverse penalty C that serves all folds best.
    """

    probabilities: NDArray[np.float32]
    strength: float

    def logits(self, width: int) -> NDArray[np.float32]:
        """Logarithms of the probabilities, of at least `LEAST`, with a column for each of `width` classes, also those that the
        probes have not seen.

        Args:
            width: Int, the number of classes.

        Returns:
            Array of shape `(n, width)`, float32.
        """
        seen = self.probabilities
        return np.log(np.maximum(np.pad(seen, ((0, 0), (0, width - seen.shape[1]))), LEAST))


@threadpool_limits.wrap(limits=1)
def held_out(
    features: NDArray[np.floating],
    labels: NDArray[np.integer],
    folds: NDArray[np.integer],
    *,
    balanced: bool = False,
    first: float = FIRST,
) -> HeldOut:
    """Cross-validates a linear probe; the C of each fold is the one that does best on the other folds.

    Args:
        features: Array of shape `(n, width)`.
        labels: Integer array of shape `(n,)`, classes from 0.
        folds: Integer array of shape `(n,)`, the fold in which each example is held out, from 0; -1 for one that is never held
            out: every fold is trained on it, and its probabilities are zero.
        balanced: Bool, whether every class has the same total weight, as scikit-learn's `class_weight="balanced"`. Defaults to
            False.
        first: Float, the value of C at which the search starts, one of `STRENGTHS`.

    Raises:
        TflError: A feature is not a finite number.

    Example:

    >>> import numpy as np
    >>> features = np.random.default_rng(0).normal(size=(60, 3))
    >>> labels = (features[:, 0] > 0).astype(int)
    >>> found = held_out(features, labels, np.arange(60) % 3)
    >>> bool((found.probabilities.argmax(axis=1) == labels).mean() > 0.9)
    True
    """
    folds = np.asarray(folds)
    count, classes, fold_count = len(labels), int(labels.max()) + 1, int(folds.max()) + 1
    parts = min(fold_count, max(1, -(-count * classes * fold_count // _CELLS)))
    example_weights = class_weights(labels) if balanced else np.ones(count, np.float32)
    held = folds >= 0
    problems = [_Folds(features, labels, folds, some, balanced=balanced) for some in np.array_split(np.arange(fold_count), parts)]
    tried: dict[int, NDArray[np.float32]] = {}

    def loss(strength: int) -> NDArray[np.float64]:
        """The held-out log loss of each fold."""
        if strength not in tried:
            tried[strength] = np.sum([problem.solve(STRENGTHS[strength]) for problem in problems], axis=0)
        truth = tried[strength][np.arange(count), labels]
        losses = -example_weights * np.log(np.maximum(truth, 1e-12))
        return np.asarray(np.bincount(folds[held], losses[held], minlength=fold_count), np.float64)

    best = _lowest(lambda strength: float(loss(strength).sum()), STRENGTHS.index(first), len(STRENGTHS))
    losses = {strength: loss(strength) for strength in tried}
    chosen = [min(losses, key=lambda strength: np.delete(losses[strength], fold).sum()) for fold in range(fold_count)]
    probabilities = np.zeros((count, classes), np.float32)
    for fold, strength in enumerate(chosen):
        probabilities[folds == fold] = tried[strength][folds == fold]
    return HeldOut(probabilities, STRENGTHS[best])


def class_weights(labels: NDArray[np.integer]) -> NDArray[np.float32]:
    """The weight of each example for classes that count the same in all; those that do not occur are left out.

    Example:

    >>> [round(float(weight), 2) for weight in class_weights(np.array([0, 0, 0, 2]))]
    [0.67, 0.67, 0.67, 2.0]
    """
    names, classes = np.unique(labels, return_inverse=True)
    weights = task_of("classify").balanced_weights(np.eye(len(names), dtype=np.float32)[classes])
    return np.asarray(weights, np.float32)[classes]


def fitted_probe(features: NDArray[np.floating], labels: NDArray[np.integer], strength: float, *, balanced: bool = False) -> Any:
    """scikit-learn's logistic regression on standardised features, trained.

    Args:
        features: `(n, width)`.
        labels: `(n,)`.
        strength: Its C.
        balanced: Whether each class weighs the same.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    regression = LogisticRegression(C=strength, max_iter=200, tol=1e-3, class_weight="balanced" if balanced else None)
    return make_pipeline(StandardScaler(), regression).fit(features, labels)


def _lowest(value: Callable[[int], float], first: int, count: int) -> int:
    """Where a function that falls and then rises is lowest, from 0 to `count - 1`, asked at as few places as can be.

    A place that is lower by less than a thousandth is not worth another step.
    """
    best, lowest = first, value(first)
    for step in (1, -1):
        place = best + step
        while 0 <= place < count and (found := value(place)) < _WORTHWHILE * lowest:
            best, lowest, place = place, found, place + step
        if best != first:
            break
    return best


class _Folds:
    """The probes of some folds as one problem. `A` below is a fold's weights on the features as they are.

    Arrays have the axes width `d`, rank `r`, folds `f`, classes `k`, examples `n`.
    """

    def __init__(
        self,
        features: NDArray[np.floating],
        labels: NDArray[np.integer],
        folds: NDArray[np.integer],
        some: NDArray[np.integer],
        *,
        balanced: bool,
    ) -> None:
        self.x = _standardised(features)
        self.labels, self.some, self.folds = labels, some, folds
        self.truth = np.eye(int(labels.max()) + 1, dtype=np.float32)[labels]
        train = folds[:, None] != some
        self.weights = np.zeros(train.shape, np.float32)
        for place in range(len(some)):
            inside = train[:, place]
            self.weights[inside, place] = class_weights(labels[inside]) if balanced else 1
        share = train.astype(np.float32) / train.sum(axis=0)  # double precision: in single, the search can stall
        self.mean = self.x.T @ share
        variance = np.square(self.x).T @ share - self.mean**2
        self.scale = np.sqrt(np.maximum(variance, 0))
        self.scale[self.scale < 1e-4] = 1
        self.squares, self.axes = _principal_axes(self.x)
        self.point = np.zeros((len(self.axes.T) + 1, len(some) * self.truth.shape[1]))
        self.coordinates = np.ones((len(self.squares), 1), np.float32)

    def solve(self, strength: float) -> NDArray[np.float32]:
        """`(n, classes)` probabilities of the held-out examples of these folds at C = `strength`; zero for all others."""
        penalty = np.float32(1 / strength)
        before, self.coordinates = self.coordinates, (1 / np.sqrt(_CURVATURE * self.squares + penalty))[:, None]
        self.point[:-1] *= before / self.coordinates
        options = {"maxiter": _MOST_STEPS, "ftol": _TOLERANCE, "gtol": 0.0}
        found = minimize(
            lambda flat: self._objective(flat, penalty), self.point.ravel(), jac=True, method="L-BFGS-B", options=options
        )
        self.point = found.x.reshape(self.point.shape)
        weights, intercepts = self._unpack(self.point)
        logits = self._logits(weights, intercepts)
        probabilities = np.zeros(self.truth.shape, np.float32)
        for place, fold in enumerate(self.some):
            out = self.folds == fold
            probabilities[out] = _softmax(logits[out, place])[0]
        return probabilities

    def _objective(self, flat: NDArray[np.float64], penalty: np.float32) -> tuple[float, NDArray[np.float64]]:
        weights, intercepts = self._unpack(flat.reshape(self.point.shape))
        probabilities, log_sums = _softmax(logits := self._logits(weights, intercepts))
        losses = log_sums - np.take_along_axis(logits, self.labels[:, None, None], axis=2)[..., 0]
        value = float((self.weights * losses).sum(dtype=np.float64) + penalty * np.square(weights).sum(dtype=np.float64) / 2)
        slopes = (probabilities - self.truth[:, None]) * self.weights[..., None]
        by_intercept = slopes.sum(axis=0)
        by_weight = (self.x.T @ slopes.reshape(len(slopes), -1)).reshape(weights.shape) - self.mean[..., None] * by_intercept
        by_weight = (by_weight / self.scale[..., None] + penalty * weights) / self.scale[..., None]
        gradient = np.empty(self.point.shape)
        gradient[:-1] = self.coordinates * (self.axes.T @ by_weight.reshape(len(weights), -1))
        gradient[-1] = by_intercept.ravel() * self._intercept_scale
        return value, gradient.ravel()

    @property
    def _intercept_scale(self) -> float:
        return float(1 / np.sqrt(_CURVATURE * len(self.x)))

    def _unpack(self, point: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weights on the standardised features `(d, f, k)`, and intercepts `(f, k)`.

        A fold's solution lies in the span of its standardised examples, which is the span of the common axes over its scale.
        """
        along = (self.coordinates * point[:-1]).astype(np.float32)
        weights = (self.axes @ along).reshape(len(self.x.T), len(self.some), -1) / self.scale[..., None]
        return weights, (point[-1] * self._intercept_scale).astype(np.float32).reshape(len(self.some), -1)

    def _logits(self, weights: NDArray[np.float32], intercepts: NDArray[np.float32]) -> NDArray[np.float32]:
        on_features = weights / self.scale[..., None]
        shift = intercepts - np.einsum("df,dfk->fk", self.mean, on_features)
        return (self.x @ on_features.reshape(len(on_features), -1)).reshape(len(self.x), *shift.shape) + shift


def _standardised(features: NDArray[np.floating]) -> NDArray[np.float32]:
    x = np.array(features, np.float32)
    refuse_not_finite(x)
    x -= x.mean(axis=0, dtype=np.float64).astype(np.float32)
    scale = np.sqrt(np.mean(np.square(x), axis=0, dtype=np.float64))
    scale[scale < _LEAST_SCALE] = 1
    x /= scale.astype(np.float32)
    return x


def refuse_not_finite(features: NDArray[np.floating]) -> None:
    """Raises where nothing can be learnt from features `(n, width)`.

    Raises:
        TflError: One is not a finite number.
    """
    if not np.isfinite(features).all():
        raise TflError(
            "Some features are not finite numbers, so nothing can be learnt from them.",
            received=f"{int((~np.isfinite(features)).any(axis=1).sum())} of {len(features)} examples",
            fix="The network's weights are damaged, or its values overflow: use features.dtype=bfloat16, or float32.",
        )


def _principal_axes(x: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The sums of squares along the principal axes `(r,)` and those axes `(d, r)`, by the smaller of the two Gram matrices."""
    if x.shape[1] <= len(x):
        squares, axes = np.linalg.eigh(x.T @ x)
        return np.maximum(squares, 0), axes
    squares, places = np.linalg.eigh(x @ x.T)
    kept = squares > 1e-6 * max(squares[-1], 1e-30)
    return squares[kept], (x.T @ places[:, kept]) / np.sqrt(squares[kept])


def _softmax(logits: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Probabilities over the last axis, and the logarithm of the sum of exponentials."""
    highest = logits.max(axis=-1, keepdims=True)
    raised = np.exp(logits - highest)
    sums = raised.sum(axis=-1, keepdims=True)
    return raised / sums, (np.log(sums) + highest)[..., 0]

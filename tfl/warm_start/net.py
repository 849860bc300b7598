"""A small network with one hidden layer, in NumPy, so that elastic weight consolidation has the Fisher information exactly.

    loss = cross-entropy on the rows + ewc / 2 * sum over weights of F (w - w_old)²

F is the diagonal of the Fisher information of the old model on old training rows: the mean over rows, and over classes as
the model itself answers, of the squared gradient of the log-probability (Kirkpatrick et al. 2017, "Overcoming catastrophic
forgetting in neural networks").
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tfl.warm_start.tables import Rows

HIDDEN, EPOCHS, BATCH, RATE = 32, 40, 32, 3e-3
Weights = dict[str, "NDArray[np.float64]"]


class Net:
    """One hidden layer of 32 ReLUs and a softmax, trained with Adam at 0.003 on batches of 32.

    Args:
        width: Of an input.
        classes: How many there are.
        seed: Of the weights and of the order of rows.
    """

    def __init__(self, width: int, classes: int, *, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.weights: Weights = {
            "w1": self.rng.normal(0, np.sqrt(2 / width), (width, HIDDEN)),
            "b1": np.zeros(HIDDEN),
            "w2": self.rng.normal(0, np.sqrt(2 / HIDDEN), (HIDDEN, classes)),
            "b2": np.zeros(classes),
        }
        self.anchor: Weights = {}
        self.importance: Weights = {}
        self._forget_moments()

    def fit(self, rows: Rows) -> None:
        """Trains from nothing."""
        for _ in range(EPOCHS):
            self._epoch(rows)
        self._forget_moments()

    def step(self, rows: Rows) -> None:
        """One more pass."""
        self._epoch(rows)

    def consolidate(self, rows: Rows, strength: float) -> None:
        """From now on, weights that mattered for these rows are held where they are.

        Args:
            rows: Old training rows.
            strength: Of the penalty.
        """
        self.anchor = {name: value.copy() for name, value in self.weights.items()}
        self.importance = {name: strength * value for name, value in fisher(self.weights, rows.x).items()}

    def copy(self) -> Net:
        """A copy that trains on by itself."""
        return copy.deepcopy(self)

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.int64]:
        """`(n,)` int64."""
        return scores(self.weights, x).argmax(axis=1)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What `scores` takes."""
        return dict(self.weights)

    def _forget_moments(self) -> None:
        self.moments: dict[str, list[Any]] = {name: [0.0, 0.0] for name in self.weights}
        self.updates = 0

    def _epoch(self, rows: Rows) -> None:
        order = self.rng.permutation(len(rows))
        for start in range(0, len(rows), BATCH):
            at = order[start : start + BATCH]
            self._update(gradient(self.weights, rows.x[at], rows.y[at]))

    def _update(self, gradients: Weights) -> None:
        """Adam (Kingma and Ba 2015) with its usual constants."""
        self.updates += 1
        for name, weight in self.weights.items():
            own = gradients[name]
            if self.importance:
                own = own + self.importance[name] * (weight - self.anchor[name])
            first, second = self.moments[name]
            first, second = 0.9 * first + 0.1 * own, 0.999 * second + 0.001 * own**2
            self.moments[name] = [first, second]
            scale = np.sqrt(second / (1 - 0.999**self.updates)) + 1e-7
            self.weights[name] = weight - RATE * first / (1 - 0.9**self.updates) / scale


def scores(arrays: dict[str, NDArray[Any]], x: NDArray[np.float32]) -> NDArray[np.float64]:
    """`(n, classes)`, the largest of which is the answer."""
    return np.asarray(np.maximum(x @ arrays["w1"] + arrays["b1"], 0) @ arrays["w2"] + arrays["b2"])


def probabilities(weights: Weights, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """`(n, classes)`, each row adds up to one."""
    found = scores(weights, x)
    found = np.exp(found - found.max(axis=1, keepdims=True))
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def gradient(weights: Weights, x: NDArray[np.float32], y: NDArray[np.int64]) -> Weights:
    """Of the mean cross-entropy."""
    hidden = np.maximum(x @ weights["w1"] + weights["b1"], 0)
    above = probabilities(weights, x)
    above[np.arange(len(y)), y] -= 1
    above /= len(y)
    below = (above @ weights["w2"].T) * (hidden > 0)
    return {"w1": x.T @ below, "b1": below.sum(axis=0), "w2": hidden.T @ above, "b2": above.sum(axis=0)}


def fisher(weights: Weights, x: NDArray[np.float32]) -> Weights:
    """The diagonal of the Fisher information: the gradient of one row is an outer product, so its square is one too."""
    hidden, answers = np.maximum(x @ weights["w1"] + weights["b1"], 0), probabilities(weights, x)
    found = {name: np.zeros_like(value) for name, value in weights.items()}
    for label in range(answers.shape[1]):
        share = answers[:, label] / len(x)
        above = answers.copy()
        above[:, label] -= 1
        below = (above @ weights["w2"].T) * (hidden > 0)
        squared = {"w2": above**2 * share[:, None], "w1": below**2 * share[:, None]}
        found["w1"] += (x.astype(np.float64) ** 2).T @ squared["w1"]
        found["b1"] += squared["w1"].sum(axis=0)
        found["w2"] += (hidden**2).T @ squared["w2"]
        found["b2"] += squared["w2"].sum(axis=0)
    return found

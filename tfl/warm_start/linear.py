"""Logistic regression and linear SVM, by stochastic gradient descent of scikit-learn, which can be taken up again."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tfl.warm_start.tables import Rows

EPOCHS = 30
"""Passes of a training from nothing."""
_LOSSES = {"logistic": "log_loss", "svm": "hinge"}


class Linear:
    """A linear classifier.

    Args:
        kind: `logistic` or `svm`.
        classes: How many there are.
        rate: Learning rate of a step of a warm start, which is constant; from nothing it falls as scikit-learn's `optimal`.
        seed: Of the order of rows.
    """

    def __init__(self, kind: Literal["logistic", "svm"], classes: int, *, rate: float, seed: int) -> None:
        from sklearn.linear_model import SGDClassifier

        self.classes, self.rate = np.arange(classes), rate
        self.model: Any = SGDClassifier(loss=_LOSSES[kind], alpha=1e-4, random_state=np.random.RandomState(seed))

    def fit(self, rows: Rows) -> None:
        """Trains from nothing."""
        for _ in range(EPOCHS):
            self.model.partial_fit(rows.x, rows.y, classes=self.classes)

    def step(self, rows: Rows) -> None:
        """One more pass."""
        self.model.set_params(learning_rate="constant", eta0=self.rate)
        self.model.partial_fit(rows.x, rows.y)

    def copy(self) -> Linear:
        """A copy that trains on by itself."""
        return copy.deepcopy(self)

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.int64]:
        """`(n,)` int64."""
        return np.asarray(self.model.predict(x), np.int64)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What `scores` takes."""
        weights, bias = self.model.coef_.T, self.model.intercept_
        if weights.shape[1] == 1:
            weights, bias = np.concatenate([-weights, weights], axis=1), np.array([-bias[0], bias[0]])
        return {"weights": weights, "bias": bias}


def scores(arrays: dict[str, NDArray[Any]], x: NDArray[np.float32]) -> NDArray[np.float64]:
    """`(n, classes)`, the largest of which is the answer."""
    return np.asarray(x @ arrays["weights"] + arrays["bias"])

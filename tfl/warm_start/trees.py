"""Gradient boosting of scikit-learn, to which further trees are added on other rows."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tfl.warm_start.tables import Rows

TREES, MORE = 100, 10
"""Of a training from nothing (for each class where there are more than two), and of a step."""
LARGEST_LEAF = 4.0
"""Limit of the leaves of further trees, in logits before the learning rate. Their Newton step divides by p (1 - p), so it has no
limit for rows of which the old trees are sure and wrong; XGBoost has `max_delta_step` for this, with values of 1 to 10."""


class Boosting:
    """Gradient boosted trees of depth 3.

    Args:
        classes: How many there are; every table that it sees has all of them.
        seed: Of ties between splits.
    """

    def __init__(self, classes: int, *, seed: int) -> None:
        from sklearn.ensemble import GradientBoostingClassifier

        self.classes = classes
        self.model: Any = GradientBoostingClassifier(n_estimators=TREES, warm_start=True, random_state=seed)

    def fit(self, rows: Rows) -> None:
        """Trains from nothing."""
        self.model.fit(rows.x, rows.y)

    def step(self, rows: Rows) -> None:
        """Adds trees that make up for the errors on these rows, one after another, with leaves of at most `LARGEST_LEAF`."""
        for _ in range(MORE):
            self.model.set_params(n_estimators=self.model.n_estimators + 1)
            self.model.fit(rows.x, rows.y)
            for tree in self.model.estimators_[-1]:
                np.clip(tree.tree_.value, -LARGEST_LEAF, LARGEST_LEAF, out=tree.tree_.value)

    def copy(self) -> Boosting:
        """A copy that trains on by itself."""
        return copy.deepcopy(self)

    def predict(self, x: NDArray[np.float32]) -> NDArray[np.int64]:
        """`(n,)` int64."""
        return np.asarray(self.model.predict(x), np.int64)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What `scores` takes: the nodes of all trees behind one another, and where each begins."""
        trees = [tree.tree_ for tree in self.model.estimators_.ravel()]
        starts = np.cumsum([0, *(tree.node_count for tree in trees)])
        joined = {
            name: np.concatenate([getattr(tree, name).reshape(tree.node_count) for tree in trees])
            for name in ("children_left", "children_right", "feature", "threshold", "value")
        }
        prior = np.asarray(self.model.init_.class_prior_, float)
        first = np.array([np.log(prior[1] / prior[0])]) if self.classes == 2 else np.log(prior) - np.log(prior).mean()
        return {**joined, "starts": starts[:-1], "first": first, "rate": np.array(self.model.learning_rate)}


def scores(arrays: dict[str, NDArray[Any]], x: NDArray[np.float32]) -> NDArray[np.float64]:
    """`(n, classes)`, the largest of which is the answer."""
    outputs = len(arrays["first"])
    found = np.tile(arrays["first"], (len(x), 1)).astype(np.float64)
    for at, start in enumerate(arrays["starts"]):
        nodes = np.full(len(x), start)
        while (inner := arrays["children_left"][nodes] >= 0).any():
            rows, here = np.flatnonzero(inner), nodes[inner]
            left = x[rows, arrays["feature"][here]] <= arrays["threshold"][here]
            nodes[inner] = start + np.where(left, arrays["children_left"][here], arrays["children_right"][here])
        found[:, at % outputs] += arrays["rate"] * arrays["value"][nodes]
    return np.concatenate([-found, found], axis=1) if outputs == 1 else found

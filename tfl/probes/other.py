"""Linear heads other than logistic regression, for classes: a linear SVM, and the nearest class mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PENALTIES = tuple(10.0**power for power in np.arange(-5, 1.5, 0.5))
"""The values of C that are compared for a linear SVM on standardised features."""
TEMPERATURES = tuple(2.0**power for power in np.arange(-4, 12, 0.5))
"""By which squared distances to the class means are divided."""


def linear_svm(
    features: NDArray[np.floating],
    labels: NDArray[np.integer],
    folds: NDArray[np.integer] | None,
    *,
    balanced: bool = False,
    strength: float | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """scikit-learn's `LinearSVC`, one class against the others, on standardised features; C by cross-validated accuracy.

    Args:
        features: Array of shape `(n, width)`.
        labels: Integer array of shape `(n,)`, at least two classes, from 0 without gaps.
        folds: Integer array of shape `(n,)`, the fold in which each is held out, -1 for none. None takes `C = 0.01` without a
            search.
        balanced: Bool, whether every class has the same total weight. Defaults to False.
        strength: Float, C where it is known. Defaults to None.

    Returns:
        Kernel `(width, classes)`, bias `(classes,)`, and C.

    Example:

    >>> import numpy as np
    >>> features = np.random.default_rng(0).normal(size=(60, 3))
    >>> labels = (features[:, 0] > 0).astype(int)
    >>> kernel, bias, C = linear_svm(features, labels, np.arange(60) % 3)
    >>> bool(((features @ kernel + bias).argmax(axis=1) == labels).mean() > 0.9)
    True
    """
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    def fitted(penalty: float, rows: Any) -> Any:
        machine = LinearSVC(C=penalty, class_weight="balanced" if balanced else None, max_iter=2000, tol=1e-3, random_state=0)
        return make_pipeline(StandardScaler(), machine).fit(features[rows], labels[rows])

    def score(penalty: float) -> float:
        predicted, held = np.empty(len(labels), labels.dtype), folds >= 0  # type: ignore[operator]
        for fold in range(int(folds.max()) + 1) if folds is not None else ():
            predicted[folds == fold] = fitted(penalty, folds != fold).predict(features[folds == fold])
        truth, predicted = labels[held], predicted[held]
        return float(balanced_accuracy_score(truth, predicted) if balanced else (predicted == truth).mean())

    if strength is None:
        strength = 0.01 if folds is None else max(PENALTIES, key=score)
    scaler, machine = fitted(strength, slice(None))
    weights, intercepts = machine.coef_.T / scaler.scale_[:, None], np.asarray(machine.intercept_)
    intercepts = intercepts - scaler.mean_ @ weights
    if weights.shape[1] == 1:  # scikit-learn gives the difference of both
        weights, intercepts = np.concatenate([-weights, weights], axis=1) / 2, np.array([-1, 1]) * intercepts / 2
    return weights, intercepts, strength


def class_means(
    features: NDArray[np.floating],
    labels: NDArray[np.integer],
    folds: NDArray[np.integer] | None,
    *,
    temperature: float | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """The nearest class mean in standardised features (scikit-learn's `NearestCentroid`), as a linear head.

    The logit of a class is minus half the squared distance to its mean over a temperature, without the part that all classes
    share.

    Args:
        features: Array of shape `(n, width)`.
        labels: Integer array of shape `(n,)`, at least two classes, from 0 without gaps.
        folds: Integer array of shape `(n,)`, by which the temperature is chosen: the lowest log loss of held-out examples; -1 for
            those that are never held out. None takes the width of the features.
        temperature: Float, where it is known. Defaults to None.

    Returns:
        Kernel `(width, classes)`, bias `(classes,)`, and the temperature.

    Example:

    >>> import numpy as np
    >>> features = np.array([[0.0, 1], [1, 0], [4, 5], [5, 4]])
    >>> kernel, bias, _ = class_means(features, np.array([0, 0, 1, 1]), None)
    >>> (features @ kernel + bias).argmax(axis=1).tolist()
    [0, 0, 1, 1]
    """
    features = np.asarray(features, np.float64)

    def of(rows: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        mean, spread = features[rows].mean(axis=0), features[rows].std(axis=0)
        spread[spread == 0] = 1
        own = labels[rows]
        means = np.stack(
            [((features[rows] - mean) / spread)[own == one].mean(axis=0) for one in range(int(labels.max()) + 1)], axis=1
        )
        kernel = means / spread[:, None]
        return kernel, -(means**2).sum(axis=0) / 2 - mean @ kernel

    kernel, bias = of(slice(None))
    if temperature is None:
        temperature = float(features.shape[1]) if folds is None else _temperature(of, features, labels, folds)
    return kernel / temperature, bias / temperature, temperature


def _temperature(of: Any, features: NDArray[np.floating], labels: NDArray[np.integer], folds: NDArray[np.integer]) -> float:
    logits = np.zeros((len(labels), int(labels.max()) + 1))
    for fold in range(int(folds.max()) + 1):
        kernel, bias = of(folds != fold)
        logits[folds == fold] = features[folds == fold] @ kernel + bias
    logits, labels = logits[folds >= 0], labels[folds >= 0]

    def loss(temperature: float) -> float:
        scaled = logits / temperature
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        return float((np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(len(labels)), labels]).mean())

    return min(TEMPERATURES, key=loss)

"""The baseline that every report on texts shows: TF-IDF of words and word pairs with a linear model, without any network.

It takes seconds, and with enough texts it is often as good as a network.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.recipe import OF_NUMBERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "TF-IDF of words and word pairs, linear model"
STRENGTHS = (1.0, 3.0, 10.0, 30.0)
"""Inverse strengths of the regularisation that are tried; the validation split decides."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A fitted baseline.

    Args:
        outputs: `(n, width)` its answers for the texts asked, in the form of the task's outputs: probabilities or numbers.
        strength: Float, the inverse strength of the regularisation that was chosen.
        features: Integer, how many words and word pairs it knows.
    """

    outputs: NDArray[np.float32]
    strength: float
    features: int


def tfidf_baseline(
    task: str,
    *,
    train: tuple[Sequence[str], NDArray[np.float32]],
    val: tuple[Sequence[str], NDArray[np.float32]],
    texts: Sequence[str],
) -> Baseline:
    """Fits the baseline on the training texts and answers for others.

    Logistic regression for classes and for each of several labels, ridge regression for numbers (scikit-learn). Of several
    strengths of regularisation, the one with the smallest loss on the validation split is taken.

    Args:
        task: Name of the task, as `Recipe.task`.
        train: Texts, and their targets `(n, width)` as the task makes them; NaN marks a target that is missing.
        val: The same of the validation split.
        texts: Texts to answer for, such as those of the test split.

    Example:

    >>> import numpy as np
    >>> from tfl.modalities.text.baseline import tfidf_baseline
    >>> texts, targets = ["a fine film", "a dull film"] * 4, np.eye(2, dtype=np.float32)[[1, 0] * 4]
    >>> found = tfidf_baseline("classify", train=(texts, targets), val=(texts, targets), texts=["so fine"])
    >>> int(found.outputs.argmax())
    1
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\b\w+\b|[!?]")
    rows = words.fit_transform(train[0])
    val_rows, wanted = words.transform(val[0]), words.transform(texts)
    fitted = {strength: _fit(task, rows, train[1], strength) for strength in STRENGTHS}
    losses = {strength: _loss(task, answer(val_rows), val[1]) for strength, answer in fitted.items()}
    strength = min(losses, key=lambda one: losses[one])
    outputs = fitted[strength](wanted).astype(np.float32)
    return Baseline(outputs=outputs, strength=strength, features=len(words.vocabulary_))


Answer = Callable[[Any], "NDArray[np.float64]"]
"""From rows of TF-IDF to outputs, `(n, width)`."""


def _fit(task: str, rows: Any, targets: NDArray[np.float32], strength: float) -> Answer:
    if task == "classify":
        return _logistic(rows, targets.argmax(-1), strength, width=targets.shape[1])
    if task == "multilabel":
        columns = [_logistic(rows, column, strength, width=2) for column in targets.T]
        return lambda asked: np.stack([answer(asked)[:, 1] for answer in columns], axis=1)
    return _ridge(rows, targets, strength)


def _logistic(rows: Any, labels: NDArray[Any], strength: float, *, width: int) -> Answer:
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    known = np.flatnonzero(np.isfinite(labels))
    classes = np.asarray(labels)[known].astype(np.int64)
    different = np.unique(classes)
    if len(different) < 2:  # nothing to learn
        certain = np.eye(width)[different[0]] if len(different) else np.full(width, 1 / width)
        return lambda asked: np.tile(certain, (asked.shape[0], 1))
    model: Any = LogisticRegression(C=strength, solver="liblinear", random_state=0)
    model = (model if len(different) == 2 else OneVsRestClassifier(model)).fit(rows[known], classes)

    def answer(asked: Any) -> NDArray[np.float64]:
        outputs = np.zeros((asked.shape[0], width))
        outputs[:, model.classes_] = model.predict_proba(asked)
        return outputs

    return answer


def _ridge(rows: Any, targets: NDArray[np.float32], strength: float) -> Answer:
    from sklearn.linear_model import Ridge

    columns = []
    for column in targets.T:
        known = np.flatnonzero(np.isfinite(column))
        columns.append(Ridge(alpha=1 / strength).fit(rows[known], column[known]))
    return lambda asked: np.stack([model.predict(asked) for model in columns], axis=1)


def _loss(task: str, outputs: NDArray[np.float64], targets: NDArray[np.float32]) -> float:
    """Cross-entropy, or the squared error of numbers."""
    if task in OF_NUMBERS:
        scale = np.maximum(np.nanstd(targets, axis=0), 1e-12)
        return float(np.nanmean(((outputs - targets) / scale) ** 2))
    likely = np.log(np.clip(outputs, 1e-6, 1.0))
    if task == "classify":
        return float(-(targets * likely).sum(-1).mean())
    unlikely = np.log(np.clip(1 - outputs, 1e-6, 1.0))
    return float(-np.nanmean(targets * likely + (1 - targets) * unlikely))

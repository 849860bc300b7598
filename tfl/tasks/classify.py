"""One of several classes: softmax and cross-entropy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tfl.tasks.base import Examples

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Classify:
    """One of several classes. Targets are one-hot, or mixed where an augmentation mixes examples."""

    name: ClassVar[str] = "classify"
    output: ClassVar[str] = "probabilities"
    metrics: ClassVar[Mapping[str, bool]] = {"val_accuracy": True, "val_loss": False, "val_macro_f1": True}
    default_metric: ClassVar[str] = "val_accuracy"
    step_metric: ClassVar[str] = "accuracy"

    def fitted(self, targets: NDArray[np.float32]) -> Classify:
        """The task itself: it takes nothing from the training targets."""
        return self

    def targets(self, examples: Examples) -> NDArray[np.float32]:
        """One-hot labels, `(n, classes)`."""
        return np.eye(len(examples.class_names), dtype=np.float32)[np.asarray(examples.labels)]

    def width(self, examples: Examples) -> int:
        """How many classes there are."""
        return len(examples.class_names)

    def output_layers(self) -> list[keras.layers.Layer]:
        """A softmax."""
        import keras

        return [keras.layers.Softmax(name=self.output, dtype="float32")]

    def loss(self, targets: tf.Tensor, logits: tf.Tensor, *, label_smoothing: float = 0.0) -> tf.Tensor:
        """Cross-entropy against smoothed labels, `(n,)`."""
        import tensorflow as tf

        smoothed = targets * (1.0 - label_smoothing) + label_smoothing / targets.shape[-1]
        return tf.nn.softmax_cross_entropy_with_logits(smoothed, logits)

    def step_score(self, targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """1 where the most probable class is right, else 0."""
        import tensorflow as tf

        return tf.cast(tf.equal(tf.argmax(logits, -1), tf.argmax(targets, -1)), tf.float32)

    def example_weights(self, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """The weight of each example's class; an example mixed of two classes weighs in between."""
        import tensorflow as tf

        return tf.linalg.matvec(targets, weights)

    def balanced_weights(self, targets: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """Weights that let each class count the same in all: `n / (classes * count)`, as scikit-learn's `balanced`.

        A class without an example weighs as if it had one.

        Example:

        >>> import numpy as np
        >>> TASK.balanced_weights(np.eye(2, dtype=np.float32)[[0, 0, 0, 1]]).round(2).tolist()
        [0.67, 2.0]
        """
        counts = np.bincount(targets.argmax(-1), minlength=targets.shape[-1])
        return np.asarray(len(targets) / (targets.shape[-1] * np.maximum(counts, 1)), np.float64)

    def validate(self, logits: NDArray[np.float32], targets: NDArray[np.float32]) -> dict[str, float]:
        """`val_loss` (unweighted, unsmoothed), `val_accuracy` and `val_macro_f1`. A class that never occurs has an F1 of 0.

        Example:

        >>> import numpy as np
        >>> TASK.validate(np.array([[9.0, 0.0], [9.0, 0.0]]), np.array([[1.0, 0.0], [0.0, 1.0]]))["val_accuracy"]
        0.5
        """
        logits = np.asarray(logits, np.float64)
        shifted = logits - logits.max(-1, keepdims=True)
        log_probabilities = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
        labels, answers, classes = targets.argmax(-1), logits.argmax(-1), targets.shape[-1]
        right = np.bincount(labels[labels == answers], minlength=classes)
        found = np.bincount(labels, minlength=classes) + np.bincount(answers, minlength=classes)
        return {
            "val_loss": float(-(targets * log_probabilities).sum(-1).mean()),
            "val_accuracy": float((labels == answers).mean()),
            "val_macro_f1": float((2 * right / np.maximum(found, 1)).mean()),
        }

    def evaluate(
        self, outputs: NDArray[np.float32], targets: NDArray[np.float32], names: Sequence[str], *, seed: int = 0
    ) -> dict[str, Any]:
        """Accuracy, macro-F1, loss and calibration, each with a 95% interval, per class and as a confusion matrix."""
        from tfl.tasks.class_metrics import evaluate_classes

        return evaluate_classes(outputs, targets.argmax(-1), names, seed=seed)

    def summary(self, examples: Examples) -> str:
        """The number of classes."""
        return f" of {len(examples.class_names)} classes"

    def strata(self, examples: Examples) -> NDArray[np.int32]:
        """The label of each example."""
        return np.asarray(examples.labels, np.int32)


TASK = Classify()

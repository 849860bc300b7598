"""One of several classes: softmax and cross-entropy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tfl.tasks.base import Examples, FittedConfidence, OneTarget

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
    from numpy.typing import NDArray

    import tfl


@dataclass(frozen=True)
class Classify(OneTarget):
    """One of several classes. Targets are one-hot, or mixed where an augmentation mixes examples."""

    name: ClassVar[str] = "classify"
    output: ClassVar[str] = "probabilities"
    metrics: ClassVar[Mapping[str, bool]] = {"val_accuracy": True, "val_loss": False, "val_macro_f1": True}
    default_metric: ClassVar[str] = "val_accuracy"
    step_metric: ClassVar[str] = "accuracy"
    answers: ClassVar[tuple[str, ...]] = ("calibrated_probabilities", "prediction_set")
    fits: ClassVar[tuple[str, ...]] = ("temperature", "coverage", "set_threshold")

    figures: ClassVar[tuple[str, ...]] = ("accuracy", "macro_f1", "loss", "calibration_error")
    each: ClassVar[str] = "per_class"
    columns: ClassVar[tuple[str, ...]] = ("precision", "recall", "f1", "count")
    words: ClassVar[tuple[str, ...]] = ("label", "predicted", "probability")
    truth_prefix: ClassVar[str | None] = None
    output_prefix: ClassVar[str] = "p_"

    def fitted(self, targets: NDArray[np.float32], names: Sequence[str] = ()) -> Classify:
        """The task itself: it takes nothing from the training targets."""
        return self

    def targets(self, examples: Examples) -> NDArray[np.float32]:
        """One-hot labels, `(n, classes)`."""
        return np.eye(len(examples.class_names), dtype=np.float32)[np.asarray(examples.labels)]

    def scaled(self, targets: NDArray[np.float32]) -> NDArray[np.float64]:
        """The targets as they are."""
        import numpy as np

        return np.asarray(targets, np.float64)

    def width(self, examples: Examples) -> int:
        """How many classes there are."""
        return len(examples.class_names)

    def output_layers(self, *, name: str | None = None) -> list[keras.layers.Layer]:
        """A softmax."""
        import keras

        return [keras.layers.Softmax(name=name or self.output, dtype="float32")]

    def loss(
        self, targets: tf.Tensor, logits: tf.Tensor, *, weights: tf.Tensor | None = None, label_smoothing: float = 0.0
    ) -> tf.Tensor:
        """Cross-entropy against smoothed labels, `(n,)`, times the weight of the class.

        An example mixed of two classes weighs in between.
        """
        import tensorflow as tf

        smoothed = targets * (1.0 - label_smoothing) + label_smoothing / targets.shape[-1]
        losses = tf.nn.softmax_cross_entropy_with_logits(smoothed, logits)
        return losses if weights is None else tf.linalg.matvec(targets, weights) * losses

    def step_score(self, targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """1 where the most probable class is right, else 0."""
        import tensorflow as tf

        return tf.cast(tf.equal(tf.argmax(logits, -1), tf.argmax(targets, -1)), tf.float32)

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

    def counts(self, targets: NDArray[np.float32], names: Sequence[str]) -> dict[str, int]:
        """How many examples each class has."""
        found = np.bincount(targets.argmax(-1), minlength=len(names)) if len(targets) else np.zeros(len(names), int)
        return dict(zip(map(str, names), found.tolist(), strict=True))

    def sentence(self, metrics: Mapping[str, Any], *, noun: str, nouns: str) -> str:
        """How many examples were named correctly.

        Example:

        >>> TASK.sentence({"accuracy": 0.9, "count": 10}, noun="leaf", nouns="leaves")
        'Named 9 of 10 test leaves correctly: 90.0%.'
        """
        count, interval = int(metrics["count"]), metrics.get("accuracy_interval")
        spread = f" (95% interval {interval[0]:.1%} to {interval[1]:.1%})" if interval else ""
        right = round(metrics["accuracy"] * count)
        return f"Named {right} of {count} test {nouns} correctly: {metrics['accuracy']:.1%}{spread}."

    def word_cells(
        self,
        names: Sequence[str],
        outputs: NDArray[np.floating],
        targets: NDArray[np.floating],
        answers: Mapping[str, NDArray[Any]] | None = None,
    ) -> list[tuple[str, ...]]:
        """The true class, the predicted one and its probability."""
        return [
            (str(names[label]), str(names[best]), f"{row[best]:.9g}")
            for label, best, row in zip(targets.argmax(-1), outputs.argmax(-1), outputs, strict=True)
        ]

    def summary(self, examples: Examples) -> str:
        """The number of classes."""
        return f" of {len(examples.class_names)} classes"

    def strata(self, examples: Examples) -> NDArray[np.int32]:
        """The label of each example."""
        return np.asarray(examples.labels, np.int32)

    def fit_confidence(
        self, settings: tfl.Calibration, logits: NDArray[np.floating], targets: NDArray[np.float32]
    ) -> FittedConfidence:
        """A temperature and the threshold of prediction sets; see `tfl.tasks.class_confidence`."""
        from tfl.tasks.class_confidence import fit_classes

        return fit_classes(logits, targets.argmax(-1), coverage=settings.coverage)

    def measure_confidence(
        self, values: Mapping[str, Any], logits: NDArray[np.floating], targets: NDArray[np.float32]
    ) -> dict[str, dict[str, Any]]:
        """Calibration before and after, and how often the sets hold the right class."""
        from tfl.tasks.class_confidence import measure_classes

        return measure_classes(values, logits, targets.argmax(-1))

    def answer(self, values: Mapping[str, Any], logits: NDArray[np.floating]) -> dict[str, NDArray[Any]]:
        """`calibrated_probabilities` float32, and `prediction_set` bool."""
        from tfl.tasks.class_confidence import answer_classes

        return answer_classes(values, logits)

    def answer_tensors(self, values: Mapping[str, Any], logits: Any, *, prefix: str = "") -> dict[str, Any]:
        """The same from symbolic logits; the most probable class is always in the set."""
        import keras

        cooled = keras.layers.Rescaling(1 / values["temperature"], dtype="float32", name=f"{prefix}temperature")(logits)
        probabilities = keras.layers.Softmax(dtype="float32", name=f"{prefix}calibrated_probabilities")(cooled)
        largest = keras.ops.max(probabilities, axis=-1, keepdims=True)
        least = keras.ops.minimum(largest, values["set_threshold"])
        return {"calibrated_probabilities": probabilities, "prediction_set": keras.ops.greater_equal(probabilities, least)}


TASK = Classify()

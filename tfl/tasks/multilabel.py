"""Any number of labels: a sigmoid and a cross-entropy of its own for each label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tfl.errors import DataError, listed
from tfl.tasks.base import Examples, FittedConfidence, OneTarget

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
    from numpy.typing import NDArray

    import tfl

SMALLEST_STRATUM = 10
"""Combinations of labels that fewer examples have are no stratum of their own."""
_SPLITS = 3


@dataclass(frozen=True)
class Multilabel(OneTarget):
    """Any number of labels. Targets are 1 where an example has the label, 0 where it has not, NaN where nobody knows."""

    name: ClassVar[str] = "multilabel"
    output: ClassVar[str] = "probabilities"
    metrics: ClassVar[Mapping[str, bool]] = {
        "val_mean_average_precision": True,
        "val_macro_f1": True,
        "val_micro_f1": True,
        "val_accuracy": True,
        "val_loss": False,
    }
    default_metric: ClassVar[str] = "val_mean_average_precision"
    step_metric: ClassVar[str] = "accuracy"
    answers: ClassVar[tuple[str, ...]] = ("calibrated_probabilities", "is_label")
    fits: ClassVar[tuple[str, ...]] = ("slope", "intercept", "thresholds")

    figures: ClassVar[tuple[str, ...]] = (
        *("mean_average_precision", "macro_f1", "micro_f1", "accuracy", "subset_accuracy"),
        *("hamming_loss", "coverage_error", "loss", "calibration_error"),
    )
    each: ClassVar[str] = "per_label"
    columns: ClassVar[tuple[str, ...]] = ("precision", "recall", "f1", "average_precision", "count")
    words: ClassVar[tuple[str, ...]] = ("labels", "predicted")
    truth_prefix: ClassVar[str | None] = "t_"
    output_prefix: ClassVar[str] = "p_"

    def fitted(self, targets: NDArray[np.float32], names: Sequence[str] = ()) -> Multilabel:
        """The task itself: it takes nothing from the training targets.

        Raises:
            DataError: Every training example whose label is known has it, or none has.
        """
        positives, known = np.nansum(targets, axis=0), np.isfinite(targets).sum(axis=0)
        same = np.flatnonzero((positives == 0) | (positives == known))
        if len(same):
            called = [names[int(column)] if len(names) else f"number {column + 1}" for column in same]
            raise DataError(
                "Nothing can be learnt of labels that every training example has, or none.",
                received=listed(called, limit=20),
                fix="Leave these labels out with `data.labels`, or add examples with and without them.",
            )
        return self

    def targets(self, examples: Examples) -> NDArray[np.float32]:
        """Zeros and ones, `(n, labels)`; NaN where a label is not known."""
        return np.asarray(examples.targets, np.float32)

    def scaled(self, targets: NDArray[np.float32]) -> NDArray[np.float64]:
        """The targets as they are."""
        import numpy as np

        return np.asarray(targets, np.float64)

    def width(self, examples: Examples) -> int:
        """How many labels there are."""
        return len(examples.class_names)

    def output_layers(self, *, name: str | None = None) -> list[keras.layers.Layer]:
        """A sigmoid."""
        import keras

        return [keras.layers.Activation("sigmoid", name=name or self.output, dtype="float32")]

    def loss(
        self, targets: tf.Tensor, logits: tf.Tensor, *, weights: tf.Tensor | None = None, label_smoothing: float = 0.0
    ) -> tf.Tensor:
        """The mean sigmoid cross-entropy over the known labels of each example, `(n,)`; 0 where none is known.

        It is the partial cross-entropy of Durand, Mehrasa and Mori 2019, *Learning a Deep ConvNet for Multi-label Classification
        with Partial Labels*; with all labels known, that of `keras.losses.BinaryCrossentropy(from_logits=True)`.

        Args:
            targets: `(n, labels)`.
            logits: `(n, labels)` float32.
            weights: `(labels,)`, what a label counts where an example has it; where it has not it counts 1.
            label_smoothing: Targets move so far towards 1/2.
        """
        import tensorflow as tf

        known = tf.math.is_finite(targets)
        filled = tf.where(known, targets, tf.zeros_like(targets))
        smoothed = filled * (1.0 - label_smoothing) + 0.5 * label_smoothing
        weighted = tf.ones(targets.shape[-1:]) if weights is None else weights
        losses = tf.nn.weighted_cross_entropy_with_logits(smoothed, logits, weighted)
        return _mean_over_known(losses, known)

    def step_score(self, targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """The share of the known labels of each example that are right at a threshold of 1/2, `(n,)`."""
        import tensorflow as tf

        known = tf.math.is_finite(targets)
        right = tf.cast(tf.equal(logits >= 0, targets > 0.5), tf.float32)
        return _mean_over_known(right, known)

    def balanced_weights(self, targets: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """Weights of the positive targets, `(labels,)`: negatives over positives, so that both count the same in all.

        It is `pos_weight` of `tf.nn.weighted_cross_entropy_with_logits`. A label that no example has weighs as if one had.

        Example:

        >>> import numpy as np
        >>> TASK.balanced_weights(np.array([[1, 0], [0, 0], [0, 1], [0, np.nan]])).tolist()
        [3.0, 2.0]
        """
        positives, negatives = (targets > 0.5).sum(axis=0), (targets <= 0.5).sum(axis=0)
        return np.asarray(negatives / np.maximum(positives, 1), np.float64)

    def validate(self, logits: NDArray[np.float32], targets: NDArray[np.float32]) -> dict[str, float]:
        """The metrics that a monitor can watch, over known labels; F1 and accuracy at a threshold of 1/2.

        Example:

        >>> import numpy as np
        >>> found = TASK.validate(np.array([[3.0, -3.0], [-3.0, -3.0]]), np.array([[1.0, 0.0], [0.0, 1.0]]))
        >>> found["val_accuracy"], found["val_mean_average_precision"]
        (0.75, 0.75)
        """
        from tfl.tasks.label_metrics import LabelCases, label_loss

        cases = LabelCases.of(logits, targets, 0.0)
        figures = cases.figures(np.ones((1, cases.count))) | cases.precision_figures(np.ones((1, cases.count)))
        return {
            "val_loss": label_loss(logits, targets),
            "val_accuracy": 1 - float(figures["hamming_loss"][0]),
            **{f"val_{name}": float(np.nan_to_num(figures[name][0])) for name in _WATCHED},
        }

    def evaluate(
        self, outputs: NDArray[np.float32], targets: NDArray[np.float32], names: Sequence[str], *, seed: int = 0
    ) -> dict[str, Any]:
        """F1, average precision, Hamming loss and calibration at a threshold of 1/2, each with a 95% interval, and by label."""
        from tfl.tasks.label_metrics import evaluate_labels

        return evaluate_labels(outputs, targets, names, seed=seed)

    def counts(self, targets: NDArray[np.float32], names: Sequence[str]) -> dict[str, int]:
        """How many examples each label has."""
        return dict(zip(map(str, names), (np.asarray(targets) > 0.5).sum(axis=0).tolist(), strict=True))

    def sentence(self, metrics: Mapping[str, Any], *, noun: str, nouns: str) -> str:
        """Mean average precision, and how many labels were right.

        Example:

        >>> figures = {"mean_average_precision": 0.8, "macro_f1": 0.7, "accuracy": 0.95, "count": 10}
        >>> TASK.sentence(figures, noun="text", nouns="texts")
        'Mean average precision 0.800, macro-F1 0.700 and 95.0% of all labels right on 10 test texts.'
        """
        interval = metrics.get("mean_average_precision_interval")
        spread = f" (95% interval {interval[0]:.3f} to {interval[1]:.3f})" if interval else ""
        return (
            f"Mean average precision {metrics['mean_average_precision']:.3f}{spread}, macro-F1 {metrics['macro_f1']:.3f} and "
            f"{metrics['accuracy']:.1%} of all labels right on {metrics['count']} test {nouns}."
        )

    def word_cells(
        self,
        names: Sequence[str],
        outputs: NDArray[np.floating],
        targets: NDArray[np.floating],
        answers: Mapping[str, NDArray[Any]] | None = None,
    ) -> list[tuple[str, ...]]:
        """The true and the predicted labels, separated by `;`."""
        chosen = outputs >= 0.5 if answers is None else answers["is_label"]

        def joined(row: NDArray[Any]) -> str:
            return ";".join(str(name).replace(";", ",") for name, has in zip(names, row, strict=True) if has)

        return [(joined(true > 0.5), joined(said)) for true, said in zip(targets, chosen, strict=True)]

    def summary(self, examples: Examples) -> str:
        """The number of labels, and how many an example has on average."""
        per_example = float(np.nansum(examples.targets, axis=1).mean()) if len(examples) else 0.0
        return f" with {len(examples.class_names)} labels ({per_example:.3g} on average)"

    def strata(self, examples: Examples) -> NDArray[np.int32]:
        """The combination of labels of each example; a rare combination gives way to the rarest of its labels.

        Whole combinations keep what occurs together (the label powerset); taking the rarest label where a combination is too rare
        is the order in which the iterative stratification of Sechidis, Tsoumakas and Vlahavas 2011 hands out examples.

        Example:

        >>> import numpy as np
        >>> from tfl.data.examples import Examples
        >>> rows = np.array([[1, 0]] * 12 + [[0, 1]] * 12 + [[1, 1]] * 4, np.float32)
        >>> some = Examples(class_names=("a", "b"), targets=rows, contents=np.array([b"..."] * 28))
        >>> TASK.strata(some)[[0, 11, 12, 27]].tolist()
        [1, 1, 0, 2]
        """
        return strata_of(self.targets(examples) > 0.5)

    def fit_confidence(
        self, settings: tfl.Calibration, logits: NDArray[np.floating], targets: NDArray[np.float32]
    ) -> FittedConfidence:
        """A calibration and a threshold for each label; see `tfl.tasks.label_confidence`."""
        from tfl.tasks.label_confidence import fit_labels

        return fit_labels(logits, targets)

    def measure_confidence(
        self, values: Mapping[str, Any], logits: NDArray[np.floating], targets: NDArray[np.float32]
    ) -> dict[str, dict[str, Any]]:
        """Calibration before and after, and the metrics at the chosen thresholds."""
        from tfl.tasks.label_confidence import measure_labels

        return measure_labels(values, logits, targets)

    def answer(self, values: Mapping[str, Any], logits: NDArray[np.floating]) -> dict[str, NDArray[Any]]:
        """`calibrated_probabilities` float32, and `is_label` bool: those at or above their threshold."""
        from tfl.tasks.label_confidence import answer_labels

        return answer_labels(values, logits)

    def answer_tensors(self, values: Mapping[str, Any], logits: Any, *, prefix: str = "") -> dict[str, Any]:
        """The same from symbolic logits."""
        import keras

        rescaled = keras.layers.Rescaling(values["slope"], values["intercept"], dtype="float32", name=f"{prefix}calibration")(
            logits
        )
        probabilities = keras.layers.Activation("sigmoid", dtype="float32", name=f"{prefix}calibrated_probabilities")(rescaled)
        thresholds = np.asarray(values["thresholds"], np.float32)
        return {"calibrated_probabilities": probabilities, "is_label": keras.ops.greater_equal(probabilities, thresholds)}


def strata_of(has: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The group of each example by what it has, `(n, labels)`: the combination, or the rarest label of a rare combination."""
    _, combination, counts = np.unique(has, axis=0, return_inverse=True, return_counts=True)
    combination = combination.reshape(-1)
    frequency = np.where(has, has.sum(axis=0), len(has) + 1)
    rarest = np.where(has.any(axis=1), frequency.argmin(axis=1), has.shape[1])
    keys = np.where(counts[combination] >= SMALLEST_STRATUM, combination, len(counts) + rarest)
    _, groups, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    groups[sizes[groups] < _SPLITS] = sizes.argmax()
    return np.asarray(np.unique(groups, return_inverse=True)[1], np.int32)


_WATCHED = ("macro_f1", "micro_f1", "mean_average_precision")


def _mean_over_known(values: tf.Tensor, known: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    count = tf.reduce_sum(tf.cast(known, tf.float32), axis=-1)
    return tf.reduce_sum(tf.where(known, values, tf.zeros_like(values)), axis=-1) / tf.maximum(count, 1.0)


TASK = Multilabel()

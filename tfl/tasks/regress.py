"""One or several numbers: the network gives them in their own units, and learns them in standard deviations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tfl.errors import DataError, listed
from tfl.tasks.base import Examples, FittedConfidence, OneTarget

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
    from numpy.typing import NDArray

    import tfl

HUBER = 1.0
"""Where the loss turns from squares to absolute values, in standard deviations of the training targets (Huber 1964)."""
STRATA, SMALLEST_STRATUM = 10, 10
"""Number of bins of the targets that a split keeps the shares of, at most, and the fewest examples of one."""


@dataclass(frozen=True)
class Regress(OneTarget):
    """One or several numbers. Targets are in their own units; NaN marks one that is missing.

    Args:
        mean, deviation: Of each number over the training examples, in its unit; empty before `fitted`.
    """

    name: ClassVar[str] = "regress"
    output: ClassVar[str] = "values"
    metrics: ClassVar[Mapping[str, bool]] = {"val_mae": False, "val_rmse": False, "val_r2": True, "val_loss": False}
    default_metric: ClassVar[str] = "val_mae"
    step_metric: ClassVar[str] = "scaled_error"
    answers: ClassVar[tuple[str, ...]] = ("lower", "upper")
    fits: ClassVar[tuple[str, ...]] = ("coverage", "mean", "deviation", "half_width", "growth", "low", "high")

    figures: ClassVar[tuple[str, ...]] = ("mae", "rmse", "r2", "median_absolute_error", "spearman")
    each: ClassVar[str] = "per_target"
    columns: ClassVar[tuple[str, ...]] = (*figures, "mean_error", "count")
    words: ClassVar[tuple[str, ...]] = ()
    has_temperature: ClassVar[bool] = False
    truth_prefix: ClassVar[str | None] = "true_"
    output_prefix: ClassVar[str] = "predicted_"

    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    def fitted(self, targets: NDArray[np.float32], names: Sequence[str] = ()) -> Regress:
        """The task with the mean and the standard deviation of the training targets.

        Raises:
            DataError: A number is the same in every training example, or known in fewer than two, or infinite.

        Example:

        >>> import numpy as np
        >>> TASK.fitted(np.array([[2.0], [4.0], [np.nan]]))
        Regress(mean=(3.0,), deviation=(1.0,))
        """
        rows = np.asarray(targets, np.float64)
        called = [str(name) for name in names] or [f"number {column + 1}" for column in range(rows.shape[1])]
        if np.isinf(rows).any():
            raise DataError(
                "A target is infinite.", received=called[int(np.isinf(rows).any(axis=0).argmax())], fix="Correct or remove it."
            )
        same = [name for name, column in zip(called, rows.T, strict=True) if _is_constant(column)]
        if same:
            raise DataError(
                "There is nothing to learn where every training example has the same number, or fewer than two have one.",
                received=listed(same, limit=20),
                fix="Leave these columns out, or add examples with other numbers.",
            )
        mean, deviation = np.nanmean(rows, axis=0), np.nanstd(rows, axis=0)
        return replace(self, mean=tuple(mean.tolist()), deviation=tuple(deviation.tolist()))

    def targets(self, examples: Examples) -> NDArray[np.float32]:
        """The numbers in their own units, `(n, width)`; NaN where one is missing."""
        return np.asarray(examples.targets, np.float32)

    def scaled(self, targets: NDArray[np.float32]) -> NDArray[np.float64]:
        """The numbers in standard deviations from the mean of the training targets."""
        center, scale = self._scale(targets.shape[1])
        return np.asarray((np.asarray(targets, np.float64) - center) / scale)

    def width(self, examples: Examples) -> int:
        """How many numbers are predicted."""
        return len(examples.class_names)

    def output_layers(self, *, name: str | None = None) -> list[keras.layers.Layer]:
        """From standard deviations to the numbers' own units."""
        import keras

        scale: Any = list(self.deviation) if len(self.deviation) > 1 else (*self.deviation, 1.0)[0]
        offset: Any = list(self.mean) if len(self.mean) > 1 else (*self.mean, 0.0)[0]
        return [keras.layers.Rescaling(scale, offset, name=name or self.output, dtype="float32")]

    def loss(
        self, targets: tf.Tensor, logits: tf.Tensor, *, weights: tf.Tensor | None = None, label_smoothing: float = 0.0
    ) -> tf.Tensor:
        """The Huber loss in standard deviations, as the mean over the known numbers of each example, `(n,)`.

        Standardised, numbers of any unit take the same rates and count the same. Within one deviation the loss is a square, which
        settles smoothly; beyond, its gradient is bounded, so that one wrong target cannot decide a step. It is
        `keras.losses.Huber(delta=1)`. `weights` and `label_smoothing` mean nothing for numbers.
        """
        import tensorflow as tf

        errors, known = self._scaled_errors(targets, logits)
        sizes = tf.abs(errors)
        losses = tf.where(sizes <= HUBER, 0.5 * tf.square(errors), HUBER * sizes - 0.5 * HUBER**2)
        return tf.reduce_sum(losses, axis=-1) / _at_least_one(known)

    def step_score(self, targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """The mean absolute error of each example in standard deviations, `(n,)`."""
        import tensorflow as tf

        errors, known = self._scaled_errors(targets, logits)
        return tf.reduce_sum(tf.abs(errors), axis=-1) / _at_least_one(known)

    def balanced_weights(self, targets: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """None: there is nothing to balance."""
        return None

    def validate(self, logits: NDArray[np.float32], targets: NDArray[np.float32]) -> dict[str, float]:
        """The metrics that a monitor can watch: for one number in its unit, for several the mean in standard deviations.

        Example:

        >>> import numpy as np
        >>> truth = np.array([[10.0], [20.0], [30.0]])
        >>> found = TASK.fitted(truth).validate(np.zeros((3, 1)), truth)
        >>> round(found["val_mae"], 2), round(found["val_r2"], 2)
        (6.67, 0.0)
        """
        from tfl.tasks.number_metrics import huber, mean_of_known, number_figures

        values = self.values_of(logits)
        unit = np.ones(1) if targets.shape[1] == 1 else self._scale(targets.shape[1])[1]
        figures = number_figures(values / unit, np.asarray(targets, np.float64) / unit)
        center, scale = self._scale(targets.shape[1])
        losses = huber(np.asarray(logits, np.float64) - (targets - center) / scale, HUBER)
        return {
            "val_loss": mean_of_known(losses, np.isfinite(targets)),
            **{f"val_{name}": _mean_of_numbers(figures[name]) for name in ("mae", "rmse", "r2")},
        }

    def evaluate(
        self, outputs: NDArray[np.float32], targets: NDArray[np.float32], names: Sequence[str], *, seed: int = 0
    ) -> dict[str, Any]:
        """Errors, R² and rank correlation of each number with 95% intervals, and their means."""
        from tfl.tasks.number_metrics import evaluate_numbers

        return evaluate_numbers(outputs, targets, names, deviation=self.deviation or None, seed=seed)

    def counts(self, targets: NDArray[np.float32], names: Sequence[str]) -> dict[str, int]:
        """How many examples have each number."""
        return dict(zip(map(str, names), np.isfinite(targets).sum(axis=0).tolist(), strict=True))

    def sentence(self, metrics: Mapping[str, Any], *, noun: str, nouns: str) -> str:
        """The mean absolute error, and how much of the variance is explained.

        Example:

        >>> TASK.sentence({"mae": 3.21, "r2": 0.8, "unit": "own", "count": 9}, noun="leaf", nouns="leaves")
        'Off by 3.21 on average, and 80.0% of the variance explained, on 9 test leaves.'
        """
        interval, unit = metrics.get("mae_interval"), "" if metrics["unit"] == "own" else " standard deviations"
        spread = f" (95% interval {interval[0]:.4g} to {interval[1]:.4g})" if interval else ""
        explained = "" if metrics["r2"] is None else f", and {max(0.0, metrics['r2']):.1%} of the variance explained,"
        return f"Off by {metrics['mae']:.4g}{unit} on average{spread}{explained} on {metrics['count']} test {nouns}."

    def word_cells(
        self,
        names: Sequence[str],
        outputs: NDArray[np.floating],
        targets: NDArray[np.floating],
        answers: Mapping[str, NDArray[Any]] | None = None,
    ) -> list[tuple[str, ...]]:
        """None: numbers have columns of their own."""
        return [()] * len(outputs)

    def summary(self, examples: Examples) -> str:
        """The name of each number with its range."""
        rows = self.targets(examples)
        ranges = [
            f"{name} ({np.nanmin(column):.4g} to {np.nanmax(column):.4g})" if np.isfinite(column).any() else f"{name} (none)"
            for name, column in zip(examples.class_names, rows.T, strict=True)
        ]
        return f" with {listed(ranges, limit=5)}"

    def strata(self, examples: Examples) -> NDArray[np.int32]:
        """Bins of the numbers with the same count each; of several numbers, bins of their first principal component.

        Example:

        >>> import numpy as np
        >>> from tfl.data.examples import Examples
        >>> numbers = Examples(class_names=("age",), targets=np.arange(30.0), contents=np.array([b"..."] * 30))
        >>> np.bincount(TASK.strata(numbers)).tolist()
        [10, 10, 10]
        """
        rows = self.targets(examples).astype(np.float64)
        bins = min(STRATA, len(rows) // SMALLEST_STRATUM)
        if bins < 2:
            return np.zeros(len(rows), np.int32)
        ordered = np.sort(_one_number(rows))
        edges = np.unique(ordered[[len(rows) * part // bins for part in range(1, bins)]])
        found = np.searchsorted(edges, _one_number(rows), side="right")
        return np.asarray(np.unique(found, return_inverse=True)[1], np.int32)

    def fit_confidence(
        self, settings: tfl.Calibration, logits: NDArray[np.floating], targets: NDArray[np.float32]
    ) -> FittedConfidence:
        """Conformal intervals; see `tfl.tasks.number_confidence`."""
        from tfl.tasks.number_confidence import fit_intervals

        center, scale = self._scale(targets.shape[1])
        return fit_intervals(logits, targets, mean=center, deviation=scale, coverage=settings.coverage)

    def measure_confidence(
        self, values: Mapping[str, Any], logits: NDArray[np.floating], targets: NDArray[np.float32]
    ) -> dict[str, dict[str, Any]]:
        """How often the intervals hold the truth, and how wide they are."""
        from tfl.tasks.number_confidence import measure_intervals

        return measure_intervals(values, logits, targets)

    def answer(self, values: Mapping[str, Any], logits: NDArray[np.floating]) -> dict[str, NDArray[Any]]:
        """`lower` and `upper`, float32 in the numbers' own units."""
        from tfl.tasks.number_confidence import answer_intervals

        return answer_intervals(values, logits)

    def answer_tensors(self, values: Mapping[str, Any], logits: Any, *, prefix: str = "") -> dict[str, Any]:
        """The same from symbolic logits."""
        from tfl.tasks.number_confidence import interval_tensors

        return interval_tensors(values, logits)

    def values_of(self, logits: NDArray[np.floating]) -> NDArray[np.float64]:
        """Logits in the numbers' own units, as the output layer gives them."""
        center, scale = self._scale(logits.shape[1])
        return np.asarray(np.asarray(logits, np.float64) * scale + center)

    def _scale(self, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.array(self.mean or (0.0,) * width), np.array(self.deviation or (1.0,) * width)

    def _scaled_errors(self, targets: tf.Tensor, logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Predicted minus true in standard deviations, 0 where a target is missing; and which are known."""
        import tensorflow as tf

        center, scale = (tf.constant(part, tf.float32) for part in self._scale(targets.shape[-1]))
        known = tf.math.is_finite(targets)
        filled = tf.where(known, targets, tf.zeros_like(targets))
        return tf.where(known, logits - (filled - center) / scale, tf.zeros_like(logits)), known


def _at_least_one(known: tf.Tensor) -> tf.Tensor:
    import tensorflow as tf

    return tf.maximum(tf.reduce_sum(tf.cast(known, tf.float32), axis=-1), 1.0)


def _mean_of_numbers(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else 0.0


def _is_constant(column: NDArray[np.float64]) -> bool:
    known = column[np.isfinite(column)]
    return len(known) < 2 or bool(known.std() <= 1e-7 * max(1e-30, float(np.abs(known).max())))


def _one_number(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """One number per example that orders the examples by their targets; a missing target counts as the mean."""
    rows = rows[:, np.isfinite(rows).any(axis=0)]
    if not rows.shape[1]:
        return np.zeros(len(rows))
    scaled = np.nan_to_num(rows - np.nanmean(rows, axis=0)) / np.maximum(np.nanstd(rows, axis=0), 1e-30)
    if rows.shape[1] == 1:
        return scaled[:, 0]
    return np.asarray(scaled @ np.linalg.svd(scaled, full_matrices=False)[2][0])


TASK = Regress()

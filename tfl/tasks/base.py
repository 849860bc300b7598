"""What every task answers, and how the task of a recipe is found. No TensorFlow is imported here.

A task knows what is predicted: the targets of examples, the outputs of the head, the loss, the metrics and what *best* means. The
training loop, the evaluation, the exports and the report ask the task, and know no class and no number themselves.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf
    from numpy.typing import NDArray

Examples = Any
"""A `tfl.data.examples.Examples`: `labels`, `targets` and `class_names` are read."""


class Task(Protocol):
    """What is predicted.

    `logits` are what the head's last Dense layer gives, `(n, width)`; `outputs` are what the network gives, after the task's
    output layer. `targets` are float32 `(n, width)`: one-hot classes, zeros and ones per label, or numbers in their own unit; NaN
    marks a target that is missing.

    Attributes:
        name: As in `Recipe.task`.
        output: Name of the network's main output in exports: `probabilities` or `values`.
        metrics: Every metric that a monitor can watch, such as `val_accuracy`, with whether a higher value is better.
        default_metric: What is watched where the recipe does not say.
        step_metric: Name of the metric that training reports for each epoch, such as `accuracy`.
    """

    name: ClassVar[str]
    output: ClassVar[str]
    metrics: ClassVar[Mapping[str, bool]]
    default_metric: ClassVar[str]
    step_metric: ClassVar[str]

    def fitted(self, targets: NDArray[np.float32]) -> Task:
        """The task with what it takes from the training targets, such as their mean and standard deviation."""

    def targets(self, examples: Examples) -> NDArray[np.float32]:
        """The targets of all examples, `(n, width)`."""

    def width(self, examples: Examples) -> int:
        """How many outputs the head has."""

    def output_layers(self) -> list[keras.layers.Layer]:
        """The layers from logits to outputs, in float32 under every dtype policy; the last has the name of `output`."""

    def loss(self, targets: tf.Tensor, logits: tf.Tensor, *, label_smoothing: float = 0.0) -> tf.Tensor:
        """The loss of each example, `(n,)`, as TensorFlow operations."""

    def step_score(self, targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """The step metric of each example, `(n,)`, as TensorFlow operations."""

    def example_weights(self, targets: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """The weight of each example's loss, `(n,)`, from the weights of the outputs, `(width,)`."""

    def balanced_weights(self, targets: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """The weight of each output for `class_weight="balanced"`; None where balancing means nothing."""

    def validate(self, logits: NDArray[np.float32], targets: NDArray[np.float32]) -> dict[str, float]:
        """Every metric of `metrics` on the validation split."""

    def evaluate(
        self, outputs: NDArray[np.float32], targets: NDArray[np.float32], names: Sequence[str], *, seed: int = 0
    ) -> dict[str, Any]:
        """The metrics of one split as `metrics.json` holds them, with intervals."""

    def summary(self, examples: Examples) -> str:
        """What is predicted, as the end of a phrase such as ` of 3 classes`."""

    def strata(self, examples: Examples) -> NDArray[np.int32]:
        """A group number per example; a split keeps the shares of the groups."""


NAMES = ("classify", "multilabel", "regress")


def task_of(name: str) -> Task:
    """The task of that name; its module is imported when it is first asked for.

    Example:

    >>> from tfl.tasks.base import task_of
    >>> task_of("classify").default_metric
    'val_accuracy'
    """
    module: Any = importlib.import_module(f"tfl.tasks.{name}")
    found: Task = module.TASK
    return found

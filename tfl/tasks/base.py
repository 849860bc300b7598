"""What every task answers, and how the task of a recipe is found. No TensorFlow is imported here.

A task knows what is predicted: the targets of examples, the outputs of the head, the loss, the metrics and what *best* means. The
training loop, the evaluation, the exports and the report ask the task, and know no class and no number themselves.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

from tfl.errors import TflError
from tfl.recipe import METRICS, Recipe

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf
    from numpy.typing import NDArray

    import tfl
    from tfl.runs import Run

Examples = Any
"""A `tfl.data.examples.Examples`: `labels`, `targets` and `class_names` are read."""


@dataclass(frozen=True)
class FittedConfidence:
    """What a task fitted on the validation split, as plain data.

    Args:
        values: What decides the answers, such as `temperature`: numbers, and lists of numbers with one for each output.
        figures: What is told of it, by part, such as `temperature` or `sets`; each part has a `note`, empty where there is
            nothing to warn of.
    """

    values: Mapping[str, Any]
    figures: Mapping[str, Mapping[str, Any]]


class Task(Protocol):
    """What is predicted.

    `logits` are what the head's last Dense layer gives, `(n, width)`; `outputs` are what the network gives, after the task's
    output layer. `targets` are float32 `(n, width)`: one-hot classes, zeros and ones per label, or numbers in their own unit; NaN
    marks a target that is missing. Of `detect` all three have shapes of their own, see `tfl.tasks.detect`.

    Attributes:
        name: As in `Recipe.task`.
        output: Name of the network's main output in exports: `probabilities` or `values`.
        metrics: Every metric that a monitor can watch, such as `val_accuracy`, with whether a higher value is better.
        default_metric: What is watched where the recipe does not say.
        step_metric: Name of the metric that training reports for each epoch, such as `accuracy`.
        answers: Names of the further outputs that a fitted confidence gives.
        fits: Names of the values that `fit_confidence` fits.
        figures: Names of the figures of `evaluate` that tables show, the most important first.
        each: Which part of `evaluate` has a row for each output, such as `per_class`.
        columns: Names of the figures in such a row.
        words: Columns of `predictions.csv` that say in words what was true and what was predicted.
        shows: What the report shows of the test examples: `examples`, `boxes` drawn into them, or nothing, an empty string.
        has_temperature: Whether dividing the logits by a number leaves what is predicted as it is.
        truth_prefix, output_prefix: What the columns of `predictions.csv` with targets and outputs begin with; targets have no
            columns where the first of `words` names the one that is true.
    """

    name: ClassVar[str]
    output: ClassVar[str]
    default_metric: ClassVar[str]
    step_metric: ClassVar[str]
    each: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]
    words: ClassVar[tuple[str, ...]]
    shows: ClassVar[str]
    has_temperature: ClassVar[bool]
    truth_prefix: ClassVar[str | None]
    output_prefix: ClassVar[str]

    @property
    def metrics(self) -> Mapping[str, bool]: ...

    @property
    def answers(self) -> tuple[str, ...]: ...

    @property
    def fits(self) -> tuple[str, ...]: ...

    @property
    def figures(self) -> tuple[str, ...]: ...

    @property
    def main_outputs(self) -> tuple[str, ...]:
        """The names of the outputs of exports that answer; the others say how sure that is."""

    @property
    def compared_outputs(self) -> tuple[str, ...]:
        """Those of them by which weights of fewer bits are chosen."""

    def fitted(self, targets: NDArray[np.float32], names: Sequence[str] = ()) -> Task:
        """The task with what it takes from the training targets, such as their mean and standard deviation.

        Args:
            targets: `(n, width)`, of the training split.
            names: Names of the outputs, for messages.

        Raises:
            DataError: Nothing can be learnt from these targets.
        """

    def targets(self, examples: Examples) -> NDArray[np.float32]:
        """The targets of all examples, `(n, width)`."""

    def scaled(self, targets: NDArray[np.float32]) -> NDArray[np.float64]:
        """Targets in the scale of the logits, as a linear head is fitted to them."""

    def width(self, examples: Examples) -> int:
        """How many outputs the head has."""

    def output_width(self, names: int) -> int:
        """The size of the last axis of the outputs, where they have so many `names`."""

    def target_width(self, outputs: int) -> int:
        """How many numbers a row of targets has, where the network's last axis has so many `outputs`."""

    def outputs_of(self, logits: Any, *, name: str | None = None) -> Any:
        """The outputs, from symbolic logits or a tensor, in float32 under every policy; the last layer is called `name`, which is
        `output` by default."""

    def logits_of(self, model: keras.Model) -> Any:
        """The symbolic logits of a network whose last layers `outputs_of` made."""

    def bound_to(self, model: keras.Model) -> Task:
        """The task as a network trains it: with the variables of its loss that the network holds, where it has any."""

    def without_training(self, model: keras.Model) -> keras.Model:
        """The network without layers that only training needs."""

    def named(self, outputs: Any) -> dict[str, Any]:
        """The outputs by name, as exports give them, from all of them side by side."""

    def loss(
        self, targets: tf.Tensor, logits: tf.Tensor, *, weights: tf.Tensor | None = None, label_smoothing: float = 0.0
    ) -> tf.Tensor:
        """The loss of each example, `(n,)`, as TensorFlow operations; a missing target has no part in it.

        Args:
            targets: `(n, width)`.
            logits: `(n, width)` float32.
            weights: `(width,)`, of `balanced_weights`; None, or ones, weigh nothing.
            label_smoothing: Share of each training label that is spread over the others.
        """

    def step_score(self, targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """The step metric of each example, `(n,)`, as TensorFlow operations."""

    def balanced_weights(self, targets: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """The weight of each output for `class_weight="balanced"`; None where balancing means nothing."""

    def validate(self, logits: NDArray[np.float32], targets: NDArray[np.float32]) -> dict[str, float]:
        """Every metric of `metrics` on the validation split."""

    def evaluate(
        self, outputs: NDArray[np.float32], targets: NDArray[np.float32], names: Sequence[str], *, seed: int = 0
    ) -> dict[str, Any]:
        """The metrics of one split as `metrics.json` holds them, with intervals."""

    def counts(self, targets: NDArray[np.float32], names: Sequence[str]) -> dict[str, int]:
        """How many examples each class, label or number has, by name."""

    def sentence(self, metrics: Mapping[str, Any], *, noun: str, nouns: str) -> str:
        """The result on the test split, as a sentence.

        Args:
            metrics: Of `evaluate`.
            noun, nouns: What one example is called, and several.
        """

    def word_cells(
        self,
        names: Sequence[str],
        outputs: NDArray[np.floating],
        targets: NDArray[np.floating],
        answers: Mapping[str, NDArray[Any]] | None = None,
    ) -> list[tuple[str, ...]]:
        """The cells of `words` for each example."""

    def summary(self, examples: Examples) -> str:
        """What is predicted, as the end of a phrase such as ` of 3 classes`."""

    def strata(self, examples: Examples) -> NDArray[np.int32]:
        """A group number per example; a split keeps the shares of the groups."""

    def fit_confidence(
        self, settings: tfl.Calibration, logits: NDArray[np.floating], targets: NDArray[np.float32]
    ) -> FittedConfidence:
        """What makes calibrated answers and their uncertainty, fitted on the validation split.

        Args:
            settings: The recipe's.
            logits: `(n, width)`, of examples that the network did not learn from.
            targets: `(n, width)`, theirs.
        """

    def measure_confidence(
        self, values: Mapping[str, Any], logits: NDArray[np.floating], targets: NDArray[np.float32]
    ) -> dict[str, dict[str, Any]]:
        """How what was fitted, the `values`, does on other examples: figures by the same parts as `FittedConfidence.figures`."""

    def answer(self, values: Mapping[str, Any], logits: NDArray[np.floating]) -> dict[str, NDArray[Any]]:
        """The outputs named in `answers`, each `(n, width)`, computed by NumPy."""

    def answer_tensors(self, values: Mapping[str, Any], logits: Any, *, prefix: str = "") -> dict[str, Any]:
        """The same from symbolic logits, by stock Keras layers and operations in float32; `prefix` begins the layers' names."""


class OneTarget:
    """What every task of one target has: outputs that are its logits through some layers, one behind the other."""

    output: ClassVar[str]
    shows: ClassVar[str] = "examples"
    has_temperature: ClassVar[bool] = True

    @property
    def main_outputs(self) -> tuple[str, ...]:
        """The one output."""
        return (self.output,)

    @property
    def compared_outputs(self) -> tuple[str, ...]:
        """The main ones."""
        return self.main_outputs

    def output_layers(self, *, name: str | None = None) -> list[keras.layers.Layer]:
        """The layers from logits to outputs; the last has that name, which is `output` by default."""
        raise NotImplementedError

    def output_width(self, names: int) -> int:
        """An output for each name."""
        return names

    def target_width(self, outputs: int) -> int:
        """A target for each output."""
        return outputs

    def outputs_of(self, logits: Any, *, name: str | None = None) -> Any:
        """The outputs, from symbolic logits or a tensor."""
        found = logits
        for layer in self.output_layers(name=name):
            found = layer(found)
        return found

    def logits_of(self, model: keras.Model) -> Any:
        """The symbolic logits of a network whose last layers `outputs_of` made."""
        logits = model.outputs[0]
        for _ in self.output_layers():
            operation, node, _ = logits._keras_history
            logits = operation._inbound_nodes[node].input_tensors[0]
        return logits

    def bound_to(self, model: keras.Model) -> Self:
        """The task itself: its loss has no variables."""
        return self

    def without_training(self, model: keras.Model) -> keras.Model:
        """The network itself."""
        return model

    def named(self, outputs: Any) -> dict[str, Any]:
        """The outputs by their one name."""
        return {self.output: outputs}


class WithoutConfidence:
    """What a task has whose answers are not calibrated.

    Attributes:
        uncalibrated: Why not, as a sentence.
    """

    answers: ClassVar[tuple[str, ...]] = ()
    fits: ClassVar[tuple[str, ...]] = ()
    uncalibrated: ClassVar[str]

    def fit_confidence(
        self, settings: tfl.Calibration, logits: NDArray[np.floating], targets: NDArray[np.float32]
    ) -> FittedConfidence:
        """There is nothing to calibrate.

        Raises:
            TflError: Always.
        """
        raise TflError(self.uncalibrated, fix="Say confidence=None in the recipe.")

    def measure_confidence(
        self, values: Mapping[str, Any], logits: NDArray[np.floating], targets: NDArray[np.float32]
    ) -> dict[str, dict[str, Any]]:
        """Nothing was fitted."""
        return {}

    def answer(self, values: Mapping[str, Any], logits: NDArray[np.floating]) -> dict[str, NDArray[Any]]:
        """Nothing was fitted."""
        return {}

    def answer_tensors(self, values: Mapping[str, Any], logits: Any, *, prefix: str = "") -> dict[str, Any]:
        """Nothing was fitted."""
        return {}


NAMES = tuple(METRICS)


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


def task_for(recipe: Recipe, class_names: Sequence[str]) -> Task:
    """The task of a recipe, with the layout of its outputs where there are several targets.

    Args:
        recipe: The recipe.
        class_names: The name of each output.

    Example:

    >>> import tfl
    >>> from tfl.tasks.base import task_for
    >>> data = tfl.Data("plants.csv", targets={"species": "class", "height": "number"})
    >>> recipe = tfl.Recipe(name="plants", data=data, backbone=tfl.Backbone("mini"))
    >>> [part.target for part in task_for(recipe, ["species=fern", "species=moss", "height"])]
    ['species', 'height']
    """
    if not recipe.data.targets:
        return task_of(recipe.task)
    from tfl.tasks.heads import Heads

    return Heads.of_data(recipe.data, class_names, loss_weights=recipe.head.loss_weights)


def task_of_run(run: Run) -> Task:
    """The task of a run; of one that ended before its data were read, without the layout of several targets.

    Args:
        run: `Run`, finished or not.
    """
    known = (run.manifest.get("data") or {}).get("class_names")
    return task_for(run.recipe, run.class_names) if known else task_of(run.recipe.task)

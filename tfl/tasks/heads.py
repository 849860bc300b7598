"""Several targets at once: one head for each, with the outputs and the loss of its own task.

The targets lie side by side in one array, `(n, width)`: the columns of the first target, then those of the second, and so on.
Each part of it is handed to the task of one target (`classify`, `multilabel` or `regress`). Missing targets are NaN, and have no
part in the loss and in the metrics.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tfl.errors import DataError, RecipeError, listed
from tfl.recipe import HEADS, METRICS, TASK_OF_KIND, Data, Recipe
from tfl.tasks.base import Examples, FittedConfidence, Task, task_of
from tfl.tasks.multilabel import strata_of

if TYPE_CHECKING:
    import keras
    import tensorflow as tf
    from numpy.typing import NDArray

    import tfl

LOSS_WEIGHTS = "loss_weights"
"""Name of the layer that holds the trained weights of the losses."""
BINS = 3
"""Parts of the range of a number that a split keeps the shares of."""
_LOGITS = "logits"


@dataclass(frozen=True, kw_only=True)
class Part:
    """One of several targets.

    Args:
        target: Its name.
        task: What is predicted of it.
        start, stop: Its columns.
        names: Of its outputs, such as its classes.
    """

    target: str
    task: Task
    start: int
    stop: int
    names: tuple[str, ...]

    def of(self, table: Any) -> Any:
        """Its columns of an array or a tensor `(n, width)`."""
        return table[:, self.start : self.stop]

    def known(self, targets: NDArray[np.floating]) -> NDArray[np.bool_]:
        """`(n,)`, which examples have it, from the targets of all, `(n, width)`."""
        return np.asarray(np.isfinite(self.of(targets)).any(axis=1))


@dataclass(frozen=True)
class Heads:
    """Several targets.

    Args:
        parts: One for each target, in the order of their columns.
        weights: What the loss of each counts; empty for 1 each.
        uncertainty: Whether training learns that.
        log_variances: The trained numbers of `LossWeights`, `(targets,)`, where the task belongs to a network that has them.
    """

    name: ClassVar[str] = HEADS
    output: ClassVar[str] = "outputs"
    default_metric: ClassVar[str] = "val_loss"
    step_metric: ClassVar[str] = "sum_of_losses"
    each: ClassVar[str] = "targets"
    columns: ClassVar[tuple[str, ...]] = ()
    words: ClassVar[tuple[str, ...]] = ("known",)
    shows: ClassVar[str] = "examples"
    has_temperature: ClassVar[bool] = False
    truth_prefix: ClassVar[str | None] = None
    output_prefix: ClassVar[str] = ""

    parts: tuple[Part, ...] = ()
    weights: tuple[float, ...] = ()
    uncertainty: bool = False
    log_variances: Any = dataclasses.field(default=None, compare=False, repr=False)

    @classmethod
    def of(
        cls, kinds: Mapping[str, str], class_names: Sequence[str], *, loss_weights: str | Mapping[str, float] | None = None
    ) -> Heads:
        """The task of these targets.

        Args:
            kinds: `class`, `labels` or `number`, by target.
            class_names: The name of each column, as `tfl.data.head_targets` makes it: `target=name` of a class or a label, and
                `target` of a number; the columns of one target next to each other.
            loss_weights: As `Head.loss_weights`. Defaults to 1 for each.

        Raises:
            DataError: A target has no column.

        Example:

        >>> from tfl.tasks.heads import Heads
        >>> task = Heads.of({"kind": "class", "size": "number"}, ["kind=ant", "kind=bee", "size"])
        >>> [(part.target, part.task.name, part.names) for part in task.parts]
        [('kind', 'classify', ('ant', 'bee')), ('size', 'regress', ('size',))]
        """
        parts = []
        for target, kind in kinds.items():
            at = [place for place, name in enumerate(class_names) if name.partition("=")[0] == target]
            if not at or at != list(range(at[0], at[-1] + 1)):
                raise DataError(f"The target `{target}` has no outputs.", received=listed(list(class_names)))
            names = tuple(class_names[place].partition("=")[2] or target for place in at)
            parts.append(Part(target=target, task=task_of(TASK_OF_KIND[kind]), start=at[0], stop=at[-1] + 1, names=names))
        learnt = loss_weights == "uncertainty"
        given: Mapping[str, float] = {} if isinstance(loss_weights, str) or loss_weights is None else loss_weights
        return cls(tuple(parts), () if learnt else tuple(float(given.get(part.target, 1.0)) for part in parts), learnt)

    @classmethod
    def of_data(cls, data: Data, class_names: Sequence[str], *, loss_weights: str | Mapping[str, float] | None = None) -> Heads:
        """The task of the targets of `data`; see `of`."""
        return cls.of({name: one.kind for name, one in data.targets.items()}, class_names, loss_weights=loss_weights)

    @property
    def kinds(self) -> dict[str, str]:
        """`class`, `labels` or `number`, by target."""
        kind_of = {task: kind for kind, task in TASK_OF_KIND.items()}
        return {part.target: kind_of[part.task.name] for part in self.parts}  # type: ignore[index]

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each column."""
        return tuple(name for part in self.parts for name in _column_names(part))

    @property
    def metrics(self) -> dict[str, bool]:
        """`val_loss`, and the metrics of each target with its name in them."""
        of_each = {
            f"val_{part.target}_{name.removeprefix('val_')}": higher
            for part in self.parts
            for name, higher in part.task.metrics.items()
        }
        return {**dict.fromkeys(METRICS[HEADS], False), **of_each}

    @property
    def answers(self) -> tuple[str, ...]:
        """The further outputs of each target, such as `disease_prediction_set`."""
        return tuple(f"{part.target}_{name}" for part in self.parts for name in part.task.answers)

    @property
    def fits(self) -> tuple[str, ...]:
        """What is fitted of each target, such as `disease.temperature`."""
        return tuple(f"{part.target}.{name}" for part in self.parts for name in part.task.fits)

    @property
    def figures(self) -> tuple[str, ...]:
        """The first figure of each target, such as `disease_accuracy`."""
        return tuple(f"{part.target}_{part.task.figures[0]}" for part in self.parts)

    @property
    def main_outputs(self) -> tuple[str, ...]:
        """One of each target, by its name."""
        return tuple(part.target for part in self.parts)

    @property
    def compared_outputs(self) -> tuple[str, ...]:
        """The main ones."""
        return self.main_outputs

    def fitted(self, targets: NDArray[np.float32], names: Sequence[str] = ()) -> Heads:
        """The task with what each of its tasks takes from the training targets.

        Raises:
            DataError: Nothing can be learnt of a target: no training example has it, or one of its classes.
        """
        return self._with(lambda part: _fitted(part, targets))

    def check_held_out(self, targets: Mapping[str, NDArray[np.float32]]) -> None:
        """Makes sure that every target can be validated and tested.

        Args:
            targets: By split, `(n, width)`.

        Raises:
            DataError: No example of a split has a target.
        """
        absent = [f"{part.target} in {split}" for split, rows in targets.items() for part in self if not part.known(rows).any()]
        if absent:
            raise DataError(
                "A target can be validated and tested only on examples that have it, and a split has none.",
                received=listed(absent),
                fix="Add examples that have it, raise `data.validation` and `data.test`, or set another `data.split_seed`.",
            )

    def targets(self, examples: Examples) -> NDArray[np.float32]:
        """The targets of all examples, side by side, `(n, width)`; NaN where one is missing."""
        return np.asarray(examples.targets, np.float32)

    def scaled(self, targets: NDArray[np.float32]) -> NDArray[np.float64]:
        """The targets in the scale of the logits."""
        return np.concatenate([part.task.scaled(part.of(targets)) for part in self.parts], axis=1)

    def width(self, examples: Examples) -> int:
        """How many columns there are."""
        return len(examples.class_names)

    def outputs_of(self, logits: Any, *, name: str | None = None) -> Any:
        """The outputs of each target, side by side as `outputs`, from symbolic logits or a tensor."""
        import keras

        made = [part.task.outputs_of(part.of(logits), name=f"{part.target}_output") for part in self.parts]
        return keras.layers.Concatenate(name=name or self.output, dtype="float32")(made)

    def logits_of(self, model: keras.Model) -> Any:
        """The symbolic logits of a network whose last layers `outputs_of` made, behind the trained weights of the losses."""
        tensor = model.outputs[0]
        while (history := tensor._keras_history).operation.name not in (_LOGITS, LOSS_WEIGHTS):
            tensor = history.operation._inbound_nodes[history.node_index].input_tensors[0]
        return tensor

    def output_width(self, names: int) -> int:
        """An output for each name."""
        return names

    def target_width(self, outputs: int) -> int:
        """A target for each output."""
        return outputs

    def bound_to(self, model: keras.Model) -> Heads:
        """The task with the trained weights of the losses that a network holds; as it is where it has none."""
        layer = next((layer for layer in model.layers if layer.name == LOSS_WEIGHTS), None)
        return self if layer is None else dataclasses.replace(self, log_variances=layer.log_variances)

    def without_training(self, model: keras.Model) -> keras.Model:
        """The network without the layer that holds the weights of the losses, which only training needs."""
        if all(layer.name != LOSS_WEIGHTS for layer in model.layers):
            return model
        import keras

        from tfl.backbones.flat import name_from_one
        from tfl.backbones.inputs import inputs_of

        logits = model.get_layer(_LOGITS).output
        bare = keras.Model(inputs_of(model), self.outputs_of(logits), name=model.name)
        name_from_one(bare)
        return bare

    def named(self, outputs: Any) -> dict[str, Any]:
        """The output of each target by its name."""
        return {part.target: part.of(outputs) for part in self.parts}

    def learnt_weights(self) -> dict[str, float]:
        """What the loss of each target came to count, `exp(-s)`; empty where that was not learnt."""
        if self.log_variances is None:
            return {}
        import keras

        learnt = np.exp(-np.asarray(keras.ops.convert_to_numpy(self.log_variances), np.float64))
        return {part.target: float(value) for part, value in zip(self.parts, learnt, strict=True)}

    def loss(
        self, targets: tf.Tensor, logits: tf.Tensor, *, weights: tf.Tensor | None = None, label_smoothing: float = 0.0
    ) -> tf.Tensor:
        """The sum of the losses of the known targets of each example, each times its weight, `(n,)`.

        With `uncertainty` it is the sum of `exp(-s) * loss + s / 2` over the known targets, with `s` the logarithm of the
        variance of a target, which is trained with the network: section 3 of Kendall, Gal and Cipolla 2018, *Multi-Task Learning
        Using Uncertainty to Weigh Losses for Scene Geometry and Semantics*. The loss of a number is half a square there as here,
        so that all have one formula. A target that is hard to predict gets a larger variance and counts less.
        """
        import tensorflow as tf

        found = self._losses(targets, logits, weights=weights, label_smoothing=label_smoothing)
        if self.log_variances is not None:
            known = tf.stack([tf.cast(one, tf.float32) for _, one in found], axis=-1)
            scales = tf.cast(tf.convert_to_tensor(self.log_variances), tf.float32)
            each = tf.stack([losses for losses, _ in found], axis=-1)
            return tf.reduce_sum(tf.exp(-scales) * each + 0.5 * scales * known, axis=-1)
        return tf.add_n([weight * losses for weight, (losses, _) in zip(self._fixed, found, strict=True)])

    def step_score(self, targets: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """The sum of the losses of each example without their weights, `(n,)`."""
        import tensorflow as tf

        return tf.add_n([losses for losses, _ in self._losses(targets, logits)])

    def _losses(
        self, targets: tf.Tensor, logits: tf.Tensor, *, weights: tf.Tensor | None = None, label_smoothing: float = 0.0
    ) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """The loss of each target, `(n,)`, 0 where it is missing, and where it is known."""
        import tensorflow as tf

        found = []
        for part in self.parts:
            own = part.of(targets)
            known = tf.reduce_any(tf.math.is_finite(own), axis=-1)
            if part.task.name == "classify":  # the other tasks leave out missing targets themselves
                own = tf.where(tf.math.is_finite(own), own, tf.zeros_like(own))
            weighed = None if weights is None or part.task.name == "regress" else weights[part.start : part.stop]
            losses = part.task.loss(own, part.of(logits), weights=weighed, label_smoothing=label_smoothing)
            found.append((tf.where(known, losses, tf.zeros_like(losses)), known))
        return found

    @property
    def _fixed(self) -> tuple[float, ...]:
        return self.weights or (1.0,) * len(self.parts)

    def balanced_weights(self, targets: NDArray[np.float32]) -> NDArray[np.float64] | None:
        """The weights of the classes and labels of each target; 1 for numbers."""
        rows = []
        for part in self.parts:
            found = part.task.balanced_weights(part.of(targets)[part.known(targets)])
            rows.append(np.ones(part.stop - part.start) if found is None else found)
        return np.concatenate(rows)

    def validate(self, logits: NDArray[np.float32], targets: NDArray[np.float32]) -> dict[str, float]:
        """`val_loss`, the sum of the validation losses of the targets by their fixed weights, and the metrics of each.

        A target that none of the examples has is left out of the sum.

        Example:

        >>> import numpy as np
        >>> from tfl.tasks.heads import Heads
        >>> task = Heads.of({"kind": "class", "size": "number"}, ["kind=ant", "kind=bee", "size"])
        >>> found = task.validate(np.array([[9.0, 0.0, 1.0]] * 2), np.array([[1.0, 0.0, 1.0], [np.nan, np.nan, 1.0]]))
        >>> found["val_kind_accuracy"], found["val_size_mae"]
        (1.0, 0.0)
        """
        found: dict[str, float] = {"val_loss": 0.0}
        for weight, part in zip(self._fixed, self.parts, strict=True):
            known = part.known(targets)
            own = part.task.validate(part.of(logits)[known], part.of(targets)[known]) if known.any() else {}
            found["val_loss"] += weight * own.get("val_loss", 0.0)
            found |= {f"val_{part.target}_{name.removeprefix('val_')}": own.get(name, float("nan")) for name in part.task.metrics}
        return found

    def evaluate(
        self, outputs: NDArray[np.float32], targets: NDArray[np.float32], names: Sequence[str], *, seed: int = 0
    ) -> dict[str, Any]:
        """The metrics of each target on the examples that have it, under `targets`; its first figure with the name of the target.

        Raises:
            DataError: No example has a target.
        """
        document: dict[str, Any] = {"count": len(outputs), "targets": {}}
        for part in self.parts:
            known = part.known(targets)
            if not known.any():
                raise DataError(
                    f"The target `{part.target}` cannot be evaluated: no example of this split has it.",
                    received=f"{len(outputs)} examples",
                    fix="Add targets there, or leave the split open for tfl to draw, with larger shares or another split_seed.",
                )
            own = part.task.evaluate(part.of(outputs)[known], part.of(targets)[known], part.names, seed=seed)
            first = part.task.figures[0]
            document |= {f"{part.target}_{first}": own[first], f"{part.target}_{first}_interval": own.get(f"{first}_interval")}
            document["targets"][part.target] = {"task": part.task.name, **own}
        return document

    def counts(self, targets: NDArray[np.float32], names: Sequence[str]) -> dict[str, int]:
        """How many examples each class, label or number has."""
        found: dict[str, int] = {}
        for part in self.parts:
            own = part.task.counts(part.of(targets)[part.known(targets)], part.names)
            found |= dict(zip(_column_names(part), own.values(), strict=True))
        return found

    def sentence(self, metrics: Mapping[str, Any], *, noun: str, nouns: str) -> str:
        """The sentence of each target."""
        rows = (metrics.get("targets") or {}).items()
        return " ".join(f"{name}: {task_of(row['task']).sentence(row, noun=noun, nouns=nouns)}" for name, row in rows)

    def word_cells(
        self,
        names: Sequence[str],
        outputs: NDArray[np.floating],
        targets: NDArray[np.floating],
        answers: Mapping[str, NDArray[Any]] | None = None,
    ) -> list[tuple[str, ...]]:
        """Which targets of each example are known, separated by `;`."""
        there = [part.known(targets) for part in self.parts]
        return [
            (";".join(part.target for part, known in zip(self.parts, there, strict=True) if known[at]),)
            for at in range(len(outputs))
        ]

    def summary(self, examples: Examples) -> str:
        """The targets, and how many examples have each."""
        targets = self.targets(examples)
        said = [f"{part.target} ({int(part.known(targets).sum())})" for part in self.parts]
        return f" with {len(self.parts)} targets: {', '.join(said)}"

    def strata(self, examples: Examples) -> NDArray[np.int32]:
        """Groups by the classes and labels of all targets, by thirds of each number, and by which targets are missing.

        A rare combination gives way to the rarest of what makes it, as of several labels.
        """
        targets = self.targets(examples)
        columns = [np.asarray(~part.known(targets))[:, None] for part in self.parts]
        for part in self.parts:
            own = part.of(targets)
            columns.append(_thirds(own[:, 0]) if part.task.name == "regress" else own > 0.5)
        has = np.concatenate(columns, axis=1)
        return strata_of(has[:, has.any(axis=0)])

    def fit_confidence(
        self, settings: tfl.Calibration, logits: NDArray[np.floating], targets: NDArray[np.float32]
    ) -> FittedConfidence:
        """What each task fits on the validation examples that have its target."""
        values: dict[str, Any] = {}
        figures: dict[str, Any] = {}
        for part in self.parts:
            known = part.known(targets)
            if not known.any():
                raise DataError(
                    f"The target `{part.target}` cannot be calibrated: no validation example has it.",
                    fix="Add targets there, or set confidence=None.",
                )
            found = part.task.fit_confidence(settings, part.of(logits)[known], part.of(targets)[known])
            values |= {f"{part.target}.{name}": value for name, value in found.values.items()}
            figures |= {f"{part.target}.{name}": value for name, value in found.figures.items()}
        return FittedConfidence(values, figures)

    def measure_confidence(
        self, values: Mapping[str, Any], logits: NDArray[np.floating], targets: NDArray[np.float32]
    ) -> dict[str, dict[str, Any]]:
        """How what was fitted of each target does on the examples that have it."""
        figures: dict[str, dict[str, Any]] = {}
        for part in self.parts:
            known = part.known(targets)
            own = part.task.measure_confidence(_own(part, values), part.of(logits)[known], part.of(targets)[known])
            figures |= {f"{part.target}.{name}": rows for name, rows in own.items()}
        return figures

    def answer(self, values: Mapping[str, Any], logits: NDArray[np.floating]) -> dict[str, NDArray[Any]]:
        """The further outputs of each target, such as `disease_prediction_set`."""
        return {
            f"{part.target}_{name}": value
            for part in self.parts
            for name, value in part.task.answer(_own(part, values), part.of(logits)).items()
        }

    def answer_tensors(self, values: Mapping[str, Any], logits: Any, *, prefix: str = "") -> dict[str, Any]:
        """The same from symbolic logits."""
        return {
            f"{part.target}_{name}": tensor
            for part in self.parts
            for name, tensor in part.task.answer_tensors(
                _own(part, values), part.of(logits), prefix=f"{prefix}{part.target}_"
            ).items()
        }

    def _with(self, changed: Callable[[Part], Task]) -> Heads:
        return dataclasses.replace(self, parts=tuple(dataclasses.replace(part, task=changed(part)) for part in self.parts))

    def __iter__(self) -> Iterator[Part]:
        return iter(self.parts)


def refuse_several_targets(recipe: Recipe, what: str) -> None:
    """Makes sure that a recipe has one target, for what is not there for several.

    Args:
        recipe: The recipe.
        what: The start of a sentence, in the singular.

    Raises:
        RecipeError: It has several.
    """
    if recipe.data.targets:
        name, target = next(iter(recipe.data.targets.items()))
        raise RecipeError(
            f"{what} takes one target, and this recipe has several.",
            received=", ".join(recipe.data.targets),
            fix=f"Ask for it with one of them alone: without `targets`, with label_column={target.column or name!r} and "
            f"task={target.task!r}.",
        )


def _column_names(part: Part) -> list[str]:
    return [part.target] if part.task.name == "regress" else [f"{part.target}={name}" for name in part.names]


def _own(part: Part, values: Mapping[str, Any]) -> dict[str, Any]:
    start = f"{part.target}."
    return {name.removeprefix(start): value for name, value in values.items() if name.startswith(start)}


def _fitted(part: Part, targets: NDArray[np.float32]) -> Task:
    known = part.known(targets)
    if not known.any():
        raise DataError(
            f"Nothing can be learnt of the target `{part.target}`: no training example has it.",
            fix="Leave it out of `data.targets`, or add examples that have it.",
        )
    own = part.of(targets)[known]
    if part.task.name == "classify":
        absent = [name for name, count in zip(part.names, own.sum(axis=0), strict=True) if count == 0]
        if absent:
            raise DataError(
                f"These classes of the target `{part.target}` have no training example.",
                received=listed(absent, limit=20),
                fix="Add examples of them, empty the cells that name them, or draw another split with split_seed.",
            )
    return part.task.fitted(own, part.names)


def _thirds(numbers: NDArray[np.float32]) -> NDArray[np.bool_]:
    """`(n, bins)`, in which part of the range of known numbers each one is; a missing one is in none."""
    known = np.isfinite(numbers)
    edges = np.unique(np.quantile(numbers[known], np.linspace(0, 1, BINS + 1)[1:-1])) if known.any() else np.zeros(0)
    return np.asarray((np.searchsorted(edges, numbers, "right")[:, None] == np.arange(len(edges) + 1)) & known[:, None])


TASK = Heads()

"""What counts as the same answer, and what an export may lose, by task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tfl.export.answer import IS_LABEL, THRESHOLD
from tfl.recipe import OF_NUMBERS
from tfl.tasks.base import Task
from tfl.tasks.box_metrics import average_precision
from tfl.tasks.detect import NUMBERS, SHOWN, detections, true_boxes
from tfl.tasks.heads import Heads, Part

if TYPE_CHECKING:
    from numpy.typing import NDArray

Outputs = Mapping[str, "NDArray[Any]"]


class Measure(ABC):
    """Compares the outputs of an export with those of the model.

    Attributes:
        output: Name of the task's output.
        noun: What a difference of it is called.
        metric: Name of the figure of the test split.
        answer, answers: What the outputs come to, in the singular and the plural.
    """

    output: ClassVar[str]
    noun: ClassVar[str]
    metric: ClassVar[str] = "accuracy"
    answer: ClassVar[str]
    answers: ClassVar[str]

    @property
    def main(self) -> tuple[str, ...]:
        """Names of the task's outputs."""
        return (self.output,)

    def by_target(self, theirs: Outputs, ours: Outputs, targets: NDArray[np.float32]) -> dict[str, dict[str, Any]]:
        """What an export loses of each of several targets; empty where there is one."""
        return {}

    def gaps(self, theirs: Outputs, ours: Outputs) -> NDArray[np.float64]:
        """The largest difference of each example, `(n,)`; infinite where either is no number."""
        return gaps_of(theirs[self.output], ours[self.output])

    def changed(self, theirs: Outputs, ours: Outputs) -> NDArray[np.bool_]:
        """Whether each example has another answer, `(n,)`."""
        return np.asarray((self._answers(theirs) != self._answers(ours)).any(axis=-1))

    def figure(self, outputs: Outputs, targets: NDArray[np.float32]) -> float:
        """The metric on examples whose targets are known."""
        return float(self._scores(outputs, targets).mean())

    def lost(self, theirs: float, ours: float, targets: NDArray[np.float32]) -> float:
        """What the export loses, as a share: of examples, or of the targets' deviation."""
        return ours - theirs

    def told(self, theirs: Outputs, ours: Outputs, at: int, target: NDArray[np.float32], names: Sequence[str]) -> dict[str, Any]:
        """A changed answer, as plain data."""
        before, after = self._answers(ours)[at], self._answers(theirs)[at]
        columns = sorted({*np.flatnonzero(before != after), *self._shown(before, after)})
        return {
            "from": self._named(before, names),
            "to": self._named(after, names),
            "truth": None if np.isnan(target).all() else self._named(self._true(target), names),
            self.output: {
                "model": {names[column]: float(ours[self.output][at, column]) for column in columns},
                "export": {names[column]: float(theirs[self.output][at, column]) for column in columns},
            },
        }

    @abstractmethod
    def _answers(self, outputs: Outputs) -> NDArray[Any]:
        """The answer of each example as a row, `(n, k)`."""

    @abstractmethod
    def _scores(self, outputs: Outputs, targets: NDArray[np.float32]) -> NDArray[np.float64]:
        """The metric of each example."""

    @abstractmethod
    def _named(self, answer: NDArray[Any], names: Sequence[str]) -> Any:
        """An answer by name."""

    @abstractmethod
    def _true(self, target: NDArray[np.float32]) -> NDArray[Any]:
        """The answer that a target stands for."""

    def _shown(self, before: NDArray[Any], after: NDArray[Any]) -> Sequence[int]:
        """Columns that are told of a changed answer besides those that differ."""
        return ()


class OfClasses(Measure):
    """The most probable class; accuracy."""

    output: ClassVar[str] = "probabilities"
    noun: ClassVar[str] = "probability"
    answer: ClassVar[str] = "label"
    answers: ClassVar[str] = "labels"

    def told(self, theirs: Outputs, ours: Outputs, at: int, target: NDArray[np.float32], names: Sequence[str]) -> dict[str, Any]:
        """The classes before and after, with their probabilities."""
        before, after = (int(outputs[self.output][at].argmax()) for outputs in (ours, theirs))
        both = dict.fromkeys((before, after))
        return {
            "from": names[before],
            "to": names[after],
            "truth": None if np.isnan(target).all() else names[int(target.argmax())],
            "probabilities": {
                "model": {names[column]: float(ours[self.output][at, column]) for column in both},
                "export": {names[column]: float(theirs[self.output][at, column]) for column in both},
            },
        }

    def _answers(self, outputs: Outputs) -> NDArray[Any]:
        return np.asarray(outputs[self.output].argmax(-1)[:, None])

    def _scores(self, outputs: Outputs, targets: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.asarray(outputs[self.output].argmax(-1) == targets.argmax(-1), np.float64)

    def _named(self, answer: NDArray[Any], names: Sequence[str]) -> Any:
        return names[int(answer[0])]

    def _true(self, target: NDArray[np.float32]) -> NDArray[Any]:
        return np.asarray([target.argmax()])


class OfBoxes(Measure):
    """The detections with a score of at least `SHOWN`; mean average precision at an overlap of 0.5."""

    output: ClassVar[str] = "scores"
    noun: ClassVar[str] = "score"
    metric: ClassVar[str] = "map_50"
    answer: ClassVar[str] = "set of boxes"
    answers: ClassVar[str] = "sets of boxes"

    @property
    def main(self) -> tuple[str, ...]:
        """Names of the task's outputs."""
        return ("scores", "boxes", "classes")

    def figure(self, outputs: Outputs, targets: NDArray[np.float32]) -> float:
        """Mean average precision over the classes of the targets."""
        classes = int(np.nanmax(targets[:, ::NUMBERS], initial=0)) + 1
        rows = [outputs["scores"][..., None], outputs["classes"][..., None], outputs["boxes"]]
        found = average_precision(true_boxes(targets), detections(np.concatenate(rows, axis=-1)), classes)
        return float(found["map_50"] or 0.0)

    def told(self, theirs: Outputs, ours: Outputs, at: int, target: NDArray[np.float32], names: Sequence[str]) -> dict[str, Any]:
        """The shown detections of the model and of the export."""
        return {"from": self._named(self._answers(ours)[at], names), "to": self._named(self._answers(theirs)[at], names)}

    def _answers(self, outputs: Outputs) -> NDArray[Any]:
        """For each detection its class and its box in hundredths of each side; -1 where it is not shown."""
        rows = np.concatenate([outputs["classes"][..., None], np.round(100 * outputs["boxes"])], axis=-1)
        rows = np.where((outputs["scores"] >= SHOWN)[..., None], rows, -1)
        return rows.reshape(len(rows), -1)

    def _scores(self, outputs: Outputs, targets: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.array([self.figure(outputs, targets)])

    def _named(self, answer: NDArray[Any], names: Sequence[str]) -> Any:
        rows = answer.reshape(-1, NUMBERS)
        return [[names[int(row[0])], *row[1:].tolist()] for row in rows if row[0] >= 0]

    def _true(self, target: NDArray[np.float32]) -> NDArray[Any]:
        return target


class OfLabels(Measure):
    """The set of labels; the share of known labels that are right."""

    output: ClassVar[str] = "probabilities"
    noun: ClassVar[str] = "probability"
    answer: ClassVar[str] = "set of labels"
    answers: ClassVar[str] = "sets of labels"

    def _answers(self, outputs: Outputs) -> NDArray[Any]:
        if IS_LABEL in outputs:
            return np.asarray(outputs[IS_LABEL], bool)
        return np.asarray(outputs[self.output] >= THRESHOLD)

    def _scores(self, outputs: Outputs, targets: NDArray[np.float32]) -> NDArray[np.float64]:
        known = np.isfinite(targets)
        return np.asarray((self._answers(outputs) == (targets > 0.5))[known], np.float64)

    def _named(self, answer: NDArray[Any], names: Sequence[str]) -> Any:
        return [names[column] for column in np.flatnonzero(answer).tolist()]

    def _true(self, target: NDArray[np.float32]) -> NDArray[Any]:
        return np.asarray(target > 0.5)


class OfNumbers(Measure):
    """The values; the mean absolute error.

    Differences of values are shares of the largest value of the model, so that one tolerance suits every unit: float32 rounds
    by a share of a number.
    """

    output: ClassVar[str] = "values"
    noun: ClassVar[str] = "value (as a share of the largest)"
    metric: ClassVar[str] = "mae"
    answer: ClassVar[str] = "value"
    answers: ClassVar[str] = "values"
    _MOST: ClassVar[float] = 1e-2

    def gaps(self, theirs: Outputs, ours: Outputs) -> NDArray[np.float64]:
        """The largest difference of each example, as a share of the largest value of that column."""
        scale = np.maximum(np.abs(ours[self.output]).max(axis=0, initial=0.0), 1e-12)
        return gaps_of(theirs[self.output] / scale, ours[self.output] / scale)

    def changed(self, theirs: Outputs, ours: Outputs) -> NDArray[np.bool_]:
        """Whether a value of each example differs by more than a hundredth of the largest."""
        return self.gaps(theirs, ours) > self._MOST

    def lost(self, theirs: float, ours: float, targets: NDArray[np.float32]) -> float:
        """How much the error grows, as a share of the targets' standard deviation."""
        return (theirs - ours) / max(float(np.nanstd(targets, axis=0).mean()), 1e-12)

    def _answers(self, outputs: Outputs) -> NDArray[Any]:
        return outputs[self.output]

    def _scores(self, outputs: Outputs, targets: NDArray[np.float32]) -> NDArray[np.float64]:
        known = np.isfinite(targets)
        return np.asarray(np.abs(outputs[self.output] - targets)[known], np.float64)

    def _named(self, answer: NDArray[Any], names: Sequence[str]) -> Any:
        return {name: float(value) for name, value in zip(names, answer, strict=True)}

    def _true(self, target: NDArray[np.float32]) -> NDArray[Any]:
        return target


class OfHeads(Measure):
    """Several targets, each by its own measure.

    The figure is the mean over the targets of the share that is right: accuracy of classes and labels; of numbers one minus the
    mean absolute error in deviations of the targets.
    """

    output: ClassVar[str] = "outputs"
    noun: ClassVar[str] = "output (numbers as a share of the largest)"
    metric: ClassVar[str] = "score"
    answer: ClassVar[str] = "answer"
    answers: ClassVar[str] = "answers"

    def __init__(self, task: Heads) -> None:
        self._parts = [(part, _MEASURES[part.task.name]) for part in task]

    @property
    def main(self) -> tuple[str, ...]:
        """Names of the targets."""
        return tuple(part.target for part, _ in self._parts)

    def gaps(self, theirs: Outputs, ours: Outputs) -> NDArray[np.float64]:
        """The largest difference of each example over all targets."""
        return np.max([measure.gaps(_own(theirs, part), _own(ours, part)) for part, measure in self._parts], axis=0)

    def changed(self, theirs: Outputs, ours: Outputs) -> NDArray[np.bool_]:
        """Whether each example has another answer for any target."""
        return np.any([measure.changed(_own(theirs, part), _own(ours, part)) for part, measure in self._parts], axis=0)

    def figure(self, outputs: Outputs, targets: NDArray[np.float32]) -> float:
        """The mean share that is right over the targets that are known."""
        found = []
        for part, measure in self._parts:
            known = part.known(targets)
            if known.any():
                value = measure.figure(_rows(_own(outputs, part), known), part.of(targets)[known])
                found.append(1 - value / _deviation(part.of(targets)) if measure.metric == "mae" else value)
        return float(np.mean(found)) if found else 0.0

    def by_target(self, theirs: Outputs, ours: Outputs, targets: NDArray[np.float32]) -> dict[str, dict[str, Any]]:
        """For each target the largest difference, how many answers changed, and its figure of both."""
        rows: dict[str, dict[str, Any]] = {}
        for part, measure in self._parts:
            known, own = part.known(targets), part.of(targets)
            one, other = _own(theirs, part), _own(ours, part)
            rows[part.target] = {
                "largest_difference": float(measure.gaps(one, other).max(initial=0.0)),
                "changed": int(measure.changed(one, other).sum()),
                "accuracy_lost": 0.0,
            }
            if known.any():
                figures = [measure.figure(_rows(some, known), own[known]) for some in (one, other)]
                rows[part.target] |= {
                    "count": int(known.sum()),
                    measure.metric: figures[0],
                    f"{measure.metric}_of_model": figures[1],
                    "accuracy_lost": measure.lost(figures[0], figures[1], own[known]),
                }
        return rows

    def told(self, theirs: Outputs, ours: Outputs, at: int, target: NDArray[np.float32], names: Sequence[str]) -> dict[str, Any]:
        """The targets whose answer changed, each as its own measure tells it."""
        found = {}
        for part, measure in self._parts:
            one, other = _own(theirs, part), _own(ours, part)
            if measure.changed(one, other)[at]:
                found[part.target] = measure.told(one, other, at, target[part.start : part.stop], part.names)
        return {"targets": found}

    def _answers(self, outputs: Outputs) -> NDArray[Any]:
        return np.concatenate([measure._answers(_own(outputs, part)) for part, measure in self._parts], axis=1)

    def _scores(self, outputs: Outputs, targets: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.array([self.figure(outputs, targets)])

    def _named(self, answer: NDArray[Any], names: Sequence[str]) -> Any:
        return answer.tolist()

    def _true(self, target: NDArray[np.float32]) -> NDArray[Any]:
        return target


def _own(outputs: Outputs, part: Part) -> dict[str, NDArray[Any]]:
    """The outputs of one of several targets, called as they are where it is the only one."""
    start = f"{part.target}_"
    more = {name.removeprefix(start): value for name, value in outputs.items() if name.startswith(start)}
    return {part.task.output: outputs[part.target], **more}


def _rows(outputs: Outputs, rows: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    return {name: values[rows] for name, values in outputs.items()}


def _deviation(targets: NDArray[np.float32]) -> float:
    return max(float(np.nanstd(targets)), 1e-12)


def measure_of(task: Task) -> Measure:
    """How answers of a task are compared.

    Example:

    >>> from tfl.export.measures import measure_of
    >>> from tfl.tasks.base import task_of
    >>> measure_of(task_of("classify")).metric
    'accuracy'
    """
    return OfHeads(task) if isinstance(task, Heads) else _MEASURES[task.name]


_MEASURES: dict[str, Measure] = {
    "classify": OfClasses(),
    "multilabel": OfLabels(),
    **dict.fromkeys(OF_NUMBERS, OfNumbers()),
    "detect": OfBoxes(),
}


def gaps_of(theirs: NDArray[Any], ours: NDArray[Any]) -> NDArray[np.float64]:
    """The largest difference of each row; infinite where either is no number."""
    differences = np.abs(theirs.astype(np.float64) - ours.astype(np.float64))
    per_row = differences.reshape(len(differences), -1).max(axis=1, initial=0.0)
    return np.where(np.isfinite(per_row), per_row, np.inf)

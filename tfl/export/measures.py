"""What counts as the same answer, and what an export may lose, by task."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tfl.export.answer import IS_LABEL, THRESHOLD
from tfl.recipe import OF_NUMBERS
from tfl.tasks.base import Task

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


def measure_of(task: Task) -> Measure:
    """How answers of a task are compared.

    Example:

    >>> from tfl.export.measures import measure_of
    >>> from tfl.tasks.base import task_of
    >>> measure_of(task_of("classify")).metric
    'accuracy'
    """
    return _MEASURES[task.name]


_MEASURES: dict[str, Measure] = {
    "classify": OfClasses(),
    "multilabel": OfLabels(),
    **dict.fromkeys(OF_NUMBERS, OfNumbers()),
}


def gaps_of(theirs: NDArray[Any], ours: NDArray[Any]) -> NDArray[np.float64]:
    """The largest difference of each row; infinite where either is no number."""
    differences = np.abs(theirs.astype(np.float64) - ours.astype(np.float64))
    per_row = differences.reshape(len(differences), -1).max(axis=1, initial=0.0)
    return np.where(np.isfinite(per_row), per_row, np.inf)

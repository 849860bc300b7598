"""`predictions.csv`: what the network said of each validation and test example. No TensorFlow."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.errors import RunError
from tfl.recipe import DETECT, HEADS, TASK_OF_KIND
from tfl.storage import write_atomically
from tfl.tasks.base import NAMES, Task, task_of
from tfl.tasks.heads import Heads, Part

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME = "predictions.csv"
KNOWN = "known"
"""The column that says which of several targets of an example are known."""
_FIXED = ("split", "index", "file")
_OF_ONE = tuple(name for name in NAMES if name not in (HEADS, DETECT))
EDGES = ("lower", "upper")


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """The predictions on one split.

    Attributes:
        task: What was predicted.
        class_names: The name of each output.
        files: What each example is called.
        indices: `(n,)`, the example's position in the source.
        targets: `(n, width)` float64, the truth as the task has it; NaN where it is not known.
        outputs: `(n, width)` float64, what the network gave.
        predicted: The cells that say in words what was predicted, by column; empty for numbers.
        edges: Lower and upper edges of the intervals, each `(n, width)` float64; None where there are none.
        parts: By target, where there are several: what was predicted of it, with a row for each example.
    """

    task: Task
    class_names: tuple[str, ...]
    files: tuple[str, ...]
    indices: NDArray[np.int64]
    targets: NDArray[np.float64]
    outputs: NDArray[np.float64]
    predicted: tuple[str, ...] = ()
    edges: tuple[NDArray[np.float64], NDArray[np.float64]] | None = None
    parts: Mapping[str, Predictions] = field(default_factory=dict)

    @property
    def labels(self) -> NDArray[np.int32]:
        """`(n,)`, the true class where each example has one."""
        return self.targets.argmax(axis=1).astype(np.int32)

    @property
    def predicted_labels(self) -> NDArray[np.bool_]:
        """`(n, width)`, the labels that were given, where an example has any number of them."""
        given = [set(cell.split(";")) for cell in self.predicted]
        return np.array([[name.replace(";", ",") in one for name in self.class_names] for one in given], bool)

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """The outputs, where these are probabilities."""
        return self.outputs


def write_predictions(
    folder: Path | str,
    examples: Any,
    split: Any,
    outputs: Mapping[str, NDArray[np.floating]],
    *,
    task: Task | None = None,
    answers: Mapping[str, Mapping[str, NDArray[Any]]] | None = None,
) -> Path:
    """Writes `predictions.csv` into a run folder: one row per example, in the order of the split.

    Args:
        folder: The run folder.
        examples: The `tfl.data.examples.Examples` that were evaluated.
        split: The `tfl.data.split.Split`; its `val` and `test` are indices into `examples`.
        outputs: By split name (`val`, `test`), `(n, width)`, rows in the order of the split's indices.
        task: What is predicted. Defaults to one of several classes.
        answers: By split name, what the fitted confidence adds to the outputs, where there is one.

    Returns:
        The file. Columns: split, index, file, the task's `words`, then for each output its target where the words do not tell it,
        and what the network gave; with intervals, their edges. Of several targets: split, index, file, `known` (which are),
        and for each target the same columns with its name and a point in front, such as `disease.label`.
    """
    task = task or task_of("classify")
    if isinstance(task, Heads):
        return write_atomically(Path(folder) / NAME, written_heads(examples, split, outputs, task=task, answers=answers))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names, targets = [str(name) for name in examples.class_names], task.targets(examples)
    edges = [name for name in EDGES if answers and name in task.answers]
    writer.writerow([*_FIXED, *task.words, *_number_columns(task, names, edges)])
    for split_name, rows in outputs.items():
        indices = np.asarray(getattr(split, split_name))
        added = None if answers is None else answers[split_name]
        words = task.word_cells(names, np.asarray(rows), targets[indices], added)
        tables = ([] if task.truth_prefix is None else [targets[indices]]) + [np.asarray(rows)]
        tables += [added[name] for name in edges] if added is not None else []
        for at, (index, said) in enumerate(zip(indices.tolist(), words, strict=True)):
            cells = [_cell(table[at, column]) for column in range(len(names)) for table in tables]
            writer.writerow([split_name, index, examples.name_of(index), *said, *cells])
    return write_atomically(Path(folder) / NAME, text.getvalue())


def holds_boxes(folder: Path | str) -> bool:
    """Whether the file of a run lists boxes, which `tfl.evaluate.boxes` reads."""
    with open(Path(folder) / NAME, newline="", encoding="utf-8") as handle:
        return next(csv.reader(handle), [])[3:5] == ["box", "class"]


def read_predictions(folder: Path | str) -> dict[str, Predictions]:
    """The predictions of a run, by split name (`val`, `test`).

    Raises:
        RunError: The file is missing or damaged.
    """
    path = Path(folder) / NAME
    fix = f"Evaluate the run again with: tfl evaluate {folder}"
    try:
        with open(path, newline="", encoding="utf-8") as handle:
            rows = list(csv.reader(handle))
        header, body = rows[0], rows[1:]
        if tuple(header[: len(_FIXED)]) != _FIXED:
            raise ValueError(f"its columns are {header[: len(_FIXED)]}")
        return _by_split(header, body)
    except FileNotFoundError as error:
        raise RunError(f"{folder} has no {NAME}.", fix=fix) from error
    except (ValueError, IndexError) as error:
        raise RunError(f"{path} is damaged: {error}.", fix=fix) from error


def _number_columns(task: Task, names: Sequence[str], edges: Sequence[str]) -> list[str]:
    prefixes = [*([] if task.truth_prefix is None else [task.truth_prefix]), task.output_prefix, *(f"{edge}_" for edge in edges)]
    return [f"{prefix}{name}" for name in names for prefix in prefixes]


def _cell(value: float) -> str:
    return "" if np.isnan(value) else f"{value:.9g}"


def _by_split(header: list[str], body: list[list[str]]) -> dict[str, Predictions]:
    start = len(_FIXED)
    if header[start : start + 1] == [KNOWN]:
        return _by_split_of_heads(header, body)
    task = next(
        task
        for task in map(task_of, _OF_ONE)
        if tuple(header[start : start + len(task.words)]) == task.words
        and any(name.startswith(task.output_prefix) for name in header[start + len(task.words) :])
    )
    first = start + len(task.words)
    numbers = header[first:]
    outputs = [first + at for at, name in enumerate(numbers) if name.startswith(task.output_prefix)]
    if not outputs:
        raise ValueError(f"its columns are {header}")
    names = tuple(header[at].removeprefix(task.output_prefix) for at in outputs)
    truth = None if task.truth_prefix is None else [header.index(f"{task.truth_prefix}{name}", first) for name in names]
    said = header.index("predicted") if "predicted" in task.words else None
    edges = [[header.index(f"{edge}_{name}", first) for name in names] for edge in EDGES if f"{edge}_{names[0]}" in numbers]
    found: dict[str, list[list[str]]] = {}
    for row in body:
        if len(row) != len(header):
            raise ValueError(f"a row has {len(row)} cells instead of {len(header)}")
        found.setdefault(row[0], []).append(row)
    return {
        name: Predictions(
            task=task,
            class_names=names,
            files=tuple(row[2] for row in rows),
            indices=np.array([int(row[1]) for row in rows], np.int64),
            targets=np.array([_targets(names, row, truth) for row in rows], np.float64),
            outputs=np.array([[float(row[at]) for at in outputs] for row in rows], np.float64),
            predicted=() if said is None else tuple(row[said] for row in rows),
            edges=_edges(rows, edges),
        )
        for name, rows in found.items()
    }


def _by_split_of_heads(header: list[str], body: list[list[str]]) -> dict[str, Predictions]:
    """The predictions of several targets: those of each, and all side by side."""
    first = len(_FIXED) + 1
    places: dict[str, list[int]] = {}
    for at, name in enumerate(header[first:], start=first):
        target, point, _ = name.partition(".")
        if not point:
            raise ValueError(f"its columns are {header}")
        places.setdefault(target, []).append(at)
    of_each = {
        target: _by_split(
            [*_FIXED, *(header[at].removeprefix(f"{target}.") for at in columns)],
            [[*row[: len(_FIXED)], *(row[at] for at in columns)] for row in body],
        )
        for target, columns in places.items()
    }
    splits = list(dict.fromkeys(row[0] for row in body))
    return {split: _side_by_side({target: found[split] for target, found in of_each.items()}) for split in splits}


def _side_by_side(parts: Mapping[str, Predictions]) -> Predictions:
    kinds = {task: kind for kind, task in TASK_OF_KIND.items()}
    names = tuple(
        target if one.task.name == "regress" else f"{target}={name}" for target, one in parts.items() for name in one.class_names
    )
    first = next(iter(parts.values()))
    return Predictions(
        task=Heads.of({target: kinds[one.task.name] for target, one in parts.items()}, names),  # type: ignore[index]
        class_names=names,
        files=first.files,
        indices=first.indices,
        targets=np.concatenate([one.targets for one in parts.values()], axis=1),
        outputs=np.concatenate([one.outputs for one in parts.values()], axis=1),
        parts=parts,
    )


def known_rows(found: Predictions) -> Predictions:
    """Those of the examples whose target is known.

    Args:
        found: Of one of several targets.
    """
    at = np.flatnonzero(np.isfinite(found.targets).any(axis=1))
    return replace(
        found,
        files=tuple(found.files[row] for row in at),
        indices=found.indices[at],
        targets=found.targets[at],
        outputs=found.outputs[at],
        predicted=tuple(found.predicted[row] for row in at) if found.predicted else (),
        edges=None if found.edges is None else (found.edges[0][at], found.edges[1][at]),
    )


def written_heads(
    examples: Any,
    split: Any,
    outputs: Mapping[str, NDArray[np.floating]],
    *,
    task: Heads,
    answers: Mapping[str, Mapping[str, NDArray[Any]]] | None = None,
) -> str:
    """The text of `predictions.csv` for several targets; see `write_predictions`."""
    targets, text = task.targets(examples), io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    edges = {part.target: [name for name in EDGES if answers and name in part.task.answers] for part in task}
    columns = [
        f"{part.target}.{name}"
        for part in task
        for name in (*part.task.words, *_number_columns(part.task, part.names, edges[part.target]))
    ]
    writer.writerow([*_FIXED, KNOWN, *columns])
    for split_name, rows in outputs.items():
        indices = np.asarray(getattr(split, split_name))
        known = task.word_cells((), np.asarray(rows), targets[indices])
        of_each = [
            _cells_of_part(
                part, np.asarray(rows), targets[indices], None if answers is None else answers[split_name], edges[part.target]
            )
            for part in task
        ]
        for at, index in enumerate(indices.tolist()):
            cells = [cell for part in of_each for cell in part[at]]
            writer.writerow([split_name, index, examples.name_of(index), *known[at], *cells])
    return text.getvalue()


def _cells_of_part(
    part: Part, rows: NDArray[Any], targets: NDArray[Any], answers: Mapping[str, NDArray[Any]] | None, edges: Sequence[str]
) -> list[list[str]]:
    """The cells of one of several targets, for each example; what is not known of it is empty."""
    own, truth, there = part.of(rows), part.of(targets), part.known(targets)
    added = None if answers is None else {name: answers[f"{part.target}_{name}"] for name in part.task.answers}
    words = part.task.word_cells(part.names, own, truth, added)
    tables = ([] if part.task.truth_prefix is None else [truth]) + [own] + [added[name] for name in edges if added is not None]
    found = []
    for at, said in enumerate(words):
        told = said if there[at] or not said else ("", *said[1:])
        found.append([*told, *(_cell(table[at, column]) for column in range(len(part.names)) for table in tables)])
    return found


def _edges(rows: list[list[str]], places: list[list[int]]) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    if len(places) != len(EDGES):
        return None
    lower, upper = (np.array([[float(row[at]) for at in edge] for row in rows], np.float64) for edge in places)
    return lower, upper


def _targets(names: tuple[str, ...], row: list[str], truth: list[int] | None) -> list[float]:
    if truth is None:
        if not row[len(_FIXED)]:  # of several targets this one is not known
            return [float("nan")] * len(names)
        true = names.index(row[len(_FIXED)])
        return [float(at == true) for at in range(len(names))]
    return [float(row[at]) if row[at] else float("nan") for at in truth]

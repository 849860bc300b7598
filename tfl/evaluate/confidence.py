"""How far the answers of a network can be relied on: what its task fits, and out-of-distribution scores.

    validation logits ─▶ what the task fits, such as a temperature or thresholds        all kept in confidence.json
    training features ─▶ bank ─▶ score of the validation examples ─▶ threshold          and confidence.npz

All of it is fitted on the validation split and measured on the test split. NumPy and SciPy only.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.errors import DataError, RunError
from tfl.evaluate.out_of_distribution import NEAREST, make_bank, out_of_distribution_scores, score_threshold, with_current_names
from tfl.recipe import HEADS
from tfl.storage import finite, storage_errors, write_atomically, write_json
from tfl.tasks.base import NAMES, Task, task_of
from tfl.tasks.heads import Heads
from tfl.tasks.intervals import clopper_pearson

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import tfl

NAME, ARRAYS = "confidence.json", "confidence.npz"
_NUMBERS = ("in_distribution", "out_of_distribution_threshold")


@dataclass(frozen=True, kw_only=True, eq=False)
class Confidence:
    """What a task makes of a network's logits, such as calibrated probabilities, and out-of-distribution scores of its features.

    Attributes:
        task: What is predicted.
        values: What `task.fit_confidence` fitted, such as `temperature`.
        in_distribution: The share of examples like the validation examples that is to count as in distribution.
        out_of_distribution_threshold: An example whose score is larger is out of distribution.
        bank: `(rows, width)` float32, features of training examples at length one.
        nearest: Which of the nearest rows of the bank counts, from 1.
        figures: What was measured, plain data: the task's parts, such as `temperature` and `sets`, and `out_of_distribution`,
            each with its `note`, `validation` and `test`.
    """

    task: Task
    values: Mapping[str, Any]
    in_distribution: float
    out_of_distribution_threshold: float
    bank: NDArray[np.float32]
    nearest: int
    figures: Mapping[str, Any]

    def answer(self, logits: NDArray[np.floating], features: NDArray[np.floating]) -> dict[str, NDArray[Any]]:
        """What the exported graph adds to the network's output, computed here by NumPy.

        Args:
            logits: `(n, width)`.
            features: `(n, width)`, of the layer `head_pool`.

        Returns:
            The task's `answers`, such as `calibrated_probabilities` and `prediction_set` `(n, classes)`;
            `out_of_distribution_score`, `is_out_of_distribution` `(n,)`.
        """
        scores = out_of_distribution_scores(features, self.bank, nearest=self.nearest)
        return {
            **self.task.answer(self.values, logits),
            "out_of_distribution_score": scores,
            "is_out_of_distribution": scores > np.float32(self.out_of_distribution_threshold),
        }

    def save(self, folder: Path | str) -> Path:
        """Writes `confidence.json` and `confidence.npz` into a run folder, the arrays first.

        Raises:
            StorageError: They cannot be written.
        """
        content = io.BytesIO()
        np.savez(content, bank=self.bank.astype(np.float16))
        write_atomically(Path(folder) / ARRAYS, content.getvalue())
        numbers = {**self.values, **{name: getattr(self, name) for name in (*_NUMBERS, "nearest")}}
        layout = {"targets": self.task.kinds, "class_names": list(self.task.class_names)} if isinstance(self.task, Heads) else {}
        document = {
            "format": 1,
            "task": self.task.name,
            **layout,
            **numbers,
            "bank_sha256": _hash_of(self.bank),
            "figures": self.figures,
        }
        return write_json(Path(folder) / NAME, document)

    @classmethod
    def load(cls, folder: Path | str) -> Confidence | None:
        """What `save` wrote into a run folder; None where the run has none.

        Raises:
            RunError: A file of the two is missing or damaged.
        """
        file = Path(folder) / NAME
        if not file.is_file():
            return None
        fix = f"Fit it again: tfl evaluate {folder} --confidence"
        try:
            with storage_errors(file, doing="read"):
                document = with_current_names(json.loads(file.read_text(encoding="utf-8")))
                bank = _read_bank(Path(folder) / ARRAYS)
            task = _task_in({"task": "classify", **document})
            numbers = {name: _number(document[name]) for name in _NUMBERS}
            values: dict[str, Any] = {name: _value(document[name]) for name in task.fits}
            nearest = int(document["nearest"])
            if document["bank_sha256"] != _hash_of(bank) or not 1 <= nearest <= len(bank) or values.get("temperature", 1.0) <= 0:
                raise ValueError(f"it does not fit {ARRAYS}")
            return cls(task=task, values=values, **numbers, nearest=nearest, bank=bank, figures=dict(document["figures"]))
        except (
            DataError,
            OSError,
            ValueError,
            LookupError,
            TypeError,
            EOFError,
            MemoryError,
            RecursionError,
            zipfile.BadZipFile,
        ) as error:
            raise RunError(f"{file} or {ARRAYS} beside it is damaged: {error}.", fix=fix) from error


def fit_confidence(
    settings: tfl.Calibration,
    *,
    logits: NDArray[np.floating],
    features: NDArray[np.floating],
    targets: NDArray[np.floating],
    training_features: NDArray[np.floating],
    task: Task | None = None,
) -> Confidence:
    """Fits everything on the validation examples; `measure_confidence` then measures it on others.

    Args:
        settings: The recipe's.
        logits: `(n, width)`, of the validation examples.
        features: `(n, width)`, of the validation examples, from the layer `head_pool`.
        targets: `(n, width)`, of the validation examples, as `task.targets` makes them.
        training_features: `(rows, width)`, of the training examples to compare with; their number is `bank_size`.
        task: What is predicted, fitted to the training targets. Defaults to one of several classes.

    Raises:
        TflError: There are no training examples, or features that are not numbers.

    Example:

    >>> import numpy as np, tfl
    >>> features = np.eye(2).repeat(20, axis=0)
    >>> found = fit_confidence(
    ...     tfl.Calibration(coverage=0.9), logits=4 * features, features=features, targets=features, training_features=features
    ... )
    >>> answer = found.answer(np.array([[4.0, 0.0]]), np.array([[-1.0, 0.0]]))
    >>> answer["prediction_set"].tolist(), answer["is_out_of_distribution"].tolist()
    ([[True, False]], [True])
    """
    task = task or task_of("classify")
    fitted = task.fit_confidence(settings, logits, targets)
    bank = make_bank(training_features)
    nearest = min(NEAREST, len(bank))
    scores = out_of_distribution_scores(features, bank, nearest=nearest)
    threshold, note = score_threshold(scores, share=settings.familiar)
    distant = {"promised": settings.familiar, "threshold": threshold, "note": note, "bank": len(bank), "nearest": nearest}
    found = Confidence(
        task=task,
        values=fitted.values,
        in_distribution=settings.familiar,
        out_of_distribution_threshold=threshold,
        bank=bank,
        nearest=nearest,
        figures={**fitted.figures, "out_of_distribution": distant},
    )
    return measure_confidence(found, "validation", logits=logits, features=features, targets=targets)


def measure_confidence(
    confidence: Confidence,
    split: str,
    *,
    logits: NDArray[np.floating],
    features: NDArray[np.floating],
    targets: NDArray[np.floating],
) -> Confidence:
    """A copy whose `figures` also say how it does on these examples.

    Args:
        confidence: What was fitted.
        split: What the figures are called: `validation` or `test`.
        logits, features, targets: Of the examples.
    """
    distant = int(confidence.answer(logits, features)["is_out_of_distribution"].sum())
    found = {
        **confidence.task.measure_confidence(confidence.values, logits, targets),
        "out_of_distribution": {
            "count": len(features),
            "out_of_distribution": distant,
            "share": distant / len(features),
            "share_interval": clopper_pearson(distant, len(features)),
        },
    }
    return replace(confidence, figures={part: {**rows, split: found[part]} for part, rows in confidence.figures.items()})


def figures_of(confidence: Confidence) -> dict[str, Any]:
    """What `metrics.json` keeps of it."""
    return dict(finite(dict(confidence.figures)))  # type: ignore[call-overload]


def _read_bank(file: Path) -> NDArray[np.float32]:
    with np.load(file, allow_pickle=False) as arrays:
        bank = arrays["bank"]
    if bank.dtype != np.float16 or bank.ndim != 2 or not len(bank) or not np.isfinite(bank).all():
        raise ValueError(f"its bank is {bank.dtype} of shape {bank.shape}")
    return bank.astype(np.float32)


def _task_in(document: Mapping[str, Any]) -> Task:
    """The task that a document names; of several targets with their columns."""
    name = document["task"]
    if name not in NAMES:
        raise ValueError(f"{name!r:.100} is no task")
    if name != HEADS:
        return task_of(name)
    return Heads.of(dict(document["targets"]), [str(one) for one in document["class_names"]])


def _value(value: Any) -> float | list[float]:
    return [_number(one) for one in value] if isinstance(value, list) else _number(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r:.100} is no number")
    return float(value)


def _hash_of(bank: NDArray[np.float32]) -> str:
    return hashlib.sha256(f"{bank.shape}".encode() + np.ascontiguousarray(bank.astype(np.float16)).tobytes()).hexdigest()

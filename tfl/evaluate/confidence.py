"""How far a probability can be relied on: a temperature, the threshold of prediction sets, and out-of-distribution scores.

    validation logits ─▶ temperature ─▶ calibrated probabilities ─▶ set threshold        all kept in confidence.json
    training features ─▶ bank ─▶ score of the validation images  ─▶ threshold            and confidence.npz

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

from tfl.errors import RunError
from tfl.evaluate.conformal import clopper_pearson, measure_sets, prediction_sets, set_threshold
from tfl.evaluate.out_of_distribution import NEAREST, make_bank, out_of_distribution_scores, score_threshold, with_current_names
from tfl.storage import finite, storage_errors, write_atomically, write_json
from tfl.tasks.calibration import calibrated, calibration_error, fit_temperature, log_loss, reliability

if TYPE_CHECKING:
    from numpy.typing import NDArray

    import tfl

NAME, ARRAYS = "confidence.json", "confidence.npz"
_NUMBERS = ("temperature", "coverage", "set_threshold", "in_distribution", "out_of_distribution_threshold")


@dataclass(frozen=True, kw_only=True, eq=False)
class Confidence:
    """Calibrated probabilities, prediction sets and out-of-distribution scores from a network's logits and features.

    Attributes:
        temperature: Logits are divided by it.
        coverage: How often the set is to hold the right class.
        set_threshold: The calibrated probability from which on a class is in the set.
        in_distribution: The share of images like the validation images that is to count as in distribution.
        out_of_distribution_threshold: An image whose score is larger is out of distribution.
        bank: `(rows, width)` float32, features of training images at length one.
        nearest: Which of the nearest rows of the bank counts, from 1.
        figures: What was measured, plain data: `temperature`, `sets` and `out_of_distribution`, each with its `note`,
            `validation` and `test`.
    """

    temperature: float
    coverage: float
    set_threshold: float
    in_distribution: float
    out_of_distribution_threshold: float
    bank: NDArray[np.float32]
    nearest: int
    figures: Mapping[str, Any]

    def answer(self, logits: NDArray[np.floating], features: NDArray[np.floating]) -> dict[str, NDArray[Any]]:
        """What the exported graph adds to the probabilities, computed here by NumPy.

        Args:
            logits: `(n, classes)`.
            features: `(n, width)`, of the layer `head_pool`.

        Returns:
            `calibrated_probabilities`, `prediction_set` `(n, classes)`; `out_of_distribution_score`,
            `is_out_of_distribution` `(n,)`.
        """
        probabilities = calibrated(logits, self.temperature)
        scores = out_of_distribution_scores(features, self.bank, nearest=self.nearest)
        return {
            "calibrated_probabilities": probabilities,
            "prediction_set": prediction_sets(probabilities, self.set_threshold),
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
        numbers = {name: getattr(self, name) for name in (*_NUMBERS, "nearest")}
        document = {"format": 1, **numbers, "bank_sha256": _hash_of(self.bank), "figures": self.figures}
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
            numbers = {name: _number(document[name]) for name in _NUMBERS}
            nearest = int(document["nearest"])
            if document["bank_sha256"] != _hash_of(bank) or not 1 <= nearest <= len(bank) or numbers["temperature"] <= 0:
                raise ValueError(f"it does not fit {ARRAYS}")
            return cls(**numbers, nearest=nearest, bank=bank, figures=dict(document["figures"]))
        except (OSError, ValueError, LookupError, TypeError, EOFError, MemoryError, RecursionError, zipfile.BadZipFile) as error:
            raise RunError(f"{file} or {ARRAYS} beside it is damaged: {error}.", fix=fix) from error


def fit_confidence(
    settings: tfl.Calibration,
    *,
    logits: NDArray[np.floating],
    features: NDArray[np.floating],
    labels: NDArray[np.integer],
    training_features: NDArray[np.floating],
) -> Confidence:
    """Fits everything on the validation images; `measure_confidence` then judges it on others.

    Args:
        settings: The recipe's.
        logits: `(n, classes)`, of the validation images.
        features: `(n, width)`, of the validation images, from the layer `head_pool`.
        labels: `(n,)`, of the validation images.
        training_features: `(rows, width)`, of the training images to compare with; their number is `bank_size`.

    Raises:
        TflError: There are no training images, or features that are not numbers.

    Example:

    >>> import numpy as np, tfl
    >>> features, labels = np.eye(2).repeat(20, axis=0), np.arange(2).repeat(20)
    >>> found = fit_confidence(
    ...     tfl.Calibration(coverage=0.9), logits=4 * features, features=features, labels=labels, training_features=features
    ... )
    >>> answer = found.answer(np.array([[4.0, 0.0]]), np.array([[-1.0, 0.0]]))
    >>> answer["prediction_set"].tolist(), answer["is_out_of_distribution"].tolist()
    ([[True, False]], [True])
    """
    temperature, temperature_note = fit_temperature(logits, labels)
    threshold, set_note = set_threshold(calibrated(logits, temperature), labels, coverage=settings.coverage)
    bank = make_bank(training_features)
    nearest = min(NEAREST, len(bank))
    scores = out_of_distribution_scores(features, bank, nearest=nearest)
    threshold_of_distance, distance_note = score_threshold(scores, share=settings.familiar)
    fitted = Confidence(
        temperature=temperature,
        coverage=settings.coverage,
        set_threshold=threshold,
        in_distribution=settings.familiar,
        out_of_distribution_threshold=threshold_of_distance,
        bank=bank,
        nearest=nearest,
        figures={
            "temperature": {"value": temperature, "note": temperature_note},
            "sets": {"promised": settings.coverage, "threshold": threshold, "note": set_note},
            "out_of_distribution": {
                "promised": settings.familiar,
                "threshold": threshold_of_distance,
                "note": distance_note,
                "bank": len(bank),
                "nearest": nearest,
            },
        },
    )
    return measure_confidence(fitted, "validation", logits=logits, features=features, labels=labels)


def measure_confidence(
    confidence: Confidence,
    split: str,
    *,
    logits: NDArray[np.floating],
    features: NDArray[np.floating],
    labels: NDArray[np.integer],
) -> Confidence:
    """A copy whose `figures` also say how it does on these images.

    Args:
        confidence: What was fitted.
        split: What the figures are called: `validation` or `test`.
        logits, features, labels: Of the images.
    """
    answer = confidence.answer(logits, features)
    before, after = calibrated(logits, 1.0), answer["calibrated_probabilities"]
    distant = int(answer["is_out_of_distribution"].sum())
    found = {
        "temperature": {
            "count": len(labels),
            "log_loss": [log_loss(rows, labels) for rows in (before, after)],
            "calibration_error": [calibration_error(rows.max(axis=1), rows.argmax(axis=1) == labels) for rows in (before, after)],
            "reliability": [reliability(rows.max(axis=1), rows.argmax(axis=1) == labels) for rows in (before, after)],
        },
        "sets": measure_sets(answer["prediction_set"], labels),
        "out_of_distribution": {
            "count": len(labels),
            "out_of_distribution": distant,
            "share": distant / len(labels),
            "share_interval": clopper_pearson(distant, len(labels)),
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


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value!r:.100} is no number")
    return float(value)


def _hash_of(bank: NDArray[np.float32]) -> str:
    return hashlib.sha256(f"{bank.shape}".encode() + np.ascontiguousarray(bank.astype(np.float16)).tobytes()).hexdigest()

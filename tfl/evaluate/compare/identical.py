"""Whether two runs came to the same result, bit for bit: weights, figures, predictions, epochs. No TensorFlow."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfl.errors import RunError
from tfl.evaluate.out_of_distribution import with_current_names
from tfl.evaluate.predictions import NAME, holds_boxes, read_predictions
from tfl.evaluate.run_files import read_history
from tfl.runs import Run

_SHOWN = 20
_TIMES = ("seconds",)


def weight_hashes(model_file: Path | str) -> dict[str, str]:
    """SHA-256 of shape, dtype and values of every weight tensor in a `.keras` file, by its place in the file.

    The archive itself differs from one writing to the next, as it holds dates.

    Raises:
        RunError: The file is missing or no Keras model.
    """
    import h5py

    found: dict[str, str] = {}

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            array = np.asarray(item[()])
            digest = hashlib.sha256(f"{array.shape} {array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
            found[name] = digest.hexdigest()

    try:
        with zipfile.ZipFile(model_file) as archive:
            content = archive.read("model.weights.h5")
        with h5py.File(io.BytesIO(content), "r") as weights:
            weights.visititems(note)
    except FileNotFoundError as error:
        raise RunError(f"{model_file} is missing.", fix="A finished run has one: run the recipe again.") from error
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise RunError(f"{model_file} is no Keras model: {error}.", fix="Run the recipe again in another folder.") from error
    return found


def compare_weights(before: Path | str, after: Path | str) -> dict[str, Any]:
    """`identical`, `tensors` (how many there are) and `different` (the places of those that differ, at most 20), `differing`."""
    one, other = weight_hashes(before), weight_hashes(after)
    places = sorted(place for place in {*one, *other} if one.get(place) != other.get(place))
    return {
        "identical": not places,
        "tensors": len({*one, *other}),
        "differing": len(places),
        "different": places[:_SHOWN],
        "sha256": [_hash_of(one), _hash_of(other)],
    }


def compare_metrics(before: Run, after: Run) -> dict[str, Any]:
    """`identical`, `figures` (how many), `differing`, and `different` (at most 20, by dotted path).

    Times do not count, nor do notes, whose wording may change with the version of tfl, nor names that changed with it.
    """
    one, other = (dict(_leaves(_without_times(_figures(run)))) for run in (before, after))
    names = [name for name in dict.fromkeys([*one, *other]) if one.get(name) != other.get(name)]
    return {
        "identical": not names,
        "figures": len({*one, *other}),
        "differing": len(names),
        "different": {name: [one.get(name), other.get(name)] for name in names[:_SHOWN]},
    }


def _figures(run: Run) -> dict[str, Any]:
    figures = run.read_json("metrics.json")
    parts = with_current_names(figures.get("confidence") or {})
    without = {part: {key: value for key, value in rows.items() if key != "note"} for part, rows in parts.items()}
    return {**figures, "confidence": without} if parts else figures


def compare_predictions(before: Run, after: Run) -> dict[str, Any]:
    """`identical`, and, where the examples are the same, `largest_difference` of a probability and `other_labels`."""
    files = [run.path(NAME) for run in (before, after)]
    if not all(file.is_file() for file in files):
        return {"identical": None}
    if holds_boxes(before.folder) or holds_boxes(after.folder):
        return {"identical": files[0].read_bytes() == files[1].read_bytes()}
    one, other = (read_predictions(run.folder) for run in (before, after))
    document: dict[str, Any] = {"identical": one.keys() == other.keys()}
    largest, labels = 0.0, 0
    for name in one.keys() & other.keys():
        first, second = one[name], other[name]
        if first.class_names != second.class_names or not np.array_equal(first.targets, second.targets, equal_nan=True):
            return {"identical": False}
        gaps = np.abs(first.probabilities - second.probabilities)
        largest = max(largest, float(gaps.max(initial=0.0)))
        labels += int((first.probabilities.argmax(1) != second.probabilities.argmax(1)).sum())
    document["identical"] = document["identical"] and largest == 0.0
    return {**document, "largest_difference": largest, "other_labels": labels}


def compare_epochs(before: Run, after: Run) -> dict[str, Any]:
    """`identical`, and the `first_difference` in history.csv (`stage`, `epoch`, `column`, `values`); times do not count."""
    one, other = _history(before), _history(after)
    for first, second in zip(one, other, strict=False):
        for column in first:
            if first[column] != second.get(column):
                place = {"stage": first.get("stage"), "epoch": first.get("epoch"), "column": column}
                return {"identical": False, "first_difference": {**place, "values": [first[column], second.get(column)]}}
    return {"identical": len(one) == len(other), "epochs": [len(one), len(other)]}


def _history(run: Run) -> list[dict[str, Any]]:
    return [_without_times(row) for row in read_history(run)]


def _without_times(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in figures.items() if name not in _TIMES}


def _leaves(value: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        return [leaf for key, item in value.items() for leaf in _leaves(item, f"{path}.{key}" if path else str(key))]
    return [(path, value)]


def _hash_of(hashes: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(dict(sorted(hashes.items()))).encode()).hexdigest()

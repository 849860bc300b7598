"""Does an export say what its model says? The same files through both: the largest difference, and every changed answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from tfl.errors import ExportError
from tfl.export.golden import golden_images
from tfl.export.kinds import MOST_ACCURACY_LOST, TOLERANCES
from tfl.export.runtimes import Outputs, Runtime, of_model, open_export
from tfl.export.shipment import PROBABILITIES, in_float32
from tfl.export.trial import GOLDEN, TEST, Trial
from tfl.recipe import Data

if TYPE_CHECKING:
    from numpy.typing import NDArray

TOLERANCE = TOLERANCES["float32"]
_FIGURES = ("calibrated_probabilities", "out_of_distribution_score")
_FIXES = {
    "float32": "Please report it, with the recipe's backbone.",
    "float16": "Leave float16 out: --quantize float32 --quantize int8",
    "int8": "Leave int8 out: --quantize float32 --quantize float16. To write it all the same: --quantize int8 --no-verify",
}
_CLAIMS = ("prediction_set", "is_out_of_distribution")


def check_parity(
    model: keras.Model, saved_model_folder: Path, files: Sequence[Path | bytes], data: Data, *, tolerance: float = TOLERANCE
) -> dict[str, Any]:
    """Compares the probabilities of a Keras model, in float32, and of the SavedModel made from it.

    Args:
        model: From pixels in 0..255 to probabilities.
        saved_model_folder: What `export_saved_model` returned.
        files: Paths of image files, or their contents.
        data: The recipe's data: image size and fit.
        tolerance: The largest difference of a probability that still holds.

    Returns:
        `largest_difference`, `changed_labels` (how many files), `count`, `tolerance`, `holds`.

    Raises:
        ExportError: They disagree by more than the tolerance, or the SavedModel cannot be loaded.
    """
    if not files:
        raise ExportError("There is no file to compare the export on.", fix="Give it at least one image.")
    contents = [file if isinstance(file, bytes) else Path(file).read_bytes() for file in files]
    [exported] = open_export("saved_model", Path(saved_model_folder))
    trial = Trial(
        names=tuple(map(str, range(len(contents)))),
        labels=np.full(len(contents), -1, np.int32),
        read=contents.__getitem__,
        data=data,
    )
    expected, found = of_model(in_float32(model)).look_at(trial), exported.look_at(trial)
    row = compare(exported, found, expected, trial, [""] * expected[PROBABILITIES].shape[-1])
    row = {**row, "tolerance": tolerance, "holds": row["largest_difference"] <= tolerance}
    require(row)
    return {
        **{name: row[name] for name in ("largest_difference", "count", "tolerance", "holds")},
        "changed_labels": row["changed"],
    }


def probe_images() -> list[bytes]:
    """The contents of the golden images, for comparing an export where no photo is at hand."""
    return list(golden_images().values())


def compare(exported: Runtime, found: Outputs, expected: Outputs, trial: Trial, class_names: Sequence[str]) -> dict[str, Any]:
    """What the certificate says of one export.

    Args:
        exported: Which.
        found, expected: The outputs of the export and of the model for every file of the trial.
        trial: The files.
        class_names: In the order of the probabilities.

    Returns:
        `largest_difference` in a probability over all files, `changed` (how many labels), `count`, `golden` and `test` (the
        same for these alone, `test` with `accuracy` and `accuracy_of_model`), `other_outputs` (the largest differences in
        them, and how many answers changed), `changed_labels` (each file), `tolerance`, `holds` (None where it cannot be said).
    """
    _check_outputs(exported, found, expected)
    theirs, ours = found[PROBABILITIES], expected[PROBABILITIES]
    gaps = _gaps(theirs, ours)
    row: dict[str, Any] = {
        "decodes": exported.decodes,
        "weights": exported.quantized,
        "largest_difference": _largest(gaps),
        "changed": int((theirs.argmax(-1) != ours.argmax(-1)).sum()),
        "count": len(trial),
    }
    for part in (GOLDEN, TEST):
        row[part] = _part(trial, part, gaps, found, expected)
    row["other_outputs"] = _other_outputs(found, expected)
    row["changed_labels"] = list(_changed_labels(theirs, ours, trial, class_names))
    return {**row, **_verdict(row)}


def require(row: dict[str, Any], *, name: str = "The export") -> None:
    """Raises where an export is past its tolerance: of a probability, or of accuracy where its weights are int8.

    Raises:
        ExportError: It is.
    """
    if row["holds"] is not False:
        return
    if row["tolerance"] is None:
        test = row["test"]
        raise ExportError(
            f"{name} loses {100 * test['accuracy_lost']:.2g} points of accuracy on {test['count']} test images "
            f"({test['accuracy']:.4f}, the model {test['accuracy_of_model']:.4f}).",
            allowed=f"a loss of at most {100 * MOST_ACCURACY_LOST:g} point",
            fix=_FIXES[row["weights"]],
        )
    raise ExportError(
        f"{name} disagrees with its model by {row['largest_difference']:.2g} in probability "
        f"({row['changed']} of {row['count']} labels change).",
        allowed=f"a difference of at most {row['tolerance']:g}",
        fix=_FIXES[row["weights"]],
    )


def _verdict(row: dict[str, Any]) -> dict[str, Any]:
    if row["weights"] in TOLERANCES:
        tolerance = TOLERANCES[row["weights"]]
        return {"tolerance": tolerance, "holds": bool(row["largest_difference"] <= tolerance)}
    lost = (row["test"] or {}).get("accuracy_lost")
    holds = None if lost is None else bool(lost <= MOST_ACCURACY_LOST)
    return {"tolerance": None, "most_accuracy_lost": MOST_ACCURACY_LOST, "holds": holds}


def _check_outputs(exported: Runtime, found: Outputs, expected: Outputs) -> None:
    if missing := [name for name in expected if name not in found]:
        raise ExportError(f"The export `{exported.name}` does not give every output.", received=sorted(found), allowed=missing)
    wrong = [name for name in expected if found[name].shape != expected[name].shape]
    if wrong:
        raise ExportError(
            f"The export `{exported.name}` gives `{wrong[0]}` in another shape.",
            received=str(found[wrong[0]].shape),
            allowed=str(expected[wrong[0]].shape),
        )


def _gaps(theirs: NDArray[Any], ours: NDArray[Any]) -> NDArray[np.float64]:
    """The largest difference of each file; infinite where either is no number."""
    differences = np.abs(theirs.astype(np.float64) - ours.astype(np.float64))
    per_file = differences.reshape(len(differences), -1).max(axis=1, initial=0.0)
    return np.where(np.isfinite(per_file), per_file, np.inf)


def _largest(gaps: NDArray[np.float64]) -> float:
    return float(gaps.max(initial=0.0))


def _part(trial: Trial, name: str, gaps: NDArray[np.float64], found: Outputs, expected: Outputs) -> dict[str, Any] | None:
    inside = trial.part(name)
    if not inside.any():
        return None
    theirs, ours = (outputs[PROBABILITIES][inside].argmax(-1) for outputs in (found, expected))
    row = {"count": int(inside.sum()), "largest_difference": _largest(gaps[inside]), "changed": int((theirs != ours).sum())}
    if name == GOLDEN:
        return row
    labels = trial.labels[inside]
    accuracy, model = float((theirs == labels).mean()), float((ours == labels).mean())
    return {**row, "accuracy": accuracy, "accuracy_of_model": model, "accuracy_lost": model - accuracy}


def _other_outputs(found: Outputs, expected: Outputs) -> dict[str, Any]:
    """For numbers the largest difference, for claims how many files have another answer."""
    rows: dict[str, Any] = {}
    for name in _FIGURES:
        if name in expected:
            rows[name] = {"largest_difference": _largest(_gaps(found[name], expected[name]))}
    for name in _CLAIMS:
        if name in expected:
            other = (found[name].astype(bool) != expected[name].astype(bool)).reshape(len(expected[name]), -1).any(axis=1)
            rows[name] = {"changed": int(other.sum())}
    return rows


def _changed_labels(
    theirs: NDArray[Any], ours: NDArray[Any], trial: Trial, class_names: Sequence[str]
) -> Iterator[dict[str, Any]]:
    before, after = ours.argmax(-1), theirs.argmax(-1)
    for at in np.flatnonzero(before != after):
        both = dict.fromkeys((int(before[at]), int(after[at])))
        yield {
            "file": trial.names[at],
            "set": GOLDEN if trial.labels[at] < 0 else TEST,
            "from": class_names[before[at]],
            "to": class_names[after[at]],
            "truth": None if trial.labels[at] < 0 else class_names[trial.labels[at]],
            "probabilities": {
                "model": {class_names[column]: float(ours[at, column]) for column in both},
                "export": {class_names[column]: float(theirs[at, column]) for column in both},
            },
        }

"""Does an export say what its model says? The same contents through both: the largest difference, and every changed answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfl.errors import ExportError
from tfl.export.kinds import MOST_ACCURACY_LOST, TOLERANCES
from tfl.export.measures import Measure, gaps_of, measure_of
from tfl.export.runtimes import Outputs, Runtime, of_model, open_export
from tfl.export.shipment import in_float32
from tfl.export.trial import GOLDEN, TEST, Trial
from tfl.modalities.base import Modality
from tfl.modalities.shipping import shipping_of
from tfl.tasks.base import Task, task_of

TOLERANCE = TOLERANCES["float32"]
_FIXES = {
    "float32": "Please report it, with the recipe's backbone.",
    "float16": "Leave float16 out: --quantize float32 --quantize int8",
    "int8": "Leave int8 out: --quantize float32 --quantize float16. To write it all the same: --quantize int8 --no-verify",
}


def check_parity(
    model: keras.Model,
    saved_model_folder: Path,
    files: Sequence[Path | bytes],
    modality: Modality,
    *,
    task: Task | None = None,
    tolerance: float = TOLERANCE,
) -> dict[str, Any]:
    """Compares the task's output of a Keras model, in float32, and of the SavedModel made from it.

    Args:
        model: From the tensors of the modality to the task's output.
        saved_model_folder: What `export_saved_model` returned.
        files: Paths of files, or contents.
        modality: How contents become tensors.
        task: What is predicted. Defaults to one of several classes.
        tolerance: The largest difference that still holds.

    Returns:
        `largest_difference`, `changed_labels` (how many files), `count`, `tolerance`, `holds`.

    Raises:
        ExportError: They disagree by more than the tolerance, or the SavedModel cannot be loaded.
    """
    if not files:
        raise ExportError("There is no file to compare the export on.", fix=f"Give it at least one {modality.noun}.")
    contents = [file if isinstance(file, bytes) else Path(file).read_bytes() for file in files]
    [exported] = open_export("saved_model", Path(saved_model_folder))
    task = task_of("classify") if task is None else task
    trial = Trial(
        names=tuple(map(str, range(len(contents)))),
        golden=len(contents),
        targets=np.full((len(contents), 1), np.nan, np.float32),
        read=contents.__getitem__,
        modality=modality,
    )
    expected, found = of_model(in_float32(model), output=task.output).look_at(trial), exported.look_at(trial)
    names = [""] * expected[task.output].shape[-1]
    row = compare(exported, found, task.named(expected[task.output]), trial, names, task=task)
    row = {**row, "tolerance": tolerance, "holds": row["largest_difference"] <= tolerance}
    require(row)
    return {
        **{name: row[name] for name in ("largest_difference", "count", "tolerance", "holds")},
        "changed_labels": row["changed"],
    }


def probe_contents(modality: Modality) -> list[bytes]:
    """The golden contents, for comparing an export where no example is at hand."""
    return list(shipping_of(modality).golden().values())


def compare(
    exported: Runtime,
    found: Outputs,
    expected: Outputs,
    trial: Trial,
    class_names: Sequence[str],
    *,
    task: Task | None = None,
) -> dict[str, Any]:
    """What the certificate says of one export.

    Args:
        exported: Which.
        found, expected: The outputs of the export and of the model for every content of the trial.
        trial: The contents.
        class_names: In the order of the task's output.
        task: What is predicted. Defaults to one of several classes.

    Returns:
        `largest_difference` over all contents, `changed` (how many answers), `count`, `golden` and `test` (the same for these
        alone, `test` with the task's metric, such as `accuracy` and `accuracy_of_model`), `other_outputs` (the largest
        differences in them, and how many answers changed), `changed_labels` (each content), `tolerance`, `holds` (None where it
        cannot be said).
    """
    measure = measure_of(task_of("classify") if task is None else task)
    _check_outputs(exported, found, expected)
    gaps, changed = measure.gaps(found, expected), measure.changed(found, expected)
    row: dict[str, Any] = {
        "decodes": exported.decodes,
        "weights": exported.quantized,
        "largest_difference": _largest(gaps),
        "changed": int(changed.sum()),
        "count": len(trial),
        "words": words_of(measure, trial.modality.nouns),
    }
    for part in (GOLDEN, TEST):
        row[part] = _part(trial, part, gaps, changed, found, expected, measure)
    row["other_outputs"] = _other_outputs(found, expected, measure)
    row["changed_labels"] = list(_changed_labels(found, expected, changed, trial, class_names, measure))
    return {**row, **_verdict(row)}


def words_of(measure: Measure, nouns: str) -> dict[str, str]:
    """How a row is put into words: `metric`, `noun`, `answer`, `answers`, and `nouns`, which examples are called."""
    return {name: getattr(measure, name) for name in ("metric", "noun", "answer", "answers")} | {"nouns": nouns}


def require(row: dict[str, Any], *, name: str = "The export") -> None:
    """Raises where an export is past its tolerance: of the task's output, or of its metric where its weights are int8.

    Raises:
        ExportError: It is.
    """
    if row["holds"] is not False:
        return
    words = row["words"]
    if row["tolerance"] is None:
        test, metric = row["test"], words["metric"]
        raise ExportError(
            f"{name} loses {100 * test['accuracy_lost']:.2g} points of {metric} on {test['count']} test {words['nouns']} "
            f"({test[metric]:.4f}, the model {test[f'{metric}_of_model']:.4f}).",
            allowed=f"a loss of at most {100 * MOST_ACCURACY_LOST:g} point",
            fix=_FIXES[row["weights"]],
        )
    raise ExportError(
        f"{name} disagrees with its model by {row['largest_difference']:.2g} in {words['noun']} "
        f"({row['changed']} of {row['count']} {words['answers']} change).",
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


def _largest(gaps: Any) -> float:
    return float(gaps.max(initial=0.0))


def _part(
    trial: Trial, name: str, gaps: Any, changed: Any, found: Outputs, expected: Outputs, measure: Measure
) -> dict[str, Any] | None:
    inside = trial.part(name)
    if not inside.any():
        return None
    row = {"count": int(inside.sum()), "largest_difference": _largest(gaps[inside]), "changed": int(changed[inside].sum())}
    if name == GOLDEN:
        return row
    targets = trial.targets[inside]
    theirs, ours = (
        measure.figure({output: values[inside] for output, values in outputs.items()}, targets) for outputs in (found, expected)
    )
    metric = measure.metric
    more = measure.by_target(
        {output: values[inside] for output, values in found.items()},
        {output: values[inside] for output, values in expected.items()},
        targets,
    )
    lost = max((one["accuracy_lost"] for one in more.values()), default=measure.lost(theirs, ours, targets))
    return {
        **row,
        metric: theirs,
        f"{metric}_of_model": ours,
        "accuracy_lost": lost,
        **({"targets": more} if more else {}),
    }


def _other_outputs(found: Outputs, expected: Outputs, measure: Measure) -> dict[str, Any]:
    """For numbers the largest difference, for claims how many contents have another answer."""
    rows: dict[str, Any] = {}
    for name, values in expected.items():
        if name in measure.main:
            continue
        if values.dtype == bool:
            other = (found[name].astype(bool) != values).reshape(len(values), -1).any(axis=1)
            rows[name] = {"changed": int(other.sum())}
        else:
            rows[name] = {"largest_difference": _largest(gaps_of(found[name], values))}
    return rows


def _changed_labels(
    found: Outputs, expected: Outputs, changed: Any, trial: Trial, class_names: Sequence[str], measure: Measure
) -> Iterator[dict[str, Any]]:
    for at in np.flatnonzero(changed):
        target = trial.targets[at]
        yield {
            "file": trial.names[at],
            "set": GOLDEN if at < trial.golden else TEST,
            **measure.told(found, expected, int(at), target, class_names),
        }

"""The evaluations of a run on other sources, kept in `RUN/evaluations/` for its report. No TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tfl.modalities.base import NEAR_COPIES, NOUNS
from tfl.runs import Run
from tfl.storage import finite

FOLDER = "evaluations"
_SHOWN = 20


def keep_evaluation(run: Run, source: str, document: Mapping[str, Any]) -> Path:
    """Writes one evaluation into the run folder; an earlier one of the same source is replaced.

    Args:
        run: `Run`; the caller holds its lock.
        source: String, the source as the command line names it.
        document: Dictionary with `metrics`, `metrics_unseen` and `overlap`, as `tfl evaluate --json` prints them.
    """
    where = os.path.abspath(os.path.expanduser(source)) if os.path.exists(os.path.expanduser(source)) else source
    earlier = {name: found for name, found in _documents(run).items() if found.get("where") == where}
    number = 1 + max((int(name.split(".")[0]) for name in _names(run)), default=0)
    name = next(iter(earlier), f"{number:04d}.json")
    parts = {key: document[key] for key in ("metrics", "metrics_unseen", "overlap")}
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return run.write_json(
        f"{FOLDER}/{name}", finite({"format": 1, "created": created, "source": source, "where": where, **parts})
    )


def evaluation_facts(run: Run) -> list[dict[str, Any]]:
    """What the report shows of each evaluation, the earliest first.

    Returns:
        `source`, `created`, `sentence` (the overlap in words), `metrics` of all examples, `metrics_unseen` of those that the run
        has not used (None where there are none, or where that is not known), `known` (whether it is), `notes`, and some of the
        `files` that it has used, with `more_files`, how many others there are.

    Raises:
        RunError: A file is damaged.
    """
    rows = sorted(_documents(run).values(), key=lambda row: str(row["created"]))
    return [
        {
            "source": row["source"],
            "created": row["created"],
            "sentence": overlap_in_words(row["overlap"], row["metrics"]["count"], kind=run.recipe.data.kind),
            "known": row["overlap"]["unseen"] is not None,
            "metrics": row["metrics"],
            "metrics_unseen": row["metrics_unseen"],
            "notes": row["overlap"]["notes"],
            "files": row["overlap"]["files"][:_SHOWN],
            "more_files": max(0, len(row["overlap"]["files"]) - _SHOWN),
        }
        for row in rows
    ]


def overlap_in_words(overlap: Mapping[str, Any], count: int, *, kind: str) -> str:
    """How many of the examples a run has used, as sentences; empty where that could not be checked.

    Args:
        overlap: Dictionary, from `tfl.evaluate.overlap.Overlap.to_json`.
        count: Int, the number of examples.
        kind: String, their modality, such as `text`.

    Example:

    >>> overlap_in_words({"train": 80, "val": 16, "test": 24, "near": 0, "unseen": 24}, 120, kind="text")
    '96 of the 120 texts are texts that this model was trained on (80 train, 16 validation). 24 are texts of its test split.'
    >>> overlap_in_words({"train": 0, "val": 0, "test": 0, "near": None, "unseen": 120}, 120, kind="audio")
    'None of the 120 sounds was used to train or validate this model.'
    """
    if overlap["unseen"] is None:
        return ""
    noun, nouns = NOUNS[kind]
    one = f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
    used, near, of_test = overlap["train"] + overlap["val"], overlap["near"], overlap["test"]
    if used:
        said = f"{used} of the {count} {nouns} {_are(used, one, nouns)} that this model was trained on"
        said += f" ({overlap['train']} train, {overlap['val']} validation)."
    else:
        said = f"None of the {count} {nouns} was used to train or validate this model."
    if near:
        said += f" {near} {_are(near, 'a near copy', 'near copies')} of {nouns} that were: {NEAR_COPIES[kind]}."
    if of_test and of_test < count:
        said += f" {of_test} {_are(of_test, one, nouns)} of its test split."
    return said


def _are(count: int, one: str, several: str) -> str:
    return f"is {one}" if count == 1 else f"are {several}"


def _names(run: Run) -> list[str]:
    return sorted(file.name for file in run.path(FOLDER).glob("*.json") if file.stem.isdigit())


def _documents(run: Run) -> dict[str, dict[str, Any]]:
    return {name: run.read_json(f"{FOLDER}/{name}") for name in _names(run)}

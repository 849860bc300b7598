"""The files of a run as plain data, with a clear error where one is damaged. No TensorFlow."""

from __future__ import annotations

import contextlib
import csv
import math
from collections.abc import Iterator, Mapping
from typing import Any

import jinja2

from tfl.errors import RunError
from tfl.runs import Run


def optional_json(run: Run, name: str) -> dict[str, Any]:
    """A JSON file of the run, or an empty dictionary if there is none yet.

    Raises:
        RunError: The file is there, and damaged.
    """
    return run.read_json(name) if run.path(name).is_file() else {}


@contextlib.contextmanager
def readable(run: Run, *names: str) -> Iterator[None]:
    """Raises a clear error for damaged or edited files if the block fails on their contents.

    Raises:
        RunError: The block raised what Python raises over a value of another kind than expected.
    """
    try:
        yield
    except jinja2.TemplateNotFound:
        raise  # a defect of tfl, and no damage
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, jinja2.TemplateError) as error:
        first = str(error).split("\n")[0][:200]
        raise RunError(
            f"{' or '.join(str(run.path(name)) for name in names)} is damaged, or was edited: {type(error).__name__}: {first}.",
            fix="Put the file back as it was, or run the recipe again in another folder.",
        ) from error


def read_history(run: Run) -> list[dict[str, Any]]:
    """The rows of `history.csv`, numbers as floats (None where empty), each with its `step`: the epoch counted over all stages.

    Raises:
        RunError: The file is damaged.
    """
    path = run.path("history.csv")
    if not path.is_file():
        return []
    try:
        with open(path, newline="", encoding="utf-8") as handle:
            rows = [dict(row) for row in csv.DictReader(handle)]
        return [_typed_row(row, step) for step, row in enumerate(rows, start=1)]
    except (ValueError, KeyError, TypeError, csv.Error) as error:
        raise RunError(f"{path} is damaged: {error}.", fix="Run the recipe again in another folder.") from error


def _typed_row(row: Mapping[str, str], step: int) -> dict[str, Any]:
    typed: dict[str, Any] = {"stage": row["stage"], "epoch": int(float(row["epoch"])), "step": step}
    for name, cell in row.items():
        if name not in typed:
            value = float(cell) if cell else math.nan
            typed[name] = value if math.isfinite(value) else None
    return typed

"""What the classes of a model file are called: from the run that it belongs to, or from a text file next to it. No TensorFlow."""

from __future__ import annotations

from pathlib import Path

from tfl.errors import BackboneError
from tfl.runs import Run

LABELS = "labels.txt"


def names_beside(path: Path) -> tuple[str, ...] | None:
    """The classes of a model file, in the order of its outputs; None where no file next to it says them.

    The run folder that the file lies in knows them. Otherwise they are read from a text file with one name in each line: for
    `mine.keras` that is `mine.txt`, or else `labels.txt`, which an export has.

    Args:
        path: Of the model file.

    Raises:
        BackboneError: The text file cannot be read, or the run has another task than one of several classes.
        RunError: The run is damaged.

    Example:

    >>> from pathlib import Path
    >>> names_beside(Path("nowhere/model.keras")) is None
    True
    """
    if (folder := run_of(path)) is not None:
        run = Run.open(folder)
        if (task := run.recipe.task) != "classify":
            raise BackboneError(
                f"{path} is no classifier for one of several classes.",
                received=f"a run with the task `{task}`",
                allowed="a run with the task `classify`",
            )
        return run.class_names
    for file in (path.with_suffix(".txt"), path.parent / LABELS):
        if file.is_file():
            return _read(file)
    return None


def run_of(path: Path) -> Path | None:
    """The run folder whose model a file is; None where it is not the model of a run."""
    folder = path.parent
    is_run = path.name == "model.keras" and (folder / "manifest.json").is_file() and (folder / "recipe.json").is_file()
    return folder if is_run else None


def _read(file: Path) -> tuple[str, ...]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BackboneError(f"The names of the classes in {file} cannot be read: {error}.") from error
    return tuple(line.strip() for line in lines if line.strip())

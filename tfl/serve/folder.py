"""Where the versions of a model lie: numbered folders with a SavedModel each, as TensorFlow Serving has them."""

from __future__ import annotations

import json
from pathlib import Path

from tfl.errors import RunError
from tfl.runs import Run

Stamp = tuple[int, tuple[tuple[str, int, int], ...]]


def base_of(path: Path) -> Path:
    """The folder with the versions of a run's or an export's SavedModel, or of one version alone.

    Raises:
        RunError: There is none.
    """
    is_run = (path / "manifest.json").is_file()
    folder = path / "export" if is_run else path
    for base in (folder, folder / "saved_model"):
        if (base / "saved_model.pb").is_file() or versions_in(base):
            return base
    if is_run:
        Run.open(path).refuse_language_model("A server")
        Run.open(path).model_file  # noqa: B018  (raises where the run did not come to its end)
    raise RunError(
        f"There is no SavedModel in {path}." if path.exists() else f"There is no folder {path}.",
        allowed="a run, or the folder of an export",
        fix="Write one with: tfl export RUN --format saved_model",
    )


def versions_in(base: Path) -> dict[int, Path]:
    """The complete versions in a folder, by number; a SavedModel's own folder is the only version of itself."""
    if (base / "saved_model.pb").is_file():
        return {int(base.name) if base.name.isdecimal() else 1: base}
    folders = [entry for entry in base.glob("[0-9]*") if entry.name.isdecimal() and (entry / "saved_model.pb").is_file()]
    return {int(folder.name): folder for folder in folders}


def stamp_of(number: int, folder: Path) -> Stamp:
    """Tells a version from another one of the same number that took its place, or from its half."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    return number, tuple((file.name, file.stat().st_ino, file.stat().st_mtime_ns) for file in files)


def recipe_name(base: Path) -> str | None:
    """The name of the recipe that the newest version came from, where the export says so."""
    folder = max(versions_in(base).items())[1]
    try:
        about = json.loads((folder / "assets.extra" / "tfl.json").read_text(encoding="utf-8"))
        return str(about["recipe"])
    except (OSError, ValueError, KeyError, TypeError):
        return None

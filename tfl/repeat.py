"""Runs the recipe of a run folder again, and compares weights and figures bit for bit."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfl.errors import RunError, RunLockedError
from tfl.evaluate.compare.changes import input_changes
from tfl.evaluate.compare.identical import compare_epochs, compare_metrics, compare_predictions, compare_weights
from tfl.recipe import DATA_PARTS, Backbones, Recipe
from tfl.runs import Run, default_folder
from tfl.storage import cache_home, check_can_write, locked

if TYPE_CHECKING:
    from rich.console import Console

NAME = "repeat.json"
_COMPUTED = ("features",)
"""What of the cache a repeat makes anew: what a run computes of its examples. The engine that was found fastest stays."""
_PLACE, _NEW_S = "repeat-", 60


def repeat_run(
    run_folder: Path | str,
    *,
    out: Path | str | None = None,
    data: str | None = None,
    reuse_store: bool = False,
    command: Sequence[str] = (),
    console: Console | None = None,
) -> dict[str, Any]:
    """Runs a finished run's recipe again in a new folder and compares the two. Writes `repeat.json` there.

    What the first run measured and chose (`auto` in precision, jit_compile, features.store and features.engine) is taken over.
    Features are computed anew, in a store that is gone afterwards: the first run's would hide a difference.

    Args:
        run_folder: Path of a run folder whose status is done.
        out: Path, the folder of the new run. Defaults to None, which creates `runs/<name>/<time>`.
        data: String, the current place of the data. Defaults to None, which is the source of the recipe.
        reuse_store: Bool, whether to read features that earlier runs stored. Defaults to False.
        command: Sequence of strings, the command line, for the manifest.
        console: rich `Console` for progress. Defaults to None, which prints to standard error.

    Returns:
        `run`, `repeat` (folders), `identical`, `sentence`, `weights`, `metrics`, `predictions`, `epochs` (see
        `tfl.evaluate.compare.identical`), `changed` and `unknown` (see `tfl.evaluate.compare.changes`), and `store` (`fresh`
        or `shared`).

    Raises:
        RunError: There is no run there, it did not come to its end, or `out` is taken.
        TflError: As of `tfl.job.run_recipe`.
    """
    from tfl.job import run_recipe

    first = finished(run_folder)
    recipe = first.asked if data is None else _with_data(first.asked, data)
    folder = (Path(out) if out is not None else default_folder(recipe.name)).absolute()
    check_can_write(folder, folder=True)
    Run.refuse_if_taken(folder)
    if not reuse_store:
        check_can_write(cache_home(), folder=True, fix="Point TFL_CACHE to a folder that can be written.")
    first = Run.open(first.folder.absolute())
    with _where_it_began(first, recipe), contextlib.nullcontext() if reuse_store else fresh_store():
        second = run_recipe(recipe, out=folder, repeats=first, command=command, console=console)
    document = compare_repeat(first, second) | {"store": "shared" if reuse_store else "fresh"}
    second.write_json(NAME, document)
    return document


def finished(run_folder: Path | str) -> Run:
    """Opens the run in a folder, which must be finished.

    Raises:
        RunError: There is none, or it was cut short.
    """
    run = Run.open(run_folder)
    status = run.manifest["status"]
    if status != "done":
        raise RunError(
            f"{run.folder} did not come to its end, so there is nothing to compare a repeat with.",
            received=f"status {status}",
            allowed="a run that is done",
            fix=f"Resume it first: tfl run {run.path('recipe.json')} --out {run.folder} --resume",
        )
    return run


def compare_repeat(first: Run, second: Run) -> dict[str, Any]:
    """Compares the results of two runs, and their inputs if the results differ.

    Returns:
        As of `repeat_run`, without `store`.
    """
    found = {
        "weights": compare_weights(first.path("model.keras"), second.path("model.keras")),
        "metrics": compare_metrics(first, second),
        "predictions": compare_predictions(first, second),
        "epochs": compare_epochs(first, second),
    }
    identical = found["weights"]["identical"] and found["metrics"]["identical"]
    inputs = input_changes(first, second)
    document: dict[str, Any] = {"run": str(first.folder), "repeat": str(second.folder), "identical": identical}
    return document | {"sentence": _sentence(identical, found, inputs)} | found | inputs


def _sentence(identical: bool, found: dict[str, Any], inputs: dict[str, Any]) -> str:
    names = [row["input"] for row in inputs["changed"]]
    if identical:
        also = f", though the {_listed(names)} changed" if names else ""
        return f"Identical: all {found['weights']['tensors']} weight tensors and all {found['metrics']['figures']} figures{also}."
    parts = [
        f"{found[name]['differing']} of {found[name][count]} {words}"
        for name, count, words in (("weights", "tensors", "weight tensors"), ("metrics", "figures", "figures"))
    ]
    start = f"Not identical: {' and '.join(parts)} differ."
    if names:
        return f"{start} What changed: {_listed(names)}."
    if inputs["unknown"]:
        return f"{start} No input is known to have changed; of {_listed(inputs['unknown'])} an older run says nothing."
    return (
        f"{start} No input changed. Left are what was computed in another order: an accelerator, another number of threads, "
        "or features that the first run found in its store."
    )


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _with_data(recipe: Recipe, source: str) -> Recipe:
    if "://" not in source and not source.startswith(("tfds:", "sample:")):
        source = str(Path(source).expanduser().absolute())
    return dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, source=source))


@contextlib.contextmanager
def _where_it_began(run: Run, recipe: Recipe) -> Iterator[None]:
    """Relative paths of a recipe are resolved from the current folder, else from the folder where the run was started."""
    start = Path(str(run.manifest.get("started_in") or "."))
    every = [data for name in DATA_PARTS if (data := getattr(recipe, name)) is not None]
    several = recipe.backbone.inputs.values() if isinstance(recipe.backbone, Backbones) else (recipe.backbone,)
    named = [name for data in every for name in (data.source, data.exclude)]
    named += [] if recipe.unlabelled is None else [recipe.unlabelled.source]
    named += [recipe.zero_shot.attributes] if recipe.zero_shot is not None else []
    named += [name for one in several for name in (one.name, one.weights)]
    paths = [Path(name) for name in named if isinstance(name, str) and name and not Path(name).is_absolute()]
    if start.is_dir() and any(not path.exists() and (start / path).exists() for path in paths):
        with contextlib.chdir(start):
            yield
    else:
        yield


@contextlib.contextmanager
def fresh_store() -> Iterator[Path]:
    """An empty feature store for the block, on the disk of the usual one; everything else in the cache is still found.

    Raises:
        StorageError: The cache cannot be written.
    """
    home = cache_home().absolute()
    home.mkdir(parents=True, exist_ok=True)
    _sweep(home)
    before = os.environ.get("TFL_CACHE")
    place = Path(tempfile.mkdtemp(prefix=_PLACE, dir=home))
    try:
        with locked(place):
            for entry in home.iterdir():
                if entry.is_dir() and entry.name not in _COMPUTED and not entry.name.startswith(_PLACE):
                    (place / entry.name).symlink_to(entry, target_is_directory=True)
            os.environ["TFL_CACHE"] = str(place)
            yield place
    finally:
        if before is None:
            os.environ.pop("TFL_CACHE", None)
        else:
            os.environ["TFL_CACHE"] = before
        shutil.rmtree(place, ignore_errors=True)


def _sweep(home: Path) -> None:
    """Removes the stores of repeats that were killed."""
    for left in home.glob(f"{_PLACE}*"):
        with contextlib.suppress(RunLockedError, OSError):
            if time.time() - left.stat().st_mtime > _NEW_S:  # a younger one may be about to be locked
                with locked(left):
                    shutil.rmtree(left, ignore_errors=True)

"""`tfl run`: the main job, from a recipe to a report and an export."""

from __future__ import annotations

import functools
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from tfl.cli.command import (
    Answer,
    command,
    if_interrupted,
    if_stopped_by_its_surroundings,
    terminated_as_interrupted,
)
from tfl.cli.options import SOURCE_HELP, changed, set_option
from tfl.errors import RunError
from tfl.recipe import load_recipe
from tfl.runs import default_folder

if TYPE_CHECKING:
    from tfl.runs import Run


@command
@click.argument("recipe_file", metavar="RECIPE", type=click.Path(path_type=Path))
@click.option("--data", metavar="SOURCE", help=f"Train on this instead of the recipe's source. {SOURCE_HELP}")
@set_option("Change a field of the recipe, such as stages.head.epochs=5 or backbone=MobileNetV2. Repeatable.")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="The run folder. [default: runs/NAME/TIME]")
@click.option("--resume", is_flag=True, help="Go on with the run in --out, or begin it; without --out, with the latest run.")
@click.option("--smoke", is_flag=True, help="A few images and one epoch a stage: does everything work, in seconds?")
@click.option("--skip-bad", is_flag=True, help="List files that are no images and leave them out, instead of stopping.")
def run(
    recipe_file: Path,
    data: str | None,
    settings: Sequence[tuple[str, str]],
    out: Path | None,
    resume: bool,
    smoke: bool,
    skip_bad: bool,
) -> Answer:
    """Train, judge, explain and export what RECIPE says.

    RECIPE is a Python file with one `recipe = tfl.Recipe(...)`, or the recipe.json of an earlier run.
    Everything lands in one run folder. Ctrl-C stops at the next batch and saves; a run that was interrupted or killed goes on
    with --resume, to the same result.
    """
    recipe = changed(load_recipe(recipe_file), file=recipe_file, data=data, settings=settings, smoke=smoke, skip_bad=skip_bad)
    folder = out or (latest_run(recipe.name) if resume else default_folder(recipe.name))
    go_on = functools.partial(_go_on, folder, recipe_file, data=data, settings=settings, smoke=smoke, skip_bad=skip_bad)
    if_interrupted(go_on)
    if_stopped_by_its_surroundings(lambda: go_on() if os.path.isfile(folder / "manifest.json") else "")
    with terminated_as_interrupted():
        from rich.console import Console

        from tfl.job import run_recipe

        done = run_recipe(recipe, out=folder, resume=resume, command=["tfl", *sys.argv[1:]], console=Console(stderr=True))
    document = {
        "run": str(done.folder),
        "metrics": done.read_json("metrics.json"),
        "export": exports(done),
        "refused": refused(done),
    }
    return Answer(document, lambda: _show(document, done))


def latest_run(recipe_name: str) -> Path:
    """The folder of the latest run of a recipe, under `runs/`.

    Raises:
        RunError: It was never run here.
    """
    runs = default_folder(recipe_name).parent
    folders = [entry.parent for entry in runs.glob("*/manifest.json")]
    if not folders:
        raise RunError(
            f"There is no run of `{recipe_name}` to resume: {runs.absolute()} has none.",
            fix="Name the run folder with --out, or start anew without --resume.",
        )
    return max(folders, key=lambda folder: (folder.joinpath("recipe.json").stat().st_mtime, folder.name))


def exports(run: Run) -> dict[str, str]:
    """The exports in a run folder, by format."""
    from tfl.export.kinds import ABOUT_FILE, KINDS
    from tfl.serve.predictor import find_saved_model

    saved = find_saved_model(run.path("export"))
    others = [kind for kind in KINDS if run.path("export", kind, ABOUT_FILE).is_file()]
    return {**({"saved_model": str(saved)} if saved else {}), **{kind: str(run.path("export", kind)) for kind in others}}


def refused(run: Run) -> dict[str, str]:
    """The exports that were refused, by name, each with the reason."""
    parity = run.manifest.get("parity") or {}
    return {name: row["refused"] for name, row in parity.items() if row.get("refused")}


def _go_on(folder: Path, recipe_file: Path, **options: Any) -> str:
    if not os.path.isfile(folder / "manifest.json"):
        return "No run was begun yet: start it again."
    words = ["tfl", "run", str(recipe_file)]
    words += ["--data", options["data"]] if options["data"] else []
    for key, text in options["settings"]:
        words += ["--set", f"{key}={text}"]
    words += [f"--{flag.replace('_', '-')}" for flag in ("smoke", "skip_bad") if options[flag]]
    return f"What was done is kept. Go on with: {shlex.join([*words, '--out', str(folder), '--resume'])}"


def _show(document: dict[str, Any], run: Run) -> None:
    test = document["metrics"].get("test", {})
    if "accuracy" in test:
        interval = test.get("accuracy_interval")
        spread = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
        click.echo(f"test accuracy {test['accuracy']:.3f}{spread}, macro-F1 {test['macro_f1']:.3f}, on {test['count']} images")
    click.echo(f"run      {run.folder}")
    if (report := run.path("report.html")).is_file():
        click.echo(f"report   {report}")
    for name, folder in document["export"].items():
        click.echo(f"export   {folder} ({name})")
    for name, reason in document["refused"].items():
        click.echo(f"refused  {name}: {reason}")
    click.echo(f"use it   tfl predict {shlex.quote(str(run.folder))} PHOTO")

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
from tfl.cli.options import changed, latest_folder, recipe_options, skip_bad_option
from tfl.modalities.base import EXAMPLE_FILES, NOUNS
from tfl.recipe import GENERATE, load_recipe
from tfl.runs import ADAPT, EXTRA, PRETRAINED, default_folder
from tfl.strategies import STRATEGIES, with_strategy
from tfl.tasks.base import task_of

if TYPE_CHECKING:
    from tfl.runs import Run


@command
@recipe_options(
    data="Train on this instead of the recipe's source.",
    setting="stages.head.epochs=5",
    out="The run folder. [default: runs/NAME/TIME]",
)
@click.option(
    "--strategy",
    type=click.Choice(STRATEGIES),
    help="Take the head and the stages of this strategy instead of the recipe's, before --set changes them.",
)
@click.option("--resume", is_flag=True, help="Resume the run in --out, or start it; without --out, resume the latest run.")
@click.option("--smoke", is_flag=True, help="A few images and one epoch a stage: does everything work, in seconds?")
@skip_bad_option
def run(
    recipe_file: Path,
    data: str | None,
    settings: Sequence[tuple[str, str]],
    out: Path | None,
    strategy: str | None,
    resume: bool,
    smoke: bool,
    skip_bad: bool,
) -> Answer:
    """Train, evaluate, explain and export what RECIPE says.

    RECIPE is a Python file with one `recipe = tfl.Recipe(...)`, or the recipe.json of an earlier run.
    Everything lands in one run folder. Ctrl-C stops at the next batch and saves; a run that was interrupted or killed is
    resumed with --resume, to the same result.
    """
    loaded = load_recipe(recipe_file)
    if strategy is not None:
        loaded = with_strategy(loaded, strategy)
    recipe = changed(loaded, file=recipe_file, data=data, settings=settings, smoke=smoke, skip_bad=skip_bad)
    folder = out or (latest_folder(recipe.name, holds="manifest.json", what="run") if resume else default_folder(recipe.name))
    resuming = functools.partial(
        _how_to_resume,
        folder,
        recipe_file,
        data=data,
        strategy=strategy,
        settings=settings,
        smoke=smoke,
        skip_bad=skip_bad,
    )
    if_interrupted(resuming)
    if_stopped_by_its_surroundings(lambda: resuming() if os.path.isfile(folder / "manifest.json") else "")
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
    if done.path(EXTRA).is_file():
        document["extra"] = done.read_json(EXTRA)
    if done.path(PRETRAINED).is_file():
        document["pretrain"] = done.read_json(PRETRAINED)
    if done.path(ADAPT).is_file():
        document["adapt"] = done.read_json(ADAPT)
    return Answer(document, lambda: _show(document, done))


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


def _how_to_resume(folder: Path, recipe_file: Path, **options: Any) -> str:
    if not os.path.isfile(folder / "manifest.json"):
        return "No run was begun yet: start it again."
    words = ["tfl", "run", str(recipe_file)]
    words += ["--data", options["data"]] if options["data"] else []
    words += ["--strategy", options["strategy"]] if options["strategy"] else []
    for key, text in options["settings"]:
        words += ["--set", f"{key}={text}"]
    words += [f"--{flag.replace('_', '-')}" for flag in ("smoke", "skip_bad") if options[flag]]
    return f"What was done is kept. Resume with: {shlex.join([*words, '--out', str(folder), '--resume'])}"


def _show(document: dict[str, Any], run: Run) -> None:
    from tfl.evaluate.report.adapt import adapt_sentences
    from tfl.evaluate.report.extra_data import extra_sentence
    from tfl.evaluate.report.pretrain import pretrain_sentence
    from tfl.evaluate.report.source import forgetting_sentence

    test, (noun, nouns) = document["metrics"].get("test", {}), NOUNS[run.recipe.data.kind]
    if "per_class" in test:
        interval = test.get("accuracy_interval")
        spread = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
        click.echo(f"test accuracy {test['accuracy']:.3f}{spread}, macro-F1 {test['macro_f1']:.3f}, on {test['count']} {nouns}")
    elif test:
        click.echo(task_of(run.recipe.task).sentence(test, noun=noun, nouns=nouns))
    if "source" in document["metrics"]:
        click.echo(forgetting_sentence(document["metrics"]["source"], nouns=nouns))
    if "extra" in document:
        click.echo(extra_sentence(document["extra"], nouns=nouns))
    if "pretrain" in document:
        click.echo(pretrain_sentence(document["pretrain"], nouns=nouns))
    for words in adapt_sentences(document["adapt"], nouns=nouns) if "adapt" in document else ():
        click.echo(words)
    click.echo(f"run      {run.folder}")
    if (report := run.path("report.html")).is_file():
        click.echo(f"report   {report}")
    for name, folder in document["export"].items():
        click.echo(f"export   {folder} ({name})")
    for name, reason in document["refused"].items():
        click.echo(f"refused  {name}: {reason}")
    if run.recipe.task == GENERATE:
        click.echo(f'use it   tfl write {shlex.quote(str(run.folder))} "Once"')
        return
    click.echo(f"use it   tfl predict {shlex.quote(str(run.folder))} {EXAMPLE_FILES[run.recipe.data.kind][0]}")

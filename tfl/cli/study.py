"""`tfl study`: the same tasks by every network, strategy, depth and number of training examples asked for."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from tfl.cli.command import Answer, command, if_interrupted, if_stopped_by_its_surroundings, terminated_as_interrupted
from tfl.cli.options import SOURCE_HELP, changed, latest_folder, set_option
from tfl.cli.tables import output, table
from tfl.errors import RecipeError
from tfl.recipe import load_recipe
from tfl.runs import default_folder
from tfl.strategies import STRATEGIES

if TYPE_CHECKING:
    from tfl.studies.axes import Source
    from tfl.studies.folder import StudyFolder

_MOST_SEEDS = 100


@command
@click.argument("recipe_files", metavar="RECIPE...", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--data",
    "sources",
    metavar="SOURCE",
    multiple=True,
    help=f"A column for this instead of the recipe's source. {SOURCE_HELP} Repeatable.",
)
@click.option(
    "--strategy",
    "strategies",
    type=click.Choice(("recipe", *STRATEGIES)),
    multiple=True,
    help="A row for this strategy, or for the recipe's own head and stages; scratch is always there. Repeatable. "
    "[default: features, finetune, lp_ft, auto]",
)
@click.option(
    "--backbone",
    "backbones",
    metavar="NAME",
    multiple=True,
    help='Rows for this network, such as MobileNetV2 or "MobileNet alpha=0.75". Repeatable. [default: the recipe\'s]',
)
@click.option(
    "--blocks",
    metavar="N",
    type=click.IntRange(min=1),
    multiple=True,
    help="A row in which the last stage trains N upper blocks, where it fine-tunes. Repeatable. [default: as the strategy says]",
)
@click.option(
    "--train-per-class",
    metavar="N",
    type=click.IntRange(min=1),
    multiple=True,
    help="A column with at most N training examples of each class. Repeatable. [default: as the recipe says]",
)
@click.option("--seeds", type=click.IntRange(min=1, max=_MOST_SEEDS), help="Seeds of each cell. [default: 3]")
@click.option("--minutes", type=click.FloatRange(min=0), help="Start no further cell after so many minutes.")
@set_option("Change a field of the recipes, before strategies replace their head and stages. Repeatable.")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="The study's folder. [default: runs/NAME/study-TIME]")
@click.option(
    "--resume", is_flag=True, help="Resume the study in --out, with what is named now added to it; without --out, the latest."
)
def study(
    recipe_files: Sequence[Path],
    sources: Sequence[str],
    strategies: Sequence[str],
    backbones: Sequence[str],
    blocks: Sequence[int],
    train_per_class: Sequence[int],
    seeds: int | None,
    minutes: float | None,
    settings: Sequence[tuple[str, str]],
    out: Path | None,
    resume: bool,
) -> Answer:
    """Measure each RECIPE by several networks and strategies, over several seeds: one table, with means, intervals and tests.

    A row is a network with a strategy, and training from random weights beside them; a column is a data set with a number of
    training examples. Leaves study.html, study.csv, study.md, study.tex and study.json. With --resume, RECIPE may be left out.
    """
    from tfl.backbones.titles import parse_backbone
    from tfl.studies.folder import NAME, StudyFolder
    from tfl.studies.measure import axes_for, measure_study

    if not recipe_files and not (resume and out):
        raise click.UsageError("Missing argument 'RECIPE...'; only --resume with --out goes without.")
    named = _sources(recipe_files, sources, settings)
    kind = {"holds": NAME, "what": "study"}
    folder = out or (
        latest_folder(named[0].recipe.name, **kind) if resume else default_folder(named[0].recipe.name, kind="study")
    )
    axes = axes_for(
        StudyFolder(folder),
        resume=resume,
        sources=named,
        strategies=strategies or None,
        backbones=[parse_backbone(text) for text in backbones] or None,
        blocks=blocks or None,
        train_per_class=train_per_class or None,
        seeds=seeds,
    )
    if_interrupted(lambda: _how_to_resume(folder))
    if_stopped_by_its_surroundings(lambda: _how_to_resume(folder) if os.path.isfile(folder / NAME) else "")
    from rich.console import Console

    console = Console(stderr=True)
    with terminated_as_interrupted():
        found = measure_study(axes, folder, resume=resume, minutes=minutes, console=console, command=["tfl", *sys.argv[1:]])
    document = {"study": str(found.folder), "report": str(found.report.file), **found.document}
    return Answer(document, lambda: _show(found, document))


def _sources(files: Sequence[Path], data: Sequence[str], settings: Sequence[tuple[str, str]]) -> list[Source]:
    """The columns of the data sets: one for each recipe, or one for each source of the only recipe."""
    from tfl.studies.axes import sources_of

    if data and len(files) != 1:
        raise RecipeError(
            "--data goes with one recipe.", received=f"{len(files)} recipes", fix="Give each recipe its own source."
        )
    if settings and not files:
        raise RecipeError("--set changes recipes, and none is named.", fix="Name the recipe files.")
    first = data[0] if data else None
    recipes = [(changed(load_recipe(file), file=file, data=first, settings=settings), str(file)) for file in files]
    return sources_of(recipes, data) if recipes else []


def _how_to_resume(folder: Path) -> str:
    if not os.path.isfile(folder / "study.json"):
        return "Nothing was written yet."
    return f"What was done is kept. Resume with: {shlex.join(['tfl', 'study', '--out', str(folder), '--resume'])}"


def _show(found: StudyFolder, document: dict[str, Any]) -> None:
    from tfl.evaluate.pages.study_words import (
        MARKS,
        grid,
        heading,
        missing,
        missing_text,
        parameters_text,
        row_heads,
        row_names,
        score_text,
        time_text,
    )

    columns, cells = document["columns"], grid(document)
    names = row_names(document)
    heads = [heading(column) for column in columns]
    marks = {"best": " best", "tied": " ~"}
    scores = [
        tuple(
            score_text(cell, column) + (marks.get(cell["mark"], "") if cell else "")
            for cell, column in zip(row, columns, strict=True)
        )
        for row in cells
    ]
    times = [tuple(time_text(cell) for cell in row) for row in cells]
    time_heads = ["time" if len(columns) == 1 else f"{column['title']}: time" for column in columns]
    parameters = [(parameters_text(row),) for row in cells]
    first, last = row_heads(document), ("trained parameters",)
    if len(columns) == 1:
        together = [(*a, *b, *c, *d) for a, b, c, d in zip(names, scores, times, parameters, strict=True)]
        output().print(table((*first, *heads, *time_heads, *last), together, right=("blocks", *time_heads, *last)))
    else:
        output().print(table((*first, *heads), [(*a, *b) for a, b in zip(names, scores, strict=True)], right=("blocks",)))
        rows = [(*a, *b, *c) for a, b, c in zip(names, times, parameters, strict=True)]
        output().print(table((*first, *time_heads, *last), rows, right=("blocks", *time_heads, *last)))
    click.echo(MARKS)
    for group in missing(document):
        click.echo(missing_text(group))
    click.echo(f"study    {document['study']}")
    click.echo(f"report   {document['report']}")
    if document["status"] != "done":
        click.echo(_how_to_resume(found.folder))

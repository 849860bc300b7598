"""`tfl tune`: how much of the network to train again, and how, found by trials."""

from __future__ import annotations

import dataclasses
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from tfl.cli.command import Answer, command, if_interrupted, if_stopped_by_its_surroundings
from tfl.cli.options import changed, latest_folder, recipe_options
from tfl.cli.tables import output, table
from tfl.recipe import Search, load_recipe
from tfl.runs import default_folder

if TYPE_CHECKING:
    from tfl.tuning.folder import SearchFolder


@command
@recipe_options(
    data="Search on this instead of the recipe's source.",
    setting="search.seeds=5",
    out="The search's folder. [default: runs/NAME/tune-TIME]",
)
@click.option("--trials", type=click.IntRange(min=1), help="At most so many trials, over search.trials.")
@click.option("--minutes", type=click.FloatRange(min=0), help="Begin no trial after so many minutes, and stop the one under way.")
@click.option(
    "--workers", type=click.IntRange(min=1), default=1, show_default=True, help="Processes that run trials side by side."
)
@click.option("--algorithm", type=click.Choice(["bayesian", "hyperband", "random", "grid"]), help="Over search.algorithm.")
@click.option("--resume", is_flag=True, help="Resume the search in --out; without --out, the recipe's latest.")
def tune(
    recipe_file: Path,
    data: str | None,
    settings: Sequence[tuple[str, str]],
    out: Path | None,
    trials: int | None,
    minutes: float | None,
    workers: int,
    algorithm: str | None,
    resume: bool,
) -> Answer:
    """Search how many blocks to train, at which rates, with which head; write the best as a recipe.

    Leaves trials.csv, tune.html and best_recipe.py, which `tfl run` takes as it is. The best is trained again over several
    seeds before it is called the best. Test images are never looked at.
    """
    from tfl.measure import tune_recipe, with_options

    recipe = load_recipe(recipe_file)
    recipe = dataclasses.replace(recipe, search=recipe.search or Search())
    recipe = changed(recipe, file=recipe_file, data=data, settings=settings)
    options = {"trials": trials, "minutes": minutes, "algorithm": algorithm}
    recipe = with_options(recipe, {name: value for name, value in options.items() if value is not None})
    folder = out or (
        latest_folder(recipe.name, holds="search.json", what="search") if resume else default_folder(recipe.name, kind="tune")
    )
    if_interrupted(lambda: _how_to_resume(folder))
    if_stopped_by_its_surroundings(lambda: _how_to_resume(folder) if os.path.isfile(folder / "search.json") else "")
    from rich.console import Console

    console = Console(stderr=True)
    found = tune_recipe(recipe, folder, resume=resume, workers=workers, console=console)
    document = {"search": str(found.folder), **_document(found)}
    return Answer(document, lambda: _show(document))


def _how_to_resume(folder: Path) -> str:
    if not os.path.isfile(folder / "search.json"):
        return "Nothing was written yet."
    words = ["tfl", "tune", str(folder / "recipe.json"), "--out", str(folder), "--resume"]
    passed = [word for word in sys.argv[1:] if word.split("=")[0] in ("--workers",)]
    return f"What was done is kept. Resume with: {shlex.join([*words, *passed])}"


def _document(found: SearchFolder) -> dict[str, Any]:
    """What a search came to, as `--json` prints it."""
    from tfl.tuning.folder import read_document

    confirmed = found.path("confirmed.json")
    return {
        "metric": found.about["metric"],
        "best": found.about.get("best"),
        "trials": found.outcomes(),
        "confirmed": read_document(confirmed)["rows"] if confirmed.is_file() else [],
        "best_recipe": str(found.path("best_recipe.py")),
        "report": str(found.path("tune.html")),
    }


def _show(document: dict[str, Any]) -> None:
    metric, best = document["metric"], document["best"]
    if best is None:  # a worker: its chief has the answer
        return
    rows = [
        (row["name"], *(f"{value:.4f}" if value is not None else "" for value in _figures(row)), str(len(row["scores"])))
        for row in document["confirmed"]
    ]
    if rows:
        output().print(table(("recipe", f"mean {metric}", "from", "to", "seeds"), rows, right=("from", "to", "seeds")))
    failed = sum(row["status"] == "failed" for row in document["trials"])
    click.echo(f"trials   {len(document['trials'])}" + (f", {failed} failed (see trials.csv)" if failed else ""))
    click.echo(f"best     {best['name']}: {metric} {best['score']:.4f}" + (" (one trial)" if not best["seeds"] else ""))
    for path, value in best["values"].items():
        click.echo(f"           {path} = {value}")
    click.echo(f"report   {document['report']}")
    click.echo(f"use it   tfl run {shlex.quote(document['best_recipe'])}")


def _figures(row: Mapping[str, Any]) -> tuple[float | None, ...]:
    return (row["mean"], *(row["interval"] or (None, None)))

"""`tfl advise`: which network, how much of it to train and by which strategy, for some data."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from tfl.backbones.titles import parse_backbone
from tfl.cli.command import Answer, command
from tfl.cli.first_recipe import first_recipe
from tfl.cli.new import facts_of, with_settings
from tfl.cli.options import set_option
from tfl.cli.tables import output, readable_bytes, table
from tfl.modalities.at_hand import MOST_COMPARED, networks_to_compare
from tfl.recipe import Backbone, Data, Recipe
from tfl.runs import default_folder

if TYPE_CHECKING:
    from tfl.cli.first_recipe import SourceFacts

MINUTES = 5.0
BUDGET = 50


@command
@click.argument("source", metavar="SOURCE", required=False)
@click.option(
    "--backbone",
    "names",
    metavar="NAME",
    multiple=True,
    help="Compare this network: a name of `tfl backbones`, with arguments such as 'MobileNet alpha=0.75', a model file or a "
    f"preset. Repeatable. [default: up to {MOST_COMPARED} at hand]",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0),
    default=MINUTES,
    show_default=True,
    help="Leave out what does not fit into so many minutes; the first network is measured in any case.",
)
@set_option("Say what is not found in the data: a field of the data or the task, such as data.label_column=age.")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Where to write. [default: runs/NAME/advise-TIME]")
@click.option(
    "--unlabelled",
    metavar="FOLDER",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Choose files of this folder to label next: to_label.csv, and label.html to label them on.",
)
@click.option("--budget", metavar="N", type=click.IntRange(min=1), help="Choose so many of them. [default: 50]")
@click.option(
    "--labels",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Add the labels that label.html saved to the training examples, as labelled.csv, before anything is measured.",
)
@click.option(
    "--history",
    "shows_history",
    is_flag=True,
    help="Show earlier advice, for SOURCE or for all data, beside the runs that followed.",
)
def advise(
    source: str | None,
    names: Sequence[str],
    minutes: float,
    settings: Sequence[tuple[str, str]],
    out: Path | None,
    unlabelled: Path | None,
    budget: int | None,
    labels: Path | None,
    shows_history: bool,
) -> Answer:
    """Say which network to use for SOURCE, how much of it to train, and by which strategy.

    One pass per network over the training and validation examples, or over a sample of them, then probes of every block under
    cross-validation; fine-tuning of the best network under cross-validation; the same network with random weights; and a
    learning curve, which says what more labels would bring. Test examples are never looked at. Leaves advice.json, advice.html
    and recipe.py, which `tfl run` takes as it is.
    """
    if shows_history:
        return _history(source)
    if source is None:
        raise click.UsageError("Missing argument 'SOURCE'.")
    if budget is not None and unlabelled is None:
        raise click.UsageError("--budget goes with --unlabelled.")
    name = _name_of(source)
    start = with_settings(Recipe(name=name, data=Data(source), backbone=Backbone("mini")), settings)
    facts = facts_of(start, backbone=None, fixed=[key for key, _ in settings])
    folder = out or default_folder(name, kind="advise")
    from tfl.measure import ADVICE_PAGE, ADVISED, advise_on, check_advice_folder

    check_advice_folder(folder)
    if labels is not None:
        facts = _with_labels(facts, labels, folder)
    recipe = first_recipe(name, facts)
    at_hand = sorted(networks_to_compare(facts.data.kind), key=lambda one: one.flops or 0.0)
    backbones = [parse_backbone(title) for title in names] or [one.backbone for one in at_hand] or [recipe.backbone]
    from rich.console import Console

    from tfl.labelling import resolved

    document = advise_on(
        recipe,
        backbones,
        folder,
        minutes=minutes,
        unlabelled=unlabelled,
        budget=budget or BUDGET,
        labelled=[resolved(str(path)) for path in (() if facts.examples.paths is None else facts.examples.paths)],
        console=Console(stderr=True),
    )
    files = {"report": str(folder / ADVICE_PAGE), "recipe_file": str(folder / ADVISED)}
    if unlabelled is not None:
        files |= {"label": str(folder / "label.html")}
    return Answer({**document, **files}, lambda: _show(document, files))


def _history(source: str | None) -> Answer:
    """Earlier advice in `runs`, and what came of it."""
    from tfl.advice.history import history

    found = history(Path("runs"), source=source)
    followed = [one for one in found if one.followed]
    document = {
        "outcomes": [{**dataclasses.asdict(one), "inside": one.inside} for one in found],
        "followed": len(followed),
        "inside": sum(one.inside for one in followed),
    }
    return Answer(document, lambda: _show_history(document))


def _show_history(document: dict[str, Any]) -> None:
    from tfl.evaluate.render import percent

    if not document["outcomes"]:
        click.echo("There is no advice in runs/ with a finished run on the same data.")
        return
    rows = [
        (
            row["source"],
            f"{percent(row['expected'])} [{percent(row['low'])}, {percent(row['high'])}]",
            percent(row["found"]),
            "inside" if row["inside"] else "outside",
            "as advised" if row["followed"] else "otherwise",
            row["run"],
        )
        for row in document["outcomes"]
    ]
    output().print(table(("data", "expected", "found", "interval", "trained", "run"), rows, right=("found",)))
    click.echo(f"{document['inside']} of {document['followed']} runs that followed the advice are inside its 90% interval.")


def _with_labels(facts: SourceFacts, file: Path, folder: Path) -> SourceFacts:
    """What is found in the source with the new labels."""
    from tfl.labelling import LABELLED, read_labels, with_labels

    table = with_labels(facts.data, facts.examples, read_labels(file), folder / LABELLED)
    data = dataclasses.replace(facts.data, source=str(table), path_column=None, label_column=None, test_fold=None)
    start = Recipe(name="labelled", data=data, backbone=Backbone("mini"), task="classify")
    return facts_of(start, backbone=None)


def _name_of(source: str) -> str:
    """A name for recipe and folder, from the end of the source."""
    stem = Path(source.split(":", 1)[-1].rstrip("/\\")).name.split(".")[0]
    kept = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in stem)
    return kept or "data"


def _show(document: dict[str, Any], files: dict[str, str]) -> None:
    from tfl.evaluate.render import duration, percent

    rows = []
    for row in document["options"]:
        expected = row["expected"]
        accuracy, interval = "–", ""
        if expected is not None:
            accuracy, interval = percent(expected["mean"]), f"{percent(expected['low'])} to {percent(expected['high'])}"
        memory = "" if row["memory"] is None else readable_bytes(row["memory"])
        mark = "advised" if row["recommended"] else ""
        rows.append((row["title"], row["name"], accuracy, interval, duration(row["seconds"]), memory, mark))
    columns = ("network", "what", document["metric"], "90% interval", "time", "memory", "")
    output().print(table(columns, rows, right=(document["metric"], "time", "memory")))
    for network in document["networks"]:
        if network["skipped"]:
            click.echo(f"{network['title']} was not measured: {network['skipped']}.")
    for verdict in document["verdicts"]:
        click.echo(verdict["words"])
    click.echo(f"\nreport   {files['report']}")
    if "label" in files:
        click.echo(f"label    {files['label']} ({len(document['to_label'])} {document['nouns']})")
    click.echo(f"use it   tfl run {shlex.quote(files['recipe_file'])}")

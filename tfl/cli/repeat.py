"""`tfl repeat`: run a run again, and say whether the result is the same."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import rich_click as click

from tfl.cli.command import Answer, command, if_interrupted
from tfl.cli.options import SOURCE_HELP, run_argument

EXIT_DIFFERENT = 3
"""Done, and the answer is no. Not 1 or 2, which say that there is no answer."""


@command
@run_argument
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="The new run's folder. [default: runs/NAME/TIME]")
@click.option("--data", metavar="SOURCE", help=f"Where the images are now, if not where the recipe says. {SOURCE_HELP}")
@click.option("--reuse-store", is_flag=True, help="Read features that earlier runs stored, instead of computing them anew.")
def repeat(run_folder: Path, out: Path | None, data: str | None, reuse_store: bool) -> Answer:
    """Run the recipe of RUN again in a new folder, and say whether weights and figures are identical, bit for bit.

    If they are not, says which input changed: data, code, versions, machine, weights of the backbone. Exit code 0 means
    identical, 3 not identical. RUN must have come to its end.
    """
    from tfl.repeat import finished, repeat_run
    from tfl.runs import default_folder

    first = finished(run_folder)
    folder = out or default_folder(first.recipe.name)
    if_interrupted(lambda: f"The repeat is not whole: remove {folder} and repeat anew.")
    from rich.console import Console

    document = repeat_run(
        run_folder,
        out=folder,
        data=data,
        reuse_store=reuse_store,
        command=["tfl", *sys.argv[1:]],
        console=Console(stderr=True),
    )
    return Answer(document, lambda: _show(document), exit_code=0 if document["identical"] else EXIT_DIFFERENT)


def _show(document: dict[str, Any]) -> None:
    click.echo(document["sentence"])
    for row in document["changed"]:
        click.echo(f"  {row['input']}: {row['note']}")
    predictions = document["predictions"]
    if not document["identical"] and predictions.get("largest_difference") is not None:
        labels = predictions["other_labels"]
        click.echo(
            f"  predictions: probabilities differ by at most {predictions['largest_difference']:.2g}, "
            f"{labels} image{'' if labels == 1 else 's'} got another label"
        )
    store = "computed anew" if document["store"] == "fresh" else "read from the store where they were there"
    click.echo(f"features {store}")
    click.echo(f"run      {document['run']}")
    click.echo(f"repeat   {document['repeat']}")

"""`tfl compare`: what differs between runs, and whether one is better. Reads files only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click

from tfl.cli.command import Answer, command


@command
@click.argument("runs", metavar="RUN RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
def compare(runs: tuple[Path, ...]) -> Answer:
    """Say what differs between RUNs in recipe, data, versions, machine and result, each against the first.

    Whether a run is better is tested on the test images that both have, one by one (McNemar's exact test), and several runs are
    corrected for (Holm). `tfl report RUN RUN` draws the same as a page.
    """
    from tfl.evaluate.compare.collect import compare_runs

    document = compare_runs(runs)
    return Answer(document, lambda: _show(document))


def _show(document: dict[str, Any]) -> None:
    from tfl.cli.tables import output, table

    console, titles = output(), [run["title"] for run in document["runs"]]
    _show_inputs(document)
    if document["recipe"]:
        console.print(table(("recipe", *titles), [(row["field"], *row["values"]) for row in document["recipe"]]))
    else:
        click.echo("The recipes are the same.")
    if document["figures"]:
        rows = [
            (f"{row['split']} {row['figure'].replace('_', ' ')}", *map(_figure, row["values"], row["intervals"]))
            for row in document["figures"]
        ]
        console.print(table(("figure", *titles), rows, right=titles))
    for pair in document["pairs"]:
        click.echo(pair["sentence"])
    for note in document["notes"]:
        click.echo(f"note: {note}")


def _show_inputs(document: dict[str, Any]) -> None:
    first = document["runs"][0]["title"]
    for change in document["changes"]:
        rows = [row for row in change["changed"] if row["input"] != "recipe"]
        if not rows:
            click.echo(f"{first} and {change['title']}: the same data, code, versions and machine, as far as is known.")
        for row in rows:
            click.echo(f"{first} and {change['title']}, {row['input']}: {row['note']}")
        if change["unknown"]:
            click.echo(f"{first} and {change['title']}: one of them does not say its {', '.join(change['unknown'])}.")


def _figure(value: float | int | None, interval: list[float] | None) -> str:
    if value is None:
        return "–"
    if isinstance(value, int):
        return str(value)
    return f"{value:.4f}" + (f" [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else "")

"""`tfl similar`: the nearest examples in a file of vectors; adding to it, and removing from it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from tfl.cli.command import EXIT_WRONG_INPUT, Answer, command, if_interrupted
from tfl.cli.tables import output, table
from tfl.embeddings.options import METRICS, TOP, Metric
from tfl.progress import progress_shown

if TYPE_CHECKING:
    from tfl.embeddings.index import Changed, Similar


@command
@click.argument("index", metavar="INDEX", type=click.Path(path_type=Path))
@click.argument("files", metavar="FILE...", nargs=-1)
@click.option("--text", "texts", metavar="TEXT", multiple=True, help="A text to compare, instead of a file; repeatable.")
@click.option(
    "--words",
    metavar="TEXT",
    multiple=True,
    help='Search INDEX by words, such as "a striped animal", where a preset of CLIP or SigLIP made it; repeatable.',
)
@click.option("--top", type=click.IntRange(1, 1000), default=TOP, show_default=True, help="How many neighbours of each.")
@click.option("--metric", type=click.Choice(METRICS), default="cosine", show_default=True, help="How near is measured.")
@click.option("--add", is_flag=True, help="Add FILE... to INDEX; those of the same name are replaced.")
@click.option("--remove", is_flag=True, help="Remove FILE... from INDEX, by name or by folder.")
@click.option("--label", metavar="NAME", help="The label of what is added. [default: that of its class folder or table, if any]")
@click.option("--network", metavar="RUN|BACKBONE", help="Where the network that made INDEX is now. [default: as INDEX says]")
@click.option("--skip-bad", is_flag=True, help="Exit with 0 although files were left out that cannot be read.")
def similar(
    index: Path,
    files: tuple[str, ...],
    texts: tuple[str, ...],
    words: tuple[str, ...],
    top: int,
    metric: Metric,
    add: bool,
    remove: bool,
    label: str | None,
    network: str | None,
    skip_bad: bool,
) -> Answer:
    """Show what in INDEX is most similar to each FILE.

    Where a pair of encoders such as CLIP made INDEX, of photos or of texts, both can be compared with it: photos by --words and
    texts by a photo.

    INDEX is a file that `tfl embed` wrote. FILE is encoded by the same network, which INDEX names; another network is refused.
    Below 50,000 vectors each is compared, above them a usearch graph is searched, which needs the extra similar.
    """
    if add and remove:
        raise click.UsageError("--add and --remove are two commands: give one of them.")
    if label is not None and not add:
        raise click.UsageError("--label is the label of what is added: it needs --add.")
    if not files and not texts and not words:
        raise click.UsageError("Missing argument 'FILE...': name files or folders, or give texts with --text or --words.")
    if (texts or words) and (add or remove):
        raise click.UsageError("--text and --words are for searching: add and remove files.")
    from tfl.embeddings.index import VectorIndex

    opened = VectorIndex(index, network=network)
    if remove:
        return _changed(index, opened.remove(files), skip_bad)
    if add:
        from rich.console import Console

        if_interrupted(lambda: "INDEX is as it was. To go on, start the same command again.")
        with progress_shown(Console(stderr=True), "vectors") as progress:
            return _changed(index, opened.add(files, label=label, on_bad="skip", progress=progress), skip_bad)
    found = opened.similar(
        files, texts=texts, words=words, top=top, metric=metric, on_bad="skip", say=lambda words: click.echo(words, err=True)
    )
    document = {"index": str(index), "metric": metric, "queries": found.queries, "unreadable": found.unreadable}
    return Answer(document, lambda: _show(found, metric), _code(found.unreadable, skip_bad))


def _code(unreadable: list[dict[str, str]], skip_bad: bool) -> int:
    for row in unreadable:
        click.echo(f"left out: {row['file']} {row['why']}", err=True)
    return EXIT_WRONG_INPUT if unreadable and not skip_bad else 0


def _changed(index: Path, done: Changed, skip_bad: bool) -> Answer:
    document: dict[str, Any] = {"index": str(index), **dataclasses.asdict(done)}
    counts = [(done.added, "added"), (done.replaced, "replaced"), (done.removed, "removed")]
    words = ", ".join(f"{count} {what}" for count, what in counts if count) or "nothing changed"
    show = f"{words}; {index} has {done.count} vectors"
    return Answer(document, lambda: click.echo(show), _code(done.unreadable, skip_bad))


def _show(found: Similar, metric: Metric) -> None:
    name = "similarity" if metric == "cosine" else "distance"
    for query in found.queries:
        click.echo(query["file"])
        rows = [
            (
                f"{row[name]:.4f}",
                row["label"] or "",
                row.get("preview") or row["file"],
                "same content" if row["same_content"] else "",
            )
            for row in query["neighbours"]
        ]
        output().print(table((name, "label", "file", ""), rows, right=(name,)))

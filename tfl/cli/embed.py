"""`tfl embed`: the vectors that a frozen network makes of a source, in a file."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from tfl.cli.command import EXIT_WRONG_INPUT, Answer, command, if_interrupted, if_stopped_by_its_surroundings
from tfl.cli.options import set_option
from tfl.embeddings.options import POOLINGS
from tfl.modalities.base import KINDS
from tfl.progress import progress_shown

if TYPE_CHECKING:
    from tfl.embeddings.embed import Embedded


@command
@click.argument("network", metavar="RUN|BACKBONE")
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True)
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    default=Path("vectors.parquet"),
    show_default=True,
    help="A .parquet file; or a .npy file, beside which an index .csv (file, label) and a .json are written.",
)
@click.option("--block", metavar="NAME", help="Whose output. [default: what a run's head reads; the last block of a backbone]")
@click.option("--pooling", type=click.Choice(POOLINGS), help="How it becomes one vector. [default: the run's, else avg]")
@click.option("--normalize", is_flag=True, help="Bring each vector to length one.")
@click.option("--no-labels", is_flag=True, help="Look for no labels in SOURCE.")
@click.option("--kind", type=click.Choice(KINDS), help="What SOURCE holds. [default: found in SOURCE]")
@set_option(
    "Change how a backbone and its examples are read, such as data.image_size=160,160 or backbone.weights=none; of a run, "
    "features.engine=auto. Repeatable."
)
@click.option("--skip-bad", is_flag=True, help="Exit with 0 although files were left out that cannot be read.")
def embed(
    network: str,
    sources: tuple[str, ...],
    out: Path,
    block: str | None,
    pooling: str | None,
    normalize: bool,
    no_labels: bool,
    kind: str | None,
    settings: Sequence[tuple[str, str]],
    skip_bad: bool,
) -> Answer:
    """Write the vectors that a network makes of SOURCE.

    The network is that of a run, or a BACKBONE by name: mini, another of `tfl backbones`, a .keras file, or a KerasHub preset.
    SOURCE is what a recipe takes (class folders, a table, an archive, sample:NAME), a folder of files without labels, or several
    files and folders. Of a preset of CLIP or SigLIP, photos and texts have vectors in one space: `tfl similar --words` finds
    photos.

    A command that was stopped goes on behind its last finished part when it is started again.
    """
    from rich.console import Console

    from tfl.embeddings.embed import embed_source
    from tfl.embeddings.wanted import wanted_vectors

    wanted = wanted_vectors(network, block=block, pooling=pooling, normalized=normalize, kind=kind, settings=settings)
    words = "What is finished is kept. To go on, start the same command again."
    if_interrupted(lambda: words)
    if_stopped_by_its_surroundings(lambda: words if out.parent.joinpath(f".{out.name}.part").exists() else "")
    console = Console(stderr=True)
    with progress_shown(console, "vectors") as progress:
        done = embed_source(wanted, sources, out, labels=not no_labels, console=console, progress=progress)
    for row in done.unreadable:
        click.echo(f"left out: {row['file']} {row['why']}", err=True)
    code = EXIT_WRONG_INPUT if done.unreadable and not skip_bad else 0
    if code:
        count = done.count + len(done.unreadable)
        click.echo(f"tfl: {len(done.unreadable)} of {count} have no vector. With --skip-bad this is no error.", err=True)
    return Answer(_document(done), lambda: _show(done), code)


def _document(done: Embedded) -> dict[str, Any]:
    names = ("network", "run", "block", "pooling", "width", "normalized", "kind", "task", "weights", "engine")
    return {
        "vectors": str(done.path),
        "count": done.count,
        "labelled": done.labelled,
        **{name: done.about[name] for name in names},
        "unreadable": done.unreadable,
        "resumed": done.resumed,
        "seconds": done.seconds,
        "notes": done.notes,
    }


def _show(done: Embedded) -> None:
    labelled = f", {done.labelled} with a label" if done.labelled else ""
    click.echo(f"{done.count} vectors of {done.about['width']} numbers in {done.path}{labelled}")
    click.echo(f"Search them: tfl similar {shlex.quote(str(done.path))} FILE")

"""`tfl style`: a photo in the style of a painting, by optimising its pixels against a frozen network."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import rich_click as click

from tfl.backbones.titles import parse_backbone
from tfl.cli.command import Answer, command, if_interrupted, if_stopped_by_its_surroundings, terminated_as_interrupted
from tfl.cli.options import comma_separated, default_option
from tfl.cli.tables import output, table
from tfl.runs import default_folder
from tfl.styling.options import LARGEST, MINUTES, SMALLEST, StyleOptions

if TYPE_CHECKING:
    from tfl.styling.transfer import Styled

_DEFAULT = StyleOptions()


@command
@click.argument("photo", metavar="PHOTO")
@click.argument("painting", metavar="PAINTING")
@click.option("--backbone", metavar="NAME", default="mini", show_default=True, help="A network with pretrained weights.")
@click.option(
    "--content-blocks",
    metavar="NAMES",
    callback=comma_separated,
    help="Blocks of the content loss, separated by commas. [default: measured]",
)
@click.option(
    "--style-blocks",
    metavar="NAMES",
    callback=comma_separated,
    help="Blocks of the style loss, separated by commas. [default: measured]",
)
@click.option(
    "--size",
    metavar="PIXELS",
    type=click.IntRange(SMALLEST, LARGEST),
    help="Longer side of the result. [default: that of the photo, at most 256]",
)
@default_option(_DEFAULT, "--steps", metavar="N", type=click.IntRange(1), help="Number of optimisation steps.")
@default_option(_DEFAULT, "--content-weight", metavar="W", type=float, help="Weight of the content loss.")
@default_option(_DEFAULT, "--style-weight", metavar="W", type=float, help="Weight of the style loss.")
@default_option(
    _DEFAULT,
    "--variation-weight",
    metavar="W",
    type=float,
    help="Weight of the total variation loss, which smooths the result; 0 turns it off.",
)
@default_option(
    _DEFAULT, "--learning-rate", metavar="R", type=float, help="Learning rate of Adam, for pixel values from 0 to 255."
)
@default_option(
    _DEFAULT, "--start", type=click.Choice(("content", "noise")), help="Whether optimisation starts from the photo or from noise."
)
@default_option(_DEFAULT, "--every", metavar="N", type=click.IntRange(1), help="Number of steps between saved pictures.")
@default_option(_DEFAULT, "--seed", type=int, help="Random seed of the noise, and of the crops by which blocks are chosen.")
@click.option(
    "--minutes",
    metavar="M",
    type=float,
    default=MINUTES,
    show_default=True,
    help="Refuse to start if the estimated time is longer.",
)
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Where to write. [default: runs/style/style-TIME]")
@click.option("--resume", is_flag=True, help="Resume the transfer in --out; --steps may be more than before.")
def style(
    photo: str,
    painting: str,
    backbone: str,
    content_blocks: tuple[str, ...],
    style_blocks: tuple[str, ...],
    size: int | None,
    steps: int,
    content_weight: float,
    style_weight: float,
    variation_weight: float,
    learning_rate: float,
    start: Literal["content", "noise"],
    every: int,
    seed: int,
    minutes: float,
    out: Path | None,
    resume: bool,
) -> Answer:
    """Transfer the style of PAINTING to PHOTO.

    The pixels are optimised so that a frozen network sees the content of the photo and the style of the painting (Gatys, Ecker
    and Bethge 2016). PHOTO and PAINTING are image files, or sample:leaf, sample:scene, sample:waves, sample:mosaic.
    Writes result.png, the pictures on the way, losses.csv, style.json and style.html.
    """
    from rich.console import Console

    from tfl.styling.transfer import transfer_style

    if resume and out is None:
        raise click.UsageError("--resume needs --out, the folder of the transfer.")
    options = StyleOptions(
        backbone=parse_backbone(backbone),
        content_blocks=content_blocks,
        style_blocks=style_blocks,
        size=size,
        steps=steps,
        content_weight=content_weight,
        style_weight=style_weight,
        variation_weight=variation_weight,
        learning_rate=learning_rate,
        start=start,
        every=every,
        seed=seed,
    )
    folder = out or default_folder("style", kind="style")
    words = f"To go on from the last kept picture, start the same command with --out {shlex.quote(str(folder))} --resume."
    hint = lambda: words if (folder / "settings.json").exists() else "Nothing was kept."  # noqa: E731
    if_interrupted(hint)
    if_stopped_by_its_surroundings(lambda: words if (folder / "settings.json").exists() else "")
    with terminated_as_interrupted():
        done = transfer_style(photo, painting, folder, options, minutes=minutes, resume=resume, console=Console(stderr=True))
    return Answer(_document(done), lambda: _show(done))


def _document(done: Styled) -> dict[str, Any]:
    files = {"style": str(done.folder), "result": str(done.result), "report": str(done.report)}
    return {**files, **{name: done.document[name] for name in ("network", "size", "steps", "blocks", "losses", "seconds")}}


def _show(done: Styled) -> None:
    start, end = done.document["losses"]["start"], done.document["losses"]["end"]
    rows = [(name, f"{start[name]:.4f}", f"{end[name]:.4f}") for name in end]
    output().print(table(("loss", "start", "end"), rows, right=("start", "end")))
    click.echo(f"time     {done.document['seconds']['total']:.1f} s for {done.document['seconds']['steps']} steps")
    click.echo(f"result   {done.result}")
    click.echo(f"report   {done.report}")

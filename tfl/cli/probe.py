"""`tfl probe`: which block's features serve the task best, in one pass over the images."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from tfl.cli.command import Answer, command
from tfl.cli.options import SOURCE_HELP, changed, set_option
from tfl.cli.quiet import load_tensorflow
from tfl.cli.tables import output
from tfl.errors import RunError
from tfl.fields import as_plain
from tfl.recipe import Recipe, load_recipe
from tfl.runs import default_folder
from tfl.storage import write_json

if TYPE_CHECKING:
    from rich.console import Console

    from tfl.advise.profile import Profile

PROFILE, PAGE = "probe.json", "probe.html"


@command
@click.argument("recipe_file", metavar="RECIPE", type=click.Path(path_type=Path))
@click.option("--data", metavar="SOURCE", help=f"Probe on this instead of the recipe's source. {SOURCE_HELP}")
@set_option("Change a field of the recipe, such as backbone=MobileNetV2. Repeatable.")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Where to write. [default: runs/NAME/probe-TIME]")
@click.option("--skip-bad", is_flag=True, help="List files that are no images and leave them out, instead of stopping.")
def probe(recipe_file: Path, data: str | None, settings: Sequence[tuple[str, str]], out: Path | None, skip_bad: bool) -> Answer:
    """Say which block of the network serves the task of RECIPE best, and how sure that is.

    One pass over the training and validation images, then a cross-validated linear probe on each block's pooled output.
    Nothing is trained, and test images are never looked at. Leaves probe.json and probe.html.
    """
    recipe = changed(load_recipe(recipe_file), data=data, settings=settings, skip_bad=skip_bad)
    folder = out or _default_folder(recipe.name)
    if (folder / PROFILE).exists():
        raise RunError(f"{folder} already holds a profile.", fix="Name another folder with --out, or delete it.")
    load_tensorflow()
    from rich.console import Console

    profile = _probe(recipe, Console(stderr=True))
    document = {"recipe": as_plain(recipe), **profile.as_json()}
    files = {"profile": str(folder / PROFILE), "report": str(folder / PAGE)}
    _write(folder, document)
    return Answer({**document, **files}, lambda: _show(profile, files))


def _probe(recipe: Recipe, console: Console) -> Profile:
    from tfl.advise.probe import probe_recipe
    from tfl.job import prepare_data

    bundle, _ = prepare_data(recipe, console)
    count = len(bundle.indices("train")) + len(bundle.indices("val"))
    with _bar(console, count) as progress:
        return probe_recipe(recipe, bundle, console=console, progress=progress)


def _write(folder: Path, document: dict[str, Any]) -> None:
    from tfl.evaluate.probing import write_probe_page

    folder.mkdir(parents=True, exist_ok=True)
    write_probe_page(document, folder / PAGE)
    write_json(folder / PROFILE, document)


@contextlib.contextmanager
def _bar(console: Console, count: int) -> Iterator[Callable[[int], None]]:
    from rich.progress import Progress

    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("images", total=count)
        yield lambda done: progress.update(task, completed=done)


def _default_folder(recipe_name: str) -> Path:
    folder = default_folder(recipe_name)
    made, number = folder.with_name(f"probe-{folder.name}"), 2
    while made.exists():
        made = folder.with_name(f"probe-{folder.name}-{number}")
        number += 1
    return made


def _show(profile: Profile, files: dict[str, str]) -> None:
    output().print(profile.table())
    for sentence in profile.advice:
        click.echo(sentence)
    seconds = profile.seconds
    click.echo(f"\ntime     {seconds['features']:.1f} s for the pass, {seconds['probes']:.1f} s for the probes")
    for name, file in files.items():
        click.echo(f"{name:8} {file}")

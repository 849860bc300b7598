"""`tfl probe`: which block's features serve the task best, in one pass over the images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from tfl.cli.command import Answer, command
from tfl.cli.options import changed, recipe_options, skip_bad_option
from tfl.cli.tables import output
from tfl.recipe import load_recipe
from tfl.runs import default_folder

if TYPE_CHECKING:
    from tfl.advice.profile import Profile


@command
@recipe_options(
    data="Probe on this instead of the recipe's source.",
    setting="head.pooling=max",
    out="Where to write. [default: runs/NAME/probe-TIME]",
)
@skip_bad_option
def probe(recipe_file: Path, data: str | None, settings: Sequence[tuple[str, str]], out: Path | None, skip_bad: bool) -> Answer:
    """Say which block of the network serves the task of RECIPE best, and how sure that is.

    One pass over the training and validation images, then a cross-validated linear probe on each block's pooled output.
    Nothing is trained, and test images are never looked at. Leaves probe.json and probe.html.
    """
    from tfl.measure import PAGE, PROFILE, check_profile_folder, profile_recipe, write_profile

    recipe = changed(load_recipe(recipe_file), file=recipe_file, data=data, settings=settings, skip_bad=skip_bad)
    folder = out or default_folder(recipe.name, kind="probe")
    check_profile_folder(folder)
    from rich.console import Console

    profile = profile_recipe(recipe, Console(stderr=True))
    document = write_profile(folder, recipe, profile)
    files = {"profile": str(folder / PROFILE), "report": str(folder / PAGE)}
    return Answer({**document, **files}, lambda: _show(profile, files))


def _show(profile: Profile, files: dict[str, str]) -> None:
    output().print(profile.table())
    for sentence in profile.advice:
        click.echo(sentence)
    seconds = profile.seconds
    click.echo(f"\ntime     {seconds['features']:.1f} s for the pass, {seconds['probes']:.1f} s for the probes")
    for name, file in files.items():
        click.echo(f"{name:8} {file}")

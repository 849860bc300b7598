"""Options that several commands take, and what they do to a recipe."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click

from tfl.errors import RecipeError, RunError
from tfl.recipe import Recipe, refuse_missing_paths
from tfl.runs import default_folder

F = TypeVar("F", bound=Callable[..., Any])

SOURCE_HELP = (
    "A folder of class folders, a table of examples (CSV, TSV, JSON Lines, Parquet), a .zip or .tar of either, an .npz, "
    "a folder of IDX files, tfds:NAME, or sample:NAME."
)


def run_argument(function: F) -> F:
    """The argument RUN: a run folder."""
    return click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))(function)


def recipe_options(*, data: str, setting: str, out: str) -> Callable[[F], F]:
    """What every command on a recipe takes: RECIPE, `--data`, `--set` and `--out`.

    Args:
        data: String, the help of `--data`, before what a source may be.
        setting: String, an example of `--set` for this command.
        out: String, the help of `--out`.
    """
    parts = (
        click.argument("recipe_file", metavar="RECIPE", type=click.Path(path_type=Path)),
        click.option("--data", metavar="SOURCE", help=f"{data} {SOURCE_HELP}"),
        set_option(f"Change a field of the recipe, such as {setting} or backbone=MobileNetV2. Repeatable."),
        click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help=out),
    )

    def add(function: F) -> F:
        for part in reversed(parts):
            function = part(function)
        return function

    return add


def skip_bad_option(function: F) -> F:
    """The flag `--skip-bad`."""
    words = "List files that cannot be read and leave them out, instead of stopping."
    return click.option("--skip-bad", is_flag=True, help=words)(function)


def set_option(help_text: str) -> Callable[[F], F]:
    """The repeatable option `--set KEY=VALUE`."""
    return click.option("--set", "settings", metavar="KEY=VALUE", multiple=True, callback=_split_settings, help=help_text)


def _split_settings(context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> list[tuple[str, str]]:
    pairs = []
    for value in values:
        key, equals, text = value.partition("=")
        if not equals or not key.strip():
            raise click.BadParameter(f"{value!r} is not KEY=VALUE, such as stages.head.epochs=5.", ctx=context, param=parameter)
        pairs.append((key.strip(), text))
    return pairs


def parse_size(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """`H,W`, or one number for a square, as a pair of pixels."""
    if value is None:
        return None
    words = value.lower().replace("x", ",").split(",")
    if len(words) not in (1, 2) or not all(re.fullmatch(r"\s*0*[1-9][0-9]{0,5}\s*", word) for word in words):
        raise click.BadParameter(f"{value!r} is not HEIGHT,WIDTH in pixels, such as 96,96.", ctx=context, param=parameter)
    return int(words[0]), int(words[-1])


def latest_folder(recipe_name: str, *, holds: str, what: str) -> Path:
    """The latest folder under `runs/NAME` that holds a file of this name.

    Args:
        recipe_name: String, the name of the recipe.
        holds: String, the file by which such a folder is known.
        what: String, what the folder holds, for the message.

    Raises:
        RunError: There is none.
    """
    runs = default_folder(recipe_name).parent
    folders = [entry.parent for entry in runs.glob(f"*/{holds}")]
    if not folders:
        raise RunError(
            f"There is no {what} of `{recipe_name}` to resume: {runs.absolute()} has none.",
            fix="Name its folder with --out, or start anew without --resume.",
        )
    return max(folders, key=lambda folder: (_begun(folder, holds), folder.name))


def _begun(folder: Path, holds: str) -> float:
    """When the recipe of a folder was written; a study has several, and no such file."""
    recipe = folder / "recipe.json"
    return (recipe if recipe.is_file() else folder / holds).stat().st_mtime


def changed(
    recipe: Recipe,
    *,
    file: Path | None = None,
    data: str | None,
    settings: Sequence[tuple[str, str]],
    smoke: bool = False,
    skip_bad: bool = False,
) -> Recipe:
    """The recipe with the changes of the command line: the source first, then each `--set`, then the flags.

    Args:
        recipe: `Recipe` as it was written.
        file: Path of the recipe file. Defaults to None.
        data: String, another source, or None.
        settings: Sequence of pairs of strings, a field and its value.
        smoke, skip_bad: Bools, the flags of the same names. Default to False.

    Raises:
        RecipeError: A setting names no field, or its value does not fit.
        DataError: A relative path in the file leads nowhere, neither from here nor from the file's folder.
    """
    if data is not None:
        recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, source=data))
    for key, text in settings:
        try:
            recipe = recipe.override(key, text)
        except RecipeError as error:
            raise RecipeError(f"--set {key}={text}: {error}") from error
    if skip_bad:
        recipe = recipe.override("data.on_bad", "skip")
    if file is not None:
        refuse_missing_paths(recipe, file, given=[key for key, _ in settings] + ["data.source"] * (data is not None))
    return recipe.smoke() if smoke else recipe


def default_option(defaults: Any, flag: str, **options: Any) -> Callable[[Any], Any]:
    """An option whose default is that of a dataclass, shown in its help.

    Args:
        defaults: An instance of the dataclass.
        flag: Such as `--learning-rate`, for the field `learning_rate`.
        options: Further arguments of `click.option`.
    """
    return click.option(flag, default=getattr(defaults, flag.strip("-").replace("-", "_")), show_default=True, **options)


def comma_separated(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    """A callback of an option that takes names separated by commas."""
    return tuple(name.strip() for name in (value or "").split(",") if name.strip())

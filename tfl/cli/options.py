"""Options that several commands take, and what they do to a recipe."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import rich_click as click

from tfl.errors import RecipeError
from tfl.recipe import Recipe, refuse_missing_paths

F = TypeVar("F", bound=Callable[..., Any])

SOURCE_HELP = (
    "A folder of class folders, a table of images (CSV, TSV, JSON Lines, Parquet), a .zip or .tar of either, an .npz, "
    "a folder of IDX files, tfds:NAME, or sample:NAME."
)


def run_argument(function: F) -> F:
    """The argument RUN: a run folder."""
    return click.argument("run_folder", metavar="RUN", type=click.Path(path_type=Path))(function)


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


def changed(
    recipe: Recipe,
    *,
    file: Path | None = None,
    data: str | None,
    settings: Sequence[tuple[str, str]],
    smoke: bool = False,
    skip_bad: bool = False,
) -> Recipe:
    """The recipe as the command line wants it: another source first, then each `--set`, then the flags.

    Args:
        recipe: As it was written.
        file: Where it was written.
        data: Another source, or None.
        settings: Pairs of a field and its value as text.
        smoke, skip_bad: The flags.

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

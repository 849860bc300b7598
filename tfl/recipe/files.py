"""Recipes from files: Python or JSON, and the paths in them."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tfl.errors import DataError, RecipeError, TflError
from tfl.recipe.network import Backbones
from tfl.recipe.recipe import DATA_PARTS, Recipe


def load_recipe(path: Path | str) -> Recipe:
    """The `recipe` of a Python file, or the recipe in a `.json` file such as a run's `recipe.json`.

    Relative paths in it (the source, the list of excluded images, a model file, a weights file) start at the current folder;
    one that does not exist there is looked for in the folder of the recipe file, and becomes an absolute path. A backbone or
    weights are a path where they contain `/` or end in `.keras` or `.h5`.

    Raises:
        RecipeError: The file is missing, raises, or has no `recipe`.
    """
    file = Path(path)
    if not file.is_file():
        raise RecipeError(f"There is no recipe file {file}.", fix="Start one with: tfl new NAME --data SOURCE")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecipeError(f"{file} is not a text file: {error}.") from error
    if file.suffix == ".json":
        return _with_paths_from(file.parent, Recipe.from_json(text))
    recipe = _run_file(file, text).get("recipe")
    if not isinstance(recipe, Recipe):
        raise RecipeError(
            f"{file} has no `recipe`.",
            received=None if recipe is None else type(recipe).__name__,
            fix="It must contain: recipe = tfl.Recipe(...)",
        )
    return _with_paths_from(file.parent, recipe)


_PATHS = (
    *(f"{part}.{name}" for part in DATA_PARTS for name in ("source", "exclude")),
    "unlabelled.source",
    "zero_shot.attributes",
    "backbone.name",
    "backbone.weights",
)
_WHAT = {
    "unlabelled.source": "no source of images without labels",
    "zero_shot.attributes": "no table of attributes",
    **{f"{part}.source": "no source of images" for part in DATA_PARTS},
    **{f"{part}.exclude": "no list of images to leave out" for part in DATA_PARTS},
    "backbone.name": "no model file",
    "backbone.weights": "no weights file",
}
_WAYS = {"data.source": "Name the images with --data SOURCE, or change the path in the recipe."}


def _paths_in(recipe: Recipe) -> Iterator[str]:
    """The fields of a recipe that may be paths."""
    several = recipe.backbone.inputs if isinstance(recipe.backbone, Backbones) else None
    yield from _PATHS if several is None else _PATHS[:-2]
    for name in several or ():
        yield from (f"backbone.{name}.name", f"backbone.{name}.weights")


def _with_paths_from(folder: Path, recipe: Recipe) -> Recipe:
    """The recipe with each relative path that exists in `folder` and not in the current folder replaced by an absolute one."""
    for field in _paths_in(recipe):
        value = _relative_path(recipe, field)
        if value is not None and not os.path.exists(value) and (folder / value).exists():
            recipe = recipe.override(field, os.path.abspath(folder / value))
    return recipe


def refuse_missing_paths(recipe: Recipe, recipe_file: Path | str, *, given: Iterable[str] = ()) -> None:
    """Makes sure that the relative paths in a recipe from a file lead somewhere, from the current folder or from the file's.

    Args:
        recipe: As it will be used.
        recipe_file: Where it was written.
        given: Fields that were not written there but given on the command line, such as `data.source` or `backbone`.

    Raises:
        DataError: One leads nowhere; the message names both places.
    """
    folder = Path(recipe_file).absolute().parent
    for field in _paths_in(recipe):
        value = None if {field, field.split(".")[0]} & set(given) else _relative_path(recipe, field)
        if value is None or os.path.exists(value) or folder == Path.cwd():
            continue
        here = Path(value).absolute()
        raise DataError(
            f"There is {_WHAT[re.sub(r'backbone[.].*[.]', 'backbone.', field)]} at the path `{value}` of the recipe ({field}).",
            received=f"neither {here} (from the current folder) nor {folder / value} (from the recipe's folder)",
            fix=_WAYS.get(field, f"Change the path in the recipe, or give another with --set {field}=PATH."),
        )


def _relative_path(recipe: Recipe, field: str) -> str | None:
    """The value of a field where it is a path that starts at the current folder, and not a name such as `mini`; else None."""
    part, *between, name = field.split(".")
    owner: Any = getattr(recipe, part)
    value = getattr(owner.inputs[between[0]] if between else owner, name, None)  # there may be no `source_data` and so on
    if not isinstance(value, str) or os.path.isabs(value) or value.startswith("~") or ":" in value or len(value) >= _LONGEST:
        return None
    named = part in (*DATA_PARTS, "unlabelled", "zero_shot") or "/" in value or value.endswith(_MODEL_FILES)
    return value if named else None


_MODEL_FILES = (".keras", ".h5")
_LONGEST = 4096
"""Of a path on Linux, in bytes."""


def _run_file(file: Path, text: str) -> dict[str, Any]:
    scope: dict[str, Any] = {"__name__": "__recipe__", "__file__": str(file)}
    try:
        exec(compile(text, str(file), "exec"), scope)
    except TflError as error:
        raise RecipeError(f"{file}, line {_line_in(file, error)}: {error}") from error
    except SyntaxError as error:
        raise RecipeError(f"{file}, line {error.lineno}: {error.msg}.") from error
    except (Exception, SystemExit) as error:
        raise RecipeError(f"{file}, line {_line_in(file, error)}: {type(error).__name__}: {error}.") from error
    return scope


def _line_in(file: Path, error: BaseException) -> int | str:
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return lines[-1] if lines and lines[-1] is not None else "?"

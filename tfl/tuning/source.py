"""A recipe as a Python file that `tfl run` takes and a person can edit. Standard library only."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from tfl.recipe import METRICS, Data, Recipe

WIDTH = 120
_POSITIONAL = {"Data": "source", "Backbone": "name", "Stage": "name", "Monitor": "metric", "Choice": "values"}


def recipe_source(recipe: Recipe, *, title: str) -> str:
    """The text of the file: a docstring, an import, and the recipe without its defaults.

    Example:

    >>> import tfl
    >>> recipe = tfl.Recipe(name="leaves", data=tfl.Sample("strawberry"), backbone=tfl.Backbone("mini"), seed=3)
    >>> print(recipe_source(recipe, title="Leaves."))
    \"""Leaves.\"""
    <BLANKLINE>
    import tfl
    <BLANKLINE>
    recipe = tfl.Recipe(name="leaves", data=tfl.Sample("strawberry"), backbone=tfl.Backbone("mini"), seed=3)
    <BLANKLINE>
    """
    words = title.replace("\\", "\\\\").replace('"""', "'''")
    closing = "\n" if "\n" in words else ""
    return f'"""{words}{closing}"""\n\nimport tfl\n\nrecipe = {_written(recipe, 0, len("recipe = "))}\n'


def _written(value: Any, indent: int, used: int = 0) -> str:
    """`value` as an expression: on one line where that fits after `used` characters, else a line an argument."""
    if not isinstance(value, tuple | list | Mapping) and not dataclasses.is_dataclass(value):
        return _scalar(value)
    opening, items, closing = _parts(value, indent + 4)
    trailing = "," if isinstance(value, tuple) and len(items) == 1 else ""
    line = opening + ", ".join(prefix + text for prefix, text in items) + trailing + closing
    if len(line) + indent + used <= WIDTH and "\n" not in line:
        return line
    pad = " " * (indent + 4)
    lines = "".join(f"{pad}{prefix}{text},\n" for prefix, text in items)
    return f"{opening}\n{lines}{' ' * indent}{closing}"


def _parts(value: Any, indent: int) -> tuple[str, list[tuple[str, str]], str]:
    if isinstance(value, Mapping):
        keys = [(f"{_scalar(key)}: ", item) for key, item in value.items()]
        return "{", [(key, _written(item, indent, len(key))) for key, item in keys], "}"
    if isinstance(value, tuple | list):
        return "(", [("", _written(item, indent)) for item in value], ")"
    if isinstance(value, Recipe):
        value = _with_automatic_metric(value)
    name, positional, fields = type(value).__name__, _POSITIONAL.get(type(value).__name__), []
    for field in dataclasses.fields(value):
        item = getattr(value, field.name)
        if field.name != positional and _is_default(field, item):
            continue
        if isinstance(value, Data) and field.name == "source" and item.startswith("sample:"):
            name, item = "Sample", item.removeprefix("sample:")
        prefix = "" if field.name == positional or (name == "Between" and field.name in ("low", "high")) else f"{field.name}="
        fields.append((prefix, _written(item, indent, len(prefix))))
    return f"tfl.{name}(", fields, ")"


def _with_automatic_metric(recipe: Recipe) -> Recipe:
    """The recipe as somebody would write it: the task's own metric is not named."""
    written = dataclasses.replace(recipe)
    if recipe.monitor.metric == METRICS[recipe.task][0]:
        object.__setattr__(written, "monitor", dataclasses.replace(recipe.monitor, metric="auto"))
    return written


def _is_default(field: dataclasses.Field[Any], item: Any) -> bool:
    if field.default is not dataclasses.MISSING:
        return bool(item == field.default) and type(item) is type(field.default)
    if field.default_factory is not dataclasses.MISSING:
        return bool(item == field.default_factory())
    return False


def _scalar(value: Any) -> str:
    return json.dumps(value, ensure_ascii=not value.isprintable()) if isinstance(value, str) else repr(value)

"""Frozen dataclasses as typed documents: checked when constructed, to plain JSON values and back, changed by a dotted path.

Everything follows from the annotations, so a part of a recipe is declared once. Understood annotations: `int`, `float`,
`bool`, `str`, `Literal[...]`, `X | None`, `tuple[X, ...]`, `tuple[X, Y]`, `Mapping[str, Any]` and other parts.
Limits and descriptions stand in a field's metadata; `number()` writes them.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import reprlib
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar

from tfl.errors import RecipeError, did_you_mean

T = TypeVar("T")
_SENTINEL = dataclasses.MISSING
_DEEPEST = 20
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlist, _SHORT.maxtuple, _SHORT.maxdict = 4, 200, 200, 10, 10, 10


def number(default: Any = _SENTINEL, *, at_least: float | None = None, at_most: float | None = None) -> Any:
    """A dataclass field with limits, both inclusive, that `check_fields` enforces.

    Example:

    >>> import dataclasses
    >>> from tfl.fields import check_fields, number
    >>> @dataclasses.dataclass(frozen=True)
    ... class Oven:
    ...     degrees: int = number(200, at_least=0, at_most=300)
    ...     def __post_init__(self): check_fields(self)
    >>> Oven(degrees=900)
    Traceback (most recent call last):
    ...
    tfl.errors.RecipeError: `Oven.degrees` is out of range. Received: 900. Allowed: at least 0, at most 300.
    """
    return dataclasses.field(default=default, metadata={"at_least": at_least, "at_most": at_most})


def check_fields(part: Any) -> None:
    """Checks and normalises every field of a frozen dataclass; call it from `__post_init__`.

    Lists become tuples, whole numbers become floats where a float is asked for, mappings become read-only.

    Raises:
        RecipeError: A field has the wrong type or lies outside its limits.
    """
    hints = _hints(type(part))
    for field in dataclasses.fields(part):
        name = f"{type(part).__name__}.{field.name}"
        value = convert(getattr(part, field.name), hints[field.name], name)
        _check_limits(value, field.metadata, name)
        object.__setattr__(part, field.name, value)


def as_plain(part: Any) -> Any:
    """`part` as dictionaries, lists and scalars, every default written out: what `json.dumps` takes.

    A part whose class has `written_as`, the name of a field, is written as that field alone.
    """
    if dataclasses.is_dataclass(part) and not isinstance(part, type):
        if (field_alone := getattr(part, "written_as", None)) is not None:
            return as_plain(getattr(part, field_alone))
        return {field.name: as_plain(getattr(part, field.name)) for field in dataclasses.fields(part)}
    if isinstance(part, Mapping):
        return {str(key): as_plain(value) for key, value in part.items()}
    if isinstance(part, tuple | list):
        return [as_plain(item) for item in part]
    return part


def convert(value: Any, hint: Any, name: str) -> Any:
    """`value` as the annotation `hint` wants it; plain dictionaries become parts.

    Raises:
        RecipeError: It does not fit; the message starts with `name`.
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        _check_plain(value, name)
        return value
    if origin in (typing.Union, types.UnionType):
        return _convert_union(value, inner, name)
    if origin is Literal:
        if value in inner and type(value) in {type(option) for option in inner}:
            return value
        raise _unfit(name, value, ", ".join(map(repr, inner)), did_you_mean(str(value), map(str, inner)))
    if origin is tuple:
        return _convert_tuple(value, inner, name)
    if origin is Mapping or hint is Mapping:
        if not isinstance(value, Mapping):
            raise _unfit(name, value, "names with values, such as {'alpha': 0.35}")
        return types.MappingProxyType(
            {_as_text(str(key), name): convert(item, inner[1], f"{name}[{_shown(key)}]") for key, item in value.items()}
        )
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value, name)
    return _convert_scalar(value, hint, name)


def build(part_type: type[T], value: Any, name: str) -> T:
    """A `part_type` from a part, a dictionary of its fields, or a string where the part has `from_text`."""
    if isinstance(value, part_type):
        return value
    if isinstance(value, str) and hasattr(part_type, "from_text"):
        return typing.cast(Any, part_type).from_text(value)
    if not isinstance(value, Mapping):
        raise _unfit(name, value, f"a {part_type.__name__}")
    known = [field.name for field in dataclasses.fields(typing.cast(Any, part_type))]
    for key in value:
        if key not in known:
            raise _unknown(f"{name}.{key}", str(key), known)
    try:
        return part_type(**value)
    except TypeError as error:
        raise RecipeError(f"`{name}` is incomplete: {error}.", allowed=known) from error


def override(part: T, path: str, text: Any) -> T:
    """A copy of `part` in which the field at the dotted `path` has the value that `text` says.

    A tuple of named parts (stages) is entered by name or by position; a mapping by key.

    Args:
        path: For example `stages.finetune.epochs`.
        text: A string as typed in a shell (`5`, `1e-3`, `none`, `true`, `[96, 96]`, `96,96`) or an already typed value.

    Raises:
        RecipeError: There is no such field (with the nearest name, or the path of a deeper field of that name), or the value does
            not fit it.

    Example:

    >>> import tfl
    >>> recipe = tfl.Recipe(name="leaves", data=tfl.Data("leaves"), backbone=tfl.Backbone("mini"))
    >>> recipe.override("dropout", "0.5")
    Traceback (most recent call last):
    ...
    tfl.errors.RecipeError: There is no `dropout`. Did you mean `head.dropout`?
    """
    return _override(part, path, text, part)


def _override(part: T, path: str, text: Any, root: Any) -> T:
    head, _, rest = path.partition(".")
    names = [field.name for field in dataclasses.fields(typing.cast(Any, part))]
    if head not in names:
        raise _unknown(path, head, names, deeper=_paths_to(root, path.rpartition(".")[2]))
    hint, current = _hints(type(part))[head], getattr(part, head)
    label = f"{type(part).__name__}.{head}"
    new = _override_inside(current, rest, text, label, root) if rest else convert(_parse(text, hint), hint, label)
    return typing.cast(T, dataclasses.replace(typing.cast(Any, part), **{head: new}))


def _paths_to(part: Any, word: str) -> list[str]:
    """The dotted paths of the fields called `word`, in the parts that are set; a tuple of parts is entered by name."""
    found = []
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if field.name == word.lower():
            found.append(field.name)
        elif dataclasses.is_dataclass(value):
            found += [f"{field.name}.{path}" for path in _paths_to(value, word)]
        elif isinstance(value, tuple):
            parts = [(getattr(item, "name", at), item) for at, item in enumerate(value) if dataclasses.is_dataclass(item)]
            found += [f"{field.name}.{name}.{path}" for name, item in parts for path in _paths_to(item, word)]
    return found


def _override_inside(current: Any, rest: str, text: Any, label: str, root: Any) -> Any:
    if (field_alone := getattr(current, "written_as", None)) is not None:
        inside = _override_inside(getattr(current, field_alone), rest, text, label, root)
        return dataclasses.replace(current, **{field_alone: inside})
    if dataclasses.is_dataclass(current):
        return _override(current, rest, text, root)
    head, _, deeper = rest.partition(".")
    if isinstance(current, Mapping):
        if dataclasses.is_dataclass(current.get(head)):
            return {**current, head: _override_part(current[head], deeper, text, f"{label}.{head}", root)}
        return {**current, rest: _literal(text) if isinstance(text, str) else text}
    if isinstance(current, tuple) and current and dataclasses.is_dataclass(current[0]):
        names = [getattr(item, "name", str(position)) for position, item in enumerate(current)]
        chosen = names.index(head) if head in names else int(head) if head in map(str, range(len(names))) else None
        if chosen is None:
            raise _unknown(f"{label}.{head}", head, names)
        if not deeper:
            raise RecipeError(f"`{label}.{head}` is a whole part.", fix=f"Name one of its fields: {label}.{head}.FIELD=VALUE.")
        return tuple(_override(item, deeper, text, root) if i == chosen else item for i, item in enumerate(current))
    if current is None:
        raise RecipeError(f"`{label}` is not set, so it has no `{rest}`.", fix=f"Set it whole, as JSON: {label}={{...}}.")
    raise RecipeError(f"`{label}` has no fields of its own.", received=rest)


def _override_part(current: Any, deeper: str, text: Any, label: str, root: Any) -> Any:
    """One part of a mapping, changed in a field, or replaced by another of its kind."""
    if deeper:
        return _override_inside(current, deeper, text, label, root)
    return convert(_parse(text, type(current)), type(current), label)


def _convert_union(value: Any, inner: tuple[Any, ...], name: str) -> Any:
    if value is None and type(None) in inner:
        return None
    options = [option for option in inner if option is not type(None)]
    if len(parts := [option for option in options if dataclasses.is_dataclass(option) and _has_fields(option, value)]) == 1:
        return build(typing.cast(type, parts[0]), value, name)
    for position, option in enumerate(options):
        try:
            return convert(value, option, name)
        except RecipeError:
            if position == len(options) - 1:
                raise
    raise _unfit(name, value, "a value")


def _has_fields(part_type: Any, document: Any) -> bool:
    """Whether a dictionary is one of this part's: of several parts, the one whose words it uses says what is wrong with it."""
    return isinstance(document, Mapping) and {str(key) for key in document} <= {f.name for f in dataclasses.fields(part_type)}


def _convert_tuple(value: Any, inner: tuple[Any, ...], name: str) -> tuple[Any, ...]:
    if not isinstance(value, tuple | list):
        raise _unfit(name, value, "a sequence of values in parentheses, such as (a, b)")
    if len(inner) == 2 and inner[1] is Ellipsis:
        return tuple(convert(item, inner[0], f"{name}[{i}]") for i, item in enumerate(value))
    if len(value) != len(inner):
        example = f", such as {','.join([str(value[0])] * len(inner))}" if len(value) == 1 else ""
        raise _unfit(name, value, f"{len(inner)} values{example}")
    return tuple(convert(item, hint, f"{name}[{i}]") for i, (item, hint) in enumerate(zip(value, inner, strict=True)))


def _convert_scalar(value: Any, hint: Any, name: str) -> Any:
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    if isinstance(value, int) and abs(value) >= 2**63:
        raise _unfit(name, value, f"{words.get(hint, str(hint))} of at most 64 bits")
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is str and type(value) is str:
        return _as_text(value, name)
    if type(value) is not hint or (hint is float and not math.isfinite(value)):
        raise _unfit(name, value, words.get(hint, str(hint)))
    return value


def _as_text(value: str, name: str) -> str:
    """Refuses what no file and no program after this one could take: NUL, and halves of characters."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _unfit(name, value, "text that UTF-8 can hold") from error
    if "\0" in value:
        raise _unfit(name, value, "text without NUL characters")
    return value


def _check_plain(value: Any, name: str, levels: int = _DEEPEST) -> None:
    """Refuses what JSON cannot hold, so that every recipe can be written down."""
    if levels == 0:
        raise RecipeError(f"`{name}` is nested too deeply, or contains itself.", allowed=f"at most {_DEEPEST} levels")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return  # a part, which was checked when it was made
    if isinstance(value, Mapping):
        for key, item in value.items():
            _as_text(str(key), name)
            _check_plain(item, name, levels - 1)
    elif isinstance(value, tuple | list):
        for item in value:
            _check_plain(item, name, levels - 1)
    elif value is not None and not isinstance(value, bool):
        kind = next((kind for kind in (int, float, str) if isinstance(value, kind)), None)
        if kind is None:
            raise _unfit(name, value, "text, numbers, true, false, none, and lists and names with values of these")
        if type(value) is kind:
            _convert_scalar(value, kind, name)


def _check_limits(value: Any, limits: Mapping[str, Any], name: str) -> None:
    low, high = limits.get("at_least"), limits.get("at_most")
    for number_ in value if isinstance(value, tuple) else (value,):
        if number_ is None or isinstance(number_, str):
            continue
        if (low is not None and number_ < low) or (high is not None and number_ > high):
            words = [f"at least {low}"] if low is not None else []
            words += [f"at most {high}"] if high is not None else []
            raise RecipeError(f"`{name}` is out of range.", received=_shown(value), allowed=", ".join(words))


def _parse(text: Any, hint: Any) -> Any:
    """A shell word as a value for `hint`; what cannot be read stays text, and `convert` says why that does not fit."""
    if not isinstance(text, str):
        return text
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    if type(None) in options and text.lower() in ("none", "null", ""):
        return None
    if bool in options and text.lower() in ("true", "false"):
        return text.lower() == "true"
    document = text.lstrip().startswith("{") and any(typing.get_origin(option) is Mapping for option in options)
    if not document and (str in options or any(typing.get_origin(option) is Literal for option in options)):
        return text
    if any(dataclasses.is_dataclass(option) and getattr(option, "kind", None) == text for option in options):
        return text
    if any(typing.get_origin(option) is tuple for option in options) and not text.lstrip().startswith(("[", "(")):
        return [_literal(word.strip()) for word in text.split(",") if word.strip()]
    if any(typing.get_origin(option) is tuple for option in options):
        text = text.strip().replace("(", "[").replace(")", "]")
    return _literal(text)


def _literal(text: str) -> Any:
    lowered = {"true": True, "false": False, "none": None}
    if text.lower() in lowered:
        return lowered[text.lower()]
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        try:
            return float(text)
        except ValueError:
            return text


_hints: Callable[[Any], dict[str, Any]] = functools.cache(typing.get_type_hints)


def _unfit(name: str, value: Any, allowed: str, hint: str = "") -> RecipeError:
    return RecipeError(
        f"`{name}` does not fit.", received=f"{_shown(value)} ({type(value).__name__})", allowed=allowed, fix=hint or None
    )


def _shown(value: Any) -> str:
    """`repr`, cut where it would be long."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python refuses to write whole numbers of more than 4300 digits
        return "a number of thousands of digits"


def _unknown(path: str, word: str, known: list[str], *, deeper: list[str] | None = None) -> RecipeError:
    """The error for a field that is not there. `deeper` are the paths at which other parts have one of that name."""
    shown = path if len(path) <= 200 else path[:200] + "…"
    if deeper:
        paths = ", ".join(f"`{one}`" for one in deeper[:6])
        return RecipeError(f"There is no `{shown}`.", fix=f"Did you mean {'one of ' if len(deeper) > 1 else ''}{paths}?")
    return RecipeError(f"There is no `{shown}`.", allowed=known, fix=did_you_mean(word, known) or None)

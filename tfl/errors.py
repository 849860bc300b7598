"""What can go wrong, as a tree. Every error is one message: what is wrong, what was received, what is allowed, what to do.

    TflError
     ├── RecipeError (ValueError)            a recipe, or a `--set`, says something that cannot be
     ├── DataError (ValueError)              a source of examples cannot be used as it is
     │    ├── BadContentError                one or more examples cannot be read
     │    │    └── BadImageError             one or more files cannot be decoded
     │    └── MismatchError                  a source holds another kind of examples or targets than the recipe says
     ├── BackboneError (ValueError)          a network is unknown, unsuitable or badly cut
     │    └── WeightsNotFoundError (FileNotFoundError)
     ├── FrozenMovedError (RuntimeError)     a frozen layer changed while training: the stage is void
     ├── TrainingError (RuntimeError)        training cannot go on (for example a loss that is not finite)
     ├── RunError (RuntimeError)             a run folder cannot be used
     │    └── RunLockedError                 another process is writing it
     ├── ExportError (RuntimeError)          an export failed, or disagrees with the model it came from
     ├── ServingError (RuntimeError)         the server cannot start as asked
     ├── StorageError (OSError)              the disk is full, read-only or not permitted
     └── MissingExtraError (ImportError)     an optional dependency is absent; the message has its install command

A `TflError` means that the input or the surroundings are wrong: the command line prints its message and exits with 2.
Anything else that escapes is a defect of tfl and exits with 1.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType


class TflError(Exception):
    """Base of every error that tfl raises on purpose.

    Args:
        what: What is wrong, as a sentence.
        received: What was received, where that helps; shown with `repr` unless it is a string.
        allowed: What would have been accepted: a sentence, or the allowed values.
        fix: What to do about it, as a sentence.

    Example:

    >>> from tfl.errors import RecipeError
    >>> print(RecipeError("`epochs` is out of range.", received=0, allowed="an integer of at least 1"))
    `epochs` is out of range. Received: 0. Allowed: an integer of at least 1.
    """

    def __init__(
        self, what: str, *, received: object = None, allowed: str | Iterable[object] | None = None, fix: str | None = None
    ) -> None:
        self.what, self.received, self.allowed, self.fix = what, received, allowed, fix
        super().__init__(self._message())

    def _message(self) -> str:
        parts = [self.what]
        if self.received is not None:
            shown = self.received if isinstance(self.received, str) else repr(self.received)
            parts.append(f"Received: {shown}.")
        if self.allowed is not None:
            allowed = self.allowed if isinstance(self.allowed, str) else ", ".join(map(str, self.allowed))
            parts.append(f"Allowed: {allowed}.")
        if self.fix is not None:
            parts.append(self.fix)
        return " ".join(parts)

    def __str__(self) -> str:
        """The message alone: some builtins (`OSError`, `KeyError`) would print their arguments instead."""
        return self._message()

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.what, self.received, self.allowed, self.fix))


def _rebuild(
    kind: type[TflError], what: str, received: object, allowed: str | Iterable[object] | None, fix: str | None
) -> TflError:
    return kind(what, received=received, allowed=allowed, fix=fix)


class RecipeError(TflError, ValueError):
    """A recipe, or a `--set`, has a value that is not allowed."""


class DataError(TflError, ValueError):
    """A source of examples cannot be used as it is."""


class BadContentError(DataError):
    """One or more examples cannot be read: they are damaged, too large or of another kind."""


class BadImageError(BadContentError):
    """One or more files cannot be decoded; the name is from the time when all examples were of one kind."""


class MismatchError(DataError):
    """A source holds another kind of examples, or other targets, than the recipe says.

    Attributes:
        changes: Mapping from a field of the recipe, as `--set` writes it, to the value that fits the source.

    Example:

    >>> MismatchError("The cells are numbers.").suggesting({"task": "regress"}).changes
    {'task': 'regress'}
    """

    changes: Mapping[str, str] = MappingProxyType({})

    def suggesting(self, changes: Mapping[str, str]) -> MismatchError:
        """This error with the fields of the recipe that fit the source."""
        self.changes = changes
        return self


class BackboneError(TflError, ValueError):
    """A network is unknown, unsuitable, or cannot be cut where it was asked to be."""


class WeightsNotFoundError(BackboneError, FileNotFoundError):
    """Weights that were asked for are not on this machine and cannot be fetched."""


class FrozenMovedError(TflError, RuntimeError):
    """A layer that a stage had frozen changed while training."""


class TrainingError(TflError, RuntimeError):
    """Training cannot continue."""


class RunError(TflError, RuntimeError):
    """A run folder cannot be used for what was asked."""


class RunLockedError(RunError):
    """Another living process is writing this folder."""


class ExportError(TflError, RuntimeError):
    """An export failed, or does not agree with the model it came from."""


class ServingError(TflError, RuntimeError):
    """The server cannot start as asked."""


class StorageError(TflError, OSError):
    """The disk is full, read-only or not permitted."""


class MissingExtraError(TflError, ImportError):
    """An optional dependency is not installed.

    Example:

    >>> from tfl.errors import MissingExtraError
    >>> print(MissingExtraError.of("openvino", needed_for="engine='openvino'"))
    engine='openvino' needs the extra `openvino`. Install it with: pip install 'tfl[openvino]'
    """

    @classmethod
    def of(cls, extra: str, *, needed_for: str) -> MissingExtraError:
        """The error for the `extra` that `needed_for` stands on."""
        return cls(f"{needed_for} needs the extra `{extra}`.", fix=f"Install it with: pip install 'tfl[{extra}]'")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence naming the nearest of `known`, or an empty string when nothing is near.

    Example:

    >>> from tfl.errors import did_you_mean
    >>> did_you_mean("epoch", ["epochs", "seed"])
    'Did you mean `epochs`?'
    """
    by_lower = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word[:100].lower(), list(by_lower), n=1, cutoff=0.6)
    return f"Did you mean `{by_lower[near[0]]}`?" if near else ""


def listed(items: Sequence[str], *, limit: int = 10) -> str:
    """The first `limit` of `items`, and how many more there are.

    Example:

    >>> from tfl.errors import listed
    >>> listed(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    rest = len(items) - limit
    return ", ".join(items[:limit]) + (f" and {rest} more" if rest > 0 else "")

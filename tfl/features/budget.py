"""How much the store may take, and which spaces go when it takes more: the least recently used that nobody uses.

No TensorFlow: `tfl cache` reads this.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfl.errors import RecipeError, StorageError
from tfl.features.chunks import Folder, read_sealed
from tfl.storage import cache_home, check_can_write

GB = 10**9
MOST_BYTES = 20 * GB
"""The budget where `TFL_CACHE_GB` does not say another, if the disk has twice as much."""


@dataclass(frozen=True)
class Stored:
    """One space in the store, as its files have it."""

    path: Path
    about: dict[str, Any]
    dtype: str
    bytes: int
    last_used: float

    @property
    def key(self) -> str:
        """The space's key."""
        return self.path.name

    @property
    def folder(self) -> Folder:
        """Its files."""
        return Folder(self.path, key=self.key, dtype=self.dtype)


def features_home() -> Path:
    """The folder of all spaces."""
    return cache_home() / "features"


def check_store() -> None:
    """Makes sure that features can be stored.

    Raises:
        StorageError: The folder cannot be made or written.
    """
    check_can_write(features_home(), folder=True, fix="Point TFL_CACHE to a folder that can be written.")


def can_store() -> bool:
    """Whether features can be stored."""
    try:
        check_store()
    except StorageError:
        return False
    return True


def stored_spaces() -> list[Stored]:
    """All spaces in the store, the least recently used first."""
    home = features_home()
    found = [_stored(path) for path in home.iterdir() if path.is_dir()] if home.is_dir() else []
    return sorted(found, key=lambda space: (space.last_used, space.key))


def limit_bytes() -> int:
    """What the store may take: `TFL_CACHE_GB`, else 20 GB or half of what the disk has for it, whichever is less.

    Raises:
        RecipeError: `TFL_CACHE_GB` is no number of at least 0.
    """
    named = os.environ.get("TFL_CACHE_GB")
    if named:
        try:
            limit = float(named)
        except ValueError:
            limit = -1.0
        if not 0 <= limit < 1e9:
            raise RecipeError("`TFL_CACHE_GB` is no size.", received=named, allowed="gigabytes, a number of at least 0")
        return int(limit * GB)
    place = cache_home()
    while not place.exists():
        place = place.parent
    return min(MOST_BYTES, (shutil.disk_usage(place).free + used_bytes()) // 2)


def used_bytes() -> int:
    """What the store takes."""
    return sum(space.bytes for space in stored_spaces())


def room_bytes() -> int:
    """What could still be stored if every space that nobody uses went."""
    return max(0, limit_bytes() - sum(space.bytes for space in stored_spaces() if is_in_use(space.path)))


def make_room(needed: int) -> list[Stored]:
    """Evicts spaces that nobody uses, the least recently used first, until `needed` more bytes fit the budget.

    Raises:
        StorageError: They do not fit even so.
    """
    spaces, limit = stored_spaces(), limit_bytes()
    excess, gone = sum(space.bytes for space in spaces) + needed - limit, []
    for space in spaces:
        if excess <= 0:
            break
        if remove(space.path):
            gone.append(space)
            excess -= space.bytes
    if excess > 0:
        raise StorageError(
            f"The feature store in {features_home()} has no room for {needed / GB:.3g} GB more.",
            received=f"a budget of {limit / GB:.3g} GB",
            fix="Raise TFL_CACHE_GB, point TFL_CACHE at a larger disk, or compute features in every epoch: "
            "--set features.store=never",
        )
    return gone


def is_in_use(path: Path) -> bool:
    """Whether a living process has the space open."""
    try:
        with open(path / ".reading") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def remove(path: Path) -> bool:
    """Removes a space that nobody uses; says whether it did."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(FileNotFoundError):
            handle = stack.enter_context(open(path / ".reading"))
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return False
        doomed = path.with_name(f".{path.name[:16]}.{uuid.uuid4().hex}.gone")
        try:
            os.replace(path, doomed)
        except OSError:
            return False
        shutil.rmtree(doomed, ignore_errors=True)
    return True


def _stored(path: Path) -> Stored:
    size, last = 0, 0.0
    for folder, _, names in os.walk(path):
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                found = os.stat(os.path.join(folder, name))
                size += found.st_size
                if name in (".reading", "meta.json"):
                    last = max(last, found.st_mtime)
    document = read_sealed(path / "space.json") or {}
    return Stored(path, document.get("about", {}), document.get("dtype", ""), size, last)

"""Which files below a folder are taken: all but hidden ones and what systems, cameras and sync programs leave behind.

Training and `tfl predict` both walk folders by these functions, so they take the same files. Whether a file can be used is
decided later, by its content.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfl.data.examples import listed
from tfl.errors import DataError

_NAMES = frozenset(
    (
        # Synology, QNAP and other network drives
        *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "#recycle", "#snapshot", "lost+found"),
        # Windows
        *("thumbs.db", "thumbs.db:encryptable", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "autorun.inf"),
        *("$recycle.bin", "system volume information"),
        # macOS, also in archives and on drives of other systems
        *("__macosx", "icon\r", "network trash folder", "temporary items"),
        # phones, cameras, media managers
        *("lost.dir", "picasa.ini", "zbthumbnail.info", "albumartsmall.jpg"),
        "__pycache__",
    )
)
"""In lower case. Sources: github.com/github/gitignore (Global/Windows, macOS, Linux), Nextcloud's sync-exclude.lst, Synology's
and QNAP's documentation of their system folders. Left out of them are names that a class may well have, such as `Recovery`."""
_RECYCLE_BIN = "RECYCLER"
"""Of Windows XP, in capitals only: `recycler` may be a class."""
_PATTERNS = re.compile(
    r"\..*"  # hidden: .DS_Store, ._x.jpg, .thumbnails, .@__thumb, .Trash-1000, .ipynb_checkpoints, .picasa.ini
    r"|found\.\d{3}",
    re.IGNORECASE | re.DOTALL,
)
_FILES = re.compile(
    r"~\$.*|.*~"  # open or saved by an editor
    r"|.*\.(tmp|temp|part|partial|crdownload|opdownload|filepart|swp|!sync)"  # not yet whole
    r"|albumart_\{.*",
    re.IGNORECASE | re.DOTALL,
)


def is_left_behind(name: str, *, folder: bool = False) -> bool:
    """Whether a file or folder of this name is hidden, or one that a system, a camera or a sync program leaves behind.

    Args:
        name: Its name, without the path.
        folder: Whether it is a folder: a class may be called `v1.part`, while a file of that name is not yet whole.

    Example:

    >>> from tfl.data.walk import is_left_behind
    >>> is_left_behind("Thumbs.db"), is_left_behind("@eaDir"), is_left_behind("._1.jpg"), is_left_behind("1.jpg")
    (True, True, True, False)
    """
    if name.lower() in _NAMES or name == _RECYCLE_BIN or _PATTERNS.fullmatch(name) is not None:
        return True
    return not folder and _FILES.fullmatch(name) is not None


def children(folder: Path, skipped: list[str]) -> list[os.DirEntry[str]]:
    """The entries of a folder, sorted by name; the paths of those left behind go into `skipped`.

    Raises:
        DataError: The folder cannot be read.
    """
    kept: list[os.DirEntry[str]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_left_behind(entry.name, folder=os.path.isdir(entry.path)):
                    skipped.append(entry.path)
                else:
                    kept.append(entry)
    except OSError as error:
        raise DataError(f"Cannot read the folder {folder}: {error.strerror}.", fix="Check its permissions.") from error
    return sorted(kept, key=lambda entry: entry.name)


def folders_and_files(folder: Path, skipped: list[str]) -> tuple[list[os.DirEntry[str]], list[str]]:
    """The folders in a folder, and the names of everything else in it, sorted; links to folders count as folders.

    Args:
        folder: Where to look.
        skipped: Is given the paths of what was left behind.

    Raises:
        DataError: The folder cannot be read.
    """
    entries = children(folder, skipped)
    folders = [entry for entry in entries if os.path.isdir(entry.path)]  # a link to itself is none, and is_dir() raises there
    return folders, [entry.name for entry in entries if not os.path.isdir(entry.path)]


def files_below(folder: Path, skipped: list[str]) -> list[str]:
    """Every file below a folder, sorted folder by folder; links to folders are not followed, since they may lead back.

    A link that leads nowhere counts as a file, so that whoever reads it says so.

    Args:
        folder: Where to start.
        skipped: Is given the paths of what was left behind, of links to folders, and of what is neither file nor folder.

    Raises:
        DataError: A folder cannot be read.
    """
    files: list[str] = []
    for child in children(folder, skipped):
        if child.is_dir(follow_symlinks=False):
            files += files_below(Path(child.path), skipped)
        elif (child.is_symlink() and not os.path.exists(child.path)) or child.is_file():
            files.append(child.path)
        else:
            skipped.append(child.path)
    return files


def skipped_findings(skipped: Sequence[str], root: Path | None = None) -> list[dict[str, Any]]:
    """What was skipped, as findings of an audit; nothing where nothing was.

    Args:
        skipped: The paths, as `files_below` gives them.
        root: Where the names in the notes start; None names whole paths.

    Example:

    >>> from tfl.data.walk import skipped_findings
    >>> skipped_findings(["animals/cat/Thumbs.db"])[0]["note"]
    '1 hidden or system entry was skipped: animals/cat/Thumbs.db.'
    """
    paths = list(dict.fromkeys(skipped))
    left_behind = [path for path in paths if is_left_behind(os.path.basename(path), folder=os.path.isdir(path))]
    others = [path for path in paths if path not in set(left_behind)]
    found = []
    for kind, severity, part, one, many, more in (
        ("skipped_system_files", "info", left_behind, "hidden or system entry was", "hidden or system entries were", ""),
        (
            "skipped_links",
            "warning",
            others,
            "linked folder or special file was",
            "linked folders or special files were",
            " Links to folders are not followed there: copy the files, or link to each file.",
        ),
    ):
        if part:
            names = listed([path if root is None else os.path.relpath(path, root) for path in part], limit=5)
            note = f"{len(part)} {one if len(part) == 1 else many} skipped: {names}.{more}"
            found.append({"kind": kind, "severity": severity, "files": part, "note": note})
    return found

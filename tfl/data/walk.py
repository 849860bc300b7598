"""Which files below a folder are taken: all but hidden ones and what systems, cameras and sync programs leave behind.

Training and `tfl predict` both walk folders by these functions, so they take the same files. Whether a file is an image is
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
        *("$recycle.bin", "recycler", "recycled", "system volume information"),
        # macOS, also in archives and on drives of other systems
        *("__macosx", "icon\r", "network trash folder", "temporary items"),
        # phones, cameras, picture managers
        *("lost.dir", "picasa.ini", "zbthumbnail.info", "albumartsmall.jpg"),
        "__pycache__",
    )
)
"""In lower case. Sources: github.com/github/gitignore (Global/Windows, macOS, Linux), Nextcloud's sync-exclude.lst, Synology's
and QNAP's documentation of their system folders."""
_PATTERNS = re.compile(
    r"\..*"  # hidden: .DS_Store, ._x.jpg, .thumbnails, .@__thumb, .Trash-1000, .ipynb_checkpoints, .picasa.ini
    r"|~\$.*|.*~"  # open or saved by an editor
    r"|.*\.(tmp|temp|part|partial|crdownload|filepart|swp|!sync)"  # not yet whole
    r"|found\.\d{3}|albumart_\{.*",
    re.IGNORECASE | re.DOTALL,
)


def is_left_behind(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or one that a system, a camera or a sync program leaves behind.

    Example:

    >>> from tfl.data.walk import is_left_behind
    >>> is_left_behind("Thumbs.db"), is_left_behind("@eaDir"), is_left_behind("._1.jpg"), is_left_behind("1.jpg")
    (True, True, True, False)
    """
    return name.lower() in _NAMES or _PATTERNS.fullmatch(name) is not None


def children(folder: Path, skipped: list[str]) -> list[os.DirEntry[str]]:
    """The entries of a folder, sorted by name; the paths of those left behind go into `skipped`.

    Raises:
        DataError: The folder cannot be read.
    """
    kept: list[os.DirEntry[str]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_left_behind(entry.name):
                    skipped.append(entry.path)
                else:
                    kept.append(entry)
    except OSError as error:
        raise DataError(f"Cannot read the folder {folder}: {error.strerror}.", fix="Check its permissions.") from error
    return sorted(kept, key=lambda entry: entry.name)


def files_below(folder: Path, skipped: list[str]) -> list[str]:
    """Every file below a folder, sorted folder by folder; links to folders are not followed, since they may lead back.

    A link that leads nowhere counts as a file, so that whoever reads it says so.

    Args:
        folder: Where to start.
        skipped: Is given the paths of what was left behind.

    Raises:
        DataError: A folder cannot be read.
    """
    files: list[str] = []
    for child in children(folder, skipped):
        if child.is_dir(follow_symlinks=False):
            files += files_below(Path(child.path), skipped)
        elif (child.is_symlink() and not os.path.exists(child.path)) or child.is_file():
            files.append(child.path)
    return files


def skipped_finding(skipped: Sequence[str], root: Path) -> tuple[dict[str, Any], ...]:
    """What was passed over as a finding of an audit; nothing where nothing was."""
    if not skipped:
        return ()
    names = [os.path.relpath(path, root) for path in skipped]
    what = "1 hidden or system entry was" if len(skipped) == 1 else f"{len(skipped)} hidden or system entries were"
    note = f"{what} skipped: {listed(names, limit=5)}."
    return ({"kind": "skipped_system_files", "severity": "info", "files": list(skipped), "note": note},)

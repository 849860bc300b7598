"""The files of the pictures that annotations name."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from tfl.data.box_files import Annotated
from tfl.errors import DataError, listed


def _shared_folders(file: str, other: Path) -> int:
    """How many folders, from the root on, two files have in common."""
    pairs = zip(Path(file).parent.parts, other.parent.parts, strict=False)
    return next((at for at, (first, second) in enumerate(pairs) if first != second), len(Path(file).parent.parts))


class Images:
    """Finds the files of the pictures that annotations name, wherever below a folder they lie.

    Args:
        files: Every file below the folder.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self._files = list(files)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for file in files:
            self._by_name[os.path.basename(file)].append(file)
            self._by_name[Path(file).stem].append(file)

    def of(self, suffixes: frozenset[str]) -> list[str]:
        """Every file whose name ends so."""
        return [file for file in self._files if os.path.splitext(file)[1].lower() in suffixes]

    def find(self, one: Annotated, suffixes: frozenset[str]) -> str | None:
        """The file of a picture; None where there is none. Of several the one that lies nearest to the annotation is taken.

        Raises:
            DataError: Several files are meant alike.
        """
        name = one.image.replace("\\", "/").split("/")[-1]
        known = self._by_name.get(name) or self._by_name.get(Path(name).stem, [])
        fitting = [file for file in dict.fromkeys(known) if os.path.splitext(file)[1].lower() in suffixes]
        if len(fitting) > 1:
            shared = [_shared_folders(file, one.file) for file in fitting]
            wanted = one.image.replace("\\", "/").strip("./")
            best = max(range(len(fitting)), key=lambda at: (fitting[at].endswith(f"/{wanted}"), shared[at]))
            twins = [file for at, file in enumerate(fitting) if shared[at] == shared[best] and at != best]
            if twins and not fitting[best].endswith(f"/{wanted}"):
                raise DataError(
                    f"{one.file} names a picture that several files may be.",
                    received=listed([fitting[best], *twins], limit=3),
                    fix="Name it with its folder in the annotation, or remove the others.",
                )
            return fitting[best]
        return fitting[0] if fitting else None

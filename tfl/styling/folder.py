"""The folder of a style transfer.

settings.json   what decides the result: options, hashes of both pictures and of the weights, the blocks and what was measured
pictures/       step_00000.png, step_00050.png, ...: what was kept on the way
state.npz       the last kept picture exactly, Adam's state and the losses so far: from here it is resumed
losses.csv      a row for each step
result.png, style.json, style.html
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfl.errors import RunError
from tfl.storage import check_can_write, storage_errors, write_atomically, write_json

SETTINGS, STATE, LOSSES = "settings.json", "state.npz", "losses.csv"
RESULT, DOCUMENT, PAGE, PICTURES = "result.png", "style.json", "style.html", "pictures"
_MAY_CHANGE = ("steps",)


def check_folder(folder: Path, *, resume: bool) -> None:
    """Checks that a result can be written into `folder`.

    Raises:
        RunError: It holds one already, or none to resume.
        StorageError: It cannot be written.
    """
    taken = (folder / SETTINGS).exists()
    if taken and not resume:
        raise RunError(f"{folder} already holds a style transfer.", fix="Resume it with --resume, or name another folder.")
    if resume and not taken:
        raise RunError(f"There is no style transfer to resume in {folder}.", fix="Start it without --resume.")
    check_can_write(folder, folder=True)


def read_settings(folder: Path) -> dict[str, Any]:
    """The contents of `settings.json`.

    Raises:
        RunError: It is damaged.
    """
    file = folder / SETTINGS
    try:
        with storage_errors(file, doing="read"):
            found = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise RunError(f"{file} is damaged: {error}.", fix="Start again in another folder.") from error
    if not isinstance(found, dict):
        raise RunError(f"{file} is damaged.", fix="Start again in another folder.")
    return found


def refuse_other(folder: Path, kept: dict[str, Any], now: dict[str, Any]) -> None:
    """Makes sure that what is resumed is what was begun; only `steps` may be another number.

    Raises:
        RunError: Another picture, network or option.
    """
    for part in ("content", "style", "options", "weights"):
        old, new = (document.get(part) for document in (kept, now))
        if isinstance(old, dict) and isinstance(new, dict):
            names = [name for name in {**old, **new} if old.get(name) != new.get(name) and name not in (*_MAY_CHANGE, "name")]
            old, new = {name: old.get(name) for name in names}, {name: new.get(name) for name in names}
        if old != new:
            raise RunError(
                f"{folder} was begun with another {part}.",
                received=json.dumps(new),
                allowed=json.dumps(old),
                fix="Resume with what it was begun with, or name another folder.",
            )


def keep_picture(folder: Path, step: int, png: bytes) -> None:
    """Writes an intermediate picture."""
    write_atomically(folder / PICTURES / f"step_{step:05}.png", png)


def kept_pictures(folder: Path, *, up_to: int) -> dict[int, Path]:
    """The intermediate pictures by step."""
    found = {int(file.stem.removeprefix("step_")): file for file in sorted((folder / PICTURES).glob("step_*.png"))}
    return {step: file for step, file in sorted(found.items()) if step <= up_to}


def write_losses(folder: Path, columns: Sequence[str], rows: Sequence[Sequence[float]]) -> None:
    """Writes `losses.csv`: the losses of the picture after so many steps."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["step", *columns])
    writer.writerows([step, *(f"{value:.8g}" for value in row)] for step, row in enumerate(rows))
    write_atomically(folder / LOSSES, buffer.getvalue())


def write_settings(folder: Path, document: dict[str, Any]) -> None:
    """Writes `settings.json`."""
    write_json(folder / SETTINGS, document)

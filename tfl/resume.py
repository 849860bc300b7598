"""Resuming a run: whether it is still the same recipe, data and weights, and how it ended."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfl.data.examples import listed
from tfl.data.listing import data_changes, read_listing, write_listing
from tfl.errors import DataError, RunError, TflError
from tfl.evaluate.compare.changes import CHANGE_WORDS
from tfl.fields import as_plain
from tfl.recipe import Recipe
from tfl.runs import Run
from tfl.storage import is_scratch, locked, remove_scratch

if TYPE_CHECKING:
    from rich.console import Console

    from tfl.data.bundle import Bundle

_WRITTEN_FIRST = {".lock", "recipe.json"}
"""What a process that died while it made a run folder may have left there; `manifest.json` is written last."""
_SHOWN = 3
_LONGEST = 60
"""Characters of a value in a message."""


def earlier_run(folder: Path, recipe: Recipe, console: Console) -> Run | None:
    """The run in `folder` to resume; None where there is none, so that it starts from the beginning.

    Raises:
        RunError: The folder holds something else, or a run of another recipe.
        RunLockedError: Another process is writing it.
    """
    if _nothing_begun(folder):
        console.print(f"There is no run in {folder} yet: it starts from the beginning.", highlight=False, markup=False)
        return None
    run = Run.open(folder)
    with run.lock():  # known before the data is read again
        pass
    before, now = as_plain(run.asked), as_plain(with_choices_of(run, recipe))
    _refuse_other_preprocessing(run, before["backbone"], now["backbone"])
    changed = list(_differences(before, now))
    if changed:
        raise RunError(
            f"{folder} is a run of another recipe: {listed(changed, limit=_SHOWN)}.",
            fix=f"Resume it with its own recipe, {run.path('recipe.json')}, or start a new run{_from_its_network(run)}.",
        )
    return run


def with_choices_of(run: Run, recipe: Recipe) -> Recipe:
    """The recipe with what an earlier run took from its examples, such as the length of texts, where it leaves that open.

    Args:
        run: The earlier run, whose recipe has everything written out.
        recipe: As it was written.
    """
    earlier, asked = run.recipe.data, recipe.data
    if earlier.inputs.keys() == asked.inputs.keys():
        inputs = {name: _with_choices(earlier.inputs[name], one) for name, one in asked.inputs.items()}
        return dataclasses.replace(
            recipe, data=dataclasses.replace(asked, input=_with_choices(earlier.input, asked.input), inputs=inputs)
        )
    return recipe


def _with_choices(earlier: Any, asked: Any) -> Any:
    """An input with what the earlier run took from its examples."""
    if earlier is None or asked is None or earlier.kind != asked.kind:
        return asked
    values = {field.name: getattr(earlier, field.name) for field in dataclasses.fields(earlier)}
    return dataclasses.replace(asked, **{name: value for name, value in values.items() if getattr(asked, name) is None})


def _differences(before: Any, now: Any, path: str = "") -> Iterator[str]:
    """The differences between two recipes as plain data, such as `stages.head.epochs was 2 and is 4`; stages are named."""
    if before == now:
        return
    before_parts, now_parts = _parts(before), _parts(now)
    if not before_parts or not now_parts or before_parts.keys() != now_parts.keys():
        yield f"{path} differs" if before_parts or now_parts else f"{path} was {_short(before)} and is {_short(now)}"
        return
    for key in now_parts:
        yield from _differences(before_parts[key], now_parts[key], f"{path}.{key}" if path else str(key))


def _parts(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and value and all(isinstance(item, dict) and "name" in item for item in value):
        return {item["name"]: item for item in value}
    return {}


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _from_its_network(run: Run) -> str:
    """How to train the network of a run further, if it has one."""
    if not run.path("model.keras").is_file():
        return ""
    return f"; to train its network further, with a new head: tfl run RECIPE --set {shlex.quote(f'backbone={run.folder}')}"


def _refuse_other_preprocessing(run: Run, before: dict[str, Any], now: dict[str, Any]) -> None:
    """A run of a model file has its preprocessing written out; one of an older tfl, which has not, took its inputs as they are.

    Raises:
        RunError: It would be resumed with others.
    """
    if before.get("preprocessing") != "auto" or now.get("preprocessing", "auto") == "auto":
        return
    before["preprocessing"] = "none"
    if before | {"preprocessing": now["preprocessing"]} == now != before:
        raise RunError(
            f"{run.folder} was begun by an older version of tfl, which gave inputs of 0..255 to {now['name']} as they are.",
            received=f"preprocessing={now['preprocessing']!r}, which the network needs",
            fix="Start a new run; or resume it as it was started: --set backbone.preprocessing=none.",
        )


def _nothing_begun(folder: Path) -> bool:
    """Whether there is no run yet; the remains of a process that died while it created one are removed."""
    if not folder.exists():
        return True
    if not folder.is_dir() or (folder / "manifest.json").exists():
        return False
    held = {entry.name for entry in folder.iterdir()}
    if not held:
        return True
    if ".lock" not in held or any(name not in _WRITTEN_FIRST and not is_scratch(name) for name in held):
        return False
    with locked(folder):
        remove_scratch(folder)
        (folder / "recipe.json").unlink(missing_ok=True)
    return True


def refuse_other_inputs(run: Run, bundle: Bundle, *, fingerprint: str, weights: dict[str, Any]) -> None:
    """Makes sure that a run is resumed with the examples and the weights that it was started with.

    Raises:
        RunError: They are others; the message names the examples.
    """
    manifest = run.manifest
    if manifest.get("data") and manifest["data"].get("fingerprint") != fingerprint:
        raise RunError(
            f"The {bundle.modality.nouns} of {bundle.data.source} are not those that {run.folder} was started on"
            f"{_what_changed(run, bundle)}.",
            fix="Put them back and run again with --resume, or start a new run.",
        )
    known = (manifest.get("weights") or {}).get("sha256")
    if known and known != weights["sha256"]:
        raise RunError(
            f"The weights of {weights['name']} are not those that {run.folder} was started with.",
            fix="Put them back and run again with --resume, or start a new run.",
        )


def refuse_other_examples(run: Run, field: str, fingerprint: str) -> None:
    """Makes sure that a run is resumed with the other examples that it was started with.

    Args:
        run: The earlier run.
        field: What the recipe and the manifest call them, such as `extra_data`.
        fingerprint: Of those that are there now.

    Raises:
        RunError: They are others.
    """
    if (known := (run.manifest.get(field) or {}).get("fingerprint")) and known != fingerprint:
        raise RunError(
            f"The examples of `{field}` are not those that {run.folder} was started with.",
            fix="Put them back and run again with --resume, or start a new run.",
        )


def _what_changed(run: Run, bundle: Bundle) -> str:
    before = read_listing(run.folder)
    with tempfile.TemporaryDirectory() as elsewhere:
        write_listing(elsewhere, bundle)
        after = read_listing(elsewhere)
    found = data_changes(before or [], after or []).of_kind() if before else {}
    other = {kind: rows for kind, rows in found.items() if kind in _CAUSES} if any(found.get(kind) for kind in _CAUSES) else found
    parts = []
    for kind, rows in other.items():
        files = [(row[0] if isinstance(row, tuple) else row).file for row in rows]
        if files:
            parts.append(f"{len(files)} {CHANGE_WORDS[kind]} ({listed(files, limit=_SHOWN)})")
    return f": {'; '.join(parts)}" if parts else ""


_CAUSES = ("added", "removed", "changed", "relabelled")
"""These move other examples to other splits."""


@contextlib.contextmanager
def status_of(run: Run) -> Iterator[None]:
    """Writes the status of the block into the manifest: running, done, failed or interrupted."""
    run.update_manifest(status="running", **({"error": None} if "error" in run.manifest else {}))  # a resumed run starts clean
    try:
        yield
    except KeyboardInterrupt:
        with contextlib.suppress(OSError, TflError):
            run.update_manifest(status="interrupted")
        raise
    except Exception as error:
        with contextlib.suppress(OSError, TflError):
            run.update_manifest(status="failed", error=str(error))
        raise


@contextlib.contextmanager
def vanished_files_reported(bundle: Bundle) -> Iterator[None]:
    """Reports which files are missing, if the block failed and some are.

    Raises:
        DataError: They are.
    """
    try:
        yield
    except TflError:
        raise
    except Exception as error:
        paths = bundle.examples.paths
        gone = [] if paths is None else [str(path) for path in paths if not os.path.exists(str(path))]
        if not gone:
            raise
        raise DataError(
            f"{len(gone)} of {len(bundle.examples)} {bundle.modality.nouns} vanished while the run went on: "
            f"{listed(gone, limit=_SHOWN)}.",
            fix="Put them back as they were and run again with --resume.",
        ) from error

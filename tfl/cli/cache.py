"""`tfl cache`: what the feature store holds, how large it is, whether it is whole, and making it smaller."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import rich_click as click

from tfl.cli.command import EXIT_WRONG_INPUT, Answer, command

if TYPE_CHECKING:
    from tfl.features.budget import Stored

_DAY_S = 86400.0


@command
@click.argument("action", type=click.Choice(["list", "prune", "verify", "forget-engines", "path"]), default="list")
@click.option("--to", "to_gb", metavar="GB", type=click.FloatRange(min=0), help="prune: until it takes at most so much.")
@click.option("--older-than", metavar="DAYS", type=click.FloatRange(min=0), help="prune: what was not used for so long.")
@click.option("--all", "everything", is_flag=True, help="prune: everything.")
@click.option("--repair", is_flag=True, help="verify: remove damaged chunks; their rows are computed again when needed.")
def cache(action: str, to_gb: float | None, older_than: float | None, everything: bool, repair: bool) -> Answer:
    """List, prune or verify the features of frozen blocks that are kept for later stages and runs, or print where they are.

    ACTION is list, prune, verify, forget-engines or path. What a running process uses is never pruned. Without an option, prune
    brings the store to its budget (TFL_CACHE_GB).

    forget-engines removes which engine was measured to be the fastest for a network, so that the next run with
    features.engine=auto or openvino measures again: for a choice that was made while the machine was busy. A resumed run keeps
    its engine. Stored features stay, and are used again if the same engine is chosen.
    """
    chosen = {"--to": to_gb is not None, "--older-than": older_than is not None, "--all": everything}
    if action != "prune" and any(chosen.values()):
        raise click.UsageError(f"{next(name for name in chosen if chosen[name])} belongs to `tfl cache prune`.")
    if action != "verify" and repair:
        raise click.UsageError("--repair belongs to `tfl cache verify`.")
    if action == "prune":
        return _prune(to_gb, older_than, everything)
    if action == "verify":
        return _verify(repair)
    if action == "forget-engines":
        return _forget_engines()
    return _path() if action == "path" else _list()


def _path() -> Answer:
    from tfl.features.budget import features_home

    document = {"path": str(features_home())}
    return Answer(document, lambda: click.echo(document["path"]))


def _forget_engines() -> Answer:
    from tfl.features.choices import choices_home, forget_choices

    document = {"path": str(choices_home()), "forgotten": forget_choices()}
    said = f"removed {document['forgotten']} measured choices of an engine; the next run that needs one measures again"
    return Answer(document, lambda: click.echo(said))


def _list() -> Answer:
    from tfl.features.budget import features_home, limit_bytes, stored_spaces
    from tfl.features.choices import stored_choices

    spaces = [_described(space) for space in reversed(stored_spaces())]
    document = {
        "path": str(features_home()),
        "bytes": sum(space["bytes"] for space in spaces),
        "limit_bytes": limit_bytes(),
        "spaces": spaces,
        "engines": stored_choices(),
    }
    return Answer(document, lambda: _show_list(document))


def _described(space: Stored) -> dict[str, Any]:
    from tfl.features.budget import is_in_use

    return {
        "key": space.key,
        "about": space.about,
        "dtype": space.dtype,
        "rows": sum(len(chunk.rows) for chunk in space.folder.chunks()),
        "bytes": space.bytes,
        "last_used": datetime.fromtimestamp(space.last_used, UTC).isoformat(timespec="seconds"),
        "in_use": is_in_use(space.path),
    }


def _show_list(document: dict[str, Any]) -> None:
    from tfl.cli.tables import output, readable_bytes, table

    rows = []
    for space in document["spaces"]:
        about = space["about"]
        view = f"view {about['view']}" if "view" in about else ""
        size = " × ".join(map(str, about.get("image_size", ())))
        used = space["last_used"].replace("T", " ")[:16] + (" (in use)" if space["in_use"] else "")
        what = (about.get("network", "unknown"), about.get("cut", ""), about.get("source", ""), size, view)
        rows.append((*what, about.get("engine", ""), space["dtype"], f"{space['rows']:,}", readable_bytes(space["bytes"]), used))
    columns = ("network", "cut", "source", "image", "view", "engine", "dtype", "rows", "size", "last used (UTC)")
    if rows:
        output().print(table(columns, rows, right=("rows", "size")))
    _show_engines(document["engines"])
    limit = readable_bytes(document["limit_bytes"])
    click.echo(f"{readable_bytes(document['bytes'])} of at most {limit} in {document['path']}")


def _show_engines(choices: list[dict[str, Any]]) -> None:
    from tfl.cli.tables import output, table

    rows = []
    for choice in choices:
        rates = choice.get("images_per_second", {})
        measured = ", ".join(f"{name} {rate:.0f}" for name, rate in sorted(rates.items(), key=lambda pair: -pair[1]))
        size = " × ".join(map(str, choice.get("image_size", ())))
        when = datetime.fromtimestamp(choice["measured"], UTC).strftime("%Y-%m-%d %H:%M")
        rows.append((choice.get("network", "unknown"), size, choice.get("engine", "unknown"), measured, when))
    if rows:
        output().print(table(("network", "image", "engine chosen", "images/s when measured", "measured (UTC)"), rows))


def _prune(to_gb: float | None, older_than: float | None, everything: bool) -> Answer:
    from tfl.features.budget import GB, limit_bytes, remove, stored_spaces

    spaces, now = stored_spaces(), time.time()
    excess = sum(space.bytes for space in spaces)
    if to_gb is not None or (older_than is None and not everything):
        excess -= limit_bytes() if to_gb is None else int(to_gb * GB)
    elif not everything:
        excess = 0
    removed, kept_in_use = [], []
    for space in spaces:
        old = older_than is not None and now - space.last_used > older_than * _DAY_S
        if excess <= 0 and not old:
            continue
        if remove(space.path):
            removed.append(space)
            excess -= space.bytes
        else:
            kept_in_use.append(space)
    document = {
        "removed": [space.key for space in removed],
        "freed_bytes": sum(space.bytes for space in removed),
        "in_use": [space.key for space in kept_in_use],
        "bytes": sum(space.bytes for space in stored_spaces()),
    }
    return Answer(document, lambda: _show_prune(document))


def _show_prune(document: dict[str, Any]) -> None:
    from tfl.cli.tables import readable_bytes

    freed, left = readable_bytes(document["freed_bytes"]), readable_bytes(document["bytes"])
    kept = f"; {len(document['in_use'])} are in use and stay" if document["in_use"] else ""
    click.echo(f"removed {len(document['removed'])} ({freed}), {left} are left{kept}")


def _verify(repair: bool) -> Answer:
    from tfl.features.budget import stored_spaces

    checked, damaged = 0, list[str]()
    for space in stored_spaces():
        chunks = len(list((space.path / "chunks").glob("[0-9]*.json")))
        found = space.folder.damaged() + ([space.path / "space.json"] if chunks and not space.dtype else [])
        checked, damaged = checked + chunks, damaged + [str(path) for path in found]
        if found and repair:
            with space.folder.writing():
                space.folder.remove_damaged(None)
                for path in found:
                    path.unlink(missing_ok=True)
    document = {"chunks": checked, "damaged": damaged, "repaired": bool(damaged) and repair}
    return Answer(document, lambda: _show_verify(document), EXIT_WRONG_INPUT if damaged and not repair else 0)


def _show_verify(document: dict[str, Any]) -> None:
    for path in document["damaged"]:
        click.echo(path)
    count = len(document["damaged"])
    fix = "removed" if document["repaired"] else "remove them with: tfl cache verify --repair"
    click.echo(f"{document['chunks']} chunks, " + (f"{count} damaged; {fix}" if count else "all whole"))

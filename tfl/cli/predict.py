"""`tfl predict`: what is on these photos?"""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path
from typing import Any

import rich_click as click

from tfl.cli.command import EXIT_WRONG_INPUT, Answer, command
from tfl.errors import BadImageError
from tfl.storage import check_can_write, finite, write_atomically


@command
@click.argument("model", metavar="RUN|EXPORT", type=click.Path(path_type=Path))
@click.argument("files", metavar="FILES...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--format",
    "shape",
    type=click.Choice(["table", "csv", "json"]),
    help="How the answer is written. [default: as --out ends, else table]",
)
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="Write the answer to this file.")
@click.option("--skip-bad", is_flag=True, help="Exit with 0 although files were left out that cannot be read as images.")
def predict(model: Path, files: tuple[Path, ...], shape: str | None, out: Path | None, skip_bad: bool) -> Answer:
    """Label FILES with the model of a run, or with an export.

    FILES are image files, and folders of them at any depth: the files that training would take, whatever their names end in.
    Files that cannot be read as images are listed with the reason and left out; the exit code is then 2, or 0 with --skip-bad.
    An export needs TensorFlow alone to be read.
    """
    from tfl.data.walk import skipped_findings
    from tfl.serve.files import expand
    from tfl.serve.predictor import open_predictor

    if out is not None:
        check_can_write(out, folder=False)
    skipped: list[str] = []
    images = expand(files, skipped)
    predictor = open_predictor(model)
    found = predictor.look_at_files(images)
    predictions, unreadable = _named_in_utf_8(found.predictions), _named_in_utf_8(found.unreadable)
    for entry in unreadable:
        click.echo(f"left out: {entry['file']}: {entry['why']}", err=True)
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    for finding in skipped_findings(_in_utf_8(skipped)):
        click.echo(f"{finding['severity']}: {finding['note']}", err=True)
    if not predictions:
        raise BadImageError(_no_image(len(unreadable)), fix="Name image files, or folders of them.")
    code = EXIT_WRONG_INPUT if unreadable and not skip_bad else 0
    if code:
        click.echo(_what_was_left_out(len(unreadable), len(images)), err=True)
    document = {
        "model": str(model),
        "predictions": predictions,
        "unreadable": unreadable,
        "skipped": _in_utf_8(skipped),
        "notes": found.notes,
    }
    text = _written(document, predictor.class_names, shape or _shape_of(out))
    if out is not None:
        write_atomically(out, text)
        return Answer(document, lambda: click.echo(f"{len(predictions)} predictions in {out}"), code)
    return Answer(document, lambda: click.echo(text, nl=False), code)


def _what_was_left_out(count: int, files: int) -> str:
    return (
        f"tfl: {count} of {_counted(files, 'file')} cannot be read as images and have no prediction; the others have theirs. "
        "With --skip-bad this is no error."
    )


def _no_image(count: int) -> str:
    return "The file cannot be read as an image." if count == 1 else f"None of the {count} files can be read as an image."


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _named_in_utf_8(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "file": name} for row, name in zip(rows, _in_utf_8([row["file"] for row in rows]), strict=True)]


def _in_utf_8(paths: list[str]) -> list[str]:
    """Paths as text in UTF-8, whatever the locale; each byte that is none stays as a surrogate (PEP 383)."""
    return [os.fsencode(path).decode("utf-8", "surrogateescape") for path in paths]


def _shape_of(out: Path | None) -> str:
    suffix = out.suffix.lower() if out else ""
    return {".csv": "csv", ".json": "json"}.get(suffix, "table")


def _written(document: dict[str, Any], class_names: tuple[str, ...], shape: str) -> str:
    if shape == "json":
        return json.dumps(finite(document), indent=2) + "\n"
    if shape == "csv":
        return _as_csv(document["predictions"], class_names)
    return _as_table(document["predictions"])


def _as_csv(predictions: list[dict[str, Any]], class_names: tuple[str, ...]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "label", "probability", *(f"p_{name}" for name in class_names)])
    for row in predictions:
        shares = [f"{row['probabilities'][name]:.6f}" for name in class_names]
        writer.writerow([row["file"], row["label"], f"{row['probability']:.6f}", *shares])
    return text.getvalue()


def _as_table(predictions: list[dict[str, Any]]) -> str:
    from tfl.cli.tables import output, table

    console = output()
    rows = [(row["file"], row["label"], f"{row['probability']:.3f}", _runner_up(row)) for row in predictions]
    with console.capture() as captured:
        console.print(table(("file", "label", "probability", "next"), rows, right=("probability",)))
    return captured.get()


def _runner_up(row: dict[str, Any]) -> str:
    others = [(value, name) for name, value in row["probabilities"].items() if name != row["label"]]
    if not others:
        return ""
    value, name = max(others)
    return f"{name} {value:.3f}"

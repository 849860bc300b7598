"""`tfl predict`: what is on these photos?"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import rich_click as click

from tfl.cli.command import Answer, command
from tfl.cli.quiet import load_tensorflow
from tfl.storage import finite, write_atomically


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
@click.option("--skip-bad", is_flag=True, help="List files that are no images and leave them out, instead of stopping.")
def predict(model: Path, files: tuple[Path, ...], shape: str | None, out: Path | None, skip_bad: bool) -> Answer:
    """Label FILES with the model of a run, or with an export.

    FILES are image files, and folders of them at any depth. An export needs TensorFlow alone to be read.
    """
    from tfl.serve.predictor import open_predictor

    load_tensorflow(with_keras=False)
    predictor = open_predictor(model)
    found = predictor.look_at(files, on_bad="skip" if skip_bad else "error")
    for entry in found.unreadable:
        click.echo(f"left out: {entry['file']}: {entry['why']}", err=True)
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    document = {
        "model": str(model),
        "predictions": found.predictions,
        "unreadable": found.unreadable,
        "notes": found.notes,
    }
    text = _written(document, predictor.class_names, shape or _shape_of(out))
    if out is not None:
        write_atomically(out, text)
        return Answer(document, lambda: click.echo(f"{len(found.predictions)} predictions in {out}"))
    return Answer(document, lambda: click.echo(text, nl=False))


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

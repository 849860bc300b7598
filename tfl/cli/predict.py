"""`tfl predict`: the answers of a model for files, or for texts."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from tfl.cli.command import EXIT_WRONG_INPUT, Answer, command
from tfl.cli.options import classes_options
from tfl.errors import BadContentError, BadImageError, DataError
from tfl.recipe import DETECT, HEADS
from tfl.storage import check_can_write, finite, write_atomically

if TYPE_CHECKING:
    from tfl.serve.predictor import Predictor


@command
@click.argument("model", metavar="RUN|EXPORT|PRESET", type=click.Path(path_type=Path))
@click.argument("files", metavar="FILES...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--text", "texts", metavar="TEXT", multiple=True, help="A text to answer, instead of a file; repeatable.")
@classes_options
@click.option(
    "--examples", metavar="SOURCE", help="With --classes, a few labelled examples of these classes, which improve the answer."
)
@click.option(
    "--format",
    "shape",
    type=click.Choice(["table", "csv", "json"]),
    help="How the answer is written. [default: as --out ends, else table]",
)
@click.option("--out", metavar="FILE", type=click.Path(path_type=Path), help="Write the answer to this file.")
@click.option("--skip-bad", is_flag=True, help="Exit with 0 although files were left out that cannot be read.")
def predict(
    model: Path,
    files: tuple[Path, ...],
    texts: tuple[str, ...],
    classes: Path | None,
    prompts: tuple[str, ...],
    examples: str | None,
    shape: str | None,
    out: Path | None,
    skip_bad: bool,
) -> Answer:
    """Answer FILES with the model of a run, or with an export; or name classes that were not trained on.

    FILES are files of the kind that the model was trained on (images, sounds, texts), and folders of them at any depth: the files
    that training would take, whatever their names end in. Of a model of several inputs they are tables with a column for each
    input; every row is answered, also where inputs are missing. Files that cannot be read are listed with the reason and left
    out; the exit code is then 2, or 0 with --skip-bad. An export needs TensorFlow alone to be read.

    With --classes the answer is one of the classes of a file, whether they were trained on or not.
    """
    from tfl.data.walk import skipped_findings
    from tfl.serve.files import expand
    from tfl.serve.predictor import nouns_of, open_predictor

    if out is not None:
        check_can_write(out, folder=False)
    if not files and not texts:
        raise click.UsageError("Missing argument 'FILES...': name files or folders, or give texts with --text.")
    if classes is None and (prompts or examples is not None):
        raise click.UsageError("--prompt and --examples go with --classes.")
    skipped: list[str] = []
    noun, nouns = nouns_of(model)
    chosen = expand(files, skipped, noun=noun) if files or not texts else []
    predictor = open_predictor(model) if classes is None else _open_zero_shot(model, classes, prompts, examples)
    if texts:
        _refuse_texts(predictor, files)
        found = predictor.look_at_contents({text: text.encode("utf-8", "surrogateescape") for text in texts})
    else:
        found = predictor.look_at_files(chosen)
    predictions, unreadable = _named_in_utf_8(found.predictions), _named_in_utf_8(found.unreadable)
    for entry in unreadable:
        click.echo(f"left out: {entry['file'] if entry['file'].strip() else repr(entry['file'])}: {entry['why']}", err=True)
    for note in found.notes:
        click.echo(f"note: {note}", err=True)
    for finding in skipped_findings(_in_utf_8(skipped)):
        click.echo(f"{finding['severity']}: {finding['note']}", err=True)
    if not predictions:
        raise _nothing_readable(len(unreadable), noun, nouns)
    code = EXIT_WRONG_INPUT if unreadable and not skip_bad else 0
    if code:
        click.echo(_what_was_left_out(len(unreadable), len(predictions) + len(unreadable), nouns), err=True)
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


def _open_zero_shot(model: Path, classes: Path, prompts: tuple[str, ...], examples: str | None) -> Predictor:
    from tfl.zero_shot.predictor import open_zero_shot

    return open_zero_shot(model, classes, prompts=prompts, examples=examples)


def _refuse_texts(predictor: Predictor, files: tuple[Path, ...]) -> None:
    """Raises where texts cannot be answered, or files are named as well."""
    modality = predictor.shipping.modality
    if modality.kind != "text":
        raise DataError(
            f"--text gives a text, and the model was trained on {modality.nouns}.", fix=f"Name {modality.noun} files."
        )
    if files:
        raise DataError("--text gives texts, and files are named as well.", fix="Leave one of them out.")


def _what_was_left_out(count: int, files: int, nouns: str) -> str:
    return (
        f"tfl: {count} of {_counted(files, 'file')} cannot be read as {nouns} and have no prediction; the others have theirs. "
        "With --skip-bad this is no error."
    )


def _nothing_readable(count: int, noun: str, nouns: str) -> DataError:
    article = "an" if noun[0] in "aeiou" else "a"
    words = (
        f"The file cannot be read as {article} {noun}."
        if count == 1
        else f"None of the {count} files can be read as {article} {noun}."
    )
    kind = BadImageError if noun == "image" else BadContentError
    return kind(words, fix=f"Name {noun} files, or folders of them.")


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
    if _task_of(predictions[0]) == DETECT:
        writer.writerow(["file", "label", "score", "left", "top", "right", "bottom"])
        writer.writerows(
            [row["file"], one["label"], f"{one['score']:.6f}", *(f"{edge:.1f}" for edge in one["pixels"])]
            for row in predictions
            for one in row["detections"]
        )
        return text.getvalue()
    columns = _COLUMNS[_task_of(predictions[0])](predictions[0], class_names)
    writer.writerow(["file", *columns])
    for row in predictions:
        writer.writerow([row["file"], *(read(row) for read in columns.values())])
    return text.getvalue()


Columns = dict[str, Callable[[dict[str, Any]], str]]


def _task_of(row: dict[str, Any]) -> str:
    if "detections" in row:
        return DETECT
    if "targets" in row:
        return HEADS
    return "classify" if "label" in row else "multilabel" if "labels" in row else "regress"


def _class_columns(first: dict[str, Any], names: tuple[str, ...]) -> Columns:
    shares: Columns = {f"p_{name}": lambda row, name=name: f"{row['probabilities'][name]:.6f}" for name in names}  # type: ignore[misc]
    return {"label": lambda row: str(row["label"]), "probability": lambda row: f"{row['probability']:.6f}", **shares}


def _label_columns(first: dict[str, Any], names: tuple[str, ...]) -> Columns:
    shares: Columns = {f"p_{name}": lambda row, name=name: f"{row['probabilities'][name]:.6f}" for name in names}  # type: ignore[misc]
    return {"labels": lambda row: ";".join(row["labels"]), **shares}


def _number_columns(first: dict[str, Any], names: tuple[str, ...]) -> Columns:
    columns: Columns = {name: lambda row, name=name: f"{row['values'][name]:.7g}" for name in names}  # type: ignore[misc]
    for end in ("lower", "upper"):
        if end in first:
            columns |= {f"{name}_{end}": lambda row, name=name, end=end: f"{row[end][name]:.7g}" for name in names}  # type: ignore[misc]
    return columns


def _target_columns(first: dict[str, Any], names: tuple[str, ...]) -> Columns:
    """The columns of each of several targets, with its name in front."""
    columns: Columns = {}
    for target, answer in first["targets"].items():
        if "value" in answer:
            ends = [end for end in ("value", "lower", "upper") if end in answer]
            columns |= {
                target if end == "value" else f"{target}_{end}": lambda row, target=target, end=end: (
                    f"{row['targets'][target][end]:.7g}"
                )  # type: ignore[misc]
                for end in ends
            }
            continue
        own = _COLUMNS[_task_of(answer)](answer, tuple(answer["probabilities"]))
        columns |= {
            target if name in ("label", "labels") else f"{target}_{name}": lambda row, target=target, read=read: read(
                row["targets"][target]
            )  # type: ignore[misc]
            for name, read in own.items()
        }
    return columns


_COLUMNS = {"classify": _class_columns, "multilabel": _label_columns, "regress": _number_columns, HEADS: _target_columns}


def _as_table(predictions: list[dict[str, Any]]) -> str:
    from tfl.cli.tables import output, table

    console = output()
    columns, rows, right = _table_of(predictions)
    with console.capture() as captured:
        console.print(table(("file", *columns), rows, right=right))
    return captured.get()


def _table_of(predictions: list[dict[str, Any]]) -> tuple[tuple[str, ...], list[tuple[str, ...]], tuple[str, ...]]:
    """Names of the columns, the rows, and which columns are set to the right."""
    task = _task_of(predictions[0])
    rows: list[tuple[str, ...]]
    if task == "classify":
        rows = [(row["file"], row["label"], f"{row['probability']:.3f}", _runner_up(row)) for row in predictions]
        return ("label", "probability", "next"), rows, ("probability",)
    if task == "multilabel":
        rows = [(row["file"], ", ".join(row["labels"]) or "none", _likeliest(row)) for row in predictions]
        return ("labels", "likeliest"), rows, ()
    if task == DETECT:
        return _table_of_boxes(predictions)
    if task == HEADS:
        names = tuple(predictions[0]["targets"])
        rows = [(row["file"], *(_told(row["targets"][name]) for name in names)) for row in predictions]
        return names, rows, ()
    names = tuple(predictions[0]["values"])
    rows = [(row["file"], *(_with_interval(row, name) for name in names)) for row in predictions]
    return names, rows, names


def _table_of_boxes(predictions: list[dict[str, Any]]) -> tuple[tuple[str, ...], list[tuple[str, ...]], tuple[str, ...]]:
    """A row for each box, in pixels; one for an image without any."""
    rows: list[tuple[str, ...]] = []
    for row in predictions:
        found = [(row["file"], one["label"], f"{one['score']:.3f}", _pixels(one["pixels"])) for one in row["detections"]]
        rows += found or [(row["file"], "none", "", "")]
    return ("label", "score", "left, top, right, bottom"), rows, ("score",)


def _pixels(edges: list[float]) -> str:
    return ", ".join(f"{edge:.0f}" for edge in edges)


def _told(answer: dict[str, Any]) -> str:
    """The answer for one of several targets, in a few words."""
    if "value" in answer:
        ends = f" ({answer['lower']:.4g} to {answer['upper']:.4g})" if "lower" in answer and "upper" in answer else ""
        return f"{answer['value']:.4g}{ends}"
    if "label" in answer:
        return f"{answer['label']} {answer['probability']:.3f}"
    return ", ".join(answer["labels"]) or "none"


def _likeliest(row: dict[str, Any]) -> str:
    ranked = sorted(row["probabilities"].items(), key=lambda pair: -pair[1])[:3]
    return ", ".join(f"{name} {value:.3f}" for name, value in ranked)


def _with_interval(row: dict[str, Any], name: str) -> str:
    value = f"{row['values'][name]:.4g}"
    return f"{value} ({row['lower'][name]:.4g} to {row['upper'][name]:.4g})" if "lower" in row and "upper" in row else value


def _runner_up(row: dict[str, Any]) -> str:
    others = [(value, name) for name, value in row["probabilities"].items() if name != row["label"]]
    if not others:
        return ""
    value, name = max(others)
    return f"{name} {value:.3f}"

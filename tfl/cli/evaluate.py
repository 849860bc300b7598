"""`tfl evaluate`: judge a run's model again, on its own test split or on another labelled source."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from tfl.cli.command import Answer, command
from tfl.cli.options import SOURCE_HELP, run_argument
from tfl.cli.quiet import load_tensorflow
from tfl.errors import DataError

if TYPE_CHECKING:
    import numpy as np

    from tfl.data.bundle import Bundle
    from tfl.data.source import Examples
    from tfl.runs import Run


@command
@run_argument
@click.option("--data", metavar="SOURCE", help=f"Judge on every image of this source, with the same class names. {SOURCE_HELP}")
@click.option("--confidence", is_flag=True, help="Also fit temperature, prediction sets and unfamiliar images anew, into RUN.")
@click.option("--skip-bad", is_flag=True, help="List files that are no images and leave them out, instead of stopping.")
def evaluate(run_folder: Path, data: str | None, confidence: bool, skip_bad: bool) -> Answer:
    """Judge the model of RUN again: accuracy, macro-F1 and more, with intervals.

    Without --data on the run's own test split, drawn again from its source by its seed. With --data on every image of
    another source; its classes must be those of the run, none missing and none added.

    A run keeps what its calibrated probabilities, prediction sets and unfamiliar images come from. --confidence fits that again
    and writes it into RUN, for a run that was made without: its exports then have these outputs, and its report the figures.
    """
    from tfl.runs import Run

    if confidence and data is not None:
        raise click.UsageError("--confidence is fitted on the run's own images: leave out --data.")
    run = Run.open(run_folder)
    load_tensorflow()
    from tfl.evaluate.metrics import judge

    document: dict[str, Any] = {"run": str(run.folder)}
    if data is None:
        bundle = _own_bundle(run, skip_bad)
        if confidence:
            document["confidence"] = _fit_confidence(run, bundle)
        examples, where = bundle.examples.take(bundle.split.test), f"{run.recipe.data.source} (test split)"
        labels = examples.labels
    else:
        examples, labels, where = _other_source(run, data, skip_bad)
    metrics = judge(_probabilities(run, examples), labels, run.class_names, seed=run.recipe.seed)
    document |= {"source": where, "metrics": metrics}
    return Answer(document, lambda: _show(document))


def _own_bundle(run: Run, skip_bad: bool) -> Bundle:
    """The images of the run, as long as they still are what they were: another split would judge on training images."""
    from rich.console import Console

    from tfl.job import data_fingerprint, prepare_data

    recipe = run.recipe.override("data.on_bad", "skip") if skip_bad else run.recipe
    bundle, _ = prepare_data(recipe, Console(stderr=True))
    check_same_classes(bundle.examples.class_names, run.class_names, source=recipe.data.source)
    if data_fingerprint(bundle) != run.manifest["data"].get("fingerprint"):
        raise DataError(
            f"The images of {recipe.data.source} are no longer those of the run, so its test split cannot be drawn again.",
            fix="Put them back, or judge on other labelled images with --data SOURCE.",
        )
    return bundle


def _fit_confidence(run: Run, bundle: Bundle) -> dict[str, Any]:
    """Fits the run's confidence and writes it, with the report; the recipe's settings, or the usual ones where it has none."""
    from rich.console import Console

    from tfl.evaluate.confidence import figures_of
    from tfl.evaluate.report import write_report
    from tfl.evaluate.seen import Sight
    from tfl.evaluate.trusting import keep_confidence
    from tfl.recipe import Calibration
    from tfl.serve.predictor import load_run_model

    sight = Sight(load_run_model(run))
    with run.lock():
        seen = {part: sight.see(bundle, bundle.indices(part)) for part in ("val", "test")}
        found = keep_confidence(
            run,
            run.recipe.confidence or Calibration(),
            bundle,
            seen,
            lambda indices: (sight.see(bundle, indices).features, "in one pass over their pixels"),
            console=Console(stderr=True),
        )
        write_report(run.folder)
    return figures_of(found)


def _other_source(run: Run, source: str, skip_bad: bool) -> tuple[Examples, np.ndarray, str]:
    """Every image of `source`, and its labels in the run's order of classes."""
    import numpy as np

    from tfl.data.audit import audit
    from tfl.data.bits import UNUSED
    from tfl.data.source import load_source

    expected, chosen = run.class_names, run.recipe.data.labels
    data = dataclasses.replace(run.recipe.data, source=source, per_class=None, labels=None, exclude=None)
    examples = load_source(data)
    if chosen is not None and set(expected) < set(examples.class_names):  # as the run chose among more classes, so here
        examples = load_source(dataclasses.replace(data, labels=chosen))
    check_same_classes(examples.class_names, expected, source=source)
    audited = audit(examples, on_bad="skip" if skip_bad else data.on_bad, bits=data.bits)
    kept = audited.examples
    for finding in audited.findings:
        if finding["kind"] == UNUSED:
            click.echo(f"warning: {finding['note']}", err=True)
    if len(kept) < len(examples):
        click.echo(f"{len(examples) - len(kept)} files cannot be read as images and are left out.", err=True)
    order = np.array([expected.index(name) for name in kept.class_names], "int32")
    return kept, order[kept.labels], f"{source} (all images)"


def check_same_classes(found: tuple[str, ...], expected: tuple[str, ...], *, source: str) -> None:
    """A class that is missing or added would shift every label after it, so it is an error.

    Raises:
        DataError: Naming the classes that are missing and those that are added.
    """
    missing, added = [name for name in expected if name not in found], [name for name in found if name not in expected]
    if missing or added:
        parts = [f"missing: {', '.join(missing)}"] if missing else []
        parts += [f"added: {', '.join(added)}"] if added else []
        raise DataError(
            f"The classes of {source} are not those of the run.",
            received="; ".join(parts),
            allowed=expected,
            fix="Rename, add or remove class folders so that the names are the same.",
        )


def _probabilities(run: Run, examples: Examples) -> np.ndarray:
    import numpy as np

    from tfl.data.pipeline import make_dataset
    from tfl.serve.predictor import load_run_model

    model = load_run_model(run)
    dataset = make_dataset(examples, np.arange(len(examples)), data=run.recipe.data, batch_size=32)
    scores: np.ndarray = model.predict(dataset, verbose=0)
    return scores.astype("float32")


def _show(document: dict[str, Any]) -> None:
    from tfl.cli.tables import output, table

    metrics = document["metrics"]
    click.echo(f"{document['run']} on {document['source']}: {metrics['count']} images")
    rows = []
    for name in ("accuracy", "macro_f1", "loss", "calibration_error"):
        low, high = metrics.get(f"{name}_interval") or (None, None)
        rows.append((name.replace("_", " "), f"{metrics[name]:.4f}", "" if low is None else f"{low:.4f} to {high:.4f}"))
    output().print(table(("figure", "value", "95% interval"), rows, right=("value",)))
    classes = [
        (name, *(f"{row[key]:.3f}" for key in ("precision", "recall", "f1")), row["count"])
        for name, row in metrics["per_class"].items()
    ]
    numbers = ("precision", "recall", "F1", "images")
    output().print(table(("class", *numbers), classes, right=numbers))

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

    from tfl.data.source import Examples
    from tfl.runs import Run


@command
@run_argument
@click.option("--data", metavar="SOURCE", help=f"Judge on every image of this source, with the same class names. {SOURCE_HELP}")
@click.option("--skip-bad", is_flag=True, help="List files that are no images and leave them out, instead of stopping.")
def evaluate(run_folder: Path, data: str | None, skip_bad: bool) -> Answer:
    """Judge the model of RUN again: accuracy, macro-F1 and more, with intervals.

    Without --data on the run's own test split, drawn again from its source by its seed. With --data on every image of
    another source; its classes must be those of the run, none missing and none added.
    """
    from tfl.runs import Run

    run = Run.open(run_folder)
    load_tensorflow()
    examples, labels, where = _own_test_split(run, skip_bad) if data is None else _other_source(run, data, skip_bad)
    probabilities = _probabilities(run, examples)
    from tfl.evaluate.metrics import judge

    metrics = judge(probabilities, labels, run.class_names, seed=run.recipe.seed)
    document = {"run": str(run.folder), "source": where, "metrics": metrics}
    return Answer(document, lambda: _show(document))


def _own_test_split(run: Run, skip_bad: bool) -> tuple[Examples, np.ndarray, str]:
    """The test images of the run, as long as they still are what they were: another split would judge on training images."""
    from rich.console import Console

    from tfl.run import data_fingerprint, prepare_data

    recipe = run.recipe.override("data.on_bad", "skip") if skip_bad else run.recipe
    bundle, _ = prepare_data(recipe, Console(stderr=True))
    check_same_classes(bundle.examples.class_names, run.class_names, source=recipe.data.source)
    if data_fingerprint(bundle) != run.manifest["data"].get("fingerprint"):
        raise DataError(
            f"The images of {recipe.data.source} are no longer those of the run, so its test split cannot be drawn again.",
            fix="Put them back, or judge on other labelled images with --data SOURCE.",
        )
    examples = bundle.examples.take(bundle.split.test)
    return examples, examples.labels, f"{recipe.data.source} (test split)"


def _other_source(run: Run, source: str, skip_bad: bool) -> tuple[Examples, np.ndarray, str]:
    """Every image of `source`, and its labels in the run's order of classes."""
    import numpy as np

    from tfl.data.audit import audit
    from tfl.data.source import load_source

    expected, chosen = run.class_names, run.recipe.data.labels
    data = dataclasses.replace(run.recipe.data, source=source, per_class=None, labels=None, exclude=None)
    examples = load_source(data)
    if chosen is not None and set(expected) < set(examples.class_names):  # as the run chose among more classes, so here
        examples = load_source(dataclasses.replace(data, labels=chosen))
    check_same_classes(examples.class_names, expected, source=source)
    kept = audit(examples, on_bad="skip" if skip_bad else data.on_bad).examples
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

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
    examples, labels, where = _to_judge(run, data, skip_bad)
    probabilities = _probabilities(run, examples)
    from tfl.evaluate.metrics import judge

    metrics = judge(probabilities, labels, run.class_names, seed=run.recipe.seed)
    document = {"run": str(run.folder), "source": where, "metrics": metrics}
    return Answer(document, lambda: _show(document))


def _to_judge(run: Run, source: str | None, skip_bad: bool) -> tuple[Examples, np.ndarray, str]:
    """The examples to judge on, their labels in the run's order of classes, and what they are called."""
    import numpy as np

    from tfl.data.audit import audit
    from tfl.data.source import load_source

    recipe, class_names = run.recipe, run.class_names
    data = recipe.data if source is None else dataclasses.replace(recipe.data, source=source, per_class=None, labels=None)
    examples = load_source(data, seed=recipe.split_seed)
    if source is not None and recipe.data.labels and set(examples.class_names) > set(class_names):
        examples = load_source(dataclasses.replace(data, labels=recipe.data.labels), seed=recipe.split_seed)
    check_same_classes(examples.class_names, class_names, source=data.source)
    audited = audit(examples, on_bad="skip" if skip_bad else data.on_bad)
    _say_left_out(len(examples) - len(audited.examples))
    kept, where = audited.examples, f"{data.source} (all)"
    if source is None:
        from tfl.data.split import split

        parts = split(kept, validation=data.validation, test=data.test, seed=recipe.split_seed, fingerprints=audited.fingerprints)
        kept, where = kept.take(parts.test), f"{data.source} (test split)"
    position = {name: index for index, name in enumerate(class_names)}
    order = np.array([position[name] for name in examples.class_names], "int32")
    return kept, order[kept.labels], where


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


def _say_left_out(count: int) -> None:
    if count:
        click.echo(f"{count} files cannot be read as images and are left out.", err=True)


def _probabilities(run: Run, examples: Examples) -> np.ndarray:
    import numpy as np

    from tfl.data.pipeline import make_dataset
    from tfl.serve.predictor import load_run_model

    model = load_run_model(run)
    dataset = make_dataset(examples, np.arange(len(examples)), data=run.recipe.data, batch_size=32)
    scores: np.ndarray = model.predict(dataset.map(lambda images, labels: images), verbose=0)
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

"""`tfl evaluate`: evaluate a run's model again, on its own test split or on another labelled source."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from tfl.cli.command import Answer, command
from tfl.cli.options import SOURCE_HELP, classes_options, skip_bad_option
from tfl.errors import TflError
from tfl.evaluate.metric_names import metric_words
from tfl.quiet import load_tensorflow
from tfl.recipe import DETECT

if TYPE_CHECKING:
    import numpy as np

    from tfl.data.bundle import Bundle
    from tfl.evaluate.overlap import Overlap
    from tfl.runs import Run
    from tfl.tasks.base import Task


@command
@click.argument("model", metavar="RUN|PRESET", type=click.Path(path_type=Path))
@click.option(
    "--data", metavar="SOURCE", help=f"Evaluate on every example of this source, with the same class names. {SOURCE_HELP}"
)
@classes_options
@click.option(
    "--confidence", is_flag=True, help="Also fit temperature, prediction sets and out-of-distribution scores again, into RUN."
)
@skip_bad_option
@click.option("--quick", is_flag=True, help="Do not look for near copies of the run's examples in SOURCE.")
def evaluate(
    model: Path,
    data: str | None,
    classes: Path | None,
    prompts: tuple[str, ...],
    confidence: bool,
    skip_bad: bool,
    quick: bool,
) -> Answer:
    """Evaluate the model of RUN again: accuracy, macro-F1 and more, with intervals.

    Without --data on the run's own test split, drawn again from its source by its seed. With --data on every example of
    another source; its classes must be those of the run, none missing and none added.

    Images that the model was trained or validated on, and near copies of them, are counted. The figures are then given without
    them as well, since figures on examples that a model has seen say nothing about new ones. An evaluation on another source is
    kept in RUN/evaluations and shown in RUN/report.html.

    With --classes and --data the classes of a file can be the answer, as of `tfl predict --classes`, whether RUN was trained on
    them or not; SOURCE has some of them or all. The accuracy is given for unseen and for seen classes, with the harmonic mean
    of both. A PRESET is a pair of encoders such as CLIP.

    A run keeps what its calibrated probabilities, prediction sets and out-of-distribution scores come from. --confidence fits
    that again and writes it into RUN, for a run that was made without: its exports then have these outputs, and its report the
    figures.
    """
    from tfl.runs import Run

    if confidence and data is not None:
        raise click.UsageError("--confidence is fitted on the run's own examples: leave out --data.")
    if classes is not None:
        return _of_classes(model, data, classes, prompts, skip_bad=skip_bad, quick=quick)
    if prompts:
        raise click.UsageError("--prompt goes with --classes.")
    run = Run.open(model)
    run.model_file  # noqa: B018  (raises where the run has none)
    from rich.console import Console

    from tfl.evaluate.overlap import overlap_with, overlap_within

    document: dict[str, Any] = {"run": str(run.folder), "task": run.recipe.task, "kind": run.recipe.data.kind}
    if data is None:
        bundle = _own_bundle(run, skip_bad)
        if confidence:
            document["confidence"] = _fit_confidence(run, bundle)
        overlap, test = overlap_within(bundle), bundle.split.test
        cached = None if bundle.cached is None else bundle.cached.take(test)
        prints = [bundle.fingerprints[index] for index in test]
        bundle = dataclasses.replace(bundle, examples=bundle.examples.take(test), fingerprints=prints, cached=cached)
        document["source"] = f"{run.recipe.data.source} (test split)"
    else:
        bundle = _other_source(run, data, skip_bad)
        overlap = overlap_with(run, bundle, near=not quick, console=Console(stderr=True))
        document["source"] = f"{data} (all {bundle.modality.nouns})"
    document |= _figures(run, bundle, overlap)
    if data is not None:
        _keep(run, data, document)
    return Answer(document, lambda: _show(document))


def _of_classes(model: Path, data: str | None, classes: Path, prompts: tuple[str, ...], *, skip_bad: bool, quick: bool) -> Answer:
    """As `evaluate`, where the classes of a file can be the answer."""
    from tfl.cli.named_classes import evaluate_named, show_zero_shot

    if data is None:
        raise click.UsageError("--classes needs labelled examples of these classes: name them with --data SOURCE.")
    document, namer = evaluate_named(model, data, classes, prompts, skip_bad=skip_bad, near=not quick)
    if namer.run is not None:
        _keep(namer.run, f"{data}, classes of {classes}", document)

    def show() -> None:
        _show(document)
        show_zero_shot(document["metrics_unseen"] or document["metrics"])

    return Answer(document, show)


def _figures(run: Run, bundle: Bundle, overlap: Overlap) -> dict[str, Any]:
    """`metrics` on all examples, `metrics_unseen` on those that the run has not used, and the `overlap`."""
    examples, unseen, task = bundle.examples, overlap.unseen, bundle.task
    order = [examples.class_names.index(name) for name in run.class_names]
    targets, outputs = task.targets(examples), _outputs(run, bundle)
    targets = targets if examples.boxes else targets[:, order]

    def evaluated(chosen: Any) -> dict[str, Any]:
        return task.evaluate(outputs[chosen], targets[chosen], run.class_names, seed=run.recipe.seed)

    metrics, without = evaluated(slice(None)), None
    if unseen is not None and unseen.any():
        without = metrics if unseen.all() else evaluated(unseen)
    names = [examples.name_of(index) for index in range(len(examples))]
    return {"metrics": metrics, "metrics_unseen": without, "overlap": overlap.to_json(names)}


def _keep(run: Run, source: str, document: dict[str, Any]) -> None:
    """Adds the evaluation to the run folder and its report; where that cannot be written, the figures are still shown."""
    from tfl.evaluate.report.evaluations import keep_evaluation
    from tfl.evaluate.report.page import write_report

    try:
        with run.lock():
            keep_evaluation(run, source, document)
            write_report(run.folder)
    except TflError as error:
        click.echo(f"This evaluation is not in the report of {run.folder}: {error}", err=True)


def _own_bundle(run: Run, skip_bad: bool) -> Bundle:
    """The examples of the run, as long as they still are what they were: another split would evaluate on training examples."""
    from rich.console import Console

    from tfl.prepare import prepare_again

    return prepare_again(run, Console(stderr=True), skip_bad=skip_bad)


def _fit_confidence(run: Run, bundle: Bundle) -> dict[str, Any]:
    """Fits the run's confidence and writes it, with the report; the recipe's settings, or the usual ones where it has none."""
    from rich.console import Console

    from tfl.evaluate.confidence import figures_of
    from tfl.evaluate.predictor import SplitPredictor, outputs_by_split
    from tfl.evaluate.projection import write_projection
    from tfl.evaluate.report.page import write_report
    from tfl.evaluate.run_confidence import keep_confidence
    from tfl.evaluate.run_files import optional_json
    from tfl.recipe import Calibration
    from tfl.serve.predictor import load_run_model

    predictor = SplitPredictor(load_run_model(run))
    with run.lock():
        outputs = outputs_by_split(run, predictor, bundle)
        found = keep_confidence(
            run,
            run.recipe.confidence or Calibration(),
            bundle,
            outputs,
            lambda indices: (predictor.predict(bundle, indices).features, f"in one pass over the {bundle.modality.nouns}"),
            console=Console(stderr=True),
        )
        figures = figures_of(found)
        run.write_json("metrics.json", {**optional_json(run, "metrics.json"), "confidence": figures})
        splits = ("test", "val")
        features, places = {name: outputs[name].features for name in splits}, {name: bundle.indices(name) for name in splits}
        write_projection(run.folder, features, places, seed=run.recipe.seed)
        write_report(run.folder)
    return figures


def _other_source(run: Run, source: str, skip_bad: bool) -> Bundle:
    """Every example of `source` that can be read."""

    from tfl.data.audit import audit
    from tfl.data.bundle import Bundle
    from tfl.data.source import load_source
    from tfl.data.split import Split
    from tfl.modalities.image.bits import UNUSED

    expected, chosen = run.class_names, run.recipe.data.labels
    data = dataclasses.replace(run.recipe.data, source=source, per_class=None, labels=None, exclude=None, test_fold=None)
    task = run.recipe.task
    examples = load_source(data, task=task)
    if chosen is not None and set(expected) < set(examples.class_names):  # as the run chose among more classes, so here
        examples = load_source(dataclasses.replace(data, labels=chosen), task=task)
    from tfl.data.subset import boxes_of
    from tfl.prepare import check_same_classes

    if examples.boxes and set(examples.class_names) <= set(expected):  # a class may have no box there
        examples = boxes_of(examples, expected)
    check_same_classes(examples.class_names, expected, source=source)
    load_tensorflow()
    from tfl.modalities.base import modality_of
    from tfl.tasks.base import task_for

    modality = modality_of(run.recipe)
    found = audit(examples, modality=modality, on_bad="skip" if skip_bad else data.on_bad, keep=True)
    for finding in found.findings:
        if finding["kind"] == UNUSED:
            click.echo(f"warning: {finding['note']}", err=True)
    if len(found.examples) < len(examples):
        click.echo(f"{len(examples) - len(found.examples)} files cannot be read as {modality.nouns} and are left out.", err=True)
    return Bundle.of(
        found,
        split=Split.only("train", len(found.examples)),
        data=data,
        seed=run.recipe.seed,
        modality=modality,
        task=task_for(run.recipe, examples.class_names),
    )


def _outputs(run: Run, bundle: Bundle) -> np.ndarray:
    import numpy as np

    from tfl.serve.predictor import load_run_model

    model = load_run_model(run)
    everything = np.arange(len(bundle.examples))
    dataset = bundle.dataset(everything, batch_size=32)
    scores: np.ndarray = model.predict(dataset, verbose=0)
    return scores.astype("float32")


def _show(document: dict[str, Any]) -> None:
    from tfl.evaluate.report.evaluations import overlap_in_words
    from tfl.modalities.base import NOUNS
    from tfl.tasks.base import task_of

    task, kind = task_of(document["task"]), document["kind"]
    noun, nouns = NOUNS[kind]
    metrics, unseen, overlap = (document[name] for name in ("metrics", "metrics_unseen", "overlap"))
    click.echo(f"{document['run']} on {document['source']}: {metrics['count']} {nouns}")
    for words in (overlap_in_words(overlap, metrics["count"], kind=kind), *overlap["notes"]):
        if words:
            click.echo(words)
    columns = {f"on all {nouns}": metrics}
    if overlap["unseen"] == 0:
        click.echo(
            f"No other {noun} is left: these figures are of {nouns} that the model has seen, and say nothing about new ones."
        )
    elif unseen is not None and unseen["count"] < metrics["count"]:
        click.echo(f"The first column is without them, on {unseen['count']} {nouns}: it is what to expect on new {nouns}.")
        columns = {f"without them ({unseen['count']})": unseen, f"on all ({metrics['count']})": metrics}
    if "targets" in metrics:
        for target, row in metrics["targets"].items():
            click.echo(f"\n{target}, on {row['count']} {nouns} that have it")
            _show_task(task_of(row["task"]), {title: figures["targets"][target] for title, figures in columns.items()}, nouns)
        return
    _show_task(task, columns, nouns)


def _show_task(task: Task, columns: dict[str, dict[str, Any]], nouns: str) -> None:
    """The figures of one task, and those of each of its classes, labels or numbers."""
    from tfl.cli.tables import output, table

    rows = [
        (
            metric_words(name),
            *(cell for figures in columns.values() for cell in _with_interval(figures, name)),
        )
        for name in task.figures
    ]
    heads = [head for title in columns for head in ("value" if len(columns) == 1 else title, "95% interval")]
    output().print(table(("figure", *heads), rows, right=heads[::2]))
    first = next(iter(columns.values()))
    each = [(name, *(_short(row[key]) for key in task.columns)) for name, row in first[task.each].items()]
    numbers = tuple(("boxes" if task.name == DETECT else nouns) if key == "count" else metric_words(key) for key in task.columns)
    output().print(table((task.each.removeprefix("per_"), *numbers), each, right=numbers))


def _with_interval(figures: dict[str, Any], name: str) -> tuple[str, str]:
    low, high = figures.get(f"{name}_interval") or (None, None)
    value = figures.get(name)
    return "" if value is None else f"{value:.4f}", "" if low is None else f"{low:.4f} to {high:.4f}"


def _short(value: float | None) -> str:
    """A count as it is, another number with three digits after the point."""
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.3f}"

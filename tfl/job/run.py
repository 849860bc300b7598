"""The order of a run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tfl.clock import Clock
from tfl.job.before import audit_before_run, check_recipe, tell_if_not_stored
from tfl.modalities.base import settled
from tfl.prepare import data_fingerprint, prepare
from tfl.quiet import load_tensorflow
from tfl.recipe import Auto, Recipe
from tfl.resume import (
    earlier_run,
    refuse_other_examples,
    refuse_other_inputs,
    status_of,
    vanished_files_reported,
    with_choices_of,
)
from tfl.runs import Run, default_folder
from tfl.storage import check_can_write, check_is_text, remove_scratch

if TYPE_CHECKING:
    from rich.console import Console


def run_recipe(
    recipe: Recipe,
    *,
    out: Path | str | None = None,
    resume: bool = False,
    repeats: Run | None = None,
    report: bool = True,
    command: Sequence[str] = (),
    console: Console | None = None,
) -> Run:
    """Trains, evaluates, explains and exports what a recipe says.

    Args:
        recipe: What to do.
        out: The run folder; None makes `runs/<name>/<time>`.
        resume: Bool, whether to resume the run in `out`, which must be of the same recipe; a run is started if there is none.
            Defaults to False.
        repeats: A run of the same recipe: what `auto` came to there, by measuring, is taken over.
        report: Bool, whether to write the report, with the examples and the map that it shows, and `model.keras`. Without them
            the run has its metrics and its predictions. Defaults to True.
        command: How this was started, for the manifest.
        console: Where progress is shown; None prints to standard error.

    Returns:
        The finished run.

    Raises:
        TflError: The recipe, the data, the weights or the folder cannot be used; nothing was trained.
        TrainingError, FrozenMovedError, ExportError: The run failed; its manifest says so, and `resume` continues from there.
        KeyboardInterrupt: Ctrl-C, or SIGTERM while a stage trained; everything is saved, and `resume` continues from there.

    Example:

    >>> import tempfile, tfl
    >>> from tfl.job import run_recipe
    >>> recipe = tfl.Recipe(
    ...     name="digits",
    ...     data=tfl.Sample("digits", image_size=(32, 32), per_class=10),
    ...     backbone=tfl.Backbone("mini"),
    ...     stages=(tfl.Stage("head", epochs=2),),
    ...     export=(),
    ... )
    >>> run = run_recipe(recipe, out=tempfile.mkdtemp())
    >>> run.read_json("metrics.json")["test"]["count"]
    20
    """
    from rich.console import Console

    from tfl.data.source import load_source

    console = console or Console(stderr=True)
    asked, recipe = recipe, settled(recipe)
    folder = Path(out) if out is not None else default_folder(recipe.name)
    check_is_text(folder)
    check_can_write(folder, folder=True)
    earlier = earlier_run(folder, recipe, console) if resume else None
    if earlier is None:
        Run.refuse_if_taken(folder)
    else:
        asked, recipe = with_choices_of(earlier, asked), with_choices_of(earlier, recipe)
    known = earlier or repeats
    check_recipe(recipe)
    tell_if_not_stored(recipe, console, known)
    clock = Clock(earlier.read_json("seconds.json") if earlier and earlier.path("seconds.json").is_file() else None)
    with clock.step("data"):
        examples = load_source(recipe.data, seed=recipe.split_seed, task=recipe.task)
    load_tensorflow()
    from tfl.evaluate.report.page import describe_data, write_report
    from tfl.features.pooled import refuse_too_wide
    from tfl.job.further import load_further
    from tfl.job.job import Job, prepare_network
    from tfl.job.keep import describe_weights, keep_inputs, keep_results
    from tfl.job.learn import learn
    from tfl.job.measure import measure
    from tfl.train.stage_plan import plan_stages

    with clock.step("data"):
        prepared = prepare(asked, console, examples=examples)
        recipe, bundle = prepared.recipe, prepared.bundle
        findings = [*prepared.findings, *audit_before_run(asked, prepared, console)]
    with clock.step("model"):
        chosen = known.manifest.get("precision") if known else None
        precision, assembled = prepare_network(recipe, bundle, console, chosen=chosen)
        plans = plan_stages(assembled, recipe)  # what does not fit is told before the folder is made
        if isinstance(recipe.stages, Auto):
            refuse_too_wide(assembled, recipe.head.pooling)
    further = load_further(recipe, bundle, assembled, precision=precision, clock=clock, console=console)
    data = describe_data(
        bundle.examples,
        bundle.split,
        findings=findings,
        notes=bundle.split.notes,
        fingerprint=data_fingerprint(bundle),
        task=bundle.task,
    )
    weights = describe_weights(recipe, assembled, bundle)
    run = earlier or Run.create(folder, recipe, command=list(command))
    if earlier:
        refuse_other_inputs(earlier, bundle, fingerprint=data["fingerprint"], weights=weights)
        for field, fingerprint in further.fingerprints().items():
            refuse_other_examples(earlier, field, fingerprint)
    clock.keep = lambda seconds: run.write_json("seconds.json", seconds)
    job = Job(
        run=run,
        recipe=recipe,
        bundle=bundle,
        precision=precision,
        assembled=assembled,
        plans=plans,
        further=further,
        clock=clock,
        console=console,
        repeats=repeats,
    )
    with run.lock(), status_of(run), vanished_files_reported(bundle):
        remove_scratch(run.folder)
        keep_inputs(job, data=data, weights=weights)
        adapted = learn(job)
        measured = measure(job)
        keep_results(job, measured, whole=report)
        run.write_json("metrics.json", {**measured.metrics, **adapted, "seconds": clock.document()})
        run.update_manifest(status="done")
        if report:
            write_report(run.folder)  # which says how the run ended
    return run

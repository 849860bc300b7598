"""The main job, composed: the only module that knows the whole order.

    load · audit · split ─▶ assemble ─▶ pretrain ─▶ (plan ─▶ train) a stage ─▶ adapt ─▶ evaluate ─▶ confidence ─▶ export ─▶ report

Everything that can be wrong with the input is found before the run folder is made, and what takes no network to find is found
before TensorFlow is imported.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.clock import Clock
from tfl.errors import MissingExtraError, StorageError
from tfl.fields import as_plain
from tfl.modalities.base import NOUNS, check_available, settled
from tfl.prepare import Prepared, data_fingerprint, prepare
from tfl.quiet import load_tensorflow
from tfl.recipe import DETECT, GENERATE, PRETRAIN, Auto, Recipe
from tfl.resume import (
    earlier_run,
    refuse_other_examples,
    refuse_other_inputs,
    status_of,
    vanished_files_reported,
    with_choices_of,
)
from tfl.runs import AUTO, CHOSEN, EXTRA, MATCHING, Run, default_folder
from tfl.storage import check_can_write, check_is_text, finite, remove_scratch, write_atomically

if TYPE_CHECKING:
    import keras
    from numpy.typing import NDArray
    from rich.console import Console

    from tfl.adapt.target import TargetData
    from tfl.data.bundle import Bundle
    from tfl.data.examples import Examples
    from tfl.data.extra_data import ExtraData
    from tfl.data.unlabelled import UnlabelledData
    from tfl.evaluate.confidence import Confidence
    from tfl.evaluate.forgetting import SourceTask
    from tfl.evaluate.predictor import Outputs, SplitPredictor
    from tfl.model.assemble import Assembled
    from tfl.train.stage_plan import StagePlan
    from tfl.zero_shot.classes import Attributes


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
    check_recipe(recipe)
    _tell_if_not_stored(recipe, console, earlier or repeats)
    clock = Clock(earlier.read_json("seconds.json") if earlier and earlier.path("seconds.json").is_file() else None)
    with clock.step("data"):
        examples = load_source(recipe.data, seed=recipe.split_seed, task=recipe.task)
    load_tensorflow()
    from tfl.adapt.adapt import check_adapts
    from tfl.data.listing import write_listing
    from tfl.evaluate.confidence import figures_of
    from tfl.evaluate.forgetting import prepare_source_task
    from tfl.evaluate.predictor import SplitPredictor
    from tfl.evaluate.report.page import describe_data, write_report
    from tfl.features.pooled import refuse_too_wide
    from tfl.model.assemble import assemble_for
    from tfl.train.pretrain.pretrain import refuse_without_map
    from tfl.train.stage_plan import plan_stages
    from tfl.zero_shot.run import check_described

    with clock.step("data"):
        prepared = prepare(asked, console, examples=examples)
        recipe, bundle = prepared.recipe, prepared.bundle
        findings = [*prepared.findings, *audit_before_run(asked, prepared, console)]
    with clock.step("model"):
        known = earlier or repeats
        chosen = known.manifest.get("precision") if known else None
        precision, assembled = _prepare_model(recipe, bundle, console, chosen=chosen)
        plans = plan_stages(assembled, recipe)  # what does not fit is told before the folder is made
        if isinstance(recipe.stages, Auto):
            refuse_too_wide(assembled, recipe.head.pooling)
    if recipe.pretrain is not None:
        refuse_without_map(assembled, recipe)
    extra = None
    if recipe.extra_data is not None:
        with clock.step("extra"):
            extra = _load_extra(recipe, bundle, console)
    unlabelled = None
    if recipe.unlabelled is not None:
        with clock.step("unlabelled"):
            unlabelled = _load_unlabelled(recipe, bundle, console)
    others = None
    if any(stage.on == "others" for stage in recipe.fixed_stages):
        with clock.step("data"):
            others = _load_others(recipe, console)
    target = None
    if recipe.target_data is not None:
        check_adapts(recipe.adapt, assembled)
        with clock.step("target"):
            target = _load_target(recipe, bundle, console)
    unseen = None
    if recipe.unseen_data is not None:
        with clock.step("unseen"):
            unseen = _load_unseen(recipe, bundle, console)
    attributes = check_described(recipe, bundle, unseen)
    source_task = None
    if recipe.source_data is not None:
        with clock.step("source"):
            source_task = prepare_source_task(recipe, assembled, precision=precision, console=console)
    further = {} if source_task is None else {"source_data": source_task.fingerprint}
    further |= {} if others is None else {"others": data_fingerprint(others)}
    for field, loaded in {"extra_data": extra, "unlabelled": unlabelled, "target_data": target}.items():
        further |= {} if loaded is None else {field: data_fingerprint(loaded.bundle)}
    further |= {} if unseen is None else {"unseen_data": data_fingerprint(unseen)}
    about_data = describe_data(
        bundle.examples,
        bundle.split,
        findings=findings,
        notes=bundle.split.notes,
        fingerprint=data_fingerprint(bundle),
        task=bundle.task,
    )
    run = earlier or Run.create(folder, recipe, command=list(command))
    weights = _describe_weights(recipe, assembled, bundle)
    if earlier:
        refuse_other_inputs(earlier, bundle, fingerprint=about_data["fingerprint"], weights=weights)
        for field, fingerprint in further.items():
            refuse_other_examples(earlier, field, fingerprint)
    clock.keep = lambda seconds: run.write_json("seconds.json", seconds)
    with run.lock(), status_of(run), vanished_files_reported(bundle):
        remove_scratch(run.folder)
        about_data["hashes"] = write_listing(run.folder, bundle)
        run.update_manifest(data=about_data, precision=precision, weights=weights)
        if assembled.matching is not None:
            run.write_json(MATCHING, assembled.matching.as_json())
        run.update_manifest(**{field: {"fingerprint": fingerprint} for field, fingerprint in further.items()})
        if repeats is not None:
            run.repeat_choices_of(repeats)
        if recipe.pretrain is not None:
            with clock.step(PRETRAIN):
                recipe = _pretrain(run, recipe, bundle, unlabelled, console)
                assembled = assemble_for(recipe, bundle, precision=precision)
                plans = plan_stages(assembled, recipe)
        training = bundle
        if extra is not None:
            with clock.step("extra"):
                training = _with_extra(run, recipe, assembled, bundle, extra, console)
                if recipe.head.probe == "knn":  # it holds the training examples
                    assembled = assemble_for(recipe, training, precision=precision)
                    plans = plan_stages(assembled, recipe)
        if isinstance(recipe.stages, Auto):
            with clock.step("choice"):
                kept = target is not None or attributes is not None  # which need held-out examples
                auto = replace(recipe.stages, refit=False) if kept else recipe.stages
                recipe = _choose_stages(run, recipe, auto, training, console, precision=precision, repeats=repeats)
            assembled = assemble_for(recipe, bundle, precision=precision)
            plans = plan_stages(assembled, recipe)
            training = training.with_validation() if run.read_json(AUTO)["refit"] else training
        _train(run, recipe, assembled, plans, training, unlabelled, clock, console, others=others)
        adapted: dict[str, Any] = {}
        if target is not None:
            with clock.step("adapt"):
                adapted = _adapt(run, recipe, assembled, training, target, console, repeats=repeats)
        with clock.step("evaluate"):
            predictor = SplitPredictor(assembled.model)
            outputs, metrics = _evaluate(run, recipe, predictor, bundle)
            metrics |= adapted
            if assembled.branches:
                metrics |= _measure_inputs(recipe, assembled, bundle, console)
            metrics |= _learnt_weights(assembled, bundle, console)
        if recipe.task == GENERATE:
            with clock.step("style"):
                metrics["style"] = _measure_style(run, assembled, bundle, outputs["test"], console)
        if recipe.each_alone:
            with clock.step("alone"):
                metrics["alone"] = _measure_alone(run, bundle, outputs, console, precision=precision)
        if source_task is not None:
            with clock.step("source"):
                metrics["source"] = _measure_forgetting(source_task, assembled, console)
        if attributes is not None:
            with clock.step("zero_shot"):
                metrics |= _learn_attributes(run, recipe, plans, bundle, unseen, attributes, predictor, console)
        with clock.step("confidence"):
            confidence = _fit_confidence(run, recipe, plans, bundle, predictor, outputs, console)
            metrics |= {"confidence": figures_of(confidence)} if confidence else {}
            _write_predictions(run, bundle, outputs, confidence)
        with clock.step("export"):
            _save(run, recipe, assembled.model, bundle, confidence, console, whole=report)
        if report and recipe.task not in (DETECT, GENERATE):
            with clock.step("report"):
                _save_album(run, recipe, assembled, bundle, {name: found.predictions for name, found in outputs.items()})
                _save_projection(run, bundle, outputs)
        if report and recipe.task == DETECT:
            with clock.step("report"):
                from tfl.evaluate.report.drawn import save_drawn

                save_drawn(run.folder, bundle, outputs["test"].predictions, seed=recipe.seed)
        run.write_json("metrics.json", {**metrics, "seconds": clock.document()})
        run.update_manifest(status="done")
        if report:
            write_report(run.folder)  # which says how the run ended
    return run


def check_recipe(recipe: Recipe) -> None:
    """Makes sure that what a recipe names next to its examples is there: the network, its weights file, the list of examples to
    leave out, formats of export, extras.

    Takes no TensorFlow, and milliseconds.

    Raises:
        RecipeError: A stage trains what was not matched, and no weights are.
        DataError: The list of examples to leave out is missing, or is no text.
        MissingExtraError: An extra that the recipe needs is not installed.
        BackboneError: There is no such network, no such model file, or (`WeightsNotFoundError`) no such weights file.
    """
    from tfl.audit.extra import check_extra
    from tfl.data.exclude import read_exclude
    from tfl.export.kinds import check_packages

    if recipe.data.exclude is not None:
        read_exclude(recipe.data.exclude, nouns=NOUNS[recipe.data.kind][1])
    check_packages(recipe.export)
    check_available(recipe)
    for stage in recipe.fixed_stages:
        if stage.train == "unmatched" and recipe.backbone.match == "exact":
            raise stage.nothing_matched()
    if recipe.features.engine == "openvino" and importlib.util.find_spec("openvino") is None:
        raise MissingExtraError.of("openvino", needed_for="features.engine=openvino")
    if recipe.data.audit == "deep":
        check_extra(imported=False)


def _tell_if_not_stored(recipe: Recipe, console: Console, known: Run | None) -> None:
    """Says at once that the cache cannot be written; where the recipe cannot do without it, or the run that is resumed or
    repeated did not, that is an error."""
    from tfl.features.budget import check_store

    stages = known.state["stages"].values() if known else ()
    needed = recipe.data.audit == "deep" or any(stage.get("unstored") is False for stage in stages)
    if recipe.features.store == "never" and not needed:
        return
    try:
        check_store()
    except StorageError as error:
        if recipe.features.store == "always" or needed:
            raise
        console.print(
            f"warning: {error.what} Features are not stored: the frozen blocks run in every epoch. To store them, point "
            "TFL_CACHE to a folder that can be written.",
            highlight=False,
            markup=False,
        )


def prepare_data(
    recipe: Recipe, console: Console, *, examples: Examples | None = None, trained: bool = False
) -> tuple[Bundle, list[dict[str, Any]]]:
    """The recipe's examples: found, split and audited, with what the audit found.

    Args:
        recipe, console, examples, trained: See `tfl.prepare.prepare`.

    Raises:
        DataError: The source cannot be used as it is; where it is missing or has no classes, that is found before TensorFlow is
            imported.
        BackboneError: The preprocessing of the network cannot be decided; the message has what linear probes on some of the
            examples say.
    """
    prepared = prepare(recipe, console, examples=examples, trained=trained)
    return prepared.bundle, [*prepared.findings, *audit_before_run(recipe, prepared, console, trained=trained)]


def audit_before_run(asked: Recipe, prepared: Prepared, console: Console, *, trained: bool = False) -> list[dict[str, Any]]:
    """What the audit says of the examples that a run is about to use, and of their fit to its network.

    Args:
        asked: The recipe as it was written.
        prepared: Its data.
        console: Where to report what was found.
        trained: See `tfl.prepare.prepare`.

    Raises:
        BackboneError: The preprocessing of the network cannot be decided.
    """
    from tfl.audit.audit import findings_before_run
    from tfl.finding import Finding

    recipe, bundle = prepared.recipe, prepared.bundle
    notes: list[tuple[str, str]] = []
    if not trained:
        notes = bundle.modality.recipe_notes(asked)
        bundle.modality.refuse_undecided(recipe, bundle, console, score=_probe_score(bundle.seed))
    noted = [Finding(kind=kind, severity="info", files=(), note=note) for kind, note in notes]
    more = [*noted, *findings_before_run(recipe, bundle, console=console)]
    for one in more:
        console.print(f"         {one.severity}: {one.note}", markup=False)
    return [one.to_json() for one in more]


def _probe_score(seed: int) -> Callable[[NDArray[np.float32], NDArray[np.integer]], float]:
    """What a linear probe on features scores under cross-validation."""

    def score(features: NDArray[np.float32], labels: NDArray[np.integer]) -> float:
        from tfl.data.bundle import derived_seed
        from tfl.probes.folds import FOLDS, make_folds
        from tfl.probes.linear import held_out

        folds = make_folds(labels, np.arange(len(labels)), most=FOLDS, seed=derived_seed(seed, "probe"))
        return float((held_out(features, labels, folds).probabilities.argmax(axis=1) == labels).mean())

    return score


def _prepare_model(recipe: Recipe, bundle: Bundle, console: Console, *, chosen: str | None) -> tuple[str, Assembled]:
    """The whole network under the recipe's precision.

    A resumed run keeps the precision it had `chosen`: measured again, `auto` could come out otherwise.
    """
    from rich.markup import escape

    from tfl.model.assemble import assemble_for
    from tfl.train.precision import choose_precision

    modality = bundle.modality
    precision = chosen or choose_precision(recipe, lambda: assemble_for(recipe, bundle), modality=modality, console=console)
    assembled = assemble_for(recipe, bundle, precision=precision)
    size = f"{assembled.model.count_params():,} parameters in {len(assembled.blocks)} blocks"
    console.print(f"[bold]network[/]  {escape(recipe.backbone.name)} {modality.size_text()}, {size}, {precision}")
    if (note := modality.network_note(recipe.backbone)) is not None:
        console.print(f"         {note}", markup=False)
    if assembled.matching is not None:
        console.print(f"\n[bold]weights[/]  {escape(assembled.matching.sentence())}", highlight=False)
        console.print(assembled.matching.table())
    return precision, assembled


def _load_extra(recipe: Recipe, bundle: Bundle, console: Console) -> ExtraData:
    """The usable examples of `extra_data`, with what was left out told."""
    from tfl.data.extra_data import load_extra_data

    if recipe.extra_data is None:
        raise ValueError("The recipe has no `extra_data`.")
    extra = load_extra_data(recipe.extra_data, bundle, seed=recipe.split_seed)
    nouns = bundle.modality.nouns
    console.print(f"[bold]extra[/]    {len(extra)} of {extra.found} {nouns} from", end=" ", highlight=False)
    console.print(recipe.extra_data.source, markup=False, highlight=False)
    for words in (*(f"{one['severity']}: {one['note']}" for one in extra.findings), *extra.notes()):
        console.print(f"         {words}", markup=False, highlight=False)
    return extra


def _load_target(recipe: Recipe, bundle: Bundle, console: Console) -> TargetData:
    """The unlabelled examples of `target_data`, with what was found told."""
    from tfl.adapt.target import load_target_data

    if recipe.target_data is None:
        raise ValueError("The recipe has no `target_data`.")
    target = load_target_data(recipe.target_data, bundle, seed=recipe.split_seed)
    nouns, held = bundle.modality.nouns, len(target.bundle.indices("test"))
    words = f"{len(target) - held} {nouns} to adapt to" + (f", {held} of its test split to measure on" if held else "")
    console.print(f"[bold]target[/]   {words}, from", end=" ", highlight=False)
    console.print(recipe.target_data.source, markup=False, highlight=False)
    for note in target.notes:
        console.print(f"         {note}", markup=False, highlight=False)
    return target


def _load_others(recipe: Recipe, console: Console) -> Bundle:
    """The passages of the authors that `data.labels` leaves out, split by work."""
    from tfl.data.books import read_books

    examples = read_books(recipe.data, seed=recipe.split_seed, others=True)
    console.print("[bold]others[/]   the books that a stage learns from first")
    return prepare(recipe, console, examples=examples).bundle


def _measure_style(run: Run, assembled: Assembled, bundle: Bundle, outputs: Outputs, console: Console) -> dict[str, Any]:
    """How the network writes before and after; what `metrics.json` has of it, without what was written."""
    from tfl.evaluate.report.style import style_sentences
    from tfl.language.measure import measure_style

    document = measure_style(run, assembled.model, bundle, outputs.predictions[:, 0])
    console.print("\n[bold]style[/]", highlight=False)
    for words in style_sentences(document):
        console.print(f"         {words}", markup=False, highlight=False)
    return {name: document[name] for name in ("authors", "perplexity", "change", "copied", "whose")}


def _adapt(
    run: Run,
    recipe: Recipe,
    assembled: Assembled,
    bundle: Bundle,
    target: TargetData,
    console: Console,
    *,
    repeats: Run | None,
) -> dict[str, Any]:
    """Adapts the network in place; what `metrics.json` has of it, under `target`."""
    from tfl.adapt.adapt import adapt_network, target_metrics
    from tfl.evaluate.report.adapt import adapt_sentences

    console.print("\n[bold]adapt[/]    to the target without its labels")
    weights = _class_weights(recipe, bundle)
    document = adapt_network(
        run, assembled, bundle, target, recipe=recipe, class_weights=weights, repeats=repeats, console=console
    )
    for words in adapt_sentences(document, nouns=bundle.modality.nouns):
        console.print(f"         {words}", markup=False, highlight=False)
    return {"target": target_metrics(document)}


def _with_extra(run: Run, recipe: Recipe, assembled: Assembled, bundle: Bundle, extra: ExtraData, console: Console) -> Bundle:
    """The data with the extra examples that training takes: as the run has decided, or decides now."""
    from tfl.data.extra_data import with_extra
    from tfl.data.listing import write_extra_listing
    from tfl.evaluate.report.extra_data import extra_sentence, likeness_sentence
    from tfl.train.extra_data import choose_extra

    nouns = bundle.modality.nouns
    if not run.path(EXTRA).is_file():
        found = choose_extra(assembled, bundle, extra, recipe=recipe, console=console)
        about = {
            "format": 1,
            "source": extra.bundle.data.source,
            "found": extra.found,
            "usable": len(extra),
            "notes": extra.notes(),
        }
        write_extra_listing(run.folder, extra.take(found["drawn"]))
        run.write_json(EXTRA, finite({**about, **found}))
    document = run.read_json(EXTRA)
    for words in (likeness_sentence(document, nouns=nouns), extra_sentence(document, nouns=nouns)):
        console.print(f"         {words}", markup=False, highlight=False)
    return with_extra(bundle, extra, np.array(document["drawn"], np.int64))


def _load_unlabelled(recipe: Recipe, bundle: Bundle, console: Console) -> UnlabelledData | None:
    """The usable examples without labels, with what was left out told; None where nothing learns from them."""
    from tfl.data.unlabelled import load_unlabelled

    if recipe.unlabelled is None:
        raise ValueError("The recipe has no `unlabelled`.")
    if not recipe.learns_without_labels:
        console.print("         note: `unlabelled` is not used: neither `pretrain` nor a stage with `pseudo_labels` asks for it.")
        return None
    found = load_unlabelled(recipe.unlabelled, bundle, seed=recipe.seed)
    nouns = bundle.modality.nouns
    console.print(f"[bold]without[/]  {len(found)} of {found.found} {nouns} without labels from", end=" ", highlight=False)
    console.print(recipe.unlabelled.source, markup=False, highlight=False)
    for words in (*(f"{one['severity']}: {one['note']}" for one in found.findings), *found.notes()):
        console.print(f"         {words}", markup=False, highlight=False)
    return found


def _pretrain(run: Run, recipe: Recipe, bundle: Bundle, unlabelled: UnlabelledData | None, console: Console) -> Recipe:
    """The recipe that the stages follow: its backbone is the one that learned without labels, where that is better."""
    from tfl.evaluate.report.pretrain import collapse_sentence, pretrain_sentence
    from tfl.train.pretrain.pretrain import pretrain, with_pretrained

    found = pretrain(run, recipe, bundle, unlabelled, console=console)
    for words in (pretrain_sentence(found, nouns=bundle.modality.nouns), collapse_sentence(found)):
        console.print(f"         {words}", markup=False, highlight=False)
    run.update_manifest(pretrain={"kept": found["kept"], "sha256": found["sha256"]})
    return with_pretrained(run, recipe)


def _choose_stages(
    run: Run, recipe: Recipe, auto: Auto, bundle: Bundle, console: Console, *, precision: str, repeats: Run | None
) -> Recipe:
    """The recipe with the head and the stages that do best on held-out examples, or with those of the run that is repeated."""
    from tfl.advice.auto import choose_stages, take_over_choice

    console.print("\n[bold]choice[/]   head and stages, on held-out examples")
    if repeats is not None and not run.path(CHOSEN).is_file():
        take_over_choice(run, repeats)
    weights = _class_weights(recipe, bundle)
    found = choose_stages(run, recipe, auto, bundle, precision=precision, class_weights=weights, console=console)
    return replace(found, backbone=recipe.backbone)  # that of a run that is repeated may lie in that run


def _train(
    run: Run,
    recipe: Recipe,
    assembled: Assembled,
    plans: dict[str, StagePlan],
    bundle: Bundle,
    unlabelled: UnlabelledData | None,
    clock: Clock,
    console: Console,
    *,
    others: Bundle | None = None,
) -> None:
    from tfl.train.precompute import precompute
    from tfl.train.stage import train_stage
    from tfl.train.stopping import Stop

    weights = _class_weights(recipe, bundle)
    run.write_json("plans.json", {name: plan.freeze.as_json() for name, plan in plans.items()})
    with clock.step("features"):
        precompute(run, assembled, bundle, recipe=recipe, plans=plans, console=console)
    pool = None if unlabelled is None else unlabelled.bundle
    options: dict[str, Any] = {"recipe": recipe, "class_weights": weights, "console": console, "unlabelled": pool}
    for name, plan in plans.items():
        console.print(f"\n[bold]stage {name}[/]")
        console.print(plan.freeze.table())
        if plan.stage.on == "data" and recipe.task == GENERATE:
            from tfl.language.measure import keep_start

            with clock.step("style"):
                keep_start(run, assembled.model, bundle)
        read = bundle if others is None or plan.stage.on == "data" else others
        with clock.step(name):
            train_stage(run, assembled, plan.stage, read, plan=plan, stop=Stop(), **options)


def _evaluate(run: Run, recipe: Recipe, predictor: SplitPredictor, bundle: Bundle) -> tuple[dict[str, Outputs], dict[str, Any]]:
    """The network's outputs by split, the metrics of validation and test, and those of a baseline where there is one."""
    from tfl.evaluate.baseline import baseline_metrics
    from tfl.evaluate.predictor import outputs_by_split

    names, found = bundle.examples.class_names, outputs_by_split(run, predictor, bundle)
    metrics: dict[str, Any] = {}
    for name, title in (("val", "validation"), ("test", "test")):
        metrics[title] = bundle.task.evaluate(found[name].predictions, bundle.targets_of(name), names, seed=recipe.seed)
    if (baseline := baseline_metrics(bundle)) is not None:
        metrics["baseline"] = baseline
    return found, metrics


def _measure_inputs(recipe: Recipe, assembled: Assembled, bundle: Bundle, console: Console) -> dict[str, Any]:
    """What each of several inputs is worth, under `inputs`; nothing where there is one."""
    from tfl.evaluate.inputs import measure_inputs
    from tfl.evaluate.report.inputs import input_facts

    found = measure_inputs(assembled, bundle, recipe)
    if found is None:
        return {}
    facts = input_facts({"inputs": found})
    console.print(f"\n[bold]inputs[/]   {facts['lead']}", highlight=False)
    for row in facts["rows"]:
        words = f"{row['name']}: alone {row['alone']}, with a head of its own {row['own_head']}; its absence costs {row['cost']}"
        console.print(f"         {words}", highlight=False, markup=False)
    return {"inputs": found}


def _learnt_weights(assembled: Assembled, bundle: Bundle, console: Console) -> dict[str, Any]:
    """What the losses of several targets came to count, where training learns that."""
    from tfl.tasks.heads import Heads

    task = bundle.task.bound_to(assembled.model)
    found = task.learnt_weights() if isinstance(task, Heads) else {}
    if found:
        words = ", ".join(f"{name} {value:.3g}" for name, value in found.items())
        console.print(f"\n[bold]losses[/]   weights by uncertainty: {words}", highlight=False)
    return {"loss_weights": found} if found else {}


def _measure_alone(run: Run, bundle: Bundle, outputs: dict[str, Outputs], console: Console, *, precision: str) -> dict[str, Any]:
    """Each of several targets trained alone, beside all of them together."""
    from tfl.evaluate.alone import measure_alone
    from tfl.evaluate.report.alone import alone_facts

    found = measure_alone(run, bundle, outputs["test"].logits, precision=precision, console=console)
    facts = alone_facts({"alone": found})
    console.print(f"\n[bold]alone[/]    {facts['lead']}", highlight=False)
    for row in facts["rows"]:
        words = f"{row['name']}: {row['metric']} {row['together']} together, {row['alone']} alone; gain {row['gain']}"
        console.print(f"         {words}", highlight=False, markup=False)
    return found


def _measure_forgetting(source_task: SourceTask, assembled: Assembled, console: Console) -> dict[str, Any]:
    """How well the classifier of the source does on its own task, before training and after."""
    from tfl.evaluate.report.source import forgetting_sentence

    found = source_task.measure(assembled)
    sentence = forgetting_sentence(found, nouns=source_task.bundle.modality.nouns)
    console.print(f"\n[bold]source[/]   {sentence}", highlight=False)
    return found


def _write_predictions(run: Run, bundle: Bundle, outputs: dict[str, Outputs], confidence: Confidence | None) -> None:
    from tfl.evaluate.boxes import write_boxes
    from tfl.evaluate.predictions import write_predictions

    if bundle.task.name == DETECT:
        write_boxes(run.folder, bundle.examples, bundle.split, {name: found.predictions for name, found in outputs.items()})
        return
    answers = None
    if confidence is not None:
        answers = {name: confidence.answer(found.logits, found.features) for name, found in outputs.items()}
    write_predictions(
        run.folder,
        bundle.examples,
        bundle.split,
        {name: found.predictions for name, found in outputs.items()},
        task=bundle.task,
        answers=answers,
    )


def _fit_confidence(
    run: Run,
    recipe: Recipe,
    plans: dict[str, StagePlan],
    bundle: Bundle,
    predictor: SplitPredictor,
    outputs: dict[str, Outputs],
    console: Console,
) -> Confidence | None:
    """What makes calibrated probabilities, prediction sets and out-of-distribution scores, where the recipe wants it."""
    from tfl.evaluate.run_confidence import keep_confidence

    if recipe.confidence is None:
        return None

    def training(indices: NDArray[np.int64]) -> tuple[NDArray[np.float32], str]:
        return _training_features(run, plans, bundle, predictor, indices)

    return keep_confidence(run, recipe.confidence, bundle, outputs, training, console=console)


def _training_features(
    run: Run, plans: dict[str, StagePlan], bundle: Bundle, predictor: SplitPredictor, indices: NDArray[np.int64]
) -> tuple[NDArray[np.float32], str]:
    """What the head reads of training examples, and where that is from."""
    from tfl.evaluate.predictor import stored_features

    stored = stored_features(run, list(plans.values())[-1], bundle, indices)
    if stored is not None:
        return stored, "from the features of the last stage"
    return predictor.predict(bundle, indices).features, f"in one pass over the {bundle.modality.nouns}"


def _load_unseen(recipe: Recipe, bundle: Bundle, console: Console) -> Bundle:
    """The usable examples of `unseen_data`, with what was found told."""
    from tfl.zero_shot.unseen import load_unseen

    if recipe.unseen_data is None:
        raise ValueError("The recipe has no `unseen_data`.")
    unseen = load_unseen(recipe.unseen_data, bundle, seed=recipe.split_seed)
    words = (
        f"{len(unseen.examples)} {bundle.modality.nouns} of {len(unseen.examples.class_names)} classes that training does not see"
    )
    console.print(f"[bold]unseen[/]   {words}", highlight=False)
    return unseen


def _learn_attributes(
    run: Run,
    recipe: Recipe,
    plans: dict[str, StagePlan],
    bundle: Bundle,
    unseen: Bundle | None,
    attributes: Attributes,
    predictor: SplitPredictor,
    console: Console,
) -> dict[str, Any]:
    """How classes are named by their attributes; what `metrics.json` has of it, under `zero_shot`."""
    from tfl.evaluate.report.zero_shot import zero_shot_sentences
    from tfl.zero_shot.run import learn_attributes

    def features_of(some: Bundle, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        if some is bundle and np.array_equal(indices, bundle.indices("train")):
            return _training_features(run, plans, bundle, predictor, indices)[0]
        return predictor.predict(some, indices).features

    console.print("\n[bold]zero-shot[/] classes by their attributes", highlight=False)
    document = learn_attributes(run, recipe, bundle, unseen, attributes, features_of)
    for words in zero_shot_sentences(document, nouns=bundle.modality.nouns):
        console.print(f"         {words}", markup=False, highlight=False)
    return {"zero_shot": document["unseen"]} if document["unseen"] else {}


def _save(
    run: Run,
    recipe: Recipe,
    model: keras.Model,
    bundle: Bundle,
    confidence: Confidence | None,
    console: Console,
    *,
    whole: bool,
) -> None:
    """`model.keras` where the run is kept `whole`, and every export that the recipe names.

    Each export is compared with the model on the whole test split. One that is refused does not fail the run: it is told, and
    the manifest, the certificate and the report have the reason.
    """
    from tfl.backbones.saving import remember_skipped_attributes
    from tfl.export.ship import ship_model

    model = bundle.task.without_training(model)
    if whole:
        remember_skipped_attributes()
        write_atomically(run.path("model.keras"), lambda scratch: model.save(scratch))
    if not recipe.export:
        return
    console.print(f"\n[bold]export[/]   {', '.join(recipe.export)}")
    ship_model(
        run,
        model,
        recipe.export,
        run.path("export"),
        bundle=bundle,
        confidence=confidence,
        tell=lambda words: console.print(f"         {words}", markup=False),
    )


def _save_album(run: Run, recipe: Recipe, assembled: Assembled, bundle: Bundle, outputs: dict[str, NDArray[np.float32]]) -> None:
    from tfl.evaluate.explain import explained_layer
    from tfl.evaluate.report.album import save_album

    blocks = [block.name for block in assembled.blocks]
    layer = None if assembled.branches else explained_layer(assembled.model, blocks)
    save_album(run.folder, assembled.model, bundle, outputs, layer=layer, seed=recipe.seed)


def _save_projection(run: Run, bundle: Bundle, outputs: dict[str, Outputs]) -> None:
    """The map of the test and validation examples."""
    from tfl.evaluate.projection import write_projection

    splits = ("test", "val")
    features = {name: outputs[name].features for name in splits}
    write_projection(run.folder, features, {name: bundle.indices(name) for name in splits}, seed=run.recipe.seed)


def _class_weights(recipe: Recipe, bundle: Bundle) -> NDArray[Any] | None:
    return None if recipe.class_weight is None else bundle.task.balanced_weights(bundle.targets_of("train"))


def _describe_weights(recipe: Recipe, assembled: Assembled, bundle: Bundle) -> dict[str, Any]:
    from tfl.backbones.weight_hash import weights_fingerprint

    decided = bundle.modality.network_about(recipe.backbone)
    network = assembled.backbone() if assembled.classifier is None else _with_classifier(assembled)
    found = assembled.matching
    matched = {} if found is None else {"imported": list(found.imported), "random": list(found.unmatched)}
    name = recipe.backbone.name
    return {"name": name, **as_plain(recipe.backbone), **decided, **matched, "sha256": weights_fingerprint(network)}


def _with_classifier(assembled: Assembled) -> keras.Model:
    """The network up to the probabilities of the source's classes."""
    import keras

    from tfl.backbones.inputs import inputs_of

    classifier: Any = assembled.classifier
    return keras.Model(inputs_of(assembled.model), classifier.probabilities)

"""One stage: the plan applied, the frozen prefix computed once, the suffix trained, the best kept, the ledger written."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras

from tfl.data.bundle import Bundle, derived_seed
from tfl.features.extract import Extractor
from tfl.model.freeze import Ledger
from tfl.model.lora import lora, merge_lora
from tfl.recipe import Recipe, Stage
from tfl.runs import MAPPING, Run
from tfl.train.callbacks.checkpoints import Checkpoints
from tfl.train.fit import Fit
from tfl.train.stage_plan import StagePlan, decide_storage, plan_stage
from tfl.train.start import start_head
from tfl.train.state import StageState
from tfl.train.stopping import Stop

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import Console

    from tfl.model.assemble import Assembled


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """How a stage went.

    Args:
        name: Of the stage.
        epochs: That were run.
        best_epoch: Whose weights the network has now, from 1; 0 when no epoch was better than the start.
        monitor, best_value: The metric that was watched, and its value then.
        stopped_early: Whether patience ended the stage.
        notices: What a person should know, as sentences.
        history: The stage's rows of `history.csv`.
        ledger: The stage's rows of `ledger.json`.
        feature_seconds: Spent on the frozen prefix.
        train_seconds: Spent on the epochs.
    """

    name: str
    epochs: int
    best_epoch: int
    monitor: str
    best_value: float
    stopped_early: bool
    notices: tuple[str, ...]
    history: tuple[dict[str, Any], ...]
    ledger: tuple[dict[str, Any], ...]
    feature_seconds: float
    train_seconds: float


def train_stage(
    run: Run,
    assembled: Assembled,
    stage: Stage,
    bundle: Bundle,
    *,
    recipe: Recipe,
    plan: StagePlan | None = None,
    class_weights: NDArray[Any] | None = None,
    console: Console | None = None,
    watchers: Sequence[keras.callbacks.Callback] = (),
    stop: Stop | None = None,
    unlabelled: Bundle | None = None,
) -> StageResult:
    """Trains what the stage says, and leaves the network at its best.

    Resumes from `state.json` and the checkpoints of the run where the stage had begun, to the same result; a stage that is done
    is only loaded. Best is by `recipe.monitor`; a stage that starts from a trained head also compares with where it started.

    Args:
        run: Gets checkpoints, history.csv, ledger.json, state.json and logs; the caller holds its lock.
        assembled: The network as the stage before left it; changed in place.
        stage: One of the recipe's.
        bundle: The data.
        recipe: For `monitor` and the place of the stage.
        plan: Of the stage. Defaults to the one that `stage` and the network make.
        class_weights: `(width,)` weights of the training loss, or None.
        console: Where progress and findings are shown; None shows nothing.
        watchers: Called after each epoch's checkpoint; what one raises ends the stage there, and it can be resumed.
        stop: Hears Ctrl-C and SIGTERM while the epochs run; None leaves both alone.
        unlabelled: The examples without labels of a stage with pseudo-labels.

    Raises:
        KeyboardInterrupt: A stop was asked for; everything is saved, and a resumed stage continues at the next batch.
        RecipeError: The stage does not fit the network.
        TrainingError: The loss is not finite, or the memory is too small.
        FrozenMovedError: A frozen layer moved.
        RunError: A checkpoint to go on from is missing or damaged.
    """
    plan = plan or plan_stage(assembled, stage)
    plan.freeze.apply(assembled)
    found = StageState.load(run, stage.name)
    state = found or StageState.begin(run, stage.name)
    extractor = None if state.done else decide_storage(plan, run, state, bundle, recipe=recipe, console=console)
    if extractor is not None:
        state.engine = _engine_of(extractor)
    trainable = plan.suffix if plan.stores(state) else assembled.model
    adapted = plan.freeze.lora_layers(assembled)
    checkpoints = Checkpoints(
        run,
        stage.name,
        whole=assembled.model,
        live=trainable,
        state=state,
        keep=recipe.monitor.keep_checkpoints,
        merge=functools.partial(merge_lora, adapted),
    )
    if state.done:
        checkpoints.reopen()
        checkpoints.tidy()
        _say(console, [f"Stage {stage.name} was done before; {_outcome(state, recipe)}"])
        return _result(stage, state, recipe)
    begins = found is None or not (found.epoch or checkpoints.start_file.is_file())
    if begins and stage.name == recipe.fixed_stages[0].name:
        mapping = start_head(assembled, bundle, recipe=recipe, console=console)
        if mapping is not None:
            run.write_json(MAPPING, mapping.to_json())
    with lora(adapted, rank=stage.lora_rank, seed=derived_seed(recipe.seed, stage.name, "lora")):
        if begins:
            checkpoints.start()
            state.save(run, stage.name)  # from here on the stage continues as decided, whatever a new measurement would say
        else:
            checkpoints.load_start()
        before = Ledger.snapshot(assembled)
        fit = Fit(
            run,
            stage,
            state,
            bundle,
            recipe=recipe,
            checkpoints=checkpoints,
            console=console,
            watchers=watchers,
            stop=stop or Stop(),
            unlabelled=unlabelled,
        )
        if stage.epochs:
            fit.prepare(extractor, trainable, plan.freeze.multipliers(assembled), class_weights, assembled.head_layers)
            with contextlib.nullcontext() if stop is None else stop.listening():
                fit.run_epochs()
        state.ledger = Ledger.compare(before, Ledger.snapshot(assembled), plan.freeze)
        _write_ledger(run, stage, state)
        if recipe.monitor.alpha < 1 and state.start is not None and state.best_epoch:
            _return_to_the_start_by_chance(fit, state, recipe)
        checkpoints.finish(stage.interpolate)
    if state.best_epoch == 0 and stage.epochs and not state.notices:
        state.notices.append("No epoch was better than the start of the stage, which was restored.")
    state.done = True
    state.save(run, stage.name)
    checkpoints.tidy()
    _say(console, [f"Stage {stage.name}: {_outcome(state, recipe)}", *state.notices])
    return _result(stage, state, recipe)


def _return_to_the_start_by_chance(fit: Fit, state: StageState, recipe: Recipe) -> None:
    """Takes the start for the best where the gain over it may well be chance."""
    gain, count, metric = fit.gain(), len(fit.bundle.indices("val")), recipe.monitor.metric
    if gain.holds:
        return
    start, nouns = dict(state.start or {}), fit.bundle.modality.nouns
    state.notices.append(
        f"{metric} went from {start[metric]:.4f} to {state.best_value:.4f}. On {count} validation {nouns} that is no evidence "
        f"that the network is better (p = {gain.p:.2g} by the loss, at most {recipe.monitor.alpha:g} is asked for): the start "
        "of the stage was restored."
    )
    state.best_epoch, state.best_value, state.best_loss = 0, start[metric], start["val_loss"]


def _engine_of(extractor: Extractor) -> str:
    """The name of what computed the features, or will: one that was chosen earlier may have to give way when it is needed."""
    return extractor.engine().name if extractor.missing("train") else extractor.engine_name


def _outcome(state: StageState, recipe: Recipe) -> str:
    ended = "stopped early after" if state.stopped_early else "ran"
    ran = f"{ended} {state.epoch} epoch{'s' if state.epoch != 1 else ''}"
    if state.best_value is None:
        return f"{ran}, without validation." if state.epoch else "nothing was trained further."
    value = f"{recipe.monitor.metric} {state.best_value:.4f}"
    if not state.epoch:
        return f"nothing was trained further ({value})."
    if state.best_epoch == 0:
        return f"{ran}; none was better than the start, so the start was restored ({value})."
    went = "the last was the best" if state.best_epoch == state.epoch else f"the best, epoch {state.best_epoch}, was restored"
    if state.best_epoch != state.peak_epoch and recipe.monitor.metric != "val_loss":
        went += f", which has the metric of epoch {state.peak_epoch} and a lower loss"
    return f"{ran}; {went} ({value})."


def _write_ledger(run: Run, stage: Stage, state: StageState) -> None:
    ledger = run.read_json("ledger.json") if run.path("ledger.json").is_file() else {}
    run.write_json("ledger.json", ledger | {stage.name: state.ledger})


def _result(stage: Stage, state: StageState, recipe: Recipe) -> StageResult:
    return StageResult(
        name=stage.name,
        epochs=state.epoch,
        best_epoch=state.best_epoch or 0,
        monitor=recipe.monitor.metric,
        best_value=float("nan") if state.best_value is None else state.best_value,
        stopped_early=state.stopped_early,
        notices=tuple(state.notices),
        history=tuple(state.history),
        ledger=tuple(state.ledger),
        feature_seconds=state.feature_seconds,
        train_seconds=state.train_seconds,
    )


def _say(console: Console | None, sentences: list[str]) -> None:
    for sentence in sentences:
        if console is not None:
            console.print(sentence, highlight=False, markup=False)

"""One stage: the plan applied, the frozen prefix computed once, the live suffix fitted, the best kept, the proof written."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import tensorflow as tf

from tfl.data.bundle import Bundle
from tfl.errors import TrainingError
from tfl.features.cut import cut
from tfl.features.extract import Extractor
from tfl.features.standardise import standardise
from tfl.model.freeze import Ledger, Plan, make_plan
from tfl.model.multipliers import make_optimizer
from tfl.recipe import Recipe, Stage
from tfl.runs import Run
from tfl.train.batches import Batches, FeatureBatches, PixelBatches, storing
from tfl.train.callbacks.best import Best
from tfl.train.callbacks.checkpoints import Checkpoints
from tfl.train.callbacks.history import History
from tfl.train.callbacks.nan_stop import NanStop
from tfl.train.callbacks.overfitting import OverfittingWatch
from tfl.train.callbacks.progress import StageProgress
from tfl.train.callbacks.tensorboard import TensorBoardScalars
from tfl.train.compilation import choose_compilation
from tfl.train.loop import Loop
from tfl.train.schedules import schedule_of
from tfl.train.state import StageState

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
    class_weights: NDArray[Any] | None = None,
    console: Console | None = None,
    watchers: Sequence[keras.callbacks.Callback] = (),
) -> StageResult:
    """Trains what the stage says, and leaves the network at its best.

    Goes on from `state.json` and the checkpoints of the run where the stage had begun, to the same result; a stage that is done
    is only loaded. Best is by `recipe.monitor`; a stage that is not the first one also compares with where it started.

    Args:
        run: Gets checkpoints, history.csv, ledger.json, state.json and logs; the caller holds its lock.
        assembled: The network as the stage before left it; changed in place.
        stage: One of the recipe's.
        bundle: The data.
        recipe: For `monitor` and the place of the stage.
        class_weights: `(classes,)` weights of the training loss, or None.
        console: Where progress and findings are shown; None shows nothing.
        watchers: Called after each epoch's checkpoint; what one raises ends the stage there, and a resumed stage goes on.

    Raises:
        RecipeError: The stage does not fit the network.
        TrainingError: The loss is not finite, or the memory is too small.
        FrozenMovedError: A frozen layer moved.
        RunError: A checkpoint to go on from is missing or damaged.
    """
    plan = make_plan(assembled, stage)
    plan.apply(assembled)
    found = StageState.load(run, stage.name)
    state = found or StageState.begin(run, stage.name)
    prefix, live = _parts(assembled, plan, stage, bundle, state, recipe=recipe, console=console)
    keep = recipe.monitor.keep_checkpoints
    checkpoints = Checkpoints(run, stage.name, whole=assembled.model, live=live, state=state, keep=keep)
    if state.done:
        checkpoints.reopen()
        _say(console, [f"Stage {stage.name} was done before; {_outcome(state, recipe)}"])
        return _result(stage, state, recipe)
    if found is None:
        if stage.name == recipe.stages[0].name:
            standardise(assembled, bundle, features=recipe.features, console=console)
        checkpoints.start()
    else:
        checkpoints.load_start()
    before = Ledger.snapshot(assembled)
    fit = _Fit(run, stage, state, bundle, recipe=recipe, checkpoints=checkpoints, console=console, watchers=watchers)
    with _memory_errors(stage):
        fit.prepare(prefix, live, plan.multipliers(assembled), class_weights)
        fit.run_epochs()
    state.ledger = Ledger.compare(before, Ledger.snapshot(assembled), plan)
    _write_ledger(run, stage, state)
    checkpoints.finish()
    if state.best_epoch == 0 and not state.notices:
        state.notices.append("No epoch was better than the start of the stage; went back to it.")
    state.done = True
    state.save(run, stage.name)
    checkpoints.tidy()
    _say(console, [f"Stage {stage.name}: {_outcome(state, recipe)}", *state.notices])
    return _result(stage, state, recipe)


class _Fit:
    """The epochs of one stage, with everything that watches them."""

    def __init__(
        self,
        run: Run,
        stage: Stage,
        state: StageState,
        bundle: Bundle,
        *,
        recipe: Recipe,
        checkpoints: Checkpoints,
        console: Console | None,
        watchers: Sequence[keras.callbacks.Callback],
    ) -> None:
        self.run, self.stage, self.state, self.bundle, self.recipe = run, stage, state, bundle, recipe
        self.checkpoints, self.console, self.watchers = checkpoints, console, watchers

    def prepare(
        self, prefix: Extractor | None, live: keras.Model, multipliers: dict[str, float], class_weights: NDArray[Any] | None
    ) -> None:
        """Makes the batches and the optimiser, and brings both to where the state says the stage is."""
        stage, images = self.stage, len(self.bundle.indices("train"))
        self.progress = StageProgress(self.console, stage, images=images, first_epoch=self.state.epoch + 1)
        self.batches: Batches
        if prefix is None:
            self.batches = PixelBatches(self.bundle, stage)
        else:
            self.batches = FeatureBatches(self.bundle, stage, prefix, after_images=self.progress.on_frozen_images)
        rate = schedule_of(stage, steps_per_epoch=-(-images // stage.batch_size))
        self.loop = Loop(
            live,
            make_optimizer(stage, multipliers, rate),
            batch_size=stage.batch_size,
            label_smoothing=stage.label_smoothing,
            class_weights=class_weights,
            dtype=self.batches.dtype,
        )
        self.checkpoints.optimizer = self.loop.optimizer
        self.checkpoints.resume()
        if self.state.jit_compile is None:
            self.state.jit_compile = choose_compilation(
                self.recipe.jit_compile, self.loop, streams=prefix is None, stage_name=stage.name, console=self.console
            )
        self.loop.jit_compile = self.state.jit_compile
        self.callbacks = keras.callbacks.CallbackList(self._callbacks(), model=live, add_history=False)

    def run_epochs(self) -> None:
        """Trains until the epochs are used up or patience is."""
        self._judge_the_start()
        self.callbacks.on_train_begin()
        try:
            while self.state.epoch < self.stage.epochs and not self.state.stopped_early:
                self._run_epoch(self.state.epoch + 1)
        finally:
            self.callbacks.on_train_end()

    def _run_epoch(self, epoch: int) -> None:
        loop, state, callbacks = self.loop, self.state, self.callbacks
        callbacks.on_epoch_begin(epoch)
        before = self.batches.feature_seconds
        training, validation = self.batches.train(epoch), self.batches.validation()
        state.feature_seconds += self.batches.feature_seconds - before
        began, rate = time.perf_counter(), loop.learning_rate
        loop.seed(self.recipe.seed, self.stage.name, epoch)
        metrics = loop.train(
            training, lambda images, loss: callbacks.on_train_batch_end(0, {"images": float(images), "loss": loss})
        )
        metrics |= loop.judge(validation)
        seconds = time.perf_counter() - began
        state.train_seconds += seconds
        callbacks.on_epoch_end(epoch, {**metrics, "learning_rate": rate, "seconds": seconds})

    def _judge_the_start(self) -> None:
        """A stage that begins from a trained network must not make it worse: its start takes part as epoch 0."""
        if self.state.epoch or self.state.start or self.recipe.stages[0].name == self.stage.name:
            return
        began = self.batches.feature_seconds
        validation = self.batches.validation()
        self.state.feature_seconds += self.batches.feature_seconds - began
        self.state.start = self.loop.judge(validation)
        self.state.take(0, self.state.start, self.recipe.monitor)

    def _callbacks(self) -> list[keras.callbacks.Callback]:
        """In the order they are called: what may stop the stage, what the state is made of, the checkpoint of all that."""
        stage, state = self.stage, self.state
        return [
            NanStop(stage.name, learning_rate=stage.learning_rate),
            Best(state, self.recipe.monitor, epochs=stage.epochs),
            History(self.run, stage.name, state),
            self.checkpoints,
            TensorBoardScalars(self.run.path("logs", stage.name)),
            self.progress,
            OverfittingWatch(state),
            *self.watchers,
        ]


def _parts(
    assembled: Assembled,
    plan: Plan,
    stage: Stage,
    bundle: Bundle,
    state: StageState,
    *,
    recipe: Recipe,
    console: Console | None,
) -> tuple[Extractor | None, keras.Model]:
    """The frozen prefix and what is above it; None and the whole network where nothing below is frozen.

    The same where storing the prefix's outputs would cost more than computing them in every epoch, or is not wanted; the state
    says so, and a stage that is resumed goes on in the same way.
    """
    if plan.first_live_block == 0 or state.unstored:
        return None, assembled.model
    prefix, suffix = cut(assembled, plan.first_live_block)
    extractor = Extractor([prefix], bundle, features=recipe.features, console=console)
    if state.unstored is False:
        return extractor, suffix
    decision = storing(extractor, stage)
    state.unstored = not decision.stored
    if decision.stored:
        _say(console, [decision.said])
        return extractor, suffix
    state.notices.append(decision.said)
    return None, assembled.model


def _outcome(state: StageState, recipe: Recipe) -> str:
    ended = "stopped early after" if state.stopped_early else "ran"
    value = f"{recipe.monitor.metric} {state.best_value:.4f}"
    ran = f"{ended} {state.epoch} epoch{'s' if state.epoch != 1 else ''}"
    if state.best_epoch == 0:
        return f"{ran}; none was better than the start, so went back to it ({value})."
    went = "the last was the best" if state.best_epoch == state.epoch else f"went back to the best, epoch {state.best_epoch}"
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


@contextmanager
def _memory_errors(stage: Stage) -> Iterator[None]:
    try:
        yield
    except (MemoryError, tf.errors.ResourceExhaustedError) as error:
        raise TrainingError(
            f"Stage `{stage.name}` does not fit into memory.",
            received=f"batch_size={stage.batch_size}",
            fix=f"Lower stages.{stage.name}.batch_size, or data.image_size.",
        ) from error


def _say(console: Console | None, sentences: list[str]) -> None:
    for sentence in sentences:
        if console is not None:
            console.print(sentence, highlight=False, markup=False)

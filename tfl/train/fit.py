"""The epochs of one stage: batches, loop and callbacks brought to where the state is, and what stops or repeats an epoch."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

import keras

from tfl.data.bundle import Bundle, derived_seed
from tfl.features.cut import inputs_next_to
from tfl.features.extract import Extractor
from tfl.model.multipliers import make_optimizer
from tfl.recipe import GENERATE, Recipe, Stage
from tfl.runs import Run
from tfl.train.batches import Batches, Epoch, FeatureBatches, InputBatches
from tfl.train.callbacks.best import Best
from tfl.train.callbacks.checkpoints import Checkpoints
from tfl.train.callbacks.history import History
from tfl.train.callbacks.nan_stop import NanStop
from tfl.train.callbacks.overfitting import OverfittingWatch
from tfl.train.callbacks.progress import StageProgress
from tfl.train.callbacks.tensorboard import TensorBoardScalars
from tfl.train.compilation import choose_compilation
from tfl.train.evidence import Evidence, Gain
from tfl.train.loop import Loop, Ran
from tfl.train.memory import is_out_of_memory, ran_out
from tfl.train.pseudo_labels import FixMatch, PseudoLabelBatches
from tfl.train.schedules import schedule_of
from tfl.train.state import StageState
from tfl.train.stopping import Stop

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.console import Console


class Fit:
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
        stop: Stop,
        unlabelled: Bundle | None = None,
    ) -> None:
        self.unlabelled = unlabelled
        self.run, self.stage, self.state, self.bundle, self.recipe = run, stage, state, bundle, recipe
        self.checkpoints, self.console, self.watchers, self.stop = checkpoints, console, watchers, stop

    def prepare(
        self,
        prefix: Extractor | None,
        trainable: keras.Model,
        multipliers: dict[str, float],
        class_weights: NDArray[Any] | None,
        head: Collection[str] = (),
    ) -> None:
        """Makes the batches and the optimiser, and brings both to where the state says the stage is; the network is at the start
        of the stage. `head` names the layers of the head."""
        examples, nouns = len(self.bundle.indices("train")), self.bundle.modality.nouns
        self.trainable, self._multipliers, self._class_weights, self._head = trainable, multipliers, class_weights, head
        self.progress = StageProgress(
            self.console,
            self.stage,
            examples=examples,
            nouns=nouns,
            first_epoch=self.state.epoch + 1,
            metric=self.bundle.task.default_metric,
        )
        self.batches: Batches
        if self.stage.pseudo_labels is not None:
            if self.unlabelled is None:
                raise ValueError("A stage with `pseudo_labels` was given no examples without labels.")
            self.batches = PseudoLabelBatches(self.bundle, self.stage, self.unlabelled)
        elif prefix is None:
            self.batches = InputBatches(self.bundle, self.stage)
        else:
            self.batches = FeatureBatches(
                self.bundle,
                self.stage,
                prefix,
                inputs=inputs_next_to(prefix.models[0], trainable),
                after_examples=self._after_frozen_examples,
            )
        self._make_loop()
        if self.state.jit_compile is None:
            self._with_room(lambda: self._choose_compilation(streams=prefix is None))
            self.state.save(self.run, self.stage.name)
        self.loop.jit_compile = bool(self.state.jit_compile) and self.state.parts == 1
        self.callbacks = keras.callbacks.CallbackList(self._callbacks(), model=trainable, add_history=False)

    def run_epochs(self) -> None:
        """Trains until the epochs are used up or patience is."""
        self._evaluate_the_start()
        self.callbacks.on_train_begin()
        try:
            while self.state.epoch < self.stage.epochs and not self.state.stopped_early:
                self._run_epoch(self.state.epoch + 1)
                self.stop.check()
        finally:
            self.callbacks.on_train_end()

    def gain(self) -> Gain:
        """How much better the best epoch is than the start, by the validation examples; the network is at its best after.

        One pass over the validation examples for each of the two, on the features that the epochs were evaluated on.
        """
        said: dict[str, NDArray[np.float32]] = {}
        targets = self.bundle.targets_of("val")

        def answer(name: str, load: Callable[[], None]) -> None:
            load()  # here, since what is tried again in smaller parts begins from other weights
            said[name] = self.loop.outputs(self.batches.validation(), self.stop.check)[0]

        self._with_room(lambda: answer("start", self.checkpoints.load_start))
        self._with_room(lambda: answer("best", self.checkpoints.load_best))
        evidence = Evidence(
            self.bundle.task,
            targets,
            metric=self.recipe.monitor.metric,
            balanced=self.recipe.class_weight == "balanced",
            alpha=self.recipe.monitor.alpha,
            seed=derived_seed(self.bundle.seed, self.stage.name, "chance"),
        )
        return evidence.compare(said["best"], said["start"])

    @property
    def _validates(self) -> bool:
        return len(self.bundle.indices("val")) > 0

    def _make_loop(self) -> None:
        """The loop and its optimiser, at the state's place."""
        stage = self.stage
        rate = schedule_of(stage, steps_per_epoch=-(-len(self.bundle.indices("train")) // stage.batch_size))
        self.loop = Loop(
            self.trainable,
            make_optimizer(stage, self._multipliers, rate),
            batch_size=stage.batch_size * self._rows_of_each,
            label_smoothing=stage.label_smoothing,
            task=FixMatch.around(self.bundle.task, stage.pseudo_labels),
            class_weights=self._class_weights,
            dtype=self.batches.dtype,
            exact=self.batches.inputs,
            parts=self.state.parts,
            l2_sp=stage.l2_sp,
            head=self._head,
        )
        self.checkpoints.optimizer = self.loop.optimizer
        self.checkpoints.resume()

    def _choose_compilation(self, *, streams: bool) -> None:
        if self.state.parts == 1:
            self.state.jit_compile = choose_compilation(
                self.recipe.jit_compile, self.loop, streams=streams, stage_name=self.stage.name, console=self.console
            )

    def _run_epoch(self, epoch: int) -> None:
        state, callbacks = self.state, self.callbacks
        callbacks.on_epoch_begin(epoch)
        before = self.batches.feature_seconds
        training = self.batches.train(epoch)
        validation = self.batches.validation() if self._validates else None
        state.feature_seconds += self.batches.feature_seconds - before
        began, left = time.perf_counter(), state.within
        self._rate = self.loop.learning_rate if left is None else left["learning_rate"]
        metrics: dict[str, float] = {}
        self._with_room(lambda: metrics.update(self._train_and_evaluate(epoch, training, validation)))
        seconds = time.perf_counter() - began
        state.train_seconds += seconds
        callbacks.on_epoch_end(epoch, {**metrics, "learning_rate": self._rate, "seconds": seconds})

    def _train_and_evaluate(self, epoch: int, training: Epoch, validation: Epoch | None) -> dict[str, float]:
        left = self.state.within
        if left is None:
            self.loop.seed(self.recipe.seed, self.stage.name, epoch)
            metrics = self.loop.train(training, self._after_steps)
        else:  # the seeds came back with the weights
            metrics = self.loop.train(training, self._after_steps, done=left["steps"], sums=left["sums"])
        return metrics if validation is None else metrics | self.loop.evaluate(validation, self._stop_here)

    def _after_steps(self, ran: Ran) -> None:
        logs = {"examples": ran.examples / self._rows_of_each, "loss": ran.loss, "not_finite": ran.not_finite}
        self.callbacks.on_train_batch_end(self.loop.steps - ran.steps, logs)
        self._stop_here()

    def _stop_here(self) -> None:
        if self.stop.requested:
            self.checkpoints.save_within(steps=self.loop.steps, sums=self.loop.sums.tolist(), learning_rate=self._rate)
            self.stop.check()

    def _after_frozen_examples(self, done: int, count: int) -> None:
        self.progress.on_frozen_examples(done, count)
        self.stop.check()

    def _evaluate_the_start(self) -> None:
        """A stage that begins from a trained head must not make it worse: its start takes part as epoch 0."""
        first = self.recipe.fixed_stages[0].name == self.stage.name
        untrained = first and self.recipe.head.start == "random" and not self._head_is_trained
        if self.state.epoch or self.state.start or untrained or not self._validates:
            return
        began = self.batches.feature_seconds
        validation = self.batches.validation()
        self.state.feature_seconds += self.batches.feature_seconds - began
        start: dict[str, float] = {}
        self._with_room(lambda: start.update(self.loop.evaluate(validation, self.stop.check)))
        self.state.start = start
        self.state.take(0, start, self.recipe.monitor)

    @property
    def _head_is_trained(self) -> bool:
        """Whether the head came with the backbone, as that of a language model does."""
        return self.recipe.task == GENERATE and self.recipe.backbone.weights is not None

    def _with_room(self, work: Callable[[], None]) -> None:
        """Does `work`; where the memory is too small, again from where the state is, with batches in twice as many parts."""
        while True:
            try:
                return work()
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error)
            self._halve(reason)  # outside of `except`, whose traceback would keep the memory

    def _halve(self, reason: str) -> None:
        said = ran_out(self.run, self.stage, self.state, reason, allowed=self._may_halve)
        if self.console is not None:
            self.console.print(said, highlight=False, markup=False)
        del self.loop
        self.checkpoints.load_start()
        self._make_loop()

    @property
    def _rows_of_each(self) -> int:
        """Rows of a batch for each labelled example: with pseudo-labels two copies of each example without labels beside it."""
        return 1 if self.stage.pseudo_labels is None else 1 + 2 * self.stage.pseudo_labels.ratio

    @property
    def _may_halve(self) -> bool:
        """Whether a batch may go through the network in parts; with pseudo-labels its rows belong together."""
        return self.recipe.on_out_of_memory == "halve" and self.stage.pseudo_labels is None

    def _files_of(self, epoch: int, step: int) -> list[str]:
        """What the examples of a step are called."""
        size = self.stage.batch_size
        return [self.bundle.examples.name_of(int(index)) for index in self.batches.order(epoch)[step * size : (step + 1) * size]]

    def _callbacks(self) -> list[keras.callbacks.Callback]:
        """In the order they are called: what may stop the stage, what the state is made of, the checkpoint of all that."""
        stage, state = self.stage, self.state
        return [
            NanStop(self.run, stage, files_of=self._files_of, go_back=self.checkpoints.go_back, precision=self.recipe.precision),
            Best(state, self.recipe.monitor, epochs=stage.epochs),
            History(self.run, stage.name, state, task=self.bundle.task),
            self.checkpoints,
            TensorBoardScalars(self.run.path("logs", stage.name), state),
            self.progress,
            OverfittingWatch(state),
            *self.watchers,
        ]

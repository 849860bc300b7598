"""The backbone learns from examples without labels, before the first stage of a run.

    probe on the features before ─▶ epochs of SimCLR, VICReg or rotations ─▶ probe on the features after
    ─▶ pretrained.keras ─▶ the stages begin from it, where the probes speak for it

Everything is a function of the recipe and the examples: a run that is killed goes on after its latest whole epoch, to the same
weights.
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from tfl.backbones.weight_hash import weights_fingerprint
from tfl.data.bundle import Bundle
from tfl.data.unlabelled import UnlabelledData, pool_of
from tfl.errors import BackboneError, TrainingError
from tfl.model.assemble import Assembled, assemble_for
from tfl.model.freeze import make_plan
from tfl.model.multipliers import make_optimizer
from tfl.progress import progress_shown
from tfl.recipe import PRETRAIN, Backbone, Head, Pretrain, Recipe, Stage
from tfl.runs import PRETRAINED, PRETRAINED_FILE, Run
from tfl.storage import finite, write_atomically
from tfl.train.batches import StreamEpoch
from tfl.train.callbacks.checkpoints import Checkpoints
from tfl.train.loop import Loop
from tfl.train.memory import is_out_of_memory
from tfl.train.pretrain.compare import compare, features_of
from tfl.train.pretrain.methods import Views, method_of, network_for
from tfl.train.schedules import schedule_of
from tfl.train.state import StageState

if TYPE_CHECKING:
    import keras
    from rich.console import Console

COLLAPSED = 0.05
"""An embedding whose spread is less counts as collapsed: it is 0 where all examples have one embedding, and about 1 where the
embeddings fill their space (`tfl.train.pretrain.losses.spread`)."""
_TIMED = 5
"""Steps that are timed where there is a limit of time, after the first, which compiles."""


def pretrain(
    run: Run, recipe: Recipe, bundle: Bundle, unlabelled: UnlabelledData | None, *, console: Console | None = None
) -> dict[str, Any]:
    """Trains the recipe's backbone on examples without labels, and writes `pretrained.keras` and `pretrain.json`.

    Where a run has both, nothing is done again.

    Args:
        run: Gets both files, checkpoints and state; the caller holds its lock.
        recipe: Its `pretrain`, backbone, seed, metric and features.
        bundle: The target's examples; the training ones take part without their labels.
        unlabelled: Further examples; None for none.
        console: Where progress is shown; None shows nothing.

    Returns:
        Plain data, as in `pretrain.json`: what was trained (`method`, `pool`, `own`, `epochs`, `steps`, `seconds`), `history`
        (a row an epoch with `loss` and `spread` or `accuracy`), the probes (as of `compare`), `collapsed`,
        `notes` (of the examples) and `sha256` of the new weights.

    Raises:
        TrainingError: The loss is not finite, or a batch does not fit into memory.
        RunError: A checkpoint to go on from is missing or damaged.
    """
    if run.path(PRETRAINED).is_file() and run.path(PRETRAINED_FILE).is_file():
        return run.read_json(PRETRAINED)
    settings = recipe.pretrain or Pretrain()
    assembled = _assemble(recipe, bundle)
    before = features_of(assembled, bundle, recipe=recipe, console=console)
    fit = _Fit(run, settings, assembled, pool_of(bundle, unlabelled), seed=recipe.seed, console=console)
    fit.run_epochs()
    after = features_of(assembled, bundle, recipe=recipe, console=console)
    backbone = assembled.backbone()
    found = {
        "format": 1,
        "method": settings.method,
        "source": None if recipe.unlabelled is None else recipe.unlabelled.source,
        "pool": len(fit.views.pool.examples),
        "own": len(bundle.indices("train")),
        "notes": [] if unlabelled is None else unlabelled.notes(),
        "batch_size": settings.batch_size,
        "epochs": fit.state.epoch,
        "steps": fit.state.epoch * fit.views.steps,
        "seconds": fit.state.train_seconds,
        "history": fit.state.history,
        **compare(before, after, bundle, recipe=recipe, alpha=settings.alpha_for(recipe.backbone.weights)),
        "sha256": weights_fingerprint(backbone),
    }
    found["collapsed"] = found["after"]["spread"] < COLLAPSED
    write_atomically(run.path(PRETRAINED_FILE), lambda scratch: backbone.save(scratch))
    document: Any = finite(found)
    run.write_json(PRETRAINED, document)
    fit.finish()
    return dict(document)


def refuse_without_map(assembled: Assembled, recipe: Recipe) -> None:
    """Raises where the network does not end in a feature map, which is pooled and trained.

    Raises:
        BackboneError: It does not.
    """
    if len(assembled.backbone_output.shape) != 4:
        raise BackboneError(
            f"`pretrain` trains networks that end in a feature map, and {recipe.backbone.name} ends in a sequence.",
            allowed="a convolutional network",
            fix="Take another backbone, or leave out `pretrain`.",
        )


def with_pretrained(run: Run, recipe: Recipe) -> Recipe:
    """The recipe that the stages of a run follow: its backbone is `pretrained.keras`, where that is kept.

    Args:
        run: Has `pretrain.json`.
        recipe: As it was asked for, settled.
    """
    if not run.read_json(PRETRAINED)["kept"]:
        return recipe
    width, file = recipe.backbone.adapter_width, run.path(PRETRAINED_FILE)
    backbone = Backbone(str(file.absolute()), preprocessing="none", adapter_width=width)
    return dataclasses.replace(recipe, backbone=backbone, pretrain=None)


def _assemble(recipe: Recipe, bundle: Bundle) -> Assembled:
    """The network before the first stage, in float32, under a plain head; all of its backbone trains."""
    backbone = dataclasses.replace(recipe.backbone, adapter_width=0)
    plain = dataclasses.replace(recipe, backbone=backbone, head=Head(pooling=recipe.head.pooling), stages=(_stage(Pretrain()),))
    assembled = assemble_for(dataclasses.replace(plain, pretrain=None, unlabelled=None), bundle, precision="float32")
    make_plan(assembled, _stage(Pretrain())).apply(assembled)
    return assembled


def _stage(settings: Pretrain, *, epochs: int = 1) -> Stage:
    """What optimiser and schedule read: a stage that trains everything, BatchNorm included."""
    return Stage(
        "unlabelled",
        train="all",
        epochs=epochs,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        schedule="cosine",
        warmup_epochs=min(1, epochs - 1),
        batchnorm="train",
    )


class _Fit:
    """The epochs, with their checkpoints; begins where the run's state says that it was left."""

    def __init__(
        self, run: Run, settings: Pretrain, assembled: Assembled, pool: Bundle, *, seed: int, console: Console | None
    ) -> None:
        self.run, self.settings, self.seed, self.console = run, settings, seed, console
        self.network: keras.Model = network_for(settings, assembled, seed=seed)
        self.views = Views(settings, pool, seed=seed, width=int(self.network.output_shape[-1]))
        found = StageState.load(run, PRETRAIN)
        self.state = found or StageState.begin(run, PRETRAIN)
        self.checkpoints = Checkpoints(run, PRETRAIN, whole=self.network, live=self.network, state=self.state, keep=1)
        if found is None or not self.checkpoints.start_file.is_file():
            self.checkpoints.start()
            self.state.save(run, PRETRAIN)
        else:
            self.checkpoints.load_start()

    def run_epochs(self) -> None:
        """Trains until the planned epochs are done."""
        if self.state.planned is None:
            self.state.planned = self._planned()
            self.state.save(self.run, PRETRAIN)
        loop = self._loop(self.state.planned)
        self.checkpoints.resume()
        steps, nouns = self.views.steps, self.views.pool.modality.nouns
        examples = steps * self.views.at_once
        self._say(
            f"{self.settings.method} on {len(self.views.pool.examples)} {nouns} without labels, {self.state.planned} epochs of "
            f"{steps} steps" + (f", from epoch {self.state.epoch + 1}" if self.state.epoch else "")
        )
        left = (self.state.planned - self.state.epoch) * examples
        with progress_shown(self.console, f"{nouns} without labels", left, nouns=nouns) as progress:
            done = 0
            while self.state.epoch < self.state.planned:
                self._run_epoch(loop)
                done += examples
                progress(done)

    def finish(self) -> None:
        """Writes that all is done, and drops the checkpoints: `pretrained.keras` has what came of them."""
        self.state.done = True
        self.state.save(self.run, PRETRAIN)
        self.checkpoints.tidy()
        for file in self.run.path("checkpoints").glob(f"{PRETRAIN}-*.weights.npz"):
            file.unlink(missing_ok=True)

    def _run_epoch(self, loop: Loop) -> None:
        epoch, began = self.state.epoch + 1, time.perf_counter()
        rate = loop.learning_rate
        loop.seed(self.seed, PRETRAIN, epoch)
        metrics = self._trained(loop, StreamEpoch(self.views.epoch(epoch)))
        self.state.train_seconds += time.perf_counter() - began
        if not np.isfinite(metrics["loss"]):
            raise TrainingError(
                f"The loss of the training without labels is not finite in epoch {epoch}.",
                received=metrics["loss"],
                fix="Lower pretrain.learning_rate, and resume; the latest whole epoch is kept.",
            )
        self.state.history.append({"epoch": epoch, "learning_rate": rate, **metrics})
        self.state.epoch = self.state.best_epoch = epoch
        self.checkpoints.on_epoch_end(epoch)

    def _trained(self, loop: Loop, epoch: StreamEpoch) -> dict[str, float]:
        try:
            return loop.train(epoch)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise TrainingError(
                "The training without labels does not fit into memory.",
                received=f"pretrain.batch_size={self.settings.batch_size}, {self.views.rows} examples at once",
                fix="Lower pretrain.batch_size, or data.image_size, and start again.",
            ) from error

    def _planned(self) -> int:
        """How many epochs there will be: those that fit into the limit of time, by steps that are timed and then undone."""
        if self.settings.minutes is None:
            return self.settings.epochs
        loop, dataset = self._loop(self.settings.epochs), self.views.epoch(1).repeat()
        self._trained(loop, StreamEpoch(dataset.take(1)))
        began = time.perf_counter()
        self._trained(loop, StreamEpoch(dataset.take(_TIMED)))
        seconds = (time.perf_counter() - began) / _TIMED * self.views.steps
        self.checkpoints.load_start()
        return int(np.clip(self.settings.minutes * 60 / seconds, 1, self.settings.epochs))

    def _loop(self, epochs: int) -> Loop:
        stage = _stage(self.settings, epochs=epochs)
        optimizer = make_optimizer(stage, {}, schedule_of(stage, steps_per_epoch=self.views.steps))
        loop = Loop(self.network, optimizer, batch_size=self.views.rows, task=method_of(self.settings))
        self.checkpoints.optimizer = loop.optimizer
        return loop

    def _say(self, words: str) -> None:
        if self.console is not None:
            self.console.print(f"\n[bold]pretrain[/] {words}", highlight=False)

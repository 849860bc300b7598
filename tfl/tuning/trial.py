"""One trial: the network of a recipe, trained in a run folder of its own, without anything that its score does not need.

Trials read the feature store, so that a trial pays for its trainable suffix alone. The stages before the last are trained
once for all trials that share them. A trial that was killed resumes at its latest whole epoch.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from tfl.data.bundle import Bundle
from tfl.errors import RunLockedError
from tfl.modalities.base import settled
from tfl.model.assemble import Assembled
from tfl.model.freeze import make_plan
from tfl.prepare import prepare
from tfl.recipe import Recipe, Stage
from tfl.runs import Run
from tfl.train.stage import train_stage
from tfl.tuning.folder import SearchFolder
from tfl.tuning.reset import ResettableNetwork

if TYPE_CHECKING:
    pass

Check = Callable[[Sequence[float]], None]
"""Called after each epoch with the metric of all epochs so far; raises what ends the trial."""
_WAIT_SECONDS = 0.5


class StoppedTrialError(Exception):
    """A trial was stopped before its last epoch; the message says by which rule."""


class TrialRunner:
    """What the trials of one process share: the data, and the network that is reset between trials.

    Args:
        folder: `SearchFolder` of the search.
        precision: String, the Keras dtype policy of all trials.
        between: Callable without arguments, called after each epoch of any stage. An exception that it raises ends the search.
    """

    def __init__(self, folder: SearchFolder, *, precision: str, between: Callable[[], None] = lambda: None) -> None:
        self.folder, self.precision, self.between = folder, precision, between
        self._bundles: dict[str, Bundle] = {}
        self._network: ResettableNetwork | None = None

    def keep(self, recipe: Recipe, bundle: Bundle) -> None:
        """Caches a prepared bundle; the latest two are kept."""
        self._bundles[_data_key(recipe)] = bundle
        for key in list(self._bundles)[:-2]:
            del self._bundles[key]

    def holds(self, recipe: Recipe) -> bool:
        """Whether the data of the recipe is cached."""
        return _data_key(recipe) in self._bundles

    def bundle(self, recipe: Recipe) -> Bundle:
        """The data of the recipe, ordered and augmented by its seed."""
        from rich.console import Console

        if _data_key(recipe) not in self._bundles:
            self.keep(recipe, prepare(recipe, Console(quiet=True)).bundle)
        return dataclasses.replace(self._bundles[_data_key(recipe)], seed=recipe.seed)

    def network(self, recipe: Recipe) -> Assembled:
        """The recipe's network before the first stage: the latest one, reset, if it is the same."""
        bundle = self.bundle(recipe)
        if self._network is None or not self._network.fits(recipe, bundle):
            self._network = None  # two would be in memory
            self._network = ResettableNetwork(recipe, bundle, precision=self.precision)
        return self._network.reset(recipe)

    def train(self, recipe: Recipe, place: Path, *, check: Check = lambda history: None, after: Path | None = None) -> None:
        """Trains every stage in the run folder `place`, resuming what is already there.

        Args:
            recipe: `Recipe` of the trial.
            place: Path, the run folder of the trial; created if missing.
            check: Callable that is given the metrics of the last stage after each epoch.
            after: Path, the run folder of a stopped trial of the same recipe that is continued. None to start anew.
        """
        recipe = settled(recipe)
        run = _open(place, recipe)
        with run.lock():
            if not run.path("state.json").is_file() and (earlier := after or self._start(recipe)) is not None:
                _inherit(Run(earlier), run)
            watch = _Watch(run, recipe, check, self.between)
            watch.check_what_was_done()
            self._train_stages(run, recipe, [*[_Between(self.between)] * (len(recipe.fixed_stages) - 1), watch])
            run.update_manifest(status="done")

    def _train_stages(self, run: Run, recipe: Recipe, watchers: Sequence[keras.callbacks.Callback]) -> None:
        bundle, assembled = self.bundle(recipe), self.network(recipe)
        plans = {stage.name: make_plan(assembled, stage).as_json() for stage in recipe.fixed_stages}
        run.write_json("plans.json", plans)
        weights = None
        if recipe.class_weight is not None:
            weights = bundle.task.balanced_weights(bundle.targets_of("train"))
        for stage, watch in zip(recipe.fixed_stages, watchers, strict=True):
            train_stage(run, assembled, stage, bundle, recipe=recipe, class_weights=weights, watchers=[watch])

    def _start(self, recipe: Recipe) -> Path | None:
        """A run in which all stages but the last are trained, for every trial that shares them; None where there is one stage."""
        if len(recipe.fixed_stages) == 1:
            return None
        early = dataclasses.replace(recipe, stages=recipe.fixed_stages[:-1])
        place = self.folder.path("starts", hashlib.sha256(early.to_json().encode()).hexdigest()[:16])
        run = _open(place, early)
        with self._waiting_lock(run):
            stages = run.state["stages"]
            if not all(stages.get(stage.name, {}).get("done") for stage in early.fixed_stages):
                self._train_stages(run, early, [_Between(self.between)] * len(early.fixed_stages))
                run.update_manifest(status="done")
        return place

    @contextlib.contextmanager
    def _waiting_lock(self, run: Run) -> Iterator[None]:
        """Holds the run's lock, after another worker that trains the same has let go of it."""
        with contextlib.ExitStack() as stack:
            while True:
                try:
                    stack.enter_context(run.lock())
                    break
                except RunLockedError:
                    self.between()
                    time.sleep(_WAIT_SECONDS)
            yield


class _Between(keras.callbacks.Callback):
    """Lets the search look at its clock after each epoch."""

    def __init__(self, between: Callable[[], None]) -> None:
        super().__init__()
        self.between = between

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.between()


class _Watch(_Between):
    """Checks the last stage of a trial after each epoch but the last one."""

    def __init__(self, run: Run, recipe: Recipe, check: Check, between: Callable[[], None]) -> None:
        super().__init__(between)
        self.stage, self.metric, self.check = recipe.fixed_stages[-1], recipe.monitor.metric, check
        self._state = run.stage_state(self.stage.name)
        self.history = [row[self.metric] for row in self._state.get("history", ())]

    def check_what_was_done(self) -> None:
        """Repeats the checks of the epochs before a kill, so that the trial ends as it would have ended."""
        if self.history and not self._state["done"]:
            self._ask()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.history.append((logs or {})[self.metric])
        self._ask()

    def _ask(self) -> None:
        if len(self.history) < self.stage.epochs:
            self.check(self.history)
            self.between()


def trainable_blocks(assembled: Assembled, stage: Stage) -> int:
    """The number of blocks of the backbone from the first one that a stage trains."""
    return len(assembled.blocks) - make_plan(assembled, stage).first_trainable_block


def _data_key(recipe: Recipe) -> str:
    return repr((settled(recipe).data, recipe.split_seed))


def _open(place: Path, recipe: Recipe) -> Run:
    """The run in `place`; one that was killed while it was made is made again."""
    if (place / "manifest.json").is_file():
        return Run.open(place)
    shutil.rmtree(place, ignore_errors=True)
    return Run.create(place, recipe, command=[])


def _inherit(earlier: Run, run: Run) -> None:
    """Gives a new run what another has come to. The state is written last: without it nothing was inherited."""
    for file in sorted(earlier.path("checkpoints").iterdir()):
        target = run.path("checkpoints", file.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            os.link(file, target)
        except OSError:
            shutil.copyfile(file, target)
    for name in ("history.csv", "ledger.json"):
        if earlier.path(name).is_file():
            shutil.copyfile(earlier.path(name), run.path(name))
    run.write_json("state.json", earlier.state)

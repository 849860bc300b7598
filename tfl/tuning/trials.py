"""The trials of a search, run under KerasTuner's loop: started, resumed, stopped, and their outcomes written."""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras_tuner

from tfl.errors import RunLockedError, StorageError, TflError
from tfl.fields import build
from tfl.recipe import Recipe, Search
from tfl.storage import write_json
from tfl.tuning.folder import Clock, SearchFolder, progress
from tfl.tuning.memory import Growth
from tfl.tuning.oracles import make_oracle
from tfl.tuning.precompute import precompute_features
from tfl.tuning.results import describe
from tfl.tuning.space import hyperparameters, recipe_of, values_of
from tfl.tuning.stopping import is_poor
from tfl.tuning.trial import Check, StoppedTrialError, TrialRunner

if TYPE_CHECKING:
    from rich.console import Console

EXPECTED = 20
"""Trials of a search that has no number of them."""


def search_of(recipe: Recipe) -> Search:
    """The recipe's search, or the default one."""
    return recipe.search or Search()


class Trials:
    """The trials of a search that this process runs or serves."""

    def __init__(
        self,
        folder: SearchFolder,
        recipe: Recipe,
        clock: Clock,
        *,
        console: Console,
        runner: TrialRunner | None = None,
    ) -> None:
        about = folder.about
        self.folder, self.recipe, self.console, self.search = folder, recipe, console, search_of(recipe)
        self.space = build(Search, {"space": about["space"]}, "search").space
        self.first = about["first"]
        self.clock = clock
        self.runner = runner or TrialRunner(folder, precision=about["precision"])
        self.runner.between = self.between
        self.growth = Growth()
        self._shown: set[int] = {row["number"] for row in folder.outcomes() if row["status"] != "unfinished"}

    def precompute_features(self) -> None:
        """Computes the features that trials share in one pass, within the time of the search."""
        rows, most = self.folder.outcomes(), self.search.trials or EXPECTED
        if len(rows) >= most or not self.runner.holds(self.recipe):
            return
        network, bundle = self.runner.network(self.recipe), self.runner.bundle(self.recipe)
        precompute_features(self.recipe, self.space, network, bundle, trials=most, console=self.console)

    def run(self) -> bool:
        """Runs trials, or serves the processes that do, until the budget or the space is exhausted.

        Returns:
            False where trials are left, and a new process should run them: this one has grown.
        """
        ordered = hyperparameters(self.recipe, self.space, own_first=not self.folder.about["profile"])
        oracle = make_oracle(self.recipe, self.search, ordered, first=self.first)
        keras_tuner.src.config.DEBUG = (
            False  # a failed trial's reason is in its outcome; a traceback on the terminal adds nothing
        )
        with contextlib.redirect_stdout(io.StringIO()):  # KerasTuner prints that it resumes
            tuner = Tuner(oracle, self)
        try:
            tuner.search()
        except _GrownError:
            return False
        except EndOfSearchError as end:
            if end.__cause__ is not None:
                raise end.__cause__ from None
        self.clock.tick(at_least=0.0)
        return True

    def before_trial(self) -> None:
        """Ends the search, or this process' part of it, between two trials."""
        self.between()
        if self.growth.too_far:
            raise _GrownError

    def between(self) -> None:
        """After each epoch: ends the search when its time is over; the trial stays as it stands."""
        self.clock.tick()
        if self.clock.over:
            raise EndOfSearchError

    def tick(self) -> None:
        """Writes the time, and prints the trials that have ended since the last call."""
        self.clock.tick()
        for row in self.folder.outcomes():
            if row["status"] != "unfinished" and row["number"] not in self._shown:
                self._shown.add(row["number"])
                self.console.print(describe(row, self.recipe, most=self.search.trials), highlight=False, markup=False)

    def train(self, trial: Any) -> dict[str, float]:
        """Runs one trial and returns its metric; one that has already ended is not run again.

        Raises:
            FailedTrialError: With the reason, which is also in the trial's outcome.
        """
        outcome = self.folder.outcome(trial.trial_id) or self._run(trial.trial_id, trial.hyperparameters.values)
        self.tick()
        if outcome["status"] == "failed":
            raise keras_tuner.errors.FailedTrialError(outcome["reason"])
        return {self.recipe.monitor.metric: float(outcome["value"])}

    def _run(self, trial_id: str, sampled: Mapping[str, Any]) -> dict[str, Any]:
        place = self.folder.trial(trial_id)
        values = values_of(self.space, sampled)
        begun = {"number": int(trial_id) + 1, "trial": trial_id, "values": values, "began_s": self.clock.seconds}
        if not (place / "begun.json").is_file():
            write_json(place / "begun.json", begun)
        started = time.perf_counter()
        status, reason = self._try(place / "run", values, sampled)
        outcome = {**begun, "status": status, "reason": reason, **progress(place / "run")}
        outcome |= {"seconds": time.perf_counter() - started, "ended_s": self.clock.seconds}
        write_json(place / "outcome.json", outcome)
        if self.search.algorithm != "hyperband":  # there, a later trial may continue this one
            self.folder.tidy(trial_id)
        return outcome

    def _try(self, place: Path, values: Mapping[str, Any], sampled: Mapping[str, Any]) -> tuple[str, str]:
        try:
            recipe = recipe_of(self.recipe, values)
            earlier = sampled.get("tuner/trial_id")
            after = self.folder.trial(earlier) / "run" if earlier else None
            self.runner.train(recipe, place, check=self._check(sampled, recipe.fixed_stages[-1].epochs), after=after)
        except StoppedTrialError as stop:
            return "stopped", str(stop)
        except (EndOfSearchError, KeyboardInterrupt):
            raise
        except (StorageError, RunLockedError) as error:
            raise EndOfSearchError from error
        except Exception as error:  # whatever is wrong with these values, others may do
            return "failed", str(error) if isinstance(error, TflError) else f"{type(error).__name__}: {error}"
        return "done", ""

    def _check(self, sampled: Mapping[str, Any], epochs: int) -> Check:
        higher, given = self.recipe.monitor.higher_is_better, sampled.get("tuner/epochs")

        def stop_at_the_bracket(history: Sequence[float]) -> None:
            if len(history) >= int(given or 0):
                raise StoppedTrialError(f"Hyperband gave it {given} epochs")

        def stop_if_poor(history: Sequence[float]) -> None:
            if is_poor(history, others, epochs=epochs, higher_is_better=higher):
                raise StoppedTrialError("worse than the median of the other trials")

        if given is not None:
            return stop_at_the_bracket
        others = [row["history"] for row in self.folder.outcomes() if row["status"] == "done"]
        return stop_if_poor if self.search.stop_poor else lambda history: None


class Tuner(keras_tuner.engine.base_tuner.BaseTuner):
    """KerasTuner's loop around `Trials.train`."""

    def __init__(self, oracle: keras_tuner.Oracle, trials: Trials) -> None:
        self.trials = trials
        super().__init__(oracle, directory=str(trials.folder.folder), project_name="trials")

    def run_trial(self, trial: Any, *arguments: Any, **options: Any) -> dict[str, float]:
        return self.trials.train(trial)

    def pre_create_trial(self) -> None:
        if self._is_worker():
            time.sleep(0.05)  # KerasTuner asks again at once while the oracle has nothing to do
        self.trials.before_trial()

    def save(self) -> None:
        if not self._is_worker():
            self.oracle.save()

    def reload(self) -> None:
        if not self._is_worker():
            self.oracle.reload()

    def _get_tuner_fname(self) -> str:
        """What shows that there is a search to resume: the oracle's state, whichever process wrote it."""
        return os.path.join(str(self.project_dir), "oracle.json")


class EndOfSearchError(keras_tuner.errors.FatalError):
    """Ends KerasTuner's loop without an outcome of the trial: the time is over, or an error must reach the user."""


class _GrownError(keras_tuner.errors.FatalError):
    """Ends KerasTuner's loop in this process: another one continues."""

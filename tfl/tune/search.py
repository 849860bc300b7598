"""The depth search: KerasTuner chooses the values, tfl trains them, one run folder a trial.

    prepare ─▶ trials (KerasTuner's oracle; alone, or its chief and workers) ─▶ confirm over seeds ─▶ trials.csv, best_recipe.py

Three things that KerasTuner does not do are done here: an interrupted trial goes on at its latest whole epoch, a changed space is
refused, and what a trial left in memory is freed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras_tuner

from tfl.errors import RunError, RunLockedError, StorageError, TflError, TrainingError
from tfl.fields import as_plain, build
from tfl.recipe import Choice, Recipe, Search
from tfl.storage import locked, write_json
from tfl.tune.confirm import confirm
from tfl.tune.folder import Clock, SearchFolder, fingerprint, progress, refuse_if_changed
from tfl.tune.oracles import make_oracle
from tfl.tune.prior import Profile, first_values, promising
from tfl.tune.results import describe, write_results
from tfl.tune.space import check_space, depth_path, hyperparameters, recipe_of, space_of, values_of
from tfl.tune.stopping import is_poor
from tfl.tune.trial import Bench, Check, Prepare, StoppedTrialError
from tfl.tune.workers import Role, run_workers

if TYPE_CHECKING:
    from rich.console import Console

_CHIEF_WAIT_S = 3600
_TRIES_A_SECOND = 5


def search(
    recipe: Recipe,
    *,
    out: Path | str,
    prepare: Prepare,
    resume: bool = False,
    workers: int = 1,
    profile: Callable[[Recipe], Profile] | None = None,
    console: Console | None = None,
) -> SearchFolder:
    """Searches what `recipe.search` says around the recipe, and writes the best as a recipe of its own.

    Under KerasTuner's own variables (`KERASTUNER_TUNER_ID`, `KERASTUNER_ORACLE_IP`, `KERASTUNER_ORACLE_PORT`) this process is the
    chief or one of the workers of a search on several machines that share `out`.

    Args:
        recipe: With a `search`, or without one for the built space and the default budget.
        out: The folder of the search; see `tfl.tune.folder`.
        prepare: Finds and splits a recipe's images: `tfl.run.prepare_data`.
        resume: Go on with the search in `out`: the same but for its budget.
        workers: Processes on this machine that run trials side by side.
        profile: Gives the scores of linear probes by block, for `prior="probe"`.
        console: Where progress is shown; None shows nothing.

    Returns:
        The folder: `search.json`, `trials.csv` and `best_recipe.py` are in it.

    Raises:
        RecipeError: The space names what is no field, or values that do not fit.
        RunError: The folder is taken, or is a search over something else.
        TrainingError: No trial came to a score.

    Example:

    >>> import tempfile, tfl
    >>> from tfl.run import prepare_data
    >>> recipe = tfl.Recipe(
    ...     name="digits",
    ...     data=tfl.Sample("digits", image_size=(32, 32), per_class=6),
    ...     backbone=tfl.Backbone("mini"),
    ...     stages=(tfl.Stage("head", epochs=1),),
    ...     search=tfl.Search(space={"head.dropout": tfl.Choice((0.0, 0.5))}, algorithm="grid", seeds=0),
    ... )
    >>> found = search(recipe, out=tempfile.mkdtemp(), prepare=prepare_data)
    >>> [row["values"]["head.dropout"] for row in found.outcomes()]
    [0.0, 0.5]
    """
    from rich.console import Console

    console = console or Console(quiet=True)
    folder, role = SearchFolder(out), Role.of_this_process()
    if role is Role.WORKER:
        _Trials(folder, _wait_for_chief(folder), prepare, role=role, console=console).run()
        return folder
    folder.folder.mkdir(parents=True, exist_ok=True)
    with locked(folder.folder):
        recipe = recipe if recipe.search is not None else dataclasses.replace(recipe, search=Search())
        bench = _prepare(folder, recipe, prepare, resume=resume, profile=profile, console=console)
        trials = _Trials(folder, recipe, prepare, role=role, console=console, bench=bench)
        if workers > 1 and role is Role.ALONE:
            run_workers(folder, workers, chief=trials.run, tick=trials.tick, say=console.print)
        else:
            trials.run()
        _conclude(folder, recipe, trials, console)
    return folder


def _prepare(
    folder: SearchFolder,
    recipe: Recipe,
    prepare: Prepare,
    *,
    resume: bool,
    profile: Callable[[Recipe], Profile] | None,
    console: Console,
) -> Bench:
    """Finds all that can be wrong before the first trial; makes the folder a search, or makes sure that it is this one."""
    from tfl.model.assemble import assemble
    from tfl.train.precision import choose_precision

    if folder.exists and not resume:
        raise RunError(f"{folder.folder} already holds a search.", fix="Go on with it by --resume, or name another with --out.")
    bundle, _ = prepare(recipe, console)
    names = bundle.examples.class_names
    chosen = folder.about["precision"] if folder.exists else None
    precision = chosen or choose_precision(recipe, lambda: assemble(recipe, names), console=console)
    bench = Bench(folder, prepare, precision=precision)
    bench.keep(recipe, bundle)
    assembled = bench.network(recipe)
    space = space_of(recipe, len(assembled.blocks))
    check_space(recipe, space)
    data = "".join(bundle.content_hash(part) for part in ("train", "val", "test"))
    now = fingerprint(recipe, space, data)
    search_ = _search(recipe)
    budget = {"trials": search_.trials, "minutes": search_.minutes, "seeds": search_.seeds}
    if folder.exists:
        refuse_if_changed(folder, now)
        folder.update(budget=budget, status="running")
        return bench
    found = profile(recipe) if profile is not None and search_.prior == "probe" else {}
    first = first_values(recipe, space, assembled, found, most=(search_.trials or 20) // 2)
    if found and isinstance(tried := space.get(depth_path(recipe)), Choice):
        ordered = promising(recipe, tried.values, assembled, found)
        space = {**space, depth_path(recipe): Choice((*ordered, *(value for value in tried.values if value not in ordered)))}
    about = {
        "fingerprint": now,
        "space": as_plain(space),
        "metric": recipe.monitor.metric,
        "budget": budget,
        "precision": precision,
        "blocks": [block.name for block in assembled.blocks],
        "images": {part: len(bundle.indices(part)) for part in ("train", "val")},
        "profile": dict(found),
        "first": first,
    }
    folder.begin(recipe, about)
    return bench


def _search(recipe: Recipe) -> Search:
    return recipe.search or Search()


def _wait_for_chief(folder: SearchFolder) -> Recipe:
    """The recipe of the search, as soon as the chief has written it."""
    for _ in range(_CHIEF_WAIT_S * _TRIES_A_SECOND):
        if folder.exists:
            budget = folder.about["budget"]
            return dataclasses.replace(folder.recipe, search=dataclasses.replace(_search(folder.recipe), **budget))
        time.sleep(1 / _TRIES_A_SECOND)
    raise RunError(f"The chief has begun no search in {folder.folder}.", fix="Start it with KERASTUNER_TUNER_ID=chief.")


class _Trials:
    """The trials of a search, as this process takes part in them."""

    def __init__(
        self,
        folder: SearchFolder,
        recipe: Recipe,
        prepare: Prepare,
        *,
        role: Role,
        console: Console,
        bench: Bench | None = None,
    ) -> None:
        about = folder.about
        self.folder, self.recipe, self.console, self.search = folder, recipe, console, _search(recipe)
        self.space = build(Search, {"space": about["space"]}, "search").space
        self.first = about["first"]
        self.clock = Clock(folder, self.search.minutes, writes=role is not Role.WORKER)
        self.bench = bench or Bench(folder, prepare, precision=about["precision"])
        self.bench.between = self.between
        self._shown: set[int] = {row["number"] for row in folder.outcomes() if row["status"] != "unfinished"}

    def run(self) -> None:
        """Runs trials, or serves those that do, until the budget or the space is used up."""
        ordered = hyperparameters(self.recipe, self.space, own_first=not self.folder.about["profile"])
        oracle = make_oracle(self.recipe, self.search, ordered, first=self.first)
        keras_tuner.src.config.DEBUG = (
            False  # a failed trial's reason is in its outcome; a traceback on the terminal adds nothing
        )
        with contextlib.redirect_stdout(io.StringIO()):  # where it goes on, KerasTuner says so
            tuner = _Tuner(oracle, self)
        try:
            tuner.search()
        except _EndOfSearchError as end:
            if end.__cause__ is not None:
                raise end.__cause__ from None
        self.clock.tick(at_least=0.0)

    def between(self) -> None:
        """After each epoch: ends the search when its time is over; the trial stays as it stands."""
        self.clock.tick()
        if self.clock.over:
            raise _EndOfSearchError

    def tick(self) -> None:
        """Writes the time down, and shows the trials that have ended since the last time."""
        self.clock.tick()
        for row in self.folder.outcomes():
            if row["status"] != "unfinished" and row["number"] not in self._shown:
                self._shown.add(row["number"])
                self.console.print(describe(row, self.recipe, most=self.search.trials), highlight=False, markup=False)

    def train(self, trial: Any) -> dict[str, float]:
        """One trial, to its metric. One that had ended before a kill is not run again.

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
        if self.search.algorithm != "hyperband":  # there, a later trial may go on from this one
            self.folder.tidy(trial_id)
        return outcome

    def _try(self, place: Path, values: Mapping[str, Any], sampled: Mapping[str, Any]) -> tuple[str, str]:
        try:
            recipe = recipe_of(self.recipe, values)
            earlier = sampled.get("tuner/trial_id")
            after = self.folder.trial(earlier) / "run" if earlier else None
            self.bench.train(recipe, place, check=self._check(sampled), after=after)
        except StoppedTrialError as stop:
            return "stopped", str(stop)
        except (_EndOfSearchError, KeyboardInterrupt):
            raise
        except (StorageError, RunLockedError) as error:
            raise _EndOfSearchError from error
        except Exception as error:  # whatever is wrong with these values, others may do
            return "failed", str(error) if isinstance(error, TflError) else f"{type(error).__name__}: {error}"
        return "done", ""

    def _check(self, sampled: Mapping[str, Any]) -> Check:
        higher, epochs = self.recipe.monitor.higher_is_better, sampled.get("tuner/epochs")

        def stop_at_the_bracket(history: Sequence[float]) -> None:
            if len(history) >= int(epochs or 0):
                raise StoppedTrialError(f"Hyperband gave it {epochs} epochs")

        def stop_if_poor(history: Sequence[float]) -> None:
            if is_poor(history, others, higher_is_better=higher):
                raise StoppedTrialError("worse than the median of the other trials")

        if epochs is not None:
            return stop_at_the_bracket
        others = [row["history"] for row in self.folder.outcomes() if row["status"] == "done"]
        return stop_if_poor if self.search.stop_poor else lambda history: None


class _Tuner(keras_tuner.engine.base_tuner.BaseTuner):
    """KerasTuner's loop around `_Trials.train`."""

    def __init__(self, oracle: keras_tuner.Oracle, trials: _Trials) -> None:
        self.trials = trials
        super().__init__(oracle, directory=str(trials.folder.folder), project_name="trials")

    def run_trial(self, trial: Any, *arguments: Any, **options: Any) -> dict[str, float]:
        return self.trials.train(trial)

    def pre_create_trial(self) -> None:
        if self._is_worker():
            time.sleep(0.05)  # KerasTuner asks again at once while the oracle has nothing to do
        self.trials.between()

    def save(self) -> None:
        if not self._is_worker():
            self.oracle.save()

    def reload(self) -> None:
        if not self._is_worker():
            self.oracle.reload()

    def _get_tuner_fname(self) -> str:
        """What shows that there is a search to go on with: the oracle's state, whichever process wrote it."""
        return os.path.join(str(self.project_dir), "oracle.json")


class _EndOfSearchError(keras_tuner.errors.FatalError):
    """Ends KerasTuner's loop without an end of the trial: its time is over, or its cause must reach the user."""


def _conclude(folder: SearchFolder, recipe: Recipe, trials: _Trials, console: Console) -> None:
    rows = folder.outcomes()
    if not any(row["status"] in ("done", "stopped") for row in rows):
        write_results(folder, recipe)
        folder.update(status="failed")
        reasons = list(dict.fromkeys(row["reason"] for row in rows if row["reason"]))
        raise TrainingError(
            "No trial came to a score.",
            received="; ".join(reasons[:3]) or "no time for one",
            fix=f"See {folder.path('trials.csv')}; change the space, or go on with --resume and more --minutes.",
        )
    trials.bench.between = lambda: None
    confirm(folder, recipe, trials.bench, console=console)
    if trials.search.algorithm == "hyperband" and not any(row["status"] == "unfinished" for row in rows):
        for row in rows:
            folder.tidy(row["trial"])
    write_results(folder, recipe)
    folder.update(status="done", seconds=trials.clock.seconds)

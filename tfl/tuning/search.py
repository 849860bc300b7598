"""The depth search: KerasTuner chooses the values, tfl trains them, one run folder a trial.

    prepare ─▶ trials (KerasTuner's oracle; alone, or its chief and workers) ─▶ confirm over seeds ─▶ trials.csv, best_recipe.py

Three things that KerasTuner does not do are done here: an interrupted trial resumes at its latest whole epoch, a changed space is
refused, and what a trial left in memory is freed.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tfl.errors import RecipeError, RunError, TrainingError
from tfl.fields import as_plain
from tfl.prepare import prepare
from tfl.recipe import Auto, Choice, Recipe, Search
from tfl.storage import locked
from tfl.tuning.confirm import confirm
from tfl.tuning.folder import Clock, SearchFolder, fingerprint, refuse_if_changed
from tfl.tuning.memory import start_again
from tfl.tuning.prior import Profile, first_values, promising
from tfl.tuning.results import write_results
from tfl.tuning.space import check_space, depth_path, space_of
from tfl.tuning.trial import TrialRunner
from tfl.tuning.trials import EXPECTED, Trials, search_of
from tfl.tuning.workers import Role, run_workers, serve

if TYPE_CHECKING:
    from rich.console import Console

    from tfl.data.bundle import Bundle

_CHIEF_WAIT_S = 3600
_TRIES_A_SECOND = 5


def refuse_auto(recipe: Recipe) -> None:
    """Makes sure that a recipe states its stages.

    Raises:
        RecipeError: It leaves them to `Auto`.
    """
    if isinstance(recipe.stages, Auto):
        raise RecipeError(
            "A search varies the stages of a recipe, and this recipe leaves them to `Auto`, which measures by itself.",
            received="stages=tfl.Auto(...)",
            fix="Run it with `tfl run`; to search further, tune `chosen.json` of its run folder.",
        )


def search(
    recipe: Recipe,
    *,
    out: Path | str,
    bundle: Bundle | None = None,
    resume: bool = False,
    workers: int = 1,
    profile: Callable[[Recipe, Bundle], Profile] | None = None,
    console: Console | None = None,
) -> SearchFolder:
    """Runs the search that `recipe.search` describes, and writes the best recipe.

    Under KerasTuner's own variables (`KERASTUNER_TUNER_ID`, `KERASTUNER_ORACLE_IP`, `KERASTUNER_ORACLE_PORT`) this process is the
    chief or one of the workers of a search on several machines that share `out`.

    Args:
        recipe: `Recipe`; without a `search` it is searched in the default space with the default budget.
        out: Path, the folder of the search; see `tfl.tuning.folder`.
        bundle: `Bundle`, the data of the recipe. Defaults to what `tfl.prepare.prepare` finds.
        resume: Bool, whether to resume the search in `out`; everything but its budget must be the same. Defaults to False.
        workers: Int, the number of processes on this machine that run trials. Defaults to 1.
        profile: Callable from a recipe and its data to the scores of linear probes by block, for `prior="probe"`. Defaults to
            None.
        console: rich `Console` for messages and progress. Defaults to None, which prints nothing.

    Returns:
        The folder: `search.json`, `trials.csv` and `best_recipe.py` are in it.

    Raises:
        RecipeError: The space names what is no field, or values that do not fit; or the recipe leaves its stages to `Auto`.
        RunError: The folder is taken, or is a search over something else.
        TrainingError: No trial came to a score.

    Example:

    >>> import tempfile, tfl
    >>> recipe = tfl.Recipe(
    ...     name="digits",
    ...     data=tfl.Sample("digits", image_size=(32, 32), per_class=6),
    ...     backbone=tfl.Backbone("LeNet", weights=None),
    ...     stages=(tfl.Stage("head", epochs=1),),
    ...     search=tfl.Search(space={"head.dropout": tfl.Choice((0.0, 0.5))}, algorithm="grid", seeds=0),
    ... )
    >>> found = search(recipe, out=tempfile.mkdtemp())
    >>> [row["values"]["head.dropout"] for row in found.outcomes()]
    [0.0, 0.5]
    """
    refuse_auto(recipe)
    from rich.console import Console

    console = console or Console(quiet=True)
    folder, role = SearchFolder(out), Role.of_this_process()
    if role is Role.WORKER:
        recipe = _wait_for_chief(folder)
        if not Trials(folder, recipe, Clock(folder, search_of(recipe).minutes, writes=False), console=console).run():
            start_again()
        return folder
    folder.folder.mkdir(parents=True, exist_ok=True)
    with locked(folder.folder):
        recipe = recipe if recipe.search is not None else dataclasses.replace(recipe, search=Search())
        clock = Clock(folder, search_of(recipe).minutes)
        runner = _begin(folder, recipe, bundle, resume=resume, profile=profile, console=console)
        trials = Trials(folder, recipe, clock, console=console, runner=runner)
        trials.precompute_features()
        if role is Role.CHIEF:
            serve(trials.run, trials.tick, over=lambda: trials.clock.over)
        elif workers > 1:
            console.print(f"{workers} workers; their words are in {folder.path('workers')}", highlight=False, markup=False)
            run_workers(folder, workers, chief=trials.run, tick=trials.tick)
        elif not trials.run():
            console.print("memory has grown: the trials continue in a new process", highlight=False, markup=False)
            run_workers(folder, 1, chief=trials.run, tick=trials.tick)
        _conclude(folder, recipe, trials, console)
    return folder


def _begin(
    folder: SearchFolder,
    recipe: Recipe,
    bundle: Bundle | None,
    *,
    resume: bool,
    profile: Callable[[Recipe, Bundle], Profile] | None,
    console: Console,
) -> TrialRunner:
    """Checks everything before the first trial; makes the folder a search, or checks that it is this one."""
    from tfl.model.assemble import assemble_for
    from tfl.train.precision import choose_precision

    folder.refuse_if_taken(resume=resume)
    bundle = bundle or prepare(recipe, console).bundle
    chosen = folder.about["precision"] if folder.exists else None
    precision = chosen or choose_precision(
        recipe, lambda: assemble_for(recipe, bundle), modality=bundle.modality, console=console
    )
    runner = TrialRunner(folder, precision=precision)
    runner.keep(recipe, bundle)
    assembled = runner.network(recipe)
    space = space_of(recipe, len(assembled.blocks))
    check_space(recipe, space)
    data = "".join(bundle.content_hash(part) for part in ("train", "val", "test"))
    now = fingerprint(recipe, space, data)
    search_ = search_of(recipe)
    budget = {"trials": search_.trials, "minutes": search_.minutes, "seeds": search_.seeds}
    if folder.exists:
        refuse_if_changed(folder, now)
        folder.update(budget=budget, status="running")
        return runner
    found = profile(recipe, bundle) if profile is not None and search_.prior == "probe" else {}
    first = first_values(recipe, space, assembled, found, most=(search_.trials or EXPECTED) // 2)
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
        "examples": {part: len(bundle.indices(part)) for part in ("train", "val")},
        "profile": dict(found),
        "first": first,
    }
    folder.begin(recipe, about)
    return runner


def _wait_for_chief(folder: SearchFolder) -> Recipe:
    """The recipe of the search, once the chief has written it."""
    for _ in range(_CHIEF_WAIT_S * _TRIES_A_SECOND):
        if folder.exists:
            budget = folder.about["budget"]
            return dataclasses.replace(folder.recipe, search=dataclasses.replace(search_of(folder.recipe), **budget))
        time.sleep(1 / _TRIES_A_SECOND)
    raise RunError(f"The chief has begun no search in {folder.folder}.", fix="Start it with KERASTUNER_TUNER_ID=chief.")


def _conclude(folder: SearchFolder, recipe: Recipe, trials: Trials, console: Console) -> None:
    rows = folder.outcomes()
    if not any(row["status"] in ("done", "stopped") for row in rows):
        write_results(folder, recipe)
        folder.update(status="failed")
        reasons = list(dict.fromkeys(row["reason"] for row in rows if row["reason"]))
        raise TrainingError(
            "No trial came to a score.",
            received="; ".join(reasons[:3]) or "no time for one",
            fix=f"See {folder.path('trials.csv')}; change the space, or run again with --resume and more --minutes.",
        )
    trials.runner.between = lambda: None
    confirm(folder, recipe, trials.runner, console=console)
    if trials.search.algorithm == "hyperband" and not any(row["status"] == "unfinished" for row in rows):
        for row in rows:
            folder.tidy(row["trial"])
    write_results(folder, recipe)
    folder.update(status="done", seconds=trials.clock.seconds)

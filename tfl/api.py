"""What `import tfl` offers besides recipes: the functions for notebooks and scripts.

Importing this module imports no TensorFlow; the functions do, once they have found nothing wrong with the input.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tfl.advice.advice import check_task
from tfl.embeddings.api import embed, load_vectors, similar, verify
from tfl.errors import RecipeError
from tfl.job import check_recipe, run_recipe
from tfl.language.writing import write
from tfl.measure import check_profile_folder, profile_recipe, tune_recipe, with_options, write_profile
from tfl.progress import progress_console
from tfl.quiet import load_tensorflow
from tfl.recipe import Backbone, Recipe, load_recipe, refuse_missing_paths
from tfl.runs import default_folder
from tfl.styling.api import style
from tfl.trained_run import TrainedRun
from tfl.warm_start.warm import warm

if TYPE_CHECKING:
    from tfl.advice.advise import Advised
    from tfl.advice.profile import Profile
    from tfl.studies.folder import StudyFolder
    from tfl.tuning.folder import SearchFolder

__all__ = [
    "advise",
    "embed",
    "load_run",
    "load_vectors",
    "probe",
    "run",
    "similar",
    "study",
    "style",
    "tune",
    "verify",
    "warm",
    "write",
]


def run(recipe: Recipe | Path | str, out: Path | str | None = None, *, resume: bool = False) -> TrainedRun:
    """Trains, evaluates, explains and exports what a recipe describes: `tfl run` from Python.

    Args:
        recipe: `Recipe`, or the path of a recipe file (`.py`, or the `recipe.json` of a run).
        out: Path, the run folder. Defaults to None, which creates `runs/<name>/<time>`.
        resume: Bool, whether to resume the run in `out`, which must be of the same recipe; a run is started if there is none.
            Defaults to False.

    Returns:
        The finished run: `metrics`, `history`, `report`, `predict(files)`.

    Raises:
        TflError: The recipe, the data, the weights or the folder cannot be used; or the run failed, and `resume` continues from
            there.
        KeyboardInterrupt: The cell was interrupted; everything is saved, and `resume` continues from there.

    Example:

    >>> import tempfile, tfl
    >>> recipe = tfl.Recipe(
    ...     name="digits",
    ...     data=tfl.Sample("digits", image_size=(32, 32), per_class=10),
    ...     backbone=tfl.Backbone("mini"),
    ...     stages=(tfl.Stage("head", epochs=2),),
    ...     export=(),
    ... )
    >>> run = tfl.run(recipe, tempfile.mkdtemp())
    >>> run.metrics["test"]["count"]
    20
    """
    loaded, command = _loaded(recipe), ["tfl.run", *([] if isinstance(recipe, Recipe) else [str(recipe)])]
    done = run_recipe(loaded, out=out, resume=resume, command=command, console=progress_console())
    return TrainedRun(done.folder)


def probe(recipe: Recipe | Path | str, out: Path | str | None = None) -> Profile:
    """Probes every block of a recipe's backbone on its training and validation examples: `tfl probe` from Python.

    Args:
        recipe: `Recipe`, or the path of a recipe file.
        out: Path, the folder for `probe.json` and `probe.html`. Defaults to None, which writes no files.

    Returns:
        The profile: `rows`, `best`, `advice`, `table()`.

    Raises:
        TflError: The recipe, the data, the weights, the cache or the folder cannot be used.

    Example:

    >>> import tfl
    >>> recipe = tfl.Recipe(
    ...     name="digits", data=tfl.Sample("digits", image_size=(32, 32), per_class=10), backbone=tfl.Backbone("mini")
    ... )
    >>> len(tfl.probe(recipe).rows)
    8
    """
    loaded = _loaded(recipe)
    if out is not None:
        check_profile_folder(Path(out))
    profile = profile_recipe(loaded, progress_console())
    if out is not None:
        write_profile(Path(out), loaded, profile)
    return profile


def advise(recipe: Recipe | Path | str, backbones: Sequence[Backbone | str] = (), *, minutes: float = 5.0) -> Advised:
    """Compares networks and strategies on the data of a recipe: `tfl advise` from Python.

    Args:
        recipe: `Recipe`, or the path of a recipe file. Its data, seed, monitor and class weights count.
        backbones: Sequence of `Backbone`, or of titles such as `"MobileNet alpha=0.75"`, in the order in which they are measured.
            Defaults to the network of the recipe.
        minutes: Float, the time limit. The first network is measured in any case. Defaults to 5.

    Returns:
        `advice` (`best`, `options`, `networks`, `verdicts`, `curve`) and `recipe`, the recipe that is advised.

    Raises:
        TflError: The recipe, the data, the weights or the cache cannot be used.

    Example:

    >>> import tfl
    >>> data = tfl.Sample("digits", image_size=(32, 32), per_class=12)
    >>> found = tfl.advise(tfl.Recipe(name="digits", data=data, backbone=tfl.Backbone("mini")), minutes=0)
    >>> found.advice.best.strategy
    'features'
    """
    from tfl.backbones.titles import parse_backbone
    from tfl.features.budget import check_store

    loaded = _loaded(recipe)
    check_task(loaded)
    networks = [parse_backbone(one) if isinstance(one, str) else one for one in backbones] or [loaded.backbone]
    for one in networks:
        check_recipe(dataclasses.replace(loaded, backbone=one))
    check_store()
    load_tensorflow()
    from tfl.advice.advise import advise as measured

    return measured(loaded, networks, minutes=minutes, console=progress_console())


def tune(
    recipe: Recipe | Path | str,
    out: Path | str | None = None,
    *,
    trials: int | None = None,
    minutes: float | None = None,
    workers: int = 1,
    resume: bool = False,
) -> SearchFolder:
    """Searches how many blocks to train, at which rates, with which head: `tfl tune` from Python.

    Args:
        recipe: `Recipe`, or the path of a recipe file; its `search` describes the search space.
        out: Path, the folder of the search. Defaults to None, which creates `runs/<name>/tune-<time>`.
        trials: Int, the largest number of trials. Defaults to `search.trials`.
        minutes: Float, the time budget in minutes. Defaults to `search.minutes`.
        workers: Int, the number of processes that run trials. Defaults to 1.
        resume: Bool, whether to resume the search in `out`. Defaults to False.

    Returns:
        The search: `best` (name, values and score), `best_recipe`, `outcomes()` and `folder`.

    Raises:
        TflError: The recipe, the space, the data, the weights or the folder cannot be used, or no trial came to a score.

    Example:

    >>> import tempfile, tfl
    >>> recipe = tfl.Recipe(
    ...     name="digits",
    ...     data=tfl.Sample("digits", image_size=(32, 32), per_class=6),
    ...     backbone=tfl.Backbone("mini"),
    ...     stages=(tfl.Stage("head", epochs=1),),
    ...     search=tfl.Search(space={"head.dropout": tfl.Choice((0.0, 0.5))}, algorithm="grid", seeds=0),
    ... )
    >>> found = tfl.tune(recipe, tempfile.mkdtemp())
    >>> sorted(found.best), found.best_recipe.head.dropout in (0.0, 0.5)
    (['interval', 'name', 'score', 'seeds', 'trial_score', 'values'], True)
    """
    given = {name: value for name, value in {"trials": trials, "minutes": minutes}.items() if value is not None}
    loaded = with_options(_loaded(recipe), given)
    folder = Path(out) if out is not None else default_folder(loaded.name, kind="tune")
    return tune_recipe(loaded, folder, resume=resume, workers=workers, console=progress_console())


def study(
    recipe: Recipe | Path | str | Sequence[Recipe | Path | str],
    out: Path | str | None = None,
    *,
    strategies: Sequence[str] | None = None,
    backbones: Sequence[Backbone | str] | None = None,
    blocks: Sequence[int] | None = None,
    train_per_class: Sequence[int] | None = None,
    data: Sequence[str] | None = None,
    seeds: int | None = None,
    minutes: float | None = None,
    resume: bool = False,
) -> StudyFolder:
    """Measures recipes by several networks, strategies, depths and numbers of training examples: `tfl study` from Python.

    A row of the table is a network with a strategy; `scratch`, which trains from random weights, is a row of every network. A
    column is a data set with a number of training examples. Each cell is the mean over several seeds.

    Args:
        recipe: `Recipe`, the path of a recipe file, or a sequence of these, one for each data set.
        out: Path, the folder of the study. Defaults to None, which creates `runs/<name>/study-<time>`.
        strategies: Sequence of strings, names of `tfl.strategies.STRATEGIES`, or `recipe` for the recipe's own head and stages.
            Defaults to `features`, `finetune`, `lp_ft` and `auto`.
        backbones: Sequence of `Backbone`, or of strings such as `MobileNet alpha=0.75`. Defaults to that of each recipe.
        blocks: Sequence of ints, how many of the upper blocks the last stage trains, where it fine-tunes. Defaults to what each
            strategy says.
        train_per_class: Sequence of ints, training examples of each class. Defaults to what each recipe says.
        data: Sequence of strings, sources that replace that of the only recipe, one for each column. Defaults to its own.
        seeds: Int, how many seeds each cell has, counted from the recipe's own. Defaults to 3.
        minutes: Float, after which no further cell is started. Defaults to None, which sets no limit.
        resume: Bool, whether to resume the study in `out`, with everything named here added to it. Defaults to False.

    Returns:
        The study: `table` (one dictionary for each row and column), `rows`, `columns`, `cells` (one for each seed), `report`,
        `folder`.

    Raises:
        TflError: A recipe, its data, a network or the folder cannot be used; nothing was trained.

    Example:

    >>> import tempfile, tfl
    >>> recipe = tfl.Recipe(
    ...     name="digits",
    ...     data=tfl.Sample("digits", image_size=(32, 32), per_class=6, labels=("3", "8")),
    ...     backbone=tfl.Backbone("LeNet", weights=None),
    ...     monitor=tfl.Monitor(patience=1),
    ... )
    >>> found = tfl.study(recipe, tempfile.mkdtemp(), strategies=("features",), seeds=1)
    >>> [found.rows[cell["row"]]["strategy"] for cell in found.table]
    ['scratch', 'features']
    """
    from tfl.backbones.titles import parse_backbone
    from tfl.studies.axes import sources_of
    from tfl.studies.folder import StudyFolder
    from tfl.studies.measure import axes_for, measure_study

    given = [recipe] if isinstance(recipe, Recipe | Path | str) or not isinstance(recipe, Sequence) else list(recipe)
    loaded = [(_loaded(one), "" if isinstance(one, Recipe) else str(one)) for one in given]
    sources = sources_of(loaded, data or ())
    titles = [backbones] if isinstance(backbones, Backbone | str) else backbones
    networks = None if titles is None else [parse_backbone(one) if isinstance(one, str) else one for one in titles]
    folder = Path(out) if out is not None else default_folder(sources[0].recipe.name, kind="study")
    axes = axes_for(
        StudyFolder(folder),
        resume=resume,
        sources=sources,
        strategies=strategies,
        backbones=networks,
        blocks=blocks,
        train_per_class=train_per_class,
        seeds=seeds,
    )
    return measure_study(
        axes,
        folder,
        resume=resume,
        minutes=minutes,
        console=progress_console(),
        command=["tfl.study", *(path for _, path in loaded)],
    )


def load_run(folder: Path | str) -> TrainedRun:
    """Opens the run in a folder.

    Args:
        folder: Path of a run folder that `tfl.run` or `tfl run` wrote.

    Raises:
        RunError: There is no run there, or its manifest or recipe is damaged.
    """
    return TrainedRun.open(folder)


def _loaded(recipe: Recipe | Path | str) -> Recipe:
    if isinstance(recipe, Recipe):
        return recipe
    if not isinstance(recipe, str | Path):
        raise RecipeError(
            "This is not a recipe.", received=type(recipe).__name__, allowed="a tfl.Recipe, or the path of a recipe file"
        )
    loaded = load_recipe(recipe)
    refuse_missing_paths(loaded, recipe)
    return loaded

"""What is measured of a recipe without a run of it, composed: linear probes at every block, and a search over depth and rates."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfl.advice.advice import check_task
from tfl.errors import RecipeError, RunError
from tfl.fields import as_plain
from tfl.job import audit_before_run, check_recipe, prepare_data
from tfl.modalities.base import settled
from tfl.modalities.several.modality import refuse_several
from tfl.prepare import prepare
from tfl.progress import progress_shown
from tfl.quiet import load_tensorflow
from tfl.recipe import Backbone, Recipe, Search
from tfl.storage import check_can_write, check_is_text, finite, locked, write_atomically, write_json
from tfl.tasks.heads import refuse_several_targets

if TYPE_CHECKING:
    from rich.console import Console

    from tfl.advice.profile import Profile
    from tfl.data.bundle import Bundle
    from tfl.data.examples import Examples
    from tfl.tuning.folder import SearchFolder

PROFILE, PAGE = "probe.json", "probe.html"
ADVICE, ADVICE_PAGE, ADVISED = "advice.json", "advice.html", "recipe.py"


def check_profile_folder(folder: Path) -> None:
    """Checks that a profile can be written into `folder`.

    Raises:
        RunError: It holds one.
        StorageError: It cannot be written.
    """
    check_can_write(folder, folder=True)
    if (folder / PROFILE).exists():
        raise RunError(f"{folder} already holds a profile.", fix="Name another folder with --out, or delete it.")


def profile_recipe(recipe: Recipe, console: Console) -> Profile:
    """Loads the data of a recipe and probes every block of its backbone on it.

    Args:
        recipe: `Recipe` that the probes are run for.
        console: rich `Console` for messages and progress.

    Raises:
        RecipeError: The task is another than one of several classes.
        TflError: The data, the weights or the cache cannot be used; most of it is found before TensorFlow is imported.
    """
    from tfl.features.budget import check_store

    refuse_several(recipe, "A probe of every block")
    refuse_several_targets(recipe, "A probe of every block")
    if recipe.task != "classify":
        raise RecipeError(
            "A probe finds out how well classes are told apart, and this recipe has another task.",
            received=recipe.task,
            allowed="classify",
            fix="Compare depths with `tfl tune`, which takes every task.",
        )
    check_recipe(recipe)
    check_store()
    bundle, _ = prepare_data(recipe, console)
    from tfl.advice.probe import probe_recipe

    count = len(bundle.indices("train")) + len(bundle.indices("val"))
    with progress_shown(console, bundle.modality.nouns, count) as progress:
        return probe_recipe(recipe, bundle, console=console, progress=progress)


def write_profile(folder: Path, recipe: Recipe, profile: Profile) -> dict[str, Any]:
    """Writes `probe.json` and `probe.html`; returns the document of the former."""
    from tfl.evaluate.pages.probe import write_probe_page

    document = {"recipe": as_plain(settled(recipe)), **profile.as_json()}
    folder.mkdir(parents=True, exist_ok=True)
    write_probe_page(document, folder / PAGE)
    write_json(folder / PROFILE, document)
    return document


def check_advice_folder(folder: Path) -> None:
    """Checks that advice can be written into `folder`.

    Raises:
        RunError: It holds some.
        StorageError: It cannot be written.
    """
    check_is_text(folder)
    check_can_write(folder, folder=True)
    if (folder / ADVICE).exists():
        raise RunError(f"{folder} already holds advice.", fix="Name another folder with --out, or delete it.")


def advise_on(
    recipe: Recipe,
    backbones: Sequence[Backbone],
    folder: Path,
    *,
    minutes: float,
    unlabelled: Path | None = None,
    budget: int = 50,
    labelled: Collection[str] = (),
    console: Console,
) -> dict[str, Any]:
    """Compares networks and strategies on the data of a recipe; writes `advice.json`, `advice.html` and `recipe.py`.

    Args:
        recipe: `Recipe`; its network does not count.
        backbones: Sequence of `Backbone`, the networks, in the order in which they are measured.
        folder: Path, where to write; new or empty.
        minutes: Float, the time limit.
        unlabelled: Path, a folder of files of which `budget` are chosen to be labelled next: `to_label.csv` and `label.html`.
            Defaults to None, which chooses none.
        budget: Int, how many. Defaults to 50.
        labelled: Strings, paths in that folder that are labelled already.
        console: rich `Console` for messages and progress.

    Returns:
        The contents of `advice.json`.

    Raises:
        TflError: The data, the weights, the cache or the folder cannot be used; most of it is found before TensorFlow is
            imported.
    """
    from tfl.data.source import load_source
    from tfl.features.budget import check_store

    check_advice_folder(folder)
    refuse_several(recipe, "Advice on a network and a strategy")
    refuse_several_targets(recipe, "Advice on a network and a strategy")
    check_task(recipe)
    for backbone in backbones:
        check_recipe(dataclasses.replace(recipe, backbone=backbone))
    check_store()
    load_source(recipe.data, seed=recipe.split_seed, task=recipe.task)
    load_tensorflow()
    from tfl.advice.advise import advise
    from tfl.evaluate.pages.advice import write_advice_page
    from tfl.tuning.source import recipe_source

    found = advise(recipe, backbones, minutes=minutes, console=console)
    document = {**found.advice.as_json(), "recipe": as_plain(found.recipe)}
    best = found.advice.best
    title = f"{recipe.name}, as advised: {best.title}. {best.name} was best; tfl.Auto compares again on all examples."
    source = recipe_source(found.recipe, title=title)
    folder.mkdir(parents=True, exist_ok=True)
    if unlabelled is not None:
        from tfl.labelling import choose_to_label

        rows = choose_to_label(
            found.recipe,
            unlabelled,
            folder,
            features=found.features,
            labels=found.labels,
            class_names=found.class_names,
            count=budget,
            without=frozenset(labelled),
            console=console,
        )
        document["to_label"] = [dataclasses.asdict(row) for row in rows]
    write_atomically(folder / ADVISED, source)
    write_advice_page(document, folder / ADVICE_PAGE, source=source)
    write_json(folder / ADVICE, finite(document))
    return document


def with_options(recipe: Recipe, options: Mapping[str, Any]) -> Recipe:
    """The recipe with fields of its search replaced. If only `minutes` is given, a default limit of trials is removed."""
    refuse_several_targets(recipe, "A search")
    search = recipe.search or Search()
    if "minutes" in options and "trials" not in options and search.trials == Search().trials:
        options = {**options, "trials": None}
    return dataclasses.replace(recipe, search=dataclasses.replace(search, **options))


def tune_recipe(recipe: Recipe, folder: Path, *, resume: bool, workers: int, console: Console) -> SearchFolder:
    """Runs the search of a recipe and writes its page; a worker of another chief only searches.

    Args:
        recipe: `Recipe`; without a `search` it is searched in the default space with the default budget.
        folder: Path, the folder of the search.
        resume: Bool, whether to resume the search in `folder`.
        workers: Int, the number of processes that run trials.
        console: rich `Console` for messages and progress.

    Raises:
        TflError: As of `tfl.tuning.search.search`; most of it is found before TensorFlow is imported.
    """
    from tfl.tuning.workers import Role

    is_worker = Role.of_this_process() is Role.WORKER
    examples = None if is_worker else _check_search(recipe, folder, resume=resume)
    load_tensorflow()
    bundle = None if examples is None else _audited(recipe, examples, console)
    from tfl.evaluate.pages.tuning import write_tuning_page
    from tfl.tuning.search import search

    found = search(
        recipe,
        out=folder,
        bundle=bundle,
        resume=resume,
        workers=workers,
        profile=lambda recipe, bundle: probe_scores(recipe, bundle, console),
        console=console,
    )
    if not is_worker:
        write_tuning_page(found.folder)
    return found


def _audited(recipe: Recipe, examples: Examples, console: Console) -> Bundle:
    """The data of the recipe, with what the audit finds reported."""
    prepared = prepare(recipe, console, examples=examples)
    audit_before_run(recipe, prepared, console)
    return prepared.bundle


def probe_scores(recipe: Recipe, bundle: Bundle, console: Console) -> dict[str, float]:
    """The scores of linear probes by block name: the prior of a search."""
    from tfl.advice.probe import probe_recipe

    console.print("linear probes at every block, for the order of the first trials", highlight=False, markup=False)
    profile = probe_recipe(recipe, bundle)
    return {row.block: float(getattr(row, profile.metric)) for row in profile.rows}


def _check_search(recipe: Recipe, folder: Path, *, resume: bool) -> Examples:
    """Checks a search without TensorFlow; returns the examples of the source."""
    from tfl.data.source import load_source
    from tfl.features.budget import check_store
    from tfl.tuning.folder import SearchFolder
    from tfl.tuning.space import check_trains

    refuse_several(recipe, "A search")
    refuse_several_targets(recipe, "A search")
    if any(stage.on == "others" for stage in recipe.fixed_stages):
        raise RecipeError(
            "A search trains on one author, and a stage of this recipe trains on the others first, in every trial.",
            received="a stage with on=others",
            fix="Run that stage alone, then search from its network: tfl.Backbone(RUN) and stages with on='data'.",
        )
    check_trains(recipe)
    check_is_text(folder)
    check_can_write(folder, folder=True)
    SearchFolder(folder).refuse_if_taken(resume=resume)
    if folder.exists():
        with locked(folder):
            pass
    check_recipe(recipe)
    check_store()
    return load_source(recipe.data, seed=recipe.split_seed, task=recipe.task)

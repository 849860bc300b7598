"""Measuring a study: one run for each cell, seed by seed, which share the store of features."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfl.errors import RecipeError, StorageError, TflError, WeightsNotFoundError
from tfl.job import check_recipe, run_recipe
from tfl.modalities.base import settled
from tfl.recipe import DETECT, GENERATE, Recipe
from tfl.storage import check_can_write, check_is_text, locked
from tfl.studies.axes import Axes
from tfl.studies.cells import Cell, cells_of
from tfl.studies.folder import StudyFolder
from tfl.studies.table import NOT_RUN, collect_study, is_done, read_scores
from tfl.studies.written import write_tables
from tfl.tasks.heads import refuse_several_targets
from tfl.tuning.folder import drop_weights

if TYPE_CHECKING:
    from rich.console import Console

Outcomes = dict[str, dict[str, str]]
"""By the key of a cell without a result: its `status` (`failed`, `unavailable`, `not run`) and the `reason`."""


def measure_study(
    axes: Axes,
    folder: Path | str,
    *,
    resume: bool = False,
    minutes: float | None = None,
    console: Console,
    command: Sequence[str] = (),
) -> StudyFolder:
    """Runs every cell of a study that has no result yet, and writes the table.

    Args:
        axes: `Axes`, what to measure.
        folder: Path, the folder of the study.
        resume: Bool, whether to resume the study in `folder`, whose axes `axes` contains; a study is started if there is none.
        minutes: Float, after which no further cell is started; None for no limit.
        console: rich `Console` that is told what each cell came to.
        command: How this was started, for the manifests of the runs.

    Returns:
        The folder of the study.

    Raises:
        TflError: A recipe, its data, a network or the folder cannot be used; nothing was trained.
        StorageError: The disk is full or cannot be written; what was done is kept.
        KeyboardInterrupt: The study was interrupted; the table has what was done, and `resume` continues from there.
    """
    began = time.monotonic()
    study = StudyFolder(folder)
    check_is_text(study.folder)
    check_can_write(study.folder, folder=True)
    study.refuse_if_taken(resume=resume)
    for source in axes.sources:
        refuse_several_targets(source.recipe, "A study")
        if source.recipe.task in (DETECT, GENERATE):
            raise RecipeError(
                "A study compares classes, labels and numbers, example by example, and this recipe predicts something else.",
                received=f"{source.recipe.name}, task={source.recipe.task}",
                fix="Compare two runs with `tfl compare`, and depths with `tfl tune`.",
            )
    cells = cells_of(axes)
    outcomes = _check(axes, cells)
    with locked(study.folder):
        study.update(status="running", axes=axes.as_plain())
        clock = study.document.get("seconds", 0.0)
        status = "interrupted"
        try:
            for at, cell in enumerate(cells):
                late = minutes is not None and time.monotonic() - began >= 60 * minutes
                tell = _teller(console, f"{at + 1}/{len(cells)} {cell.title}")
                _measure(study, cell, cells, outcomes, tell, command=command, late=late)
            left = any(outcome["status"] == NOT_RUN for outcome in outcomes.values())
            status = "unfinished" if left else "done"
        finally:
            results = collect_study(study, axes, _with_reasons(cells, study, outcomes, status))
            study.update(status=status, minutes=minutes, seconds=clock + time.monotonic() - began, **results)
            write_tables(study)
    return study


def _check(axes: Axes, cells: Sequence[Cell]) -> Outcomes:
    """Finds what is wrong with the input before anything is trained; the cells of networks without weights are `unavailable`."""
    from tfl.data.source import load_source

    outcomes: Outcomes = {}
    checked: dict[str, str] = {}
    for cell in cells:
        network = _weights_needed(cell.recipe)
        if network not in checked:
            checked[network] = _missing_weights(cell.recipe)
        if checked[network]:
            outcomes[cell.key] = {"status": "unavailable", "reason": checked[network]}
    for source in axes.sources:
        load_source(source.recipe.data, seed=source.recipe.split_seed, task=source.recipe.task)
    return outcomes


def _weights_needed(recipe: Recipe) -> str:
    """Which weights a recipe begins with, with or without the classifier of its network."""
    return f"{recipe.backbone!r} {recipe.needs_classifier}"


def _missing_weights(recipe: Recipe) -> str:
    """Why there are no weights for the network of a recipe; empty if there are, or Keras may still fetch them.

    Raises:
        TflError: Anything else about the recipe or its network is wrong.
    """
    try:
        check_recipe(settled(recipe))
    except WeightsNotFoundError as error:
        return str(error)
    return ""


def _measure(
    study: StudyFolder,
    cell: Cell,
    cells: Sequence[Cell],
    outcomes: Outcomes,
    tell: Callable[[str], None],
    *,
    command: Sequence[str],
    late: bool,
) -> None:
    """Runs a cell that is to be run, and notes why one that has no result has none."""
    if is_done(study.run(cell.key)):
        drop_weights(study.run(cell.key).folder)  # where the process was killed before it did that
        return
    if outcomes.get(cell.key, {}).get("status") == "unavailable":
        return
    if late:
        outcomes[cell.key] = {"status": NOT_RUN, "reason": "the time was over"}
        return
    began = time.monotonic()
    try:
        score = _run(study, cell, command)
    except StorageError:
        raise
    except WeightsNotFoundError as error:
        for other in cells:  # none of them is fetched again in vain
            if _weights_needed(other.recipe) == _weights_needed(cell.recipe) and not is_done(study.run(other.key)):
                outcomes[other.key] = {"status": "unavailable", "reason": str(error)}
    except TflError as error:
        outcomes[cell.key] = {"status": "failed", "reason": str(error)}
    except Exception as error:
        if not isinstance(error, MemoryError) and type(error).__name__ != "ResourceExhaustedError":
            raise
        outcomes[cell.key] = {"status": "failed", "reason": "memory ran out"}
    else:
        outcomes.pop(cell.key, None)
        tell(f"{score:.4f} in {time.monotonic() - began:.1f} s")
        return
    tell(f"{outcomes[cell.key]['status']}: {outcomes[cell.key]['reason']}")


def _run(study: StudyFolder, cell: Cell, command: Sequence[str]) -> float:
    """Runs a cell, or resumes it, and removes what only its training needed; returns its score."""
    from rich.console import Console

    from tfl.quiet import load_tensorflow

    load_tensorflow()
    import keras

    from tfl.tuning.memory import give_back

    run = study.run(cell.key)
    keras.backend.clear_session()  # frees what the cell before left in Keras
    quiet = Console(quiet=True)
    run_recipe(cell.recipe, out=run.folder, resume=True, report=False, command=list(command), console=quiet)
    score = read_scores(run).mean
    drop_weights(run.folder)
    give_back()
    return score


def _teller(console: Console, title: str) -> Callable[[str], None]:
    return lambda words: console.print(f"{title}: {words}", highlight=False, markup=False, soft_wrap=True)


def _with_reasons(cells: Sequence[Cell], study: StudyFolder, outcomes: Outcomes, status: str) -> Outcomes:
    """The outcomes, with a reason for each cell that was not come to."""
    reason = f"the study was {status}" if status == "interrupted" else ""
    left = {cell.key: {"status": NOT_RUN, "reason": reason} for cell in cells if cell.key not in outcomes}
    return {**left, **outcomes}


def axes_for(folder: StudyFolder, *, resume: bool, sources: Sequence[Any] = (), **asked: Sequence[Any] | int | None) -> Axes:
    """The axes of a new study, or those of the study in `folder` with what is asked for now added to them.

    Args:
        folder: `StudyFolder`.
        resume: Bool, whether the study in `folder` is resumed.
        sources: Sequence of `Source`; may be empty where a study is resumed.
        **asked: Further fields of `Axes`; None for one that was not asked for.

    Raises:
        RecipeError: A value is not allowed, there is no recipe, or a column was measured with another one.
        RunError: The study in `folder` is damaged.
    """
    given = {name: value if name == "seeds" else _once(value) for name, value in asked.items() if value is not None}
    if resume and folder.exists:
        return folder.axes.with_more(sources=tuple(sources), **given)
    if not sources:
        raise RecipeError("A study needs a recipe.", allowed="one recipe or more", fix="Name a recipe file: tfl study RECIPE")
    return Axes(sources=tuple(sources), **given)  # type: ignore[arg-type]


def _once(values: Any) -> tuple[Any, ...]:
    """One value or several as a tuple in which none is twice."""
    several = values if isinstance(values, Sequence) and not isinstance(values, str) else [values]
    found: list[Any] = []
    for value in several:
        if value not in found:
            found.append(value)
    return tuple(found)

"""The folder of a search. Reads and writes files only: no TensorFlow, no KerasTuner.

search.json    what is searched, and the fingerprint a resumed search must have    recipe.json   the recipe it began from
trials/        KerasTuner's project: oracle.json, and a folder a trial with its outcome and its run
starts/        the stages before the last, trained once for all trials that share them
confirm/       the best recipes again, seed by seed                                clock.json    seconds spent so far
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from tfl.errors import RunError
from tfl.fields import as_plain
from tfl.page import Page
from tfl.recipe import Recipe, load_recipe
from tfl.runs import Run
from tfl.storage import storage_errors, write_atomically, write_json

FORMAT = 1
Status = Literal["done", "stopped", "failed", "unfinished"]
_BUDGET = ("trials", "minutes", "seeds")
"""What of a search may change when it is resumed."""


class SearchFolder:
    """The folder of one search.

    Args:
        folder: Path of the folder.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def __repr__(self) -> str:
        return f"SearchFolder({str(self.folder)!r})"

    def path(self, *parts: str) -> Path:
        """The path of a file in the folder."""
        return self.folder.joinpath(*parts)

    @property
    def exists(self) -> bool:
        """Whether there is a search in the folder."""
        return self.path("search.json").is_file()

    @property
    def about(self) -> dict[str, Any]:
        """The contents of `search.json`.

        Raises:
            RunError: There is no search there, or it is damaged or of another version.
        """
        file = self.path("search.json")
        if not file.is_file():
            raise RunError(f"{self.folder} holds no search: it has no search.json.", fix="One is made by: tfl tune RECIPE")
        document = read_document(file)
        if document.get("format") != FORMAT:
            raise RunError(f"{file} was written by another version of tfl.", received=document.get("format"), allowed=[FORMAT])
        return document

    @property
    def recipe(self) -> Recipe:
        """The recipe before the search."""
        return Recipe.from_json(self.path("recipe.json").read_text(encoding="utf-8"))

    def refuse_if_taken(self, *, resume: bool) -> None:
        """Checks that a search can be started or resumed in the folder.

        Raises:
            RunError: It holds a search that is not to be resumed, or something else.
        """
        if not self.exists:
            Run.refuse_if_taken(self.folder)
        elif not resume:
            raise RunError(f"{self.folder} already holds a search.", fix="Resume it with --resume, or name another with --out.")

    @property
    def best(self) -> dict[str, Any] | None:
        """The best: `name`, `values` by path, `score`, `interval`, `seeds`, `trial_score`; None while no trial has a score."""
        best: dict[str, Any] | None = self.about.get("best")
        return best

    @property
    def best_recipe(self) -> Recipe:
        """The best recipe of the search: that of `best_recipe.py`.

        Raises:
            RecipeError: The search has none yet.
        """
        return load_recipe(self.path("best_recipe.py"))

    @property
    def report(self) -> Page:
        """The page of the search, `tune.html`, which a notebook shows in place."""
        return Page(self.path("tune.html"))

    def begin(self, recipe: Recipe, about: Mapping[str, Any]) -> None:
        """Writes what is searched; from then on the folder is a search.

        Raises:
            RunError: The folder is taken.
        """
        self.refuse_if_taken(resume=False)
        write_atomically(self.path("recipe.json"), recipe.to_json())
        write_json(self.path("search.json"), {"format": FORMAT, "status": "running", **about})

    def update(self, **fields: Any) -> None:
        """Replaces top-level fields of `search.json`."""
        write_json(self.path("search.json"), {**self.about, **fields})

    def trial(self, trial_id: str) -> Path:
        """The folder of a trial."""
        return self.path("trials", f"trial_{trial_id}")

    def outcome(self, trial_id: str) -> dict[str, Any] | None:
        """The outcome of a trial; None if it has not ended."""
        file = self.trial(trial_id) / "outcome.json"
        return read_document(file) if file.is_file() else None

    def outcomes(self) -> list[dict[str, Any]]:
        """The outcomes of all trials by number; a trial that has started and not ended is `unfinished`."""
        found = [row for place in self.path("trials").glob("trial_*") if (row := _row(place)) is not None]
        return sorted(found, key=lambda row: row["number"])

    def tidy(self, trial_id: str) -> None:
        """Removes the weights of a trial that has ended; its recipe, history and logs stay."""
        drop_weights(self.trial(trial_id) / "run")


class Clock:
    """The seconds that a search has taken, over all resumptions. One process of a search writes them; the others read.

    Args:
        folder: `SearchFolder` of the search.
        minutes: Float, the time budget in minutes. None for no limit.
        writes: Bool, whether this process is the one that writes. Defaults to True.
    """

    def __init__(self, folder: SearchFolder, minutes: float | None, *, writes: bool = True) -> None:
        self.file, self.minutes, self.writes = folder.path("clock.json"), minutes, writes
        self._before = read_document(self.file)["seconds"] if self.file.is_file() else 0.0
        self._began = self._written = time.monotonic()

    @property
    def seconds(self) -> float:
        """Float, the seconds spent so far."""
        return float(self._before + time.monotonic() - self._began)

    @property
    def over(self) -> bool:
        """Whether the budget is used up."""
        return self.minutes is not None and self.seconds >= 60 * self.minutes

    def tick(self, *, at_least: float = 1.0) -> None:
        """Writes the seconds to disk, if the last time was at least `at_least` seconds ago."""
        if self.writes and time.monotonic() - self._written >= at_least:
            write_json(self.file, {"seconds": self.seconds})
            self._written = time.monotonic()


def fingerprint(recipe: Recipe, space: Mapping[str, Any], data: str) -> dict[str, str]:
    """A hash of each thing that decides what a trial's score means: recipe, space, search, data. Budgets are in none of them."""
    plain = as_plain(recipe)
    search = plain.pop("search") or {}
    searched = {key: value for key, value in search.items() if key not in (*_BUDGET, "space")}
    parts = {"recipe": plain, "space": as_plain(space), "search": searched, "data": data}
    return {name: hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest() for name, part in parts.items()}


def refuse_if_changed(folder: SearchFolder, now: Mapping[str, str]) -> None:
    """Checks that a search is resumed as it was started: KerasTuner itself would silently continue in the old space.

    Raises:
        RunError: The recipe, the space, the algorithm or the data are others; the message says which.
    """
    before = folder.about["fingerprint"]
    changed = [name for name in now if before.get(name) != now[name]]
    if changed:
        raise RunError(
            f"{folder.folder} is a search over something else: another {' and another '.join(changed)}.",
            allowed="the same with more trials, minutes or seeds",
            fix=f"Resume it by its own recipe, {folder.path('recipe.json')}, or start a new search in another folder.",
        )


def read_document(file: Path) -> dict[str, Any]:
    """A JSON object on disk.

    Raises:
        RunError: It is damaged.
    """
    try:
        with storage_errors(file, doing="read"):
            document = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{file} is damaged: {error}.", fix="Search again in another folder.") from error
    return dict(document)


def drop_weights(run_folder: Path) -> None:
    """Removes the checkpoints of a run of which only the score is needed."""
    for file in sorted(_files(run_folder / "checkpoints")):
        file.unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[Path]:
    return (file for file in folder.iterdir() if file.is_file()) if folder.is_dir() else iter(())


def _row(place: Path) -> dict[str, Any] | None:
    if (place / "outcome.json").is_file():
        return read_document(place / "outcome.json")
    if not (place / "begun.json").is_file():
        return None
    begun = read_document(place / "begun.json")
    return {**begun, "status": "unfinished", "reason": "the search ended before the trial did", **progress(place / "run")}


def progress(run_folder: Path) -> dict[str, Any]:
    """The progress of a trial's run: `value`, `epochs`, `best_epoch`, `history` (the metric after each epoch), seconds.

    All of the last stage, which the trials differ in.
    """
    nothing: dict[str, Any] = dict.fromkeys(("depth", "value", "best_epoch"))
    nothing |= {"epochs": 0, "history": [], "train_seconds": 0.0, "feature_seconds": 0.0}
    if not (run_folder / "recipe.json").is_file() or not (run_folder / "state.json").is_file():
        return nothing
    run = Run(run_folder)
    recipe, stages = run.recipe, run.state["stages"]
    last = stages.get(recipe.fixed_stages[-1].name)
    if last is None or last.get("best_value") is None:
        return nothing
    depth = None
    if (run_folder / "plans.json").is_file():
        plan = run.read_json("plans.json")[recipe.fixed_stages[-1].name]
        depth = len(plan["rows"]) - 1 - plan.get("first_trainable_block", plan.get("first_live_block"))
    return {
        "depth": depth,
        "value": last["best_value"],
        "epochs": last["epoch"],
        "best_epoch": last["best_epoch"],
        "history": [row[recipe.monitor.metric] for row in last["history"]],
        "train_seconds": last["train_seconds"],
        "feature_seconds": last["feature_seconds"],
    }

"""The run folder: one execution, with everything needed to resume, repeat, report and export it. Standard library only.

manifest.json   what ran, where, by which versions, and how it ended    recipe.json   what was asked, every default
chosen.json     the same with what `Auto` chose                      auto.json     what it tried, with the evidence
matching.json   which layers took over weights of a file, and why the others did not
state.json      where to resume from                                  .lock         held while a process writes
extra.json      how many examples of `extra_data` train, and on what evidence; extra.csv lists those that do
pretrain.json   what the backbone learned without labels, and whether the stages begin from it; pretrained.keras is it
zero_shot.json  how classes that were not trained on are named by their attributes; zero_shot.npz has the weights of that
adapt.json      how the network was adapted to `target_data`, and what else was tried; adapt.npz has the weights that changed
style.json      what a language model writes before and after it learned from an author, and how like the author that is
tokenizer/      the files of its tokenizer, where it began as a KerasHub preset
mapping.json    which classes of the source stand for which of the data, where its own classifier answers
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self

from tfl.errors import RecipeError, RunError
from tfl.manifest import FORMAT, first_manifest
from tfl.recipe import GENERATE, Recipe
from tfl.storage import locked, storage_errors, write_atomically, write_json

Status = Literal["running", "done", "failed", "interrupted"]
_STATUSES = ("running", "done", "failed", "interrupted")
_CHOICES = ("unstored", "engine", "jit_compile", "parts", "planned")
"""What a stage measures and then chooses, as `state.json` calls it."""
CHOSEN, AUTO, AUTO_ARRAYS = "chosen.json", "auto.json", "auto.npz"
"""The recipe with the head and the stages that `Auto` chose; what it tried; and its logits of the validation examples."""
MATCHING = "matching.json"
"""What the network took over from a weights file, layer by layer."""
MAPPING = "mapping.json"
"""Which classes of the source stand for which classes of the data, where the head is the classifier of the source."""
STYLE, STYLE_START = "style.json", "style_start.json"
"""How a language model writes before and after it learned from an author; and what was kept of it before."""
EXTRA = "extra.json"
"""Whether examples of `extra_data` train, which, and what was compared."""
PRETRAINED, PRETRAINED_FILE = "pretrain.json", "pretrained.keras"
"""What `Recipe.pretrain` came to, and the backbone that came of it."""
ZERO_SHOT, ZERO_SHOT_ARRAYS = "zero_shot.json", "zero_shot.npz"
"""What names classes by their attributes."""
ADAPT, ADAPT_ARRAYS = "adapt.json", "adapt.npz"
"""What was tried to adapt the network to `target_data`, and the weights that the choice changes."""
VALIDATION = "validation_logits"
"""What the arrays of `AUTO_ARRAYS` and `ADAPT_ARRAYS` call the logits of the validation examples."""
_NEEDED = ("format", "status", "seed", "created")
_POLICIES = ("float32", "mixed_bfloat16", "mixed_float16")
_KINDS = {"status": str, "data": dict, "weights": dict}


@functools.lru_cache(maxsize=8)
def _recipe_of(text: str) -> Recipe:
    """A run asks for its recipe many times, and checking every field of one takes a while."""
    return Recipe.from_json(text)


def default_folder(recipe_name: str, *, kind: str | None = None) -> Path:
    """`runs/<recipe>/<YYYYmmdd-HHMMSS>`, with a number behind it where that second is taken, and the kind before it where it is
    no run: `probe`, `tune` or `audit`."""
    name = datetime.now().strftime("%Y%m%d-%H%M%S")
    base = Path("runs") / recipe_name / (f"{kind}-{name}" if kind else name)
    folder, number = base, 2
    while folder.exists():
        folder = base.with_name(f"{base.name}-{number}")
        number += 1
    return folder


class Run:
    """One run folder, opened by `Run.open` or made by `Run.create`.

    Every file in it appears whole or not at all. Hold `run.lock()` while writing: two processes cannot share a folder.

    Example:

    >>> import tempfile, tfl
    >>> recipe = tfl.Recipe(name="leaves", data=tfl.Sample("strawberry"), backbone=tfl.Backbone("mini"))
    >>> folder = tempfile.mkdtemp()
    >>> run = Run.create(folder, recipe, command=["tfl", "run", "leaves.py"])
    >>> run.update_manifest(status="done")
    >>> Run.open(folder).manifest["status"], Run.open(folder).recipe == recipe
    ('done', True)
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    @classmethod
    def create(cls, folder: Path | str, recipe: Recipe, *, command: list[str]) -> Run:
        """Creates the run folder of `recipe`, with its recipe and its manifest; the status is `running`.

        Raises:
            RunError: The folder is not empty, or is a file.
            RunLockedError: Another process is writing it.
            StorageError: It cannot be written; nothing of it is left behind.
        """
        run = cls(folder)
        cls.refuse_if_taken(folder)
        existed = run.folder.exists()
        try:
            with run.lock():
                cls.refuse_if_taken(folder)
                run._write_first_files(recipe, command)
        except OSError:
            run._sweep(remove_folder=not existed)
            raise
        return run

    @staticmethod
    def refuse_if_taken(folder: Path | str) -> None:
        """Checks that `folder` can become a run: it is new, or empty.

        Raises:
            RunError: It is not.
        """
        place = Path(folder)
        if not place.exists():
            return
        if not place.is_dir():
            raise RunError(f"{place} is a file.", allowed="a new or empty folder", fix="Name another folder with --out.")
        with storage_errors(place, doing="read"):
            held = sorted(entry.name for entry in place.iterdir() if entry.name != ".lock")
        if "manifest.json" in held:
            raise RunError(
                f"{place} already holds a run.",
                fix=f"Name another folder with --out, or resume it: tfl run {place / 'recipe.json'} --out {place} --resume",
            )
        if held:
            more = f" and {len(held) - 3} more" if len(held) > 3 else ""
            raise RunError(
                f"{place} is not empty.",
                received=", ".join(held[:3]) + more,
                allowed="a new or empty folder",
                fix="Name another folder with --out.",
            )

    @classmethod
    def open(cls, folder: Path | str) -> Self:
        """Opens the run in `folder`.

        Raises:
            RunError: There is no run there, or its manifest or recipe is damaged.
        """
        run = cls(folder)
        if not run.path("manifest.json").is_file():
            raise RunError(
                f"{run.folder} is not a run folder: it has no manifest.json.", fix="A run is made by: tfl run RECIPE --out FOLDER"
            )
        manifest = run.manifest
        if manifest["format"] != FORMAT:
            raise RunError(
                f"{run.folder} was written by another version of tfl.", received=f"format {manifest['format']}", allowed=[FORMAT]
            )
        run.asked, run.recipe  # noqa: B018  (a damaged recipe is found here, not in the middle of something)
        return run

    def path(self, *parts: str) -> Path:
        """The path of a file in the folder."""
        return self.folder.joinpath(*parts)

    @property
    def recipe(self) -> Recipe:
        """The recipe that the run trains by, with every default written out: the one it was started with, `asked`, or what that
        left to `Auto` with the head and the stages that were chosen."""
        file = self.path(CHOSEN)
        return self._recipe_in(file) if file.is_file() else self.asked

    @property
    def asked(self) -> Recipe:
        """The recipe that the run was started with, with every default written out."""
        return self._recipe_in(self.path("recipe.json"))

    def _recipe_in(self, file: Path) -> Recipe:
        if not file.is_file():
            raise RunError(f"{file} is missing.", fix="The run cannot be used without it: run the recipe again.")
        try:
            return _recipe_of(file.read_text(encoding="utf-8"))
        except (RecipeError, UnicodeDecodeError) as error:
            raise RunError(f"{file} cannot be read: {error}", fix="Run the recipe again.") from error

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest as it is on disk."""
        document = self.read_json("manifest.json")
        missing = [key for key in _NEEDED if key not in document]
        if missing:
            raise RunError(f"{self.path('manifest.json')} is not a run's manifest: it lacks {', '.join(missing)}.")
        if document.get("precision") not in (None, *_POLICIES):
            raise self._damaged("manifest.json", f"precision is {document['precision']!r:.100}", ", ".join(_POLICIES))
        for key, kind in _KINDS.items():
            if not isinstance(document.get(key, kind()), kind):
                raise self._damaged("manifest.json", f"{key} is {document[key]!r:.100}", f"{kind.__name__} as `{key}`")
        return document

    def update_manifest(self, **fields: Any) -> None:
        """Replaces top-level fields of the manifest; a dictionary given for one that is a dictionary is merged into it.

        Raises:
            RunError: `status` is not one of running, done, failed, interrupted.
        """
        if "status" in fields and fields["status"] not in _STATUSES:
            raise RunError("This is not a run's status.", received=fields["status"], allowed=_STATUSES)
        document = self.manifest
        for key, value in fields.items():
            both = isinstance(value, dict) and isinstance(document.get(key), dict)
            document[key] = {**document[key], **value} if both else value
        self.write_json("manifest.json", document)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes in the order of the network's outputs.

        Raises:
            RunError: The run ended before its data was read.
        """
        names = self.manifest.get("data", {}).get("class_names")
        if not names:
            raise RunError(f"{self.folder} does not know its classes yet: it ended before its data was read.")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
            raise self._damaged("manifest.json", f"class_names is {names!r:.100}", "a list of different names")
        return tuple(names)

    @property
    def model_file(self) -> Path:
        """The trained network, `model.keras`.

        Raises:
            RunError: The run has none: it did not come to its end.
        """
        file = self.path("model.keras")
        if not file.is_file():
            raise RunError(
                f"{self.folder} has no model.keras.",
                received=f"a run with status {self.manifest['status']!r}",
                fix=f"Finish it first: tfl run {self.path('recipe.json')} --out {self.folder} --resume",
            )
        return file

    def refuse_language_model(self, what: str) -> None:
        """Raises where the run is of a language model, which answers by writing.

        Args:
            what: What was to be done, as the subject of a sentence.

        Raises:
            RunError: It is.
        """
        if self.recipe.task == GENERATE:
            raise RunError(
                f"{what} is not there for a language model.",
                received=str(self.folder),
                fix=f'Let it write: tfl write {self.folder} "Once". A Keras file that gives the logits of the next token comes '
                f"with: tfl export {self.folder} --format keras",
            )

    @property
    def state(self) -> dict[str, Any]:
        """Where to resume from: `{"stages": {name: {"done": bool, ...}}}`; empty stages for a run that just began."""
        if not self.path("state.json").is_file():
            return {"stages": {}}
        document = self.read_json("state.json")
        stages = document.get("stages")
        if not isinstance(stages, dict) or not all(isinstance(stage, dict) for stage in stages.values()):
            raise self._damaged("state.json", f"stages is {stages!r:.100}", "an object for each stage")
        return document

    def stage_state(self, name: str) -> dict[str, Any]:
        """The state of one stage from `state.json`; `{"done": False}` for one that has not started."""
        return dict(self.state["stages"].get(name, {"done": False}))

    def update_stage_state(self, name: str, document: dict[str, Any]) -> None:
        """Replaces the state of one stage in `state.json`."""
        state = self.state
        state["stages"][name] = document
        self.write_json("state.json", state)

    def repeat_choices_of(self, other: Run) -> None:
        """Takes over what another run measured and chose, stage by stage, instead of measuring again."""
        stages = {name: {key: state[key] for key in _CHOICES if key in state} for name, state in other.state["stages"].items()}
        self.update_manifest(repeats={"run": str(other.folder), "stages": stages})

    def repeated_choices(self, stage_name: str) -> dict[str, Any]:
        """The choices that a stage takes over from the run that this one repeats; empty if it repeats none."""
        return dict((self.manifest.get("repeats") or {}).get("stages", {}).get(stage_name, {}))

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the lock of the folder for the block; the lock of a dead process is released by the kernel.

        Raises:
            RunLockedError: Another living process holds it.
        """
        with locked(self.folder):
            yield

    def write_json(self, name: str, document: object) -> Path:
        """Writes a JSON file of the run, atomically."""
        return write_json(self.path(name), document)

    def read_json(self, name: str) -> dict[str, Any]:
        """Reads a JSON file of the run.

        Raises:
            RunError: It is missing, or is not a JSON object.
        """
        file = self.path(name)
        try:
            with storage_errors(file, doing="read"):
                document = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise RunError(
                f"{file} is missing.", fix="The run may have ended before it was written: tfl run … --resume"
            ) from error
        except (ValueError, RecursionError) as error:
            raise RunError(f"{file} is damaged: {error}.", fix="Run the recipe again in another folder.") from error
        if not isinstance(document, dict):
            raise RunError(f"{file} is damaged.", received=type(document).__name__, allowed="a JSON object")
        return document

    def _damaged(self, name: str, received: str, allowed: str) -> RunError:
        fix = "Put the file back as it was, or run the recipe again in another folder."
        return RunError(f"{self.path(name)} is damaged.", received=received, allowed=allowed, fix=fix)

    def _write_first_files(self, recipe: Recipe, command: list[str]) -> None:
        write_atomically(self.path("recipe.json"), recipe.to_json())
        self.write_json("manifest.json", first_manifest(recipe, command))

    def _sweep(self, *, remove_folder: bool) -> None:
        with contextlib.suppress(OSError):
            for name in ("recipe.json", "manifest.json", ".lock"):
                self.path(name).unlink(missing_ok=True)
            if remove_folder:
                self.folder.rmdir()

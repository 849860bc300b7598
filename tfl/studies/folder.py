"""The folder of a study. Reads and writes files only: no TensorFlow.

study.json    what is measured and what came of it    cells/KEY/    the run of a cell, without report and model
study.csv     one row for each cell and seed          study.md, study.tex, study.html    the table
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfl.errors import RecipeError, RunError
from tfl.page import Page
from tfl.runs import Run
from tfl.storage import write_json
from tfl.studies.axes import Axes
from tfl.tuning.folder import read_document

FORMAT = 1
NAME = "study.json"


class StudyFolder:
    """The folder of one study. `tfl.study` returns one.

    Args:
        folder: Path of the folder.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def __repr__(self) -> str:
        return f"StudyFolder({str(self.folder)!r})"

    def __str__(self) -> str:
        """The table as Markdown, once the study has come to its end or was interrupted."""
        file = self.path("study.md")
        return file.read_text(encoding="utf-8") if file.is_file() else repr(self)

    def path(self, *parts: str) -> Path:
        """The path of a file in the folder."""
        return self.folder.joinpath(*parts)

    def run(self, key: str) -> Run:
        """The run of a cell, by its key."""
        return Run(self.path("cells", key))

    @property
    def exists(self) -> bool:
        """Whether there is a study in the folder."""
        return self.path(NAME).is_file()

    @property
    def document(self) -> dict[str, Any]:
        """The contents of `study.json`.

        Raises:
            RunError: There is no study there, or it is damaged or of another version.
        """
        file = self.path(NAME)
        if not file.is_file():
            raise RunError(f"{self.folder} holds no study: it has no {NAME}.", fix="One is made by: tfl study RECIPE")
        document = read_document(file)
        if document.get("format") != FORMAT:
            raise RunError(f"{file} was written by another version of tfl.", received=document.get("format"), allowed=[FORMAT])
        return document

    @property
    def axes(self) -> Axes:
        """What is measured.

        Raises:
            RunError: There is no study there, or it is damaged or of another version.
        """
        try:
            return Axes.from_plain(self.document["axes"])
        except (KeyError, TypeError, RecipeError) as error:
            raise RunError(f"{self.path(NAME)} is damaged: {error}", fix="Start a new study in another folder.") from error

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of the table: `title`, `network`, `strategy`, `blocks`."""
        return list(self.document.get("rows", ()))

    @property
    def columns(self) -> list[dict[str, Any]]:
        """The columns of the table: `title`, `data`, `train_per_class`, `task`, `metric`, `test_examples` and more."""
        return list(self.document.get("columns", ()))

    @property
    def table(self) -> list[dict[str, Any]]:
        """The cells of the table, one dictionary each: `row`, `column`, `status`, `mean`, `interval`, `seeds`, `mark`, times."""
        return list(self.document.get("table", ()))

    @property
    def cells(self) -> list[dict[str, Any]]:
        """The runs, one dictionary for each cell and seed: `row`, `column`, `seed`, `status`, `score`, times, `run`."""
        return list(self.document.get("cells", ()))

    @property
    def report(self) -> Page:
        """The page of the study, `study.html`, which a notebook shows in place."""
        return Page(self.path("study.html"))

    def refuse_if_taken(self, *, resume: bool) -> None:
        """Checks that a study can be started or resumed in the folder.

        Raises:
            RunError: It holds a study that is not to be resumed, or something else.
        """
        if not self.exists:
            Run.refuse_if_taken(self.folder)
        elif not resume:
            raise RunError(f"{self.folder} already holds a study.", fix="Resume it with --resume, or name another with --out.")

    def update(self, **fields: Any) -> None:
        """Writes top-level fields of `study.json`; the others stay."""
        before = self.document if self.exists else {"format": FORMAT}
        write_json(self.path(NAME), {**before, **fields})

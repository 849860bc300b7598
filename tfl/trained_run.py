"""A run as a notebook or a script uses it: its figures, its report, and predictions of its model."""

from __future__ import annotations

import functools
import html
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tfl.errors import DataError
from tfl.modalities.base import NOUNS
from tfl.page import Page
from tfl.runs import Run
from tfl.tasks.base import task_of_run

if TYPE_CHECKING:
    import keras

    from tfl.serve.predictor import Predictor


class TrainedRun(Run):
    """A run folder with its figures, report and model. `tfl.run` and `tfl.load_run` return one.

    Example:

    >>> import tempfile, tfl
    >>> recipe = tfl.Recipe(
    ...     name="digits",
    ...     data=tfl.Sample("digits", image_size=(32, 32), per_class=10),
    ...     backbone=tfl.Backbone("mini"),
    ...     stages=(tfl.Stage("head", epochs=2),),
    ...     export=(),
    ... )
    >>> run = tfl.run(recipe, out=tempfile.mkdtemp())
    >>> run.metrics["test"]["count"], [row["epoch"] for row in run.history]
    (20, [1, 2])
    """

    @property
    def metrics(self) -> dict[str, Any]:
        """The contents of `metrics.json`: `test`, `validation` and `seconds`.

        Raises:
            RunError: The run did not come so far.
        """
        return self.read_json("metrics.json")

    @property
    def history(self) -> list[dict[str, Any]]:
        """The rows of `history.csv`, one for each epoch of each stage; `step` counts the epochs over all stages."""
        from tfl.evaluate.run_files import read_history

        return read_history(self)

    @property
    def report(self) -> Page:
        """The report, shown in place if it is the last line of a cell; written again if the run has none.

        Raises:
            RunError: A file of the run is damaged.
        """
        from tfl.evaluate.report.page import write_report

        file = self.path("report.html")
        return Page(file if file.is_file() else write_report(self.folder))

    @functools.cached_property
    def model(self) -> keras.Model:
        """The Keras model, from the tensors of its modality to its outputs; loaded at first use.

        Raises:
            RunError: The run has none yet, or it cannot be read.
        """
        self.model_file  # noqa: B018  (raises before TensorFlow is imported)
        from tfl.quiet import load_tensorflow

        load_tensorflow()
        from tfl.serve.predictor import load_run_model

        return load_run_model(self)

    def predict(
        self, files: Path | str | Iterable[Path | str], *, on_bad: Literal["error", "skip"] = "error"
    ) -> list[dict[str, Any]]:
        """Predicts files; the model is loaded at the first call.

        Args:
            files: Path of a file, path of a folder, or a sequence of these.
            on_bad: String, `error` raises if a file cannot be read, `skip` leaves it out. Defaults to `error`.

        Returns:
            For each file, in order: `file`, `label`, `probability`, and `probabilities` by class.

        Raises:
            RunError: The run has no model yet.
            DataError: `files` are no paths, a file is missing, or (`BadImageError`) cannot be read.
        """
        named = [files] if isinstance(files, str | Path) or not isinstance(files, Iterable) else list(files)
        if others := [type(file).__name__ for file in named if not isinstance(file, str | Path)]:
            raise DataError(
                "`predict` takes files, and no arrays.",
                received=others[0],
                allowed="the path of a file or of a folder, or several of these",
                fix="Save the example as a file and name it; for arrays as the network takes them: run.model.predict(arrays).",
            )
        return self._predictor.predict(named, on_bad=on_bad)

    @functools.cached_property
    def _predictor(self) -> Predictor:
        from tfl.serve.predictor import open_predictor

        return open_predictor(self.folder)

    def _repr_html_(self) -> str:
        """The figures as a table, and where the files are."""
        parts = self.metrics if self.path("metrics.json").is_file() else {}
        first, *others = task_of_run(self).figures[:3] if parts else ("",)
        rows = "".join(_row(part, parts[part], (first, *others)) for part in ("test", "validation") if part in parts)
        names = [name.replace("macro_f1", "macro-F1").replace("_", " ") for name in (first, "95% interval", *others)]
        head = "".join(f"<th>{name}</th>" for name in ("", *names, NOUNS[self.recipe.data.kind][1]))
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""
        folder, status = html.escape(str(self.folder)), html.escape(str(self.manifest["status"]))
        return f"<p>Run <code>{folder}</code>, {status}</p>{table}"


def _row(name: str, figures: dict[str, Any], keys: tuple[str, ...]) -> str:
    low, high = figures.get(f"{keys[0]}_interval") or (None, None)
    interval = "" if low is None else f"{low:.3f} to {high:.3f}"
    first, *others = (_figure(figures.get(key)) for key in keys)
    cells = (first, interval, *others, str(figures.get("count", "")))
    return f"<tr><th>{name}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"

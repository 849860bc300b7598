"""`history.csv`: a row an epoch, all stages."""

from __future__ import annotations

import csv
import io
from typing import Any

import keras

from tfl.errors import RunError
from tfl.runs import Run
from tfl.storage import write_atomically
from tfl.tasks.base import Task, task_of
from tfl.train.state import StageState


def columns_of(task: Task) -> tuple[str, ...]:
    """The columns of `history.csv` for a task.

    Example:

    >>> from tfl.tasks.base import task_of
    >>> columns_of(task_of("regress"))[2:]
    ('loss', 'scaled_error', 'val_loss', 'val_mae', 'val_rmse', 'val_r2', 'learning_rate', 'seconds')
    """
    watched = (name for name in task.metrics if name != "val_loss")
    return ("stage", "epoch", "loss", task.step_metric, "val_loss", *watched, "learning_rate", "seconds")


class History(keras.callbacks.Callback):
    """Adds a row to the stage's state after each epoch, and writes all rows of the run to `history.csv`.

    Rows that a killed process left behind for epochs that have no checkpoint are dropped: the state decides.
    """

    def __init__(self, run: Run, stage_name: str, state: StageState, *, task: Task | None = None) -> None:
        super().__init__()
        self.columns = columns_of(task or task_of("classify"))
        self.run, self.stage_name, self.state = run, stage_name, state
        self._earlier = [row for row in read_history(run) if row["stage"] != stage_name]

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        metrics = logs or {}
        row = {"stage": self.stage_name, "epoch": epoch}
        self.state.history.append(row | {key: _rounded(metrics[key]) for key in self.columns[2:] if key in metrics})
        self.write()

    def write(self) -> None:
        """Writes `history.csv`: the rows of other stages, then those of this one."""
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(self._earlier + self.state.history)
        write_atomically(self.run.path("history.csv"), text.getvalue())


def read_history(run: Run) -> list[dict[str, Any]]:
    """The rows of `history.csv` as text by column; none where there is no file yet."""
    file = run.path("history.csv")
    if not file.is_file():
        return []
    try:
        with file.open(newline="", encoding="utf-8") as handle:
            return [dict(row) for row in csv.DictReader(handle) if row.get("stage")]
    except (UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"{file} is damaged: {error}.", fix="Remove it: the rows of stages that are done are lost.") from error


def _rounded(value: float) -> float:
    return float(f"{value:.7g}")

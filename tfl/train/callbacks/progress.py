"""Progress on a terminal: epoch, metrics, examples per second, time left. One line at the start where there is no terminal,
and in a notebook one after each epoch."""

from __future__ import annotations

import time
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tfl.recipe import Stage


class StageProgress(keras.callbacks.Callback):
    """Shows a bar over all examples of a stage while it trains.

    Args:
        console: Where to; None shows nothing. One that is not a terminal gets one line at the start, and where it is interactive
            (see `tfl.progress.progress_console`) one after each epoch.
        stage: Of the recipe.
        examples: Number of training examples in one epoch.
        nouns: What messages call them.
        first_epoch: Where the stage resumes; 1 unless it is resumed.
        metric: Which validation metric is shown next to the losses.
    """

    def __init__(
        self,
        console: Console | None,
        stage: Stage,
        *,
        examples: int,
        nouns: str = "examples",
        first_epoch: int = 1,
        metric: str = "val_accuracy",
    ) -> None:
        super().__init__()
        self.metric = metric
        self.console, self.stage, self.examples, self.nouns, self.first_epoch = console, stage, examples, nouns, first_epoch
        self._bar: Progress | None = None
        self._task: Any = None
        self._done = 0
        self._since: tuple[int, float] | None = None
        self._epoch_words, self._rate, self._metrics = "", "", ""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self.console is None:
            return
        if not self.console.is_terminal:
            resumed = f", from epoch {self.first_epoch}" if self.first_epoch > 1 else ""
            words = f"at most {self.stage.epochs} epochs of {self.examples} {self.nouns}{resumed}"
            self.console.print(f"Stage {self.stage.name}: {words}", highlight=False, markup=False)
            return
        columns = (
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=16),
            TextColumn("{task.fields[words]}"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=self.console, transient=True)
        left = (self.stage.epochs - self.first_epoch + 1) * self.examples
        self._task = self._bar.add_task(self.stage.name, total=left, words="")
        self._bar.start()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch_words = f"epoch {epoch}/{self.stage.epochs}"
        self._show()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        examples, now = int((logs or {}).get("examples", 0)), time.perf_counter()
        self._done += examples
        if self._since is not None:
            self._rate = f"{(self._done - self._since[0]) / max(now - self._since[1], 1e-9):.0f} {self.nouns}/s"
        else:  # the first steps include compilation: they are in no rate
            self._since = (self._done, now)
        self._show()

    def on_frozen_examples(self, done: int, count: int) -> None:
        """Shows how far the frozen prefix is through the examples of a pass."""
        self._show(f"frozen blocks: {done}/{count} {self.nouns}")
        self._since = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs and {"loss", "val_loss", self.metric} <= logs.keys():
            name = "val acc" if self.metric == "val_accuracy" else self.metric.replace("_", " ")
            self._metrics = f"loss {logs['loss']:.3f}/{logs['val_loss']:.3f} {name} {logs[self.metric]:.3f}"
        self._show()
        if self.console is not None and self.console.is_interactive and not self.console.is_terminal:
            words = ", ".join(part for part in (self._epoch_words, self._metrics, self._rate) if part)
            self.console.print(f"  {words}", highlight=False, markup=False)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _show(self, words: str | None = None) -> None:
        if self._bar is not None:
            told = words or " ".join(part for part in (self._epoch_words, self._rate, self._metrics) if part)
            self._bar.update(self._task, completed=self._done, words=told)

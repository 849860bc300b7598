"""Progress on a terminal: epoch, metrics, images a second, time left. One line at each end where there is no terminal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from tfl.recipe import Stage


class StageProgress(keras.callbacks.Callback):
    """Shows a bar over all images of a stage while it trains.

    Args:
        console: Where to; None shows nothing. One that is not a terminal gets one line at the start.
        stage: Of the recipe.
        images: In one epoch.
        first_epoch: Where the stage goes on from; 1 unless it is resumed.
    """

    def __init__(self, console: Console | None, stage: Stage, *, images: int, first_epoch: int = 1) -> None:
        super().__init__()
        self.console, self.stage, self.images, self.first_epoch = console, stage, images, first_epoch
        self._bar: Progress | None = None
        self._task: Any = None
        self._seen, self._began = 0, 0.0
        self._metrics, self._epoch_words = "", ""

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._began = time.perf_counter()
        if self.console is None:
            return
        if not self.console.is_terminal:
            resumed = f", from epoch {self.first_epoch}" if self.first_epoch > 1 else ""
            words = f"at most {self.stage.epochs} epochs of {self.images} images{resumed}"
            self.console.print(f"Stage {self.stage.name}: {words}", highlight=False, markup=False)
            return
        columns = (
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[words]}"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=self.console, transient=True)
        left = (self.stage.epochs - self.first_epoch + 1) * self.images
        self._task = self._bar.add_task(self.stage.name, total=left, words="")
        self._bar.start()

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._show(f"epoch {epoch}/{self.stage.epochs}")

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._seen += int((logs or {}).get("images", 0))
        self._show()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        shown = [("loss", "loss"), ("val_loss", "val loss"), ("val_accuracy", "val accuracy")]
        self._metrics = " ".join(f"{words} {logs[key]:.3f}" for key, words in shown if logs and key in logs)
        self._show()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _show(self, epoch_words: str | None = None) -> None:
        if epoch_words is not None:
            self._epoch_words = epoch_words
        if self._bar is None:
            return
        rate = self._seen / max(time.perf_counter() - self._began, 1e-9)
        words = f"{self._epoch_words} {rate:.0f} images/s {self._metrics}"
        self._bar.update(self._task, completed=self._seen, words=words)


def feature_progress(console: Console | None) -> Callable[[int, int], None] | None:
    """Tells how far the frozen prefix is through the images, in one line that is written over; None without a terminal."""
    if console is None or not console.is_terminal:
        return None
    began = time.perf_counter()

    def show(done: int, count: int) -> None:
        nonlocal began
        if done <= 0 or done > count:
            return
        rate = done / max(time.perf_counter() - began, 1e-9)
        end = "\r" if done < count else "\n"
        console.print(f"frozen blocks: {done}/{count} images, {rate:.0f} images/s ", end=end, highlight=False, markup=False)
        if done == count:
            began = time.perf_counter()

    return show

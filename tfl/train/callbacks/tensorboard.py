"""Scalars for TensorBoard in `logs/<stage>/`: `tensorboard --logdir RUN/logs`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tfl.errors import StorageError
from tfl.train.state import StageState


class TensorBoardScalars(keras.callbacks.Callback):
    """Writes every metric of an epoch under its own name, at the epoch's number.

    A stage that is resumed writes the epochs before anew: what the killed process had written may be cut short.

    Args:
        folder: Where the event files go.
        state: Of the stage; its history has the epochs that were done before.
    """

    def __init__(self, folder: Path, state: StageState) -> None:
        super().__init__()
        self.folder, self.state = folder, state
        self._writer: Any = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        with _told(self.folder):
            if self._writer is None:
                self._begin(before=epoch)
            self._write(epoch, logs or {})
            self._writer.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._writer is not None:
            with contextlib.suppress(tf.errors.OpError):  # each epoch was flushed
                self._writer.close()
            self._writer = None

    def _begin(self, *, before: int) -> None:
        for file in self.folder.glob("events.out.*"):
            file.unlink(missing_ok=True)
        self._writer = tf.summary.create_file_writer(str(self.folder))
        for row in self.state.history:
            if row["epoch"] < before:
                self._write(row["epoch"], {name: value for name, value in row.items() if isinstance(value, float)})

    def _write(self, epoch: int, metrics: dict[str, Any]) -> None:
        with self._writer.as_default(step=epoch):
            for name, value in metrics.items():
                tf.summary.scalar(name, value)


@contextlib.contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except tf.errors.OpError as error:
        first = str(error.message).splitlines()[0][:200]
        raise StorageError(
            f"Cannot write {folder}: {first}.",
            fix="Free some space, or make it writable again, and go on with --resume.",
        ) from error

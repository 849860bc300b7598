"""Scalars for TensorBoard in `logs/<stage>/`: `tensorboard --logdir RUN/logs`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf


class TensorBoardScalars(keras.callbacks.Callback):
    """Writes every metric of an epoch under its own name, at the epoch's number.

    Args:
        folder: Where the event files go.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self._writer: Any = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self.folder))
        with self._writer.as_default(step=epoch):
            for name, value in (logs or {}).items():
                tf.summary.scalar(name, value)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

"""Which epoch is best, and when to stop waiting for a better one."""

from __future__ import annotations

from typing import Any

import keras

from tfl.recipe import Monitor
from tfl.train.state import StageState


class Best(keras.callbacks.Callback):
    """Keeps the best epoch in the stage's state, and ends the stage when patience runs out.

    Args:
        state: Of the stage; changed here.
        monitor: The recipe's.
        epochs: The most the stage may take: running out of patience in the last one is no early stop.
    """

    def __init__(self, state: StageState, monitor: Monitor, *, epochs: int) -> None:
        super().__init__()
        self.state, self.monitor, self.epochs = state, monitor, epochs

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        metrics = logs or {}
        self.state.epoch = epoch
        self.state.take(epoch, metrics, self.monitor)
        self.state.stopped_early = epoch < self.epochs and self.state.out_of_patience(self.monitor)

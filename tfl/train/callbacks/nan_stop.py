"""A loss that is not finite ends the stage at once: every weight after it is worthless."""

from __future__ import annotations

import math
from typing import Any

import keras

from tfl.errors import TrainingError


class NanStop(keras.callbacks.Callback):
    """Raises as soon as the loss is not finite; the last checkpoint stays as it was.

    Args:
        stage_name: Named in the message.
        learning_rate: Likewise.
    """

    def __init__(self, stage_name: str, *, learning_rate: float) -> None:
        super().__init__()
        self.stage_name, self.learning_rate = stage_name, learning_rate
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._check("training", (logs or {}).get("loss"))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._check("training", (logs or {}).get("loss"))
        self._check("validation", (logs or {}).get("val_loss"))

    def _check(self, which: str, loss: float | None) -> None:
        if loss is None or math.isfinite(loss):
            return
        raise TrainingError(
            f"The {which} loss is not finite in stage `{self.stage_name}`, epoch {self._epoch}.",
            received=f"loss {loss} at learning_rate={self.learning_rate:g}",
            fix=f"Lower stages.{self.stage_name}.learning_rate, warm up (warmup_epochs), or use precision=float32.",
        )

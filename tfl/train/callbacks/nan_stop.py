"""A loss that is not finite ends the stage at once: every weight after it is worthless."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras

from tfl.data.examples import listed
from tfl.errors import TrainingError
from tfl.recipe import Stage
from tfl.runs import Run


class NanStop(keras.callbacks.Callback):
    """Raises as soon as the loss is not finite, after the network went back to its best weights.

    Args:
        run: Its manifest gets `not_finite`: stage, epoch, batch (from 1) and the files of that batch.
        stage: Named in the message.
        files_of: What the examples of a step are called, by epoch and step (from 0).
        go_back: Brings the network to its best, and says which epoch that is; 0 is the start of the stage.
        precision: The recipe's.
    """

    def __init__(
        self,
        run: Run,
        stage: Stage,
        *,
        files_of: Callable[[int, int], Sequence[str]],
        go_back: Callable[[], int],
        precision: str,
    ) -> None:
        super().__init__()
        self.run, self.stage, self.files_of, self.go_back, self.precision = run, stage, files_of, go_back, precision
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """`logs["not_finite"]` is the first step of the epoch, from 0, whose loss is not finite; negative where all are."""
        step = int((logs or {}).get("not_finite", -1))
        self._check("training", (logs or {}).get("loss"), step=step if step >= 0 else None)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._check("training", (logs or {}).get("loss"))
        self._check("validation", (logs or {}).get("val_loss"))

    def _check(self, which: str, loss: float | None, *, step: int | None = None) -> None:
        if step is None and (loss is None or math.isfinite(loss)):
            return
        files = [] if step is None else list(self.files_of(self._epoch, step))
        back, name = self.go_back(), self.stage.name
        batch = None if step is None else step + 1
        self.run.update_manifest(not_finite={"stage": name, "epoch": self._epoch, "batch": batch, "files": files})
        where = f"stage `{name}`, epoch {self._epoch}" + (f", batch {batch}" if batch else "")
        shown = f" That batch is {listed(files, limit=3)} (all of them in manifest.json)." if files else ""
        went = f"epoch {back}, its best" if back else "where the stage began"
        raise TrainingError(
            f"The {which} loss is not finite in {where}. The network went back to {went}.{shown}",
            received=f"loss {loss} at learning_rate={self.stage.learning_rate:g}",
            fix=f"{self._advice(bool(files))} --resume would come to the same batch: start a new run with what you changed.",
        )

    def _advice(self, look: bool) -> str:
        name = self.stage.name
        tries = [f"lower stages.{name}.learning_rate (say {self.stage.learning_rate / 10:g})"]
        tries += [f"warm up (stages.{name}.warmup_epochs=1)"] if self.stage.warmup_epochs == 0 else []
        tries += ["use precision=float32"] if self.precision != "float32" else []
        tries += ["look at the examples of that batch and of the one before it"] if look else []
        return f"Try in this order: {', '.join(tries)}."

"""Says when a stage overfits: the training loss keeps falling while the validation loss rises."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from tfl.train.state import StageState

LEAST_EPOCHS = 2
"""So many epochs after the lowest validation loss make a trend."""
LEAST_RISE = 0.01
"""The mean validation loss of those epochs lies above the lowest by at least this share of it."""


def overfits_since(history: Sequence[dict[str, Any]]) -> int | None:
    """The epoch after which training loss fell and validation loss rose, or None.

    That is the epoch of the lowest validation loss, when at least two followed it, the last of them has a lower training loss,
    and their validation losses lie above it: on average by 1%, and at the end.

    Args:
        history: Rows with `epoch`, `loss` and `val_loss`, in order.

    Example:

    >>> rows = [(1.0, 1.0), (0.5, 0.6), (0.3, 0.7), (0.2, 0.8)]
    >>> overfits_since([{"epoch": i, "loss": a, "val_loss": b} for i, (a, b) in enumerate(rows, 1)])
    2
    """
    if not history or "val_loss" not in history[0]:
        return None
    low = min(range(len(history)), key=lambda i: history[i]["val_loss"])
    after = history[low + 1 :]
    if len(after) < LEAST_EPOCHS:
        return None
    least = history[low]["val_loss"] * (1 + LEAST_RISE)
    rose = sum(row["val_loss"] for row in after) / len(after) > least and after[-1]["val_loss"] > least
    fell = after[-1]["loss"] < history[low]["loss"]
    return int(history[low]["epoch"]) if rose and fell else None


class OverfittingWatch(keras.callbacks.Callback):
    """Leaves a sentence in the stage's notices when the stage overfitted. Call after the best epoch is known."""

    def __init__(self, state: StageState) -> None:
        super().__init__()
        self.state = state

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        since = overfits_since(self.state.history)
        if since is None:
            return
        then, last = self.state.history[since - 1], self.state.history[-1]
        back = f"epoch {self.state.best_epoch}" if self.state.best_epoch else "the start of the stage"
        self.state.notices.append(
            f"Overfitting: training loss fell ({then['loss']:.3f} to {last['loss']:.3f}) while validation loss rose "
            f"({then['val_loss']:.3f} to {last['val_loss']:.3f}) since epoch {since}; went back to {back}."
        )

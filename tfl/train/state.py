"""Where a stage stands: what `state.json` keeps of it, and what "better" means."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from tfl.errors import RunError
from tfl.recipe import Monitor
from tfl.runs import Run


@dataclass
class StageState:
    """A stage after its latest whole epoch; epochs count from 1, and epoch 0 is the start of the stage.

    Args:
        done: Whether the stage came to its end and the network is at its best weights.
        epoch: The latest epoch whose checkpoint is whole.
        best_epoch, best_value, best_loss: The best epoch, its monitored metric, and its validation loss, which decides
            between epochs that are equal by the metric. Epoch 0 takes part where a stage begins from a trained network.
        peak_epoch, peak_value: The last epoch that improved on all epochs of this stage by `min_delta`: patience counts from it.
        history: One row an epoch, as in `history.csv`.
        start: The validation metrics at epoch 0, where it takes part.
        feature_seconds, train_seconds: Time spent so far, over all resumptions.
        stopped_early: Whether patience ended the stage.
        unstored: Whether the frozen prefix runs in every epoch, since storing its outputs would cost more or is not wanted; None
            before that was decided.
        engine: What computes the stored outputs of the frozen prefix; None before that was chosen, and where nothing is stored.
        jit_compile: Whether XLA compiles the steps; None before that was chosen.
        parts: In how many parts a batch goes through the network: more than one where the memory was too small for a whole one.
        planned: How many epochs a limit of time leaves, where there is one and this is known.
        within: Where the epoch after the latest whole one was left: `steps` done, their `sums`, and the
            `learning_rate` at its start; None between epochs.
        ledger: Which blocks were to move, and which moved.
        notices: What a person should know, as sentences.
    """

    done: bool = False
    epoch: int = 0
    best_epoch: int | None = None
    best_value: float | None = None
    best_loss: float | None = None
    peak_epoch: int = 0
    peak_value: float | None = None
    history: list[dict[str, Any]] = field(default_factory=list)
    start: dict[str, float] | None = None
    feature_seconds: float = 0.0
    train_seconds: float = 0.0
    stopped_early: bool = False
    unstored: bool | None = None
    engine: str | None = None
    jit_compile: bool | None = None
    parts: int = 1
    planned: int | None = None
    within: dict[str, Any] | None = None
    ledger: list[dict[str, Any]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, run: Run, stage_name: str) -> StageState | None:
        """What the run knows of the stage, or None for one that has not begun."""
        document = run.state["stages"].get(stage_name)
        if document is None:
            return None
        known = {entry.name: entry.type for entry in dataclasses.fields(cls)}
        for key, value in document.items():
            if key in known and type(value).__name__ not in _names_of(str(known[key])):
                raise RunError(
                    f"{run.path('state.json')} is damaged: `{key}` of stage `{stage_name}`.",
                    received=repr(value)[:100],
                    allowed=str(known[key]),
                    fix="Put the file back as it was, or run the recipe again in another folder.",
                )
        return cls(**{key: value for key, value in document.items() if key in known})

    @classmethod
    def begin(cls, run: Run, stage_name: str) -> StageState:
        """A stage that has not begun. In a repeat of another run, with what that one measured and chose."""
        return cls(**run.repeated_choices(stage_name))

    def save(self, run: Run, stage_name: str) -> None:
        """Writes it into the run's `state.json`."""
        run.update_stage_state(stage_name, self.as_document())

    def as_document(self) -> dict[str, Any]:
        """It as plain data, as `state.json` holds it."""
        return dataclasses.asdict(self)

    def take(self, epoch: int, metrics: dict[str, float], monitor: Monitor) -> bool:
        """Counts an epoch in and says whether it is the best so far.

        An epoch is better when the metric is, or when the metric is equal and the validation loss is lower: on a small
        validation split many epochs have the same accuracy. Patience looks at the metric alone, within this stage. Without
        validation examples the latest epoch is the best.
        """
        if "val_loss" not in metrics:
            self.best_epoch = self.peak_epoch = epoch
            return True
        value, loss = metrics[monitor.metric], metrics["val_loss"]
        if epoch and (self.peak_value is None or _gain(value, self.peak_value, monitor) > monitor.min_delta):
            self.peak_epoch, self.peak_value = epoch, value
        if self.best_value is None or self.best_loss is None:
            better = True
        else:
            gain = _gain(value, self.best_value, monitor)
            better = gain > monitor.min_delta or (gain == 0 and loss < self.best_loss)
        if better:
            self.best_epoch, self.best_value, self.best_loss = epoch, value, loss
        return better

    def out_of_patience(self, monitor: Monitor) -> bool:
        """Whether the stage has gone on for long enough without an improvement."""
        return monitor.patience is not None and self.epoch - self.peak_epoch >= monitor.patience


def _names_of(annotation: str) -> set[str]:
    """The types that an annotation allows, by name.

    Example:

    >>> sorted(_names_of("float | None")), sorted(_names_of("list[dict[str, Any]]"))
    (['NoneType', 'float', 'int'], ['list'])
    """
    names = {part.split("[")[0].strip() for part in annotation.split("|")}
    names |= {"int"} if "float" in names else set()
    return names - {"None"} | ({"NoneType"} if "None" in names else set())


def _gain(value: float, than: float, monitor: Monitor) -> float:
    return value - than if monitor.higher_is_better else than - value

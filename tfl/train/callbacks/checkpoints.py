"""A checkpoint after each epoch: weights, optimiser and state, of which the state is written last."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfl.errors import RunError
from tfl.runs import Run
from tfl.storage import storage_errors, write_atomically
from tfl.train.state import StageState


class Checkpoints(keras.callbacks.Callback):
    """Writes `checkpoints/` of one stage. A process that dies at any moment leaves the latest whole epoch behind.

    `<stage>-0.weights.h5` is the whole network as the stage found it. Where all of it trains, `<stage>-<epoch>.weights.h5` is the
    whole network too. Where only a suffix trains, an epoch's file is `<stage>-<epoch>.suffix.weights.h5`: that over the file of
    epoch 0 is the whole network. When the stage ends, `best-<stage>.weights.h5` is the whole network at its best.

    Args:
        run: The run.
        stage_name: Of the stage.
        whole: The whole network.
        live: The part that trains: a suffix of `whole` that shares its layers, or `whole` itself.
        state: Of the stage, saved with each epoch.
        keep: How many of the latest epochs stay.
    """

    def __init__(self, run: Run, stage_name: str, *, whole: keras.Model, live: keras.Model, state: StageState, keep: int) -> None:
        super().__init__()
        self.run, self.stage_name, self.whole, self.live, self.state, self.keep = run, stage_name, whole, live, state, keep
        self.optimizer: keras.optimizers.Optimizer | None = None
        self._kind = "" if live is whole else ".suffix"
        self._older = self._epochs()

    @property
    def start_file(self) -> Path:
        """The whole network as the stage found it."""
        return self.run.path("checkpoints", f"{self.stage_name}-0.weights.h5")

    @property
    def best_file(self) -> Path:
        """The whole network at its best; there when the stage is done."""
        return self.run.path("checkpoints", f"best-{self.stage_name}.weights.h5")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        weights = self._file(epoch)
        _save_weights(self.live, weights)
        write_atomically(self._optimizer_file(epoch), self._write_optimizer)
        if self.state.best_epoch == epoch:
            _place(weights, self._best_of_live)
        self.state.save(self.run, self.stage_name)
        self._older = [*self._older, epoch]
        self._prune(epoch)

    def start(self) -> None:
        """Writes the network as the stage finds it."""
        _save_weights(self.whole, self.start_file)

    def load_start(self) -> None:
        """Brings the network to where the stage found it.

        Raises:
            RunError: The file is missing or damaged.
        """
        _load_weights(self.whole, self.start_file)

    def resume(self) -> None:
        """Brings the network, which is at the start of the stage, and the optimiser to the state's epoch.

        Raises:
            RunError: A file is missing or damaged.
        """
        if not self.state.epoch:
            return
        _load_weights(self.live, self._file(self.state.epoch))
        variables = [] if self.optimizer is None else self.optimizer.variables
        file = self._optimizer_file(self.state.epoch)
        try:
            with np.load(file) as saved:
                values = [saved[str(number)] for number in range(len(variables))]
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise _damaged(file, error) from error

    def finish(self) -> None:
        """Brings the network to its best, and makes that whole on disk."""
        if self.state.best_epoch == 0:
            _load_weights(self.whole, self.start_file)
            _place(self.start_file, self.best_file)
            return
        _load_weights(self.live, self._best_of_live)
        if self.live is not self.whole:
            _save_weights(self.whole, self.best_file)

    def tidy(self) -> None:
        """Drops what only a resumption needs; call when the state on disk says that the stage is done."""
        for file in self.run.path("checkpoints").glob(f"{self.stage_name}-*.optimizer.npz"):
            file.unlink(missing_ok=True)
        if self._best_of_live != self.best_file:
            self._best_of_live.unlink(missing_ok=True)

    def reopen(self) -> None:
        """Brings the network to the best of a stage that is done."""
        _load_weights(self.whole, self.best_file)

    @property
    def _best_of_live(self) -> Path:
        return self.run.path("checkpoints", f"best-{self.stage_name}{self._kind}.weights.h5")

    def _file(self, epoch: int) -> Path:
        return self.run.path("checkpoints", f"{self.stage_name}-{epoch}{self._kind}.weights.h5")

    def _optimizer_file(self, epoch: int) -> Path:
        return self.run.path("checkpoints", f"{self.stage_name}-{epoch}.optimizer.npz")

    def _write_optimizer(self, file: Path) -> None:
        variables = [] if self.optimizer is None else self.optimizer.variables
        arrays: dict[str, Any] = {str(number): variable.numpy() for number, variable in enumerate(variables)}
        np.savez(file, **arrays)

    def _epochs(self) -> list[int]:
        """Epochs of which there are files, in order."""
        name = re.compile(re.escape(self.stage_name) + r"-(\d+)(\.suffix)?\.(weights\.h5|optimizer\.npz)")
        folder = self.run.path("checkpoints")
        found = [name.fullmatch(file.name) for file in folder.iterdir()] if folder.is_dir() else []
        return sorted({int(match[1]) for match in found if match and int(match[1])})

    def _prune(self, latest: int) -> None:
        for epoch in self._older:
            if epoch != latest:
                self._optimizer_file(epoch).unlink(missing_ok=True)
            if epoch > latest or epoch <= latest - self.keep:
                self._file(epoch).unlink(missing_ok=True)
        self._older = [epoch for epoch in self._older if latest - self.keep < epoch <= latest]


def _save_weights(model: keras.Model, file: Path) -> None:
    write_atomically(file, lambda scratch: model.save_weights(scratch))


def _load_weights(model: keras.Model, file: Path) -> None:
    if not file.is_file():
        raise RunError(f"{file} is missing.", fix="The run cannot go on from there: start it again in another folder.")
    try:
        model.load_weights(file)
    except (OSError, ValueError, KeyError) as error:
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> RunError:
    return RunError(
        f"The checkpoint {file} cannot be read: {error}", fix="The run cannot go on from there: start it again in another folder."
    )


def _place(source: Path, target: Path) -> None:
    """Gives `source` a second name, whole or not at all: a hard link, or a copy where the file system has none."""
    scratch = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with storage_errors(target):
        try:
            with contextlib.suppress(OSError):
                os.link(source, scratch)
            if not scratch.exists():
                shutil.copyfile(source, scratch)
            os.replace(scratch, target)
        finally:
            scratch.unlink(missing_ok=True)

"""A checkpoint after each epoch, and within one that is left: weights, optimiser and state. The state says which files count."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras.src.saving.saving_lib import save_weights_only

from tfl.backbones.saving import remember_skipped_attributes
from tfl.errors import RunError
from tfl.runs import Run
from tfl.storage import flush_folder, storage_errors, write_atomically
from tfl.train.state import StageState


class Checkpoints(keras.callbacks.Callback):
    """Writes `checkpoints/` of one stage. A process that dies at any moment leaves the latest whole epoch behind.

    `<stage>-0.weights.npz` is the whole network as the stage found it. Where all of it trains, `<stage>-<epoch>.weights.npz` is
    the whole network too. Where only a suffix trains, an epoch's file is `<stage>-<epoch>.suffix.weights.npz`: that over the file
    of epoch 0 is the whole network. When the stage ends, `best-<stage>.weights.h5` is the whole network at its best, for
    `load_weights` of Keras. An epoch that was left in the middle has `<stage>-<epoch>-<steps>.within.npz`.

    An `.npz` file has the values of `model.weights` in their order, which takes a fraction of the time of Keras' own format
    (`benchmarks/checkpoints.py`). Runs of earlier versions have `.weights.h5` files instead, and go on from them.

    Args:
        run: The run.
        stage_name: Of the stage.
        whole: The whole network.
        live: The part that trains: a suffix of `whole` that shares its layers, or `whole` itself.
        state: Of the stage, saved with each epoch.
        keep: How many of the latest epochs stay.
        merge: Makes the network the usual one at the end of the stage, where it trains factors of LoRA: the files of epochs have
            these, the best network does not.
    """

    def __init__(
        self,
        run: Run,
        stage_name: str,
        *,
        whole: keras.Model,
        live: keras.Model,
        state: StageState,
        keep: int,
        merge: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self.merge = merge
        self.run, self.stage_name, self.whole, self.live, self.state, self.keep = run, stage_name, whole, live, state, keep
        self.optimizer: keras.optimizers.Optimizer | None = None
        self._kind = "" if live is whole else ".suffix"
        self._older = self._epochs()

    @property
    def start_file(self) -> Path:
        """The whole network as the stage found it."""
        return _found(self.run.path("checkpoints", f"{self.stage_name}-0.weights.npz"))

    @property
    def best_file(self) -> Path:
        """The whole network at its best; there when the stage is done."""
        return self.run.path("checkpoints", f"best-{self.stage_name}.weights.h5")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        _write_variables(self._file(epoch), self.live.weights)
        _write_variables(self._optimizer_file(epoch), self._of_optimizer)
        self.state.within = None
        self.state.save(self.run, self.stage_name)
        self._place_best()
        self._older = [*self._older, epoch]
        self._prune(epoch)

    def start(self) -> None:
        """Writes the network as the stage finds it."""
        _write_variables(self.start_file.with_suffix(".npz"), self.whole.weights)

    def load_start(self) -> None:
        """Brings the network to where the stage found it.

        Raises:
            RunError: The file is missing or damaged.
        """
        _load_weights(self.whole, self.start_file)

    def load_best(self) -> None:
        """Brings the network, but for what is frozen, to its best epoch so far."""
        _load_weights(self.live, _found(self._best_of_live))

    def resume(self) -> None:
        """Brings the network, which is at the start of the stage, and the optimiser to where the state is.

        Raises:
            RunError: A file is missing or damaged.
        """
        if self.state.epoch:
            _load_weights(self.live, _found(self._file(self.state.epoch)))
            _read_variables(self._optimizer_file(self.state.epoch), self._of_optimizer)
            self._place_best()  # a process may have died between the state and this
        if self.state.within is not None:
            _read_variables(self._within_file, [*self.live.variables, *self._of_optimizer])

    def save_within(self, *, steps: int, sums: Sequence[float], learning_rate: float) -> None:
        """Writes where the epoch after the latest whole one is: everything that the next step depends on.

        Args:
            steps: That are done.
            sums: Of loss, step metric and examples over them.
            learning_rate: At the start of the epoch, which is what its row of the history says.
        """
        self.state.within = {"steps": steps, "sums": [float(value) for value in sums], "learning_rate": learning_rate}
        _write_variables(self._within_file, [*self.live.variables, *self._of_optimizer])
        self.state.save(self.run, self.stage_name)

    def go_back(self) -> int:
        """Brings the network to its best, and makes that whole on disk; says which epoch that is.

        Where no epoch is whole, that is 0, the start of the stage.
        """
        if self.state.best_epoch is None:
            self.load_start()
            self.merge()
        else:
            self.finish()
        return self.state.best_epoch or 0

    def finish(self, interpolate: float = 1.0) -> None:
        """Brings the network to its best, and makes that whole on disk.

        Args:
            interpolate: Float, the place between the start of the stage (0) and the best epoch (1), each weight by itself.
        """
        if not self.state.best_epoch:
            self.load_start()
            self.merge()
        elif interpolate < 1:
            self.load_start()
            start = {id(weight): keras.ops.convert_to_numpy(weight) for weight in self.live.weights}
            self.load_best()
            self.merge()
            interpolate_weights(self.live.weights, [start[id(weight)] for weight in self.live.weights], interpolate)
        else:
            self.load_best()
            self.merge()
        _save_weights(self.whole, self.best_file)

    def tidy(self) -> None:
        """Drops what only a resumption needs; call when the state on disk says that the stage is done."""
        for file in self._files(r"-\d+(-\d+)?\.(optimizer|within)\.npz"):
            file.unlink(missing_ok=True)
        for file in {self._best_of_live, _old(self._best_of_live)} - {self.best_file}:
            file.unlink(missing_ok=True)

    def reopen(self) -> None:
        """Brings the network to the best of a stage that is done."""
        _load_weights(self.whole, self.best_file)

    @property
    def _best_of_live(self) -> Path:
        return self.run.path("checkpoints", f"best-{self.stage_name}{self._kind}.weights.npz")

    def _file(self, epoch: int) -> Path:
        return self.run.path("checkpoints", f"{self.stage_name}-{epoch}{self._kind}.weights.npz")

    def _optimizer_file(self, epoch: int) -> Path:
        return self.run.path("checkpoints", f"{self.stage_name}-{epoch}.optimizer.npz")

    @property
    def _within_file(self) -> Path:
        """Named by where it is, so that a file never stands for another place than the state's."""
        steps = (self.state.within or {}).get("steps")
        return self.run.path("checkpoints", f"{self.stage_name}-{self.state.epoch + 1}-{steps}.within.npz")

    @property
    def _of_optimizer(self) -> list[Any]:
        return [] if self.optimizer is None else list(self.optimizer.variables)

    def _place_best(self) -> None:
        if self.state.best_epoch == self.state.epoch:
            file = _found(self._file(self.state.epoch))
            _place(file, self._best_of_live.with_suffix(file.suffix))

    def _files(self, ending: str) -> list[Path]:
        """The stage's files whose names end in a pattern; another stage's name may begin with this one's."""
        name, folder = re.compile(re.escape(self.stage_name) + ending), self.run.path("checkpoints")
        return [file for file in folder.iterdir() if name.fullmatch(file.name)] if folder.is_dir() else []

    def _epochs(self) -> list[int]:
        """Epochs of which there are files, in order."""
        files = self._files(r"-\d+(\.suffix)?\.(weights\.(npz|h5)|optimizer\.npz)")
        found = {int(file.name[len(self.stage_name) + 1 :].split(".")[0]) for file in files}
        return sorted(found - {0})

    def _prune(self, latest: int) -> None:
        for epoch in self._older:
            if epoch != latest:
                self._optimizer_file(epoch).unlink(missing_ok=True)
            if epoch > latest or epoch <= latest - self.keep:
                self._file(epoch).unlink(missing_ok=True)
                _old(self._file(epoch)).unlink(missing_ok=True)
        for file in self._files(r"-\d+-\d+\.within\.npz"):
            file.unlink(missing_ok=True)
        self._older = [epoch for epoch in self._older if latest - self.keep < epoch <= latest]


def _old(file: Path) -> Path:
    """What earlier versions wrote in the place of a file: Keras' own format."""
    return file.with_suffix(".h5")


def _found(file: Path) -> Path:
    """The file, or the one of an earlier version where only that is there."""
    return _old(file) if not file.exists() and _old(file).exists() else file


def interpolate_weights(weights: Sequence[Any], start: Sequence[Any], share: float) -> None:
    """Moves each floating-point weight to `start + share * (weight - start)`.

    Args:
        weights: Keras variables; changed in place.
        start: Arrays, the values at share 0.
        share: Float between 0 and 1.
    """
    for weight, before in zip(weights, start, strict=True):
        if keras.backend.is_float_dtype(weight.dtype):
            weight.assign(before + share * (keras.ops.convert_to_numpy(weight) - before))


class _Memory(io.BytesIO):
    """What Keras takes for a weights file."""

    def __str__(self) -> str:
        return "memory.weights.h5"


def _save_weights(model: keras.Model, file: Path) -> None:
    """As `model.save_weights`, by way of memory: HDF5 1.14 crashes the process when it closes a file on a full disk."""
    memory = _Memory()
    remember_skipped_attributes()
    save_weights_only(model, memory)

    def write(scratch: Path) -> None:
        with open(scratch, "wb") as handle:
            handle.write(memory.getbuffer())

    write_atomically(file, write)


def _load_weights(model: keras.Model, file: Path) -> None:
    if not file.is_file():
        raise RunError(f"{file} is missing.", fix="The run cannot be resumed: start it again in another folder.")
    if file.suffix == ".npz":
        _read_variables(file, model.weights)
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.Normalization):
                layer.finalize_state()  # it computes with what it makes of its weights
        return
    remember_skipped_attributes()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message=".*freshly-initialized weights")  # Keras would go on half loaded
            model.load_weights(file)
    except Exception as error:  # h5py and Keras raise a dozen kinds, by what is damaged
        raise _damaged(file, error) from error


def _write_variables(file: Path, variables: Sequence[Any]) -> None:
    arrays: dict[str, Any] = {str(number): keras.ops.convert_to_numpy(variable) for number, variable in enumerate(variables)}

    def write(scratch: Path) -> None:
        with open(scratch, "wb") as handle:  # NumPy would hang another suffix on a name
            np.savez(handle, **arrays)

    write_atomically(file, write)


def _read_variables(file: Path, variables: Sequence[Any]) -> None:
    try:
        with np.load(file, allow_pickle=False) as saved:
            if len(saved.files) != len(variables):
                raise ValueError(f"it has {len(saved.files)} arrays, and {len(variables)} are needed")
            values = [saved[str(number)] for number in range(len(variables))]
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
    except Exception as error:  # zip, zlib and NumPy's reader raise a dozen kinds, by what is damaged
        raise _damaged(file, error) from error


def _damaged(file: Path, error: Exception) -> RunError:
    return RunError(
        f"The checkpoint {file} cannot be read: {error}", fix="The run cannot be resumed: start it again in another folder."
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
            flush_folder(target.parent)
        finally:
            scratch.unlink(missing_ok=True)

"""A disk that fills up or turns read-only, and a process that dies between two files: one message, and the stage goes on."""

import contextlib
import dataclasses
import os
import re
import resource
import shutil
import subprocess

import keras
import numpy as np
import pytest

import tfl
from tfl import storage
from tfl.errors import StorageError
from tfl.runs import Run
from tfl.train.callbacks import checkpoints as checkpoints_module
from tfl.train.stage import train_stage


class Killed(BaseException):
    pass


@pytest.fixture
def short(recipe, changed):
    """Two stages of two epochs, the second on augmented views."""
    recipe = dataclasses.replace(changed(recipe, "head", epochs=2), features=tfl.Features(store="always"))
    return changed(recipe, "finetune", epochs=2, augment=tfl.Augment(flip="horizontal"), views=1)


@pytest.fixture(scope="module")
def ended():
    """What the stages came to when nothing failed; filled by the first test."""
    return {}


@pytest.fixture
def reference(ended, tmp_path, short, bundle, network):
    if not ended:
        run = Run.create(tmp_path / "reference", short, command=[])
        ended.update(weights=train(run, short, bundle, network).model.get_weights(), epochs=epochs(run))
    return ended


def train(run, recipe, bundle, network, watchers=()):
    assembled = network(recipe)
    for stage in recipe.stages:
        train_stage(run, assembled, stage, bundle, recipe=recipe, watchers=watchers)
    return assembled


def epochs(run):
    return [line.rsplit(",", 1)[0] for line in run.path("history.csv").read_text().splitlines()]


def check_goes_on(run, reference, recipe, bundle, network):
    again = train(run, recipe, bundle, network)
    assert all(map(np.array_equal, again.model.get_weights(), reference["weights"]))
    assert epochs(run) == reference["epochs"]
    for stage in recipe.stages:
        loaded = network(recipe)
        loaded.model.load_weights(run.path("checkpoints", f"best-{stage.name}.weights.h5"))
    assert all(map(np.array_equal, loaded.model.get_weights(), reference["weights"]))


def dies_at(monkeypatch, pattern, number, *, before):
    """The process ends before or after the rename to the file whose name fits, the time with that number."""
    real, met = os.replace, []

    def replace(source, target):
        fits = re.fullmatch(pattern, os.path.basename(target))
        met.extend([target] if fits else [])
        if fits and len(met) == number and before:
            raise Killed
        real(source, target)
        if fits and len(met) == number:
            raise Killed

    for module in (storage, checkpoints_module):
        monkeypatch.setattr(module.os, "replace", replace)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pattern", "number", "before"),
    [
        (r"head-2\.suffix\.weights\.npz", 1, False),  # an epoch's weights without its optimiser
        (r"best-head\.suffix\.weights\.npz", 1, True),  # the state knows a best that is not under its name yet
        (r"ledger\.json", 1, False),  # all epochs done, the stage not
        (r"best-finetune\.weights\.h5", 1, False),  # the network whole, the stage not done
    ],
)
def test_a_process_that_dies_between_two_files_goes_on(
    tmp_path, short, bundle, network, reference, monkeypatch, pattern, number, before
):
    run = Run.create(tmp_path / "run", short, command=[])
    with monkeypatch.context() as patch, pytest.raises(Killed):
        dies_at(patch, pattern, number, before=before)
        train(run, short, bundle, network)
    check_goes_on(run, reference, short, bundle, network)


class Once(keras.callbacks.Callback):
    """Does something once: after the checkpoint of the first epoch, or before the first epoch."""

    def __init__(self, act, *, at="on_epoch_end"):
        super().__init__()
        self.act, self.at = act, at

    def on_train_begin(self, logs=None):
        self._do("on_train_begin")

    def on_epoch_end(self, epoch, logs=None):
        self._do("on_epoch_end")

    def _do(self, at):
        if at == self.at:
            self.act()
            self.at = "never"


@contextlib.contextmanager
def largest_file(size):
    """No file may grow beyond that many bytes once `begin` was called, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.slow
def test_a_file_that_cannot_grow_is_one_message_and_the_stage_goes_on(tmp_path, short, bundle, network, reference):
    run = Run.create(tmp_path / "run", short, command=[])
    with largest_file(5_000) as begin, pytest.raises(StorageError, match=r"Cannot write .*Free some space"):
        train(run, short, bundle, network, [Once(begin)])
    assert not [path for path in run.folder.rglob("*") if ".tmp" in path.name]
    check_goes_on(run, reference, short, bundle, network)


@contextlib.contextmanager
def small_disk(folder, size):
    """A file system of that many bytes at `folder`."""
    folder.mkdir()
    mount = shutil.which("mount")
    done = mount and subprocess.run(
        [mount, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, check=False
    )
    if not done or done.returncode:
        pytest.skip("a file system can be mounted by root only")
    try:
        yield lambda options: subprocess.run([mount, "-o", f"remount,{options}", folder], check=True)
    finally:
        subprocess.run(["umount", folder], check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("at", "options", "words", "mended"),
    [
        ("on_epoch_end", "size={used}", "no space is left on the disk", "size=50m"),
        ("on_train_begin", "ro", "the file system is read-only", "rw"),  # later, logs are open, and Linux refuses to change it
    ],
)
def test_a_real_disk_that_fills_up_or_turns_read_only(tmp_path, short, bundle, network, reference, at, options, words, mended):
    with small_disk(tmp_path / "disk", "50m") as remount:
        run = Run.create(tmp_path / "disk" / "run", short, command=[])

        def spoil():
            used = sum(path.stat().st_blocks * 512 for path in (tmp_path / "disk").rglob("*") if path.is_file())
            remount(options.format(used=used + 8192))

        with pytest.raises(StorageError, match=words):
            train(run, short, bundle, network, [Once(spoil, at=at)])
        remount(mended)
        check_goes_on(run, reference, short, bundle, network)

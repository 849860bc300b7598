"""Ctrl-C ends a stage at the next batch; what is saved then goes on to the result of a stage that nobody stopped."""

import dataclasses
import os
import signal
import threading

import numpy as np
import pytest

import tfl
from tfl.runs import Run
from tfl.train import batches as batches_module
from tfl.train.callbacks.progress import StageProgress
from tfl.train.loop import Loop
from tfl.train.stage import train_stage
from tfl.train.stopping import Stop


@pytest.fixture(autouse=True)
def _heard():
    """Ctrl-C is heard: tests that a script runs in its background start with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_first_signal_is_noted_and_the_second_raises(capfd):
    stop, before = Stop(), signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), stop.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested and "Once more stops at once" in capfd.readouterr().err
        os.kill(os.getpid(), signal.SIGINT)
        pytest.fail("the second one was not heard")
    assert signal.getsignal(signal.SIGTERM) is before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_that_nobody_heeded_is_raised_at_the_end():
    with pytest.raises(KeyboardInterrupt), Stop().listening():
        os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_that_is_ignored_stays_ignored():
    stop, before = Stop(), signal.signal(signal.SIGINT, signal.SIG_IGN)  # as of a job in the background of a script
    try:
        with stop.listening():
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert not stop.requested


def test_in_another_thread_nothing_is_listened_to():
    seen = []

    def listen():
        with Stop().listening():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]


@pytest.fixture
def interrupted_once(monkeypatch):
    """Sends the signal at one place, the first time that a condition holds."""

    def arm(owner, name, condition=lambda *arguments: True):
        real, sent = getattr(owner, name), []

        def watched(self, *arguments, **options):
            if not sent and condition(self, *arguments):
                sent.append(True)
                os.kill(os.getpid(), signal.SIGINT)
            return real(self, *arguments, **options)

        monkeypatch.setattr(owner, name, watched)

    return arm


def train(run, recipe, bundle, network):
    assembled = network(recipe)
    for stage in recipe.stages:
        train_stage(run, assembled, stage, bundle, recipe=recipe, stop=Stop())
    return assembled


def same(one, other):
    return all(map(np.array_equal, one.model.get_weights(), other.model.get_weights()))


def epochs(run):
    return [line.rsplit(",", 1)[0] for line in run.path("history.csv").read_text().splitlines()]  # without seconds


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Trains a recipe once for all tests that nothing stops otherwise: the run and the network; to be read only."""
    known = {}

    def of(recipe, bundle, network):
        name = recipe.to_json()
        if name not in known:
            run = Run.create(tmp_path_factory.mktemp("whole") / "run", recipe, command=[])
            known[name] = run, train(run, recipe, bundle, network)
        return known[name]

    return of


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "source"), [("training", "memory"), ("training", "blocks"), ("training", "pixels"), ("evaluating", "memory")]
)
def test_a_stage_stopped_within_an_epoch_goes_on_to_the_same_result(
    tmp_path, recipe, bundle, network, changed, monkeypatch, interrupted_once, undisturbed, source, place
):
    recipe = changed(recipe, "head", batch_size=2, schedule="cosine", epochs=2)  # 27 steps, of which the first 8 run at once
    recipe = changed(recipe, "finetune", epochs=1, batchnorm="train", augment=tfl.Augment(flip="horizontal"), views=1)
    recipe = dataclasses.replace(recipe, features=tfl.Features(store="never" if source == "pixels" else "always"))
    whole_run, whole = undisturbed(recipe, bundle, network)
    if source == "blocks":
        monkeypatch.setattr(batches_module, "HOLD_BYTES", 100)
        monkeypatch.setattr(batches_module, "BLOCK_BYTES", 20_000)
    run = Run.create(tmp_path / "cut", recipe, command=[])
    if place == "training":
        interrupted_once(StageProgress, "on_train_batch_end")
    else:
        interrupted_once(Loop, "evaluate")
    with pytest.raises(KeyboardInterrupt):
        train(run, recipe, bundle, network)
    left = run.state["stages"]["head"]["within"]
    assert 0 < left["steps"] < 27 if place == "training" else left["steps"] == 27
    assert [file.name for file in run.path("checkpoints").glob("*.within.npz")]
    again = train(run, recipe, bundle, network)
    assert same(again, whole) and epochs(run) == epochs(whole_run)
    assert not list(run.path("checkpoints").glob("*.within.npz"))


def test_between_two_epochs_nothing_more_is_saved(tmp_path, recipe, bundle, network):
    run, stop = Run.create(tmp_path / "run", recipe, command=[]), Stop()
    stop.requested = True
    with pytest.raises(KeyboardInterrupt):
        train_stage(run, network(recipe), recipe.stages[0], bundle, recipe=recipe, stop=stop)
    assert run.state["stages"]["head"]["epoch"] == 0

"""Checkpoint files: as many as were asked for, the latest whole one to go on from, the best under its own name."""

import keras
import numpy as np
import pytest

from tfl.errors import RunError
from tfl.runs import Run
from tfl.train.callbacks.checkpoints import Checkpoints
from tfl.train.callbacks.history import History, read_history
from tfl.train.state import StageState


def make_models():
    inputs = keras.Input((4,))
    middle = keras.layers.Dense(3, name="low")(inputs)
    whole = keras.Model(inputs, keras.layers.Dense(2, name="high")(middle))
    return whole, keras.Model(middle, whole.output)


def make_checkpoints(run, state, *, suffix=True, keep=2):
    whole, live = make_models()
    checkpoints = Checkpoints(run, "head", whole=whole, live=live if suffix else whole, state=state, keep=keep)
    checkpoints.optimizer = keras.optimizers.Adam()
    checkpoints.optimizer.build(checkpoints.live.trainable_variables)
    return checkpoints


def end_epoch(checkpoints, state, epoch, *, best=False):
    for variable in checkpoints.live.trainable_variables:
        variable.assign(np.full(variable.shape, float(epoch)))
    checkpoints.optimizer.iterations.assign(epoch * 10)
    state.epoch = epoch
    if best:
        state.best_epoch, state.best_value, state.best_loss = epoch, 0.5, 0.5
    checkpoints.on_epoch_end(epoch)


@pytest.fixture
def run(tmp_path, recipe):
    return Run.create(tmp_path / "run", recipe, command=[])


def names(run):
    return sorted(file.name for file in run.path("checkpoints").iterdir())


def test_as_many_stay_as_were_asked_for_and_the_best(run):
    state = StageState()
    checkpoints = make_checkpoints(run, state, keep=2)
    checkpoints.start()
    for epoch in range(1, 6):
        end_epoch(checkpoints, state, epoch, best=epoch == 2)
    assert names(run) == [
        *("best-head.suffix.weights.npz", "head-0.weights.npz", "head-4.suffix.weights.npz"),
        *("head-5.optimizer.npz", "head-5.suffix.weights.npz"),
    ]
    checkpoints.finish()
    checkpoints.tidy()
    assert names(run) == ["best-head.weights.h5", "head-0.weights.npz", "head-4.suffix.weights.npz", "head-5.suffix.weights.npz"]
    assert (checkpoints.whole.get_layer("high").kernel.numpy() == 2.0).all()


@pytest.mark.parametrize("suffix", [True, False])
def test_resume_brings_weights_and_optimiser_back(run, suffix):
    state = StageState()
    first = make_checkpoints(run, state, suffix=suffix)
    first.start()
    end_epoch(first, state, 1, best=True)
    end_epoch(first, state, 2)
    again = make_checkpoints(run, StageState.load(run, "head"), suffix=suffix)
    again.load_start()
    again.resume()
    for mine, theirs in zip(again.whole.get_weights(), first.whole.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert int(again.optimizer.iterations.numpy()) == 20


@pytest.mark.parametrize("name", ["head-1.optimizer.npz", "head-1.suffix.weights.npz"])
@pytest.mark.parametrize("content", [None, b"", b"PK half a file"])
def test_a_missing_or_damaged_file_is_named(run, name, content):
    state = StageState()
    checkpoints = make_checkpoints(run, state)
    checkpoints.start()
    end_epoch(checkpoints, state, 1)
    run.path("checkpoints", name).unlink()
    if content is not None:
        run.path("checkpoints", name).write_bytes(content)
    with pytest.raises(RunError, match=name):
        make_checkpoints(run, StageState.load(run, "head")).resume()


def test_history_drops_rows_that_have_no_checkpoint(run):
    state = StageState()
    for epoch in (1, 2):
        History(run, "head", state).on_epoch_end(epoch, {"loss": 1.0, "val_loss": 1.0})
    state.history.pop()  # a process died before the checkpoint of epoch 2
    History(run, "head", state).on_epoch_end(2, {"loss": 0.25, "val_loss": 1.0})
    History(run, "finetune", StageState()).on_epoch_end(1, {"loss": 0.125})
    rows = [(row["stage"], row["epoch"], row["loss"]) for row in read_history(run)]
    assert rows == [("head", "1", "1.0"), ("head", "2", "0.25"), ("finetune", "1", "0.125")]


def write_as_earlier_versions(checkpoints, epoch, *, best):
    """Files in Keras' own format in the place of the new ones."""
    kind, folder = checkpoints._kind, checkpoints.run.path("checkpoints")
    for file in folder.glob("*.weights.npz"):
        file.unlink()
    checkpoints.live.save_weights(folder / f"head-{epoch}{kind}.weights.h5")
    if best:
        checkpoints.live.save_weights(folder / f"best-head{kind}.weights.h5")
    whole, _ = make_models()
    whole.set_weights([np.zeros_like(weight) for weight in whole.get_weights()])
    whole.save_weights(folder / "head-0.weights.h5")


@pytest.mark.parametrize("better", [True, False])
@pytest.mark.parametrize("suffix", [True, False])
def test_a_run_of_an_earlier_version_goes_on(run, suffix, better):
    state = StageState()
    first = make_checkpoints(run, state, suffix=suffix)
    first.start()
    end_epoch(first, state, 1, best=True)
    write_as_earlier_versions(first, 1, best=True)
    state = StageState.load(run, "head")
    again = make_checkpoints(run, state, suffix=suffix)
    again.load_start()
    again.resume()
    for mine, theirs in zip(again.live.get_weights(), first.live.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    end_epoch(again, state, 2, best=better)
    end_epoch(again, state, 3)
    again.finish()
    again.tidy()
    assert (again.live.get_layer("high").kernel.numpy() == (2.0 if better else 1.0)).all()
    assert names(run) == [
        *("best-head.weights.h5", "head-0.weights.h5"),
        *(f"head-{epoch}{again._kind}.weights.npz" for epoch in (2, 3)),
    ]


def test_a_checkpoint_of_another_network_is_refused(run):
    state = StageState()
    checkpoints = make_checkpoints(run, state)
    checkpoints.start()
    end_epoch(checkpoints, state, 1)
    run.path("checkpoints", "head-0.weights.npz").replace(run.path("checkpoints", "head-1.suffix.weights.npz"))
    with pytest.raises(RunError, match="it has 4 arrays, and 2 are needed"):
        make_checkpoints(run, StageState.load(run, "head")).resume()


def test_a_normalization_layer_computes_with_what_was_loaded(run):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Normalization()(inputs))
    checkpoints = Checkpoints(run, "head", whole=model, live=model, state=StageState(), keep=1)
    images = np.random.default_rng(0).normal(3, 2, (50, 4)).astype("float32")
    model.layers[-1].adapt(images)
    expected = model.predict_on_batch(images)
    checkpoints.start()
    model.layers[-1].adapt(images * 10)
    checkpoints.load_start()
    np.testing.assert_array_equal(model.predict_on_batch(images), expected)

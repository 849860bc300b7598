"""A stage of biases, low-rank changes or adapters alone: kernels are proven unmoved; it ends, stops and goes on as others do."""

import contextlib
import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfl
from tfl.errors import FrozenMovedError, TrainingError
from tfl.runs import Run
from tfl.train.callbacks.checkpoints import Checkpoints
from tfl.train.loop import Loop
from tfl.train.stage import train_stage
from tfl.train.stage_plan import plan_stage
from tfl.train.stopping import Stop

PARTS = ("biases", "lora", "adapters")
MOVING = {"biases": {"beta"}, "lora": {"kernel"}, "adapters": {"gamma", "beta", "kernel", "bias"}}


class Killed(BaseException):
    pass


@pytest.fixture
def part():
    """One stage of two blocks, without validation where that decides nothing."""

    def of(recipe, weights, **fields):
        stage = dataclasses.replace(recipe.stages[1], weights=weights, learning_rate=1e-2, epochs=2, **fields)
        backbone = dataclasses.replace(recipe.backbone, adapter_width=4 if weights == "adapters" else 0)
        return dataclasses.replace(recipe, backbone=backbone, stages=(stage,))

    return of


def train(folder, recipe, bundle, assembled, **options):
    run = Run.open(folder) if folder.exists() else Run.create(folder, recipe, command=[])
    return run, train_stage(run, assembled, recipe.stages[0], bundle, recipe=recipe, **options)


def weights_of(assembled):
    return {weight.path: np.array(weight) for weight in assembled.model.weights}


def moved_between(before, after):
    assert before.keys() == after.keys(), "the network has other weights than before"
    return {path for path in before if not np.array_equal(before[path], after[path])}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Trains a recipe's stage once for all tests of its name: the run, the result and the network; to be read only.

    Beside them, the weights and the layers' settings that it began with. Its last optimiser stays on the disk.
    """
    known = {}

    def of(name, recipe, bundle, network):
        if name not in known:
            assembled = network(recipe)
            before, config = weights_of(assembled), [layer.get_config() for layer in assembled.model.layers]
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Checkpoints, "tidy", lambda self: None)
                run, result = train(tmp_path_factory.mktemp("whole") / "run", recipe, bundle, assembled)
            known[name] = run, result, assembled, before, config
        return known[name]

    return of


@pytest.mark.slow
@pytest.mark.parametrize("weights", PARTS)
def test_only_the_part_moves_and_what_the_stage_leaves_is_the_usual_network(recipe, bundle, network, part, undisturbed, weights):
    recipe = part(recipe, weights)
    run, result, assembled, before, config = undisturbed(weights, recipe, bundle.with_validation(), network)
    moved = moved_between(before, weights_of(assembled))
    own = moved - {"logits/kernel", "logits/bias"}
    assert {path.split("/")[1] for path in own} == MOVING[weights]
    assert all("_adapter_" in path for path in own) is (weights == "adapters")
    assert {path.split("/")[0][:5] for path in moved} == {"unit3", "unit4", "logit"}
    told = {row["block"]: row["moved_weights"] for row in result.ledger if row["moved"]}
    group = ["shifts"] if weights == "biases" else [weights]
    assert told == {"unit3_out": group, "unit4_out": group, "head": ["biases", "weights"]}
    after = [layer.get_config() for layer in assembled.model.layers]
    assert [{**one, "trainable": None} for one in after] == [{**one, "trainable": None} for one in config]
    again = network(recipe)
    again.model.load_weights(run.path("checkpoints", f"best-{recipe.stages[0].name}.weights.h5"))
    assert not moved_between(weights_of(again), weights_of(assembled))


@pytest.mark.slow
@pytest.mark.parametrize("weights", PARTS)
def test_killed_and_resumed_is_the_same_to_the_bit(tmp_path, recipe, bundle, network, part, monkeypatch, undisturbed, weights):
    recipe = part(recipe, weights, batch_size=2)
    _, _, whole, _, _ = undisturbed(f"{weights} with validation", recipe, bundle, network)
    for number, afresh in enumerate((True, False) if weights == "lora" else (True,)):  # LoRA alone adds to the network
        save, cut = Checkpoints.on_epoch_end, network(recipe)

        def dies(self, epoch, logs=None, *, save=save):
            if epoch == 2:
                raise Killed
            save(self, epoch, logs)

        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            patch.setattr(Checkpoints, "on_epoch_end", dies)
            train(tmp_path / str(number), recipe, bundle, cut)
        assert weights_of(cut).keys() == weights_of(whole).keys(), "what failed left the factors behind"
        resumed = network(recipe) if afresh else cut
        train(tmp_path / str(number), recipe, bundle, resumed)
        assert not moved_between(weights_of(whole), weights_of(resumed))


@pytest.mark.slow
@pytest.mark.parametrize("weights", PARTS)
def test_stopped_within_an_epoch_it_goes_on_to_the_same_result(tmp_path, recipe, bundle, network, part, undisturbed, weights):
    recipe = part(recipe, weights, batch_size=2)  # 27 steps, of which the first 8 run at once
    _, _, whole, _, _ = undisturbed(f"{weights} with validation", recipe, bundle, network)
    stop, cut, resumed = Stop(), network(recipe), network(recipe)
    run = Run.create(tmp_path / "cut", recipe, command=[])
    watcher = keras.callbacks.LambdaCallback()
    watcher.on_train_batch_end = lambda batch, logs=None: setattr(stop, "requested", True)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", recipe, bundle, cut, watchers=[watcher], stop=stop)
    assert 0 < run.state["stages"]["finetune"]["within"]["steps"] < 27
    train(tmp_path / "cut", recipe, bundle, resumed)
    assert not moved_between(weights_of(whole), weights_of(resumed))


@pytest.mark.slow
@pytest.mark.parametrize("weights", PARTS)
def test_it_can_end_halfway_and_by_a_penalty_close_to_the_start(tmp_path, recipe, bundle, network, part, undisturbed, weights):
    everything, recipe = bundle.with_validation(), part(recipe, weights)
    _, _, ended, before, _ = undisturbed(weights, recipe, everything, network)
    found = {"end": weights_of(ended)}
    for name, fields in {"half": {"interpolate": 0.5}, "held": {"l2_sp": 100.0}}.items():
        assembled = network(recipe)
        stage = dataclasses.replace(recipe.stages[0], **fields)
        train(tmp_path / name, dataclasses.replace(recipe, stages=(stage,)), everything, assembled)
        found[name] = weights_of(assembled)
    for path, start in before.items():
        np.testing.assert_allclose(found["half"][path], (start + found["end"][path]) / 2, atol=1e-6)
    own = [path for path in moved_between(before, found["end"]) if not path.startswith("logits")]
    far, near = (max(np.abs(found[name][path] - before[path]).max() for path in own) for name in ("end", "held"))
    assert 0 < near < far / 2


@pytest.mark.slow
def test_a_start_that_is_restored_is_the_same_to_the_bit(tmp_path, recipe, bundle, network, part):
    recipe = dataclasses.replace(part(recipe, "lora"), head=tfl.Head(start="probe"), monitor=tfl.Monitor("val_loss"))
    recipe = recipe.override("stages.finetune.learning_rate", "10")
    assembled = network(recipe)
    kernel = assembled.model.get_layer("unit4_conv1").kernel
    kernel.assign(np.where(np.arange(kernel.shape[-1]) % 2, np.array(kernel), -0.0))
    before = weights_of(assembled)
    _, result = train(tmp_path / "run", recipe, bundle, assembled)
    assert result.best_epoch == 0
    after = weights_of(assembled)
    assert all(before[path].tobytes() == after[path].tobytes() for path in before if not path.startswith("logits"))


@pytest.mark.slow
@pytest.mark.parametrize("weights", PARTS)
def test_a_loss_that_is_not_finite_leaves_the_usual_network(tmp_path, recipe, bundle, network, part, weights):
    recipe = part(recipe, weights)
    assembled = network(recipe)
    before = weights_of(assembled)
    with pytest.raises(TrainingError, match="not finite"):
        train(tmp_path / "run", recipe, bundle, assembled, class_weights=np.full(3, np.nan))
    assert not moved_between(before, weights_of(assembled))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weights", "name"),
    [
        ("biases", "unit4_conv1/kernel"),
        ("biases", "unit4_conv1_bn/moving_mean"),
        ("adapters", "unit4_conv1/kernel"),
    ],
)
def test_a_kernel_that_moved_in_secret_fails_the_stage(tmp_path, recipe, bundle, network, part, monkeypatch, weights, name):
    recipe = part(recipe, weights)
    assembled = network(recipe)
    weight = next(one for one in assembled.model.weights if one.path == name)
    step = Loop.train
    monkeypatch.setattr(Loop, "train", lambda self, *a, **k: (weight.assign(weight + 1e-6), step(self, *a, **k))[1])
    with pytest.raises(FrozenMovedError, match=r"unit4_out \((weights|batchnorm)\)"):
        train(tmp_path / "run", recipe, bundle, assembled)


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["all", *PARTS])
def test_the_optimiser_keeps_two_numbers_for_each_parameter_that_the_plan_counts(
    recipe, bundle, network, part, undisturbed, weights
):
    recipe = part(recipe, weights)
    trained = plan_stage(network(recipe), recipe.stages[0]).freeze.trained
    run, *_ = undisturbed(weights, recipe, bundle.with_validation(), network)
    with np.load(run.path("checkpoints", "finetune-2.optimizer.npz")) as saved:
        assert sum(saved[name].size for name in saved.files) == 2 * trained + len(("iteration", "rate"))


@pytest.mark.slow
def test_mixed_precision_merges_in_float32(tmp_path, recipe, bundle, part):
    from tfl.model.assemble import assemble

    recipe = part(recipe, "lora")
    assembled = assemble(recipe, ("lying", "none", "standing"), precision="mixed_bfloat16")
    before = weights_of(assembled)
    train(tmp_path / "run", recipe, bundle.with_validation(), assembled)
    kernel = weights_of(assembled)["unit4_conv1/kernel"]
    assert kernel.dtype == np.float32 and not np.array_equal(kernel, before["unit4_conv1/kernel"])
    assert not np.array_equal(kernel, tf.cast(tf.cast(kernel, tf.bfloat16), tf.float32).numpy())

"""Steps with and without XLA: the same training, chosen by measuring, and a clear word where XLA cannot."""

import dataclasses
import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from tfl.errors import TrainingError
from tfl.runs import Run
from tfl.train import compilation
from tfl.train.batches import MemoryEpoch, StreamEpoch
from tfl.train.compilation import choose_compilation
from tfl.train.loop import Loop
from tfl.train.stage import train_stage
from tfl.train.state import StageState

CLASSES = 3


def make_model(seed=0, *, policy="float32"):
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(policy)
    try:
        inputs = keras.Input((8, 8, 3), dtype="float32")
        x = keras.layers.Conv2D(4, 3, use_bias=False)(inputs)  # a bias here has no gradient but rounding
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.Flatten()(keras.layers.ReLU()(x))
        logits = keras.layers.Dense(CLASSES, name="logits")(x)
        return keras.Model(inputs, keras.layers.Softmax(name="probabilities", dtype="float32")(logits))
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(50, 8, 8, 3)).astype("float32")
    return images, np.eye(CLASSES, dtype="float32")[rng.integers(0, CLASSES, 50)]


@pytest.fixture(autouse=True)
def _nothing_measured(monkeypatch):
    monkeypatch.setattr(compilation, "_measured", {})


@pytest.fixture
def seconds(monkeypatch):
    """Decides what is measured."""

    def decide(*, off, on):
        monkeypatch.setattr(compilation, "best_seconds", lambda runs: {"False": off, "True": on})

    return decide


@pytest.fixture
def broken(monkeypatch):
    """XLA refuses every step."""

    def refuse(self, epoch, *rest):
        if self.jit_compile:
            raise tf.errors.InvalidArgumentError(None, None, "Detected unsupported operations: Where2")
        return {}

    monkeypatch.setattr(Loop, "train", refuse)


def memory(arrays):
    return MemoryEpoch(tf.constant(arrays[0]), tf.constant(arrays[1]), np.arange(len(arrays[0]), dtype=np.int32))


def stream(arrays):
    return StreamEpoch(tf.data.Dataset.from_tensor_slices(arrays).batch(16))


@pytest.mark.slow
@pytest.mark.parametrize(("epoch_of", "optimizer"), [(memory, "Adam"), (stream, "SGD")])
def test_training_is_the_same_with_and_without(arrays, epoch_of, optimizer):
    losses, weights = [], []
    for jit_compile in (False, True):
        model = make_model()
        rate = keras.optimizers.schedules.CosineDecay(0.01, 20)
        loop = Loop(model, getattr(keras.optimizers, optimizer)(rate), batch_size=16, jit_compile=jit_compile)
        losses.append([loop.train(epoch_of(arrays))["loss"] for _ in range(3)])  # 16, 16, 16 and 2 images
        weights.append(model.get_weights())
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert losses[0][0] > losses[0][2]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-4)


@pytest.mark.slow
def test_xla_sees_one_shape_only(arrays):
    loop = Loop(make_model(), keras.optimizers.SGD(0.01), batch_size=16, jit_compile=True)
    loop.train(memory(arrays))
    loop.train(stream(arrays))
    assert loop._xla_step.experimental_get_tracing_count() == 1
    assert loop._over_memory[False].experimental_get_tracing_count() == 1  # the last two images


def test_a_batch_that_is_never_full_needs_no_xla(arrays):
    loop = Loop(make_model(), keras.optimizers.SGD(0.01), batch_size=64, jit_compile=True)
    assert loop.train(memory(arrays))["loss"] > 0
    assert loop._xla_step.experimental_get_tracing_count() == 0


@pytest.mark.slow
@pytest.mark.parametrize(("off", "on", "chosen"), [(1.0, 0.5, True), (1.0, 0.97, False)])
def test_auto_takes_what_is_clearly_faster_and_says_so(seconds, off, on, chosen):
    seconds(off=off, on=on)
    text = io.StringIO()
    loop = Loop(make_model(), keras.optimizers.SGD(0.01), batch_size=4)
    console = Console(file=text, width=1000)
    assert choose_compilation("auto", loop, streams=False, stage_name="head", console=console) is chosen
    assert f"jit_compile {'on' if chosen else 'off'}: measured {16 / off:.0f} examples/s without XLA" in text.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize(("asked", "policy"), [("auto", "float32"), (True, "mixed_float16")])
def test_choosing_leaves_no_trace(asked, policy):
    model = make_model(policy=policy)
    loop = Loop(model, keras.optimizers.Adam(0.1), batch_size=4)
    variables = [*model.variables, *loop.optimizer.variables]
    before = [variable.numpy().copy() for variable in variables]
    choose_compilation(asked, loop, streams=True, stage_name="head")
    assert loop.jit_compile is False
    for variable, value in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


def test_false_and_true_are_obeyed_without_measuring(monkeypatch):
    monkeypatch.setattr(compilation, "best_seconds", lambda runs: pytest.fail("measured"))
    loop = Loop(make_model(), keras.optimizers.SGD(0.01), batch_size=4)
    assert choose_compilation(False, loop, streams=False, stage_name="head") is False
    assert loop._xla_step.experimental_get_tracing_count() == 0
    assert choose_compilation(True, loop, streams=False, stage_name="head") is True
    assert loop._xla_step.experimental_get_tracing_count() == 1


@pytest.mark.slow
def test_the_same_layers_are_measured_once(seconds, monkeypatch):
    seconds(off=1.0, on=0.5)
    make = lambda: Loop(make_model(), keras.optimizers.SGD(0.01), batch_size=4)  # noqa: E731
    assert choose_compilation("auto", make(), streams=False, stage_name="head")
    monkeypatch.setattr(compilation, "best_seconds", lambda runs: pytest.fail("measured again"))
    assert choose_compilation("auto", make(), streams=False, stage_name="head")


def test_where_xla_cannot_auto_goes_on_without_and_says_so(broken):
    text = io.StringIO()
    loop = Loop(make_model(), keras.optimizers.SGD(0.01), batch_size=4)
    console = Console(file=text, width=1000)
    assert choose_compilation("auto", loop, streams=False, stage_name="head", console=console) is False
    assert "off, as XLA cannot compile the steps: Detected unsupported operations: Where2" in text.getvalue()


def test_where_xla_cannot_and_was_asked_for_it_is_an_error(broken):
    loop = Loop(make_model(), keras.optimizers.SGD(0.01), batch_size=4)
    with pytest.raises(TrainingError, match=r"stage `head`: Detected unsupported.*jit_compile=False"):
        choose_compilation(True, loop, streams=False, stage_name="head")


def test_too_little_memory_is_not_xlas_fault(monkeypatch):
    def exhaust(self, epoch, *rest):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM")

    monkeypatch.setattr(Loop, "train", exhaust)
    loop = Loop(make_model(), keras.optimizers.SGD(0.01), batch_size=4)
    with pytest.raises(tf.errors.ResourceExhaustedError):
        choose_compilation("auto", loop, streams=False, stage_name="head")


@pytest.mark.slow
def test_a_stage_that_is_resumed_keeps_what_it_had_chosen(bundle, recipe, changed, network, tmp_path, monkeypatch):
    recipe = dataclasses.replace(changed(recipe, "head", epochs=3), jit_compile="auto")
    recipe = dataclasses.replace(recipe, stages=recipe.stages[:1])
    asked = []

    def choose(*args, **options):
        asked.append(options["stage_name"])
        return True

    monkeypatch.setattr("tfl.train.fit.choose_compilation", choose)

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    run = Run.create(tmp_path / "run", recipe, command=[])
    with run.lock(), pytest.raises(KeyboardInterrupt):
        train_stage(run, network(recipe), recipe.stages[0], bundle, recipe=recipe, watchers=[Stop()])
    assert StageState.load(run, "head").jit_compile is True
    run = Run.open(tmp_path / "run")
    with run.lock():
        done = train_stage(run, network(recipe), recipe.stages[0], bundle, recipe=recipe)
    assert done.epochs == 3 and asked == ["head"]

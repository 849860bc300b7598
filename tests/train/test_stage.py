"""A stage trains what it says and nothing else, returns to its best, and after a kill goes on to the same result."""

import contextlib
import csv
import dataclasses
import shutil

import numpy as np
import pytest

import tfl
from tfl.errors import RunError, TrainingError
from tfl.features.cost import Decision
from tfl.features.extract import Extractor
from tfl.model.freeze import Ledger
from tfl.runs import Run
from tfl.train import batches as batches_module
from tfl.train import stage_plan as stage_module
from tfl.train.callbacks.checkpoints import Checkpoints
from tfl.train.stage import train_stage


def run_in(folder, recipe):
    return Run.create(folder, recipe, command=[])


def weights_of(assembled):
    return [np.array(weight) for weight in assembled.model.get_weights()]


def train_all(folder, recipe, bundle, network, **options):
    run, assembled = run_in(folder, recipe), network(recipe)
    results = [train_stage(run, assembled, stage, bundle, recipe=recipe, **options) for stage in recipe.stages]
    return run, assembled, results


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Trains a recipe once for all tests of its name: the run, the network and the results; to be read only."""
    known = {}

    def of(name, recipe, bundle, network):
        if name not in known:
            known[name] = train_all(tmp_path_factory.mktemp("whole") / "run", recipe, bundle, network)
        return known[name]

    return of


@pytest.mark.slow
def test_two_stages_leave_what_a_run_needs(recipe, bundle, network, undisturbed):
    before = Ledger.snapshot(network(recipe))
    run, assembled, (head, finetune) = undisturbed("plain", recipe, bundle, network)
    after = Ledger.snapshot(assembled)
    names = [block.name for block in assembled.blocks]

    assert all(before[name] == after[name] for name in names[:-2]), "a frozen block moved"
    rows = {row["block"]: row for row in run.read_json("ledger.json")["finetune"]}
    assert [rows[name]["was_to_move"] for name in names] == [False] * (len(names) - 2) + [True, True]
    assert all(row["moved"] == row["was_to_move"] for row in rows.values())
    assert not any(row["batchnorm_moved"] for row in rows.values())
    assert [row["block"] for row in run.read_json("ledger.json")["head"] if row["moved"]] == ["head"]

    with run.path("history.csv").open() as handle:
        table = list(csv.DictReader(handle))
    assert [(row["stage"], row["epoch"]) for row in table] == [("head", str(e)) for e in (1, 2, 3, 4)] + [
        ("finetune", str(e)) for e in (1, 2, 3)
    ]
    assert all(float(row["val_macro_f1"]) <= 1 and float(row["learning_rate"]) > 0 for row in table)
    assert run.state["stages"]["head"]["done"] and run.state["stages"]["finetune"]["done"]
    assert head.epochs == 4 and finetune.epochs == 3
    assert list(run.path("logs", "head").iterdir())
    left = {file.name for file in run.path("checkpoints").iterdir()}
    assert left == {
        *("best-head.weights.h5", "head-0.weights.npz", "head-4.suffix.weights.npz"),
        *("best-finetune.weights.h5", "finetune-0.weights.npz", "finetune-3.suffix.weights.npz"),
    }


@pytest.mark.slow
def test_the_best_checkpoint_is_the_whole_network_as_it_was_left(recipe, bundle, network, undisturbed):
    run, assembled, _ = undisturbed("plain", recipe, bundle, network)
    again = network(recipe)
    again.model.load_weights(run.path("checkpoints", "best-finetune.weights.h5"))
    assert all(map(np.array_equal, weights_of(again), weights_of(assembled)))


@pytest.mark.slow
@pytest.mark.parametrize("metric", ["val_loss", "val_macro_f1"])
def test_the_stage_returns_to_its_best_even_when_it_was_not_stopped_early(tmp_path, recipe, bundle, network, changed, metric):
    recipe = changed(recipe, "head", learning_rate=0.3, epochs=6)
    recipe = dataclasses.replace(recipe, stages=recipe.stages[:1], monitor=tfl.Monitor(metric, patience=None))
    _, assembled, (result,) = train_all(tmp_path / "run", recipe, bundle, network)

    values = [row[metric] for row in result.history]
    assert not result.stopped_early
    assert result.best_value == pytest.approx((min if metric == "val_loss" else max)(values), rel=1e-5)
    assert values[result.best_epoch - 1] == pytest.approx(result.best_value, rel=1e-5)
    labels = bundle.labels("val")
    answers = assembled.model.predict(bundle.examples.arrays[bundle.indices("val")].astype("float32"), verbose=0)
    now = float((answers.argmax(-1) == labels).mean())
    assert now == pytest.approx(result.history[result.best_epoch - 1]["val_accuracy"], abs=1e-6)


@pytest.mark.slow
def test_a_stage_that_only_harms_is_undone(tmp_path, recipe, bundle, network, changed):
    recipe = changed(recipe, "head", epochs=12)
    recipe = changed(recipe, "finetune", learning_rate=5.0, optimizer="sgd", epochs=1, train="top:1")
    run, assembled, (head, finetune) = train_all(tmp_path / "run", recipe, bundle, network)
    assert finetune.history[0]["val_accuracy"] < head.best_value
    assert finetune.best_epoch == 0
    again = network(recipe)
    again.model.load_weights(run.path("checkpoints", "best-head.weights.h5"))
    assert all(map(np.array_equal, weights_of(again), weights_of(assembled)))


@pytest.mark.slow
def test_patience_ends_the_stage(tmp_path, recipe, bundle, network, changed):
    recipe = changed(recipe, "head", epochs=50, learning_rate=1e-12)
    recipe = dataclasses.replace(recipe, stages=recipe.stages[:1], monitor=tfl.Monitor("val_accuracy", patience=3))
    _, _, (result,) = train_all(tmp_path / "run", recipe, bundle, network)
    assert result.stopped_early and result.epochs == 4


class Killed(BaseException):
    pass


@contextlib.contextmanager
def killed_before_saving(monkeypatch, stage_name, epoch):
    """What is run inside dies at the end of that epoch, before its checkpoint is written."""
    save = Checkpoints.on_epoch_end

    def dies(self, ended, logs=None):
        if (self.stage_name, ended) == (stage_name, epoch):
            raise Killed
        save(self, ended, logs)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Checkpoints, "on_epoch_end", dies)
        yield


@pytest.mark.slow
@pytest.mark.parametrize(("kill_stage", "kill_epoch"), [("head", 3), ("finetune", 2)])
def test_a_killed_run_resumes_to_the_same_result(
    tmp_path, recipe, bundle, network, changed, monkeypatch, undisturbed, kill_stage, kill_epoch
):
    recipe = changed(recipe, "head", schedule="cosine", warmup_epochs=1.0, label_smoothing=0.1)
    recipe = changed(recipe, "finetune", augment=tfl.Augment(flip="horizontal", brightness=0.2), views=2, batchnorm="train")
    whole_run, whole, whole_results = undisturbed("augmented", recipe, bundle, network)

    with killed_before_saving(monkeypatch, kill_stage, kill_epoch):
        train_all(tmp_path / "cut", recipe, bundle, network)

    run, assembled = Run.open(tmp_path / "cut"), network(recipe)
    results = [train_stage(run, assembled, stage, bundle, recipe=recipe) for stage in recipe.stages]
    timeless = [[{k: v for k, v in row.items() if k != "seconds"} for row in r.history] for r in results]
    assert timeless == [[{k: v for k, v in row.items() if k != "seconds"} for row in r.history] for r in whole_results]
    assert all(map(np.array_equal, weights_of(assembled), weights_of(whole)))
    whole_rows = whole_run.path("history.csv").read_text().splitlines()
    assert len((tmp_path / "cut" / "history.csv").read_text().splitlines()) == len(whole_rows)


@pytest.mark.slow
def test_a_killed_run_with_taps_resumes_to_the_same_result(tmp_path, recipe, bundle, network, changed, monkeypatch):
    recipe = changed(changed(recipe, "head", epochs=2), "finetune", epochs=2)
    recipe = dataclasses.replace(recipe, head=tfl.Head(taps=("unit2_out", "unit4_out")))
    _, whole, _ = train_all(tmp_path / "whole", recipe, bundle, network)
    with killed_before_saving(monkeypatch, "finetune", 2):
        train_all(tmp_path / "cut", recipe, bundle, network)
    run, assembled = Run.open(tmp_path / "cut"), network(recipe)
    for stage in recipe.stages:
        train_stage(run, assembled, stage, bundle, recipe=recipe)
    assert all(map(np.array_equal, weights_of(assembled), weights_of(whole)))
    images = bundle.examples.arrays[:6].astype("float32")
    np.testing.assert_array_equal(assembled.model(images), whole.model(images))


@pytest.mark.slow
def test_everything_trains_on_pixels_drawn_anew_and_resumes(tmp_path, recipe, bundle, network, monkeypatch):
    stage = tfl.Stage(
        "all", train="all", epochs=2, batch_size=16, augment=tfl.Augment(flip="both", mixup=0.3), learning_rate=1e-3
    )
    recipe = dataclasses.replace(recipe, stages=(stage,))
    _, whole, _ = train_all(tmp_path / "whole", recipe, bundle, network)
    with killed_before_saving(monkeypatch, "all", 2):
        train_all(tmp_path / "cut", recipe, bundle, network)
    run, assembled = Run.open(tmp_path / "cut"), network(recipe)
    train_stage(run, assembled, stage, bundle, recipe=recipe)
    for ours, theirs in zip(weights_of(assembled), weights_of(whole), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    assert all(row["moved"] for row in run.read_json("ledger.json")["all"])


@pytest.fixture
def copied(tmp_path, recipe, bundle, network, undisturbed):
    """A copy of the run that nothing disturbed."""
    run, _, _ = undisturbed("plain", recipe, bundle, network)
    shutil.copytree(run.folder, tmp_path / "copy")
    return Run.open(tmp_path / "copy")


@pytest.mark.slow
def test_a_done_stage_is_loaded_not_trained(copied, recipe, bundle, network, undisturbed, monkeypatch):
    _, assembled, _ = undisturbed("plain", recipe, bundle, network)
    monkeypatch.setattr("tfl.train.stage.Fit", None)
    again = network(recipe)
    assert [train_stage(copied, again, stage, bundle, recipe=recipe).epochs for stage in recipe.stages] == [4, 3]
    assert all(map(np.array_equal, weights_of(again), weights_of(assembled)))


@pytest.mark.slow
def test_a_damaged_checkpoint_is_named(copied, recipe, bundle, network):
    copied.path("checkpoints", "best-head.weights.h5").write_bytes(b"half")
    with pytest.raises(RunError, match=r"best-head\.weights\.h5"):
        train_stage(copied, network(recipe), recipe.stages[0], bundle, recipe=recipe)


@pytest.mark.slow
def test_the_prefix_runs_once_a_view(tmp_path, recipe, bundle, network, changed, monkeypatch):
    computed = []
    real = Extractor.engine

    def counting(self):
        engine = real(self)
        run = staticmethod(lambda images: computed.append(len(images)) or engine(images))
        return type("Counted", (), {"name": engine.name, "__call__": run})()

    monkeypatch.setattr(Extractor, "engine", counting)
    monkeypatch.setenv("TFL_CACHE", str(tmp_path / "cache"))
    recipe = changed(recipe, "head", augment=tfl.Augment(flip="horizontal"), views=3, epochs=4)
    recipe = dataclasses.replace(recipe, stages=recipe.stages[:1])
    train_all(tmp_path / "run", recipe, bundle, network)
    once = 3 * len(bundle.indices("train")) + len(bundle.indices("val"))
    assert sum(computed) == once, "three views of the training images, one pass over validation"
    train_all(tmp_path / "again", recipe, bundle, network)
    assert sum(computed) == once, "another run reads what the first one stored"


@pytest.mark.slow
@pytest.mark.parametrize(("store", "budget"), [("auto", "0.00001"), ("never", "")])
def test_features_that_are_not_stored_are_computed_anew_and_said_so(
    tmp_path, recipe, bundle, network, changed, monkeypatch, store, budget
):
    monkeypatch.setenv("TFL_CACHE_GB", budget)
    monkeypatch.setenv("TFL_CACHE", str(tmp_path / "cache"))
    recipe = dataclasses.replace(changed(recipe, "finetune", epochs=1), features=tfl.Features(store=store))
    recipe = dataclasses.replace(recipe, stages=recipe.stages[1:])
    run, assembled, (result,) = train_all(tmp_path / "run", recipe, bundle, network)
    assert any("every epoch" in notice for notice in result.notices)
    assert run.state["stages"]["finetune"]["unstored"]
    assert not list((tmp_path / "cache").glob("features/*"))
    moved = [row["block"] for row in result.ledger if row["moved"]]
    assert moved == [*[block.name for block in assembled.blocks][-2:], "head"]


@pytest.mark.slow
def test_a_resumed_stage_keeps_its_decision(tmp_path, recipe, bundle, network, monkeypatch):
    recipe = dataclasses.replace(recipe, stages=recipe.stages[1:], features=tfl.Features(store="auto"))
    monkeypatch.setattr(stage_module, "storing", lambda *_: Decision(False, "The frozen blocks run in every epoch."))
    with killed_before_saving(monkeypatch, "finetune", 2):
        train_all(tmp_path / "run", recipe, bundle, network)
    monkeypatch.setattr(stage_module, "storing", lambda *_: pytest.fail("decided again"))
    run = Run.open(tmp_path / "run")
    result = train_stage(run, network(recipe), recipe.stages[0], bundle, recipe=recipe)
    assert result.epochs == 3 and run.state["stages"]["finetune"]["unstored"]


@pytest.mark.slow
def test_sets_too_large_for_memory_train_the_same(tmp_path, recipe, bundle, network, changed, monkeypatch):
    recipe = dataclasses.replace(changed(recipe, "finetune", epochs=2), features=tfl.Features(dtype="float16"))
    recipe = dataclasses.replace(recipe, stages=recipe.stages[1:])
    _, held, held_results = train_all(tmp_path / "held", recipe, bundle, network)
    monkeypatch.setattr(batches_module, "HOLD_BYTES", 100)
    monkeypatch.setattr(batches_module, "BLOCK_BYTES", 100_000)
    _, read, read_results = train_all(tmp_path / "read", recipe, bundle, network)
    assert all(map(np.array_equal, weights_of(held), weights_of(read)))
    for one, other in zip(held_results, read_results, strict=True):
        assert [row["val_loss"] for row in one.history] == [row["val_loss"] for row in other.history]


def test_a_loss_that_is_not_finite_stops_the_stage(tmp_path, recipe, bundle, network):
    with pytest.raises(TrainingError, match=r"not finite in stage `head`, epoch 1.*learning_rate"):
        train_all(tmp_path / "run", recipe, bundle, network, class_weights=np.full(3, np.nan))
    assert not list((tmp_path / "run" / "checkpoints").glob("head-1*"))


@pytest.mark.slow
def test_class_weights_pull_towards_the_heavy_class(tmp_path, recipe, bundle, network, changed):
    recipe = changed(recipe, "head", learning_rate=0.1)
    recipe = dataclasses.replace(recipe, stages=recipe.stages[:1])
    heavy = np.array([0.001, 0.001, 3.0])
    _, assembled, _ = train_all(tmp_path / "run", recipe, bundle, network, class_weights=heavy)
    images = bundle.examples.arrays[bundle.indices("train")].astype("float32")
    plain = network(recipe)
    train_stage(run_in(tmp_path / "plain", recipe), plain, recipe.stages[0], bundle, recipe=recipe)
    assert assembled.model.predict(images, verbose=0)[:, 2].mean() > plain.model.predict(images, verbose=0)[:, 2].mean() + 0.1


@pytest.mark.slow
def test_mixed_precision_trains_on_stored_features(tmp_path, recipe, bundle, network, changed):
    import keras

    recipe = changed(changed(recipe, "head", learning_rate=0.1), "finetune", epochs=1)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assembled = network(recipe)
    finally:
        keras.config.set_dtype_policy("float32")
    run = run_in(tmp_path / "run", recipe)
    results = [train_stage(run, assembled, stage, bundle, recipe=recipe) for stage in recipe.stages]
    assert results[0].history[-1]["loss"] < results[0].history[0]["loss"]
    assert all(row["moved"] == row["was_to_move"] for row in results[1].ledger)


@pytest.mark.slow
def test_a_stage_can_end_between_its_start_and_its_trained_weights(tmp_path, recipe, bundle, network):
    everything, found = bundle.with_validation(), {}
    for share in (0.0, 1.0, 0.5):
        stage = dataclasses.replace(recipe.stages[1], interpolate=share, epochs=1)
        assembled = network(recipe)
        run = run_in(tmp_path / str(share), recipe)
        result = train_stage(run, assembled, stage, everything, recipe=recipe)
        assert result.best_epoch == result.epochs == stage.epochs and np.isnan(result.best_value)
        found[share] = weights_of(assembled)
    moved = [not np.array_equal(a, b) for a, b in zip(found[0.0], found[1.0], strict=True)]
    assert 2 < sum(moved) < len(moved)
    for a, b, c in zip(found[0.0], found[1.0], found[0.5], strict=True):
        np.testing.assert_allclose(c, (a + b) / 2, atol=1e-6)

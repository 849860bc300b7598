"""What training makes a network forget of its own task: exactly nothing where it is frozen, and measured where it is not."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import keras
import pytest
from rich.console import Console

import tfl
from tfl.errors import BackboneError, DataError, RecipeError, RunError, WeightsNotFoundError
from tfl.evaluate.forgetting import prepare_source_task
from tfl.evaluate.report.source import forgetting_sentence
from tfl.job import check_recipe, run_recipe
from tfl.modalities.base import settled
from tfl.model.assemble import assemble
from tfl.prepare import prepare_again
from tfl.runs import Run
from tfl.strategies import with_strategy

SOURCE = tfl.Sample("digits", image_size=(32, 32), per_class=30, labels=("0", "1", "2", "3"))
TARGET = tfl.Sample("digits", image_size=(32, 32), per_class=15, labels=("5", "7", "8"))
HARD = (tfl.Stage("all", train="all", epochs=2, batch_size=8, learning_rate=3e-3),)


def run(recipe: tfl.Recipe, folder: Path, **options: Any) -> Run:
    return run_recipe(recipe, out=folder, console=Console(quiet=True), **options)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, small_network: str) -> Run:
    recipe = tfl.Recipe(name="source", data=SOURCE, backbone=tfl.Backbone(small_network), export=(), confidence=None)
    return run(with_strategy(recipe, "features"), tmp_path_factory.mktemp("source") / "run")


def target(source: Run, **parts: Any) -> tfl.Recipe:
    recipe = tfl.Recipe(
        name="target",
        data=TARGET,
        backbone=tfl.Backbone(str(source.folder)),
        source_data=SOURCE,
        stages=HARD,
        monitor=tfl.Monitor(alpha=1.0),
        export=(),
        confidence=None,
    )
    return dataclasses.replace(recipe, **parts)


def measured(recipe: tfl.Recipe) -> dict[str, Any]:
    """What is measured of the network before anything was trained."""
    recipe = settled(recipe)
    untrained = assemble(recipe, ("5", "7", "8"))
    return prepare_source_task(recipe, untrained, precision="float32", console=Console(quiet=True)).measure(untrained)


@pytest.fixture(scope="module")
def trained(source: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in which every weight of the source moved."""
    return run(target(source), tmp_path_factory.mktemp("trained") / "run")


@pytest.mark.slow
def test_a_frozen_backbone_forgets_nothing_and_is_resumed_with_the_same_examples(source: Run, tmp_path: Path) -> None:
    recipe = with_strategy(target(source), "features")
    done = run(recipe, tmp_path / "run", report=False)
    found, own = done.read_json("metrics.json")["source"], source.read_json("metrics.json")["test"]
    assert found["unchanged"] and found["difference"] == 0.0 and found["interval"] == [0.0, 0.0] and found["p"] == 1.0
    assert found["accuracy"] == [own["accuracy"]] * 2 and found["count"] == own["count"]  # of the test split of the source
    assert "the same bit for bit" in forgetting_sentence(found, nouns="digits")
    again = run(recipe, tmp_path / "run", resume=True, report=False)
    assert again.read_json("metrics.json")["source"] == found
    again.update_manifest(source_data={"fingerprint": "another"})
    with pytest.raises(RunError, match="`source_data` are not those"):
        run(recipe, tmp_path / "run", resume=True)


@pytest.mark.slow
def test_what_full_training_forgets_is_measured_pair_by_pair(source: Run, trained: Run) -> None:
    found = trained.read_json("metrics.json")["source"]
    before, after = found["accuracy"]
    assert not found["unchanged"] and after < before
    assert found["only_before"] - found["only_after"] == round((before - after) * found["count"])
    low, high = found["interval"]
    assert found["difference"] == pytest.approx(after - before) and low <= found["difference"] <= high < 0
    report = json.loads(trained.path("report.json").read_text())["forgetting"]
    assert report["accuracy"] == found["accuracy"] and "points (95% interval" in report["sentence"]
    assert "What was forgotten" in trained.path("report.html").read_text()


@pytest.mark.slow
def test_keras_alone_comes_to_the_same_accuracy(source: Run, trained: Run) -> None:
    own, after = keras.models.load_model(source.model_file), keras.models.load_model(trained.model_file)
    for layer in own.layers:
        if layer.name != "logits":
            layer.set_weights(after.get_layer(layer.name).get_weights())
    bundle = prepare_again(source, Console(quiet=True))
    said = own.predict(bundle.dataset(bundle.indices("test"), batch_size=16), verbose=0).argmax(axis=1)
    assert float((said == bundle.labels("test")).mean()) == trained.read_json("metrics.json")["source"]["accuracy"][1]


@pytest.mark.slow
def test_random_numbers_are_the_same_without_it(source: Run, trained: Run, tmp_path: Path) -> None:
    without = run(target(source, source_data=None), tmp_path / "run", report=False)
    assert without.read_json("metrics.json")["test"] == trained.read_json("metrics.json")["test"]


@pytest.mark.slow
def test_a_model_file_is_measured_on_the_test_split_with_its_names_matched(source: Run, tmp_path: Path) -> None:
    keras.models.load_model(source.model_file).save(tmp_path / "mine.keras")
    recipe = target(source, backbone=tfl.Backbone(str(tmp_path / "mine.keras"), preprocessing="none"))
    with pytest.raises(DataError, match=r"Nothing says what the classes .*labels\.txt"):
        run(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "labels.txt").write_text("3\n2\n1\n9\n")
    with pytest.raises(DataError, match=r"are not those that .* Received: 0\."):
        measured(recipe)
    (tmp_path / "labels.txt").write_text("3\n2\n1\n0\n")  # another order, and so other answers
    wrong = measured(recipe)
    (tmp_path / "labels.txt").write_text("0\n1\n2\n3\n")
    right = measured(recipe)
    assert right["accuracy"][0] > 0.7 > 0.3 > wrong["accuracy"][0] and right["count"] == 24
    assert "in the test split" in right["held_out"]


@pytest.mark.slow
def test_examples_that_the_source_learnt_from_do_not_count(source: Run, tmp_path: Path) -> None:
    other_split = target(source, source_data=dataclasses.replace(SOURCE, test=0.5))
    assert measured(other_split)["count"] == source.read_json("metrics.json")["test"]["count"]
    for name in ("manifest.json", "recipe.json", "model.keras"):
        (tmp_path / name).write_bytes(source.path(name).read_bytes())
    (tmp_path / "data.csv").write_text(source.path("data.csv").read_text().replace("test,", "train,"))
    with pytest.raises(DataError, match="was trained or validated on all images of `source_data`"):
        measured(target(source, backbone=tfl.Backbone(str(tmp_path))))


@pytest.mark.slow
def test_numbers_have_no_classes_to_forget(tmp_path: Path, source: Run) -> None:
    """A source that predicts numbers ends in a layer without an activation, like one that gives logits."""
    changed = tmp_path / "numbers"
    changed.mkdir()
    for name in ("manifest.json", "model.keras"):
        (changed / name).write_bytes(source.path(name).read_bytes())
    (changed / "recipe.json").write_text(source.recipe.override("head.start", "random").override("task", "regress").to_json())
    with pytest.raises(BackboneError, match="task `regress`"):
        measured(target(source, backbone=tfl.Backbone(str(changed))))


def test_what_cannot_forget_is_refused_early(source: Run) -> None:
    with pytest.raises(RecipeError, match=r"`source_data` asks for .* random weights"):
        target(source, backbone=tfl.Backbone("mini", weights=None))
    with pytest.raises(RecipeError, match="another kind of examples"):
        target(source, source_data=tfl.Data("sounds", input=tfl.Audio()))
    with pytest.raises(WeightsNotFoundError, match="mini come without a classifier"):
        check_recipe(target(source, backbone=tfl.Backbone("mini")))
    assert with_strategy(target(source), "scratch").source_data is None


def test_source_data_is_a_field_like_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tfl.Recipe(name="x", data=tfl.Data("a"), backbone=tfl.Backbone("MobileNet"))
    given = recipe.override("source_data", "photos").override("source_data.test", "0.5")
    assert given.source_data == tfl.Data("photos", test=0.5) and tfl.Recipe.from_json(given.to_json()) == given
    assert given.override("source_data", "none") == recipe
    assert given.smoke().source_data == tfl.Data("photos", test=0.5, per_class=20)
    older = json.loads(recipe.to_json())
    del older["source_data"]
    assert tfl.Recipe.from_json(json.dumps(older)) == recipe
    (tmp_path / "recipes" / "photos").mkdir(parents=True)
    (tmp_path / "recipes" / "x.json").write_text(given.to_json())
    monkeypatch.chdir(tmp_path)
    loaded = tfl.load_recipe("recipes/x.json").source_data
    assert loaded is not None and loaded.source == str(tmp_path / "recipes" / "photos")


@pytest.mark.parametrize(
    ("p", "difference", "chance"), [(0.01, -0.1, False), (0.3, -0.1, True), (1.0, 0.0, False)], ids=["apart", "chance", "equal"]
)
def test_the_sentence_says_what_could_be_chance(p: float, difference: float, chance: bool) -> None:
    found = {"count": 50, "accuracy": [0.9, 0.9 + difference], "unchanged": False, "interval": [-0.2, 0.01]}
    sentence = forgetting_sentence({**found, "difference": difference, "p": p}, nouns="photos")
    assert ("could be chance" in sentence) is chance and f"{100 * difference:+.1f} points" in sentence

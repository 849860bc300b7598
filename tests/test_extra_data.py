"""A run with examples of a related source: used where they help, told where they do not, and exact under resume and repeat."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from rich.console import Console
from sklearn.datasets import load_digits

import tfl
from tfl.data.listing import read_listing, read_seen
from tfl.errors import DataError, RecipeError, RunError
from tfl.evaluate.compare.identical import compare_weights
from tfl.evaluate.report.extra_data import extra_sentence
from tfl.job import run_recipe
from tfl.model.neighbours import EXAMPLES
from tfl.prepare import prepare_again
from tfl.repeat import repeat_run
from tfl.runs import Run
from tfl.strategies import with_strategy
from tfl.tuning.space import check_trains

DIGITS = load_digits()
VALUES, LABELS = (DIGITS.images * 255 / 16).astype(np.uint8), DIGITS.target
PROBE = (tfl.Stage("probe", epochs=0),)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Writes some of scikit-learn's digits, dimmed as by another scanner, with labels that may be wrong."""
    folder = tmp_path_factory.mktemp("digits")
    order = np.random.default_rng(0).permutation(len(LABELS))

    def write(name: str, start: int, stop: int, *, dim: float = 1.0, shift: int = 0) -> str:
        rows = order[start:stop]
        values = (VALUES[rows] * dim).astype(np.uint8)
        np.savez(folder / f"{name}.npz", x=values, y=(LABELS[rows] + shift) % 10)
        return str(folder / f"{name}.npz")

    return write


@pytest.fixture(scope="module")
def recipe(digits: Callable[..., str]) -> tfl.Recipe:
    data = tfl.Data(digits("target", 0, 400), image_size=(32, 32), validation=0.1, test=0.4, train_per_class=4)
    return tfl.Recipe(
        name="few",
        data=data,
        backbone=tfl.Backbone("mini"),
        head=tfl.Head(start="probe"),
        stages=PROBE,
        export=(),
        confidence=None,
        extra_data=tfl.Data(digits("dimmed", 400, 1000, dim=0.7)),
    )


def run(recipe: tfl.Recipe, folder: Path, **options: Any) -> Run:
    return run_recipe(recipe, out=folder, **{"console": Console(quiet=True), "report": False, **options})


def accuracy(done: Run) -> float:
    return float(done.read_json("metrics.json")["test"]["accuracy"])


@pytest.fixture(scope="module")
def used(recipe: tfl.Recipe, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(recipe, tmp_path_factory.mktemp("used") / "run", report=True)


@pytest.fixture(scope="module")
def without(recipe: tfl.Recipe, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(dataclasses.replace(recipe, extra_data=None), tmp_path_factory.mktemp("without") / "run")


@pytest.mark.slow
def test_examples_that_help_are_used_and_only_trained_on(used: Run, without: Run) -> None:
    found = used.read_json("extra.json")
    assert found["count"] > 0 and accuracy(used) > accuracy(without) + 0.03
    chosen = found["tried"][found["best"]]
    assert chosen["kept"] and chosen["count"] == found["count"] == len(found["drawn"]) and chosen["gain"]["p"] <= found["alpha"]
    assert [row["kept"] for row in found["tried"]].count(True) == 1 and found["tried"][0]["level"] == 0
    for part in ("test", "validation"):
        assert used.read_json("metrics.json")[part]["count"] == without.read_json("metrics.json")[part]["count"]
    assert read_listing(used.folder) == read_listing(without.folder)
    seen = read_seen(used.folder)
    assert seen is not None and len(seen) == 400 + found["count"] and {row.split for row in seen[400:]} == {"train"}
    assert len(prepare_again(used, Console(quiet=True)).examples) == 400
    report = json.loads(used.path("report.json").read_text())["extra"]
    assert report["sentence"] == extra_sentence(found, nouns="images") and report["sentence"].startswith("Training takes")
    assert 'id="extra"' in used.path("report.html").read_text()


@pytest.mark.slow
def test_of_a_mixed_source_the_like_ones_are_used(recipe: tfl.Recipe, digits: Callable[..., str], tmp_path: Path) -> None:
    like, unlike = np.load(digits("like", 400, 700)), np.load(digits("unlike", 700, 1600, shift=1))
    values, labels = np.concatenate([like["x"], 255 - unlike["x"]]), np.concatenate([like["y"], unlike["y"]])
    np.savez(tmp_path / "mixed.npz", x=values, y=labels)
    done = run(dataclasses.replace(recipe, extra_data=tfl.Data(str(tmp_path / "mixed.npz"))), tmp_path / "run")
    found = done.read_json("extra.json")
    assert found["by"] == "likeness" and 200 < found["likeness"]["effective"] < 450
    assert found["count"] > 0 and np.mean(np.array(found["drawn"]) < 300) > 0.8  # a quarter of all
    by_chance = [row["gain"]["mean"] for row in found["tried"] if row["by"] == "chance" and row["gain"]]
    assert max(by_chance) < found["tried"][found["best"]]["gain"]["mean"]


@pytest.mark.slow
def test_nearest_neighbours_hold_them(recipe: tfl.Recipe, used: Run, tmp_path: Path) -> None:
    done = run(with_strategy(recipe, "knn"), tmp_path / "run", report=True)
    held = keras.models.load_model(done.model_file).get_layer(EXAMPLES).weights[0]
    assert held.shape[-1] == 40 + used.read_json("extra.json")["count"]


@pytest.mark.slow
def test_wrong_labels_are_not_used_and_the_run_is_the_one_without_them(
    recipe: tfl.Recipe, without: Run, digits: Callable[..., str], tmp_path: Path
) -> None:
    wrong = dataclasses.replace(recipe, extra_data=tfl.Data(digits("wrong", 400, 1000, shift=1)))
    console = Console(record=True, width=200, quiet=False, file=(tmp_path / "log").open("w"))
    done = run(wrong, tmp_path / "run", console=console)
    found = done.read_json("extra.json")
    assert found["count"] == found["level"] == found["best"] == 0 and not found["drawn"]
    assert done.read_json("metrics.json")["test"] == without.read_json("metrics.json")["test"]
    assert "The extra images are not used: on 40 held-out training images" in console.export_text()


@pytest.mark.slow
def test_a_resumed_run_is_the_same_and_takes_no_other_examples(
    recipe: tfl.Recipe, digits: Callable[..., str], tmp_path: Path, folder_of_a_kill: Callable[..., Any]
) -> None:
    stages = (tfl.Stage("head", epochs=1), tfl.Stage("finetune", train="top:1", epochs=2, learning_rate=1e-4))
    recipe = dataclasses.replace(recipe, stages=stages, monitor=tfl.Monitor(alpha=1.0))
    with folder_of_a_kill(tmp_path / "part", "finetune"):
        whole = run(recipe, tmp_path / "whole", report=True)
    again = run(recipe, tmp_path / "part", resume=True, report=True)
    assert compare_weights(whole.path("model.keras"), again.path("model.keras"))["identical"]
    assert again.read_json("extra.json") == whole.read_json("extra.json")
    digits("dimmed", 400, 990, dim=0.7)
    with pytest.raises(RunError, match="`extra_data` are not those"):
        run(recipe, tmp_path / "part", resume=True)
    digits("dimmed", 400, 1000, dim=0.7)


@pytest.mark.slow
def test_a_repeat_is_identical(used: Run, tmp_path: Path) -> None:
    document = repeat_run(used.folder, out=tmp_path / "again", console=Console(quiet=True))
    assert document["identical"], document["sentence"]
    assert Run(tmp_path / "again").read_json("extra.json") == used.read_json("extra.json")


@pytest.mark.slow
def test_auto_holds_out_examples_of_the_target_alone(recipe: tfl.Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tfl.advice.candidate_stages.MOST_EPOCHS", 1)
    monkeypatch.setattr("tfl.advice.candidate_stages.CANDIDATES", ((0.3, 0.3),))
    auto = dataclasses.replace(recipe, head=tfl.Head(), stages=tfl.Auto(minutes=20))
    plain_auto = dataclasses.replace(auto, stages=tfl.Auto(minutes=0.0), extra_data=None)
    done, without = run(auto, tmp_path / "run"), run(plain_auto, tmp_path / "without")
    found, plain = done.read_json("auto.json"), without.read_json("auto.json")
    assert done.read_json("extra.json")["count"] > 0
    assert found["examples"] == plain["examples"] == found["of"] == 80  # 4 of each class to train, and the validation split
    assert max(row["value"] for row in found["tried"] if row["kind"] == "probe") > max(
        row["value"] for row in plain["tried"] if row["kind"] == "probe"
    )
    assert any(row["kind"] == "finetune" and row.get("count", 80) <= 80 for row in found["tried"])
    assert accuracy(done) > accuracy(without)


def test_nothing_in_common_is_refused_before_there_is_a_folder(recipe: tfl.Recipe, tmp_path: Path) -> None:
    np.savez(tmp_path / "letters.npz", x=VALUES[:20], y=np.arange(20) % 2, class_names=np.array(["a", "b"]))
    other = dataclasses.replace(recipe, extra_data=tfl.Data(str(tmp_path / "letters.npz")))
    with pytest.raises(DataError, match="has no class of the target"):
        run(other, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_does_not_fit_is_refused_early(recipe: tfl.Recipe) -> None:
    def changed(**parts: Any) -> tfl.Recipe:
        return dataclasses.replace(recipe, **parts)

    with pytest.raises(RecipeError, match="for one of several classes"):
        changed(task="regress", monitor=tfl.Monitor())
    with pytest.raises(RecipeError, match="random weights"):
        changed(backbone=tfl.Backbone("mini", weights=None))
    with pytest.raises(RecipeError, match="another kind of examples"):
        changed(extra_data=tfl.Data("sounds", input=tfl.Audio()))
    with pytest.raises(RecipeError, match=r"no effect there.*extra_data\.image_size, extra_data\.test"):
        changed(extra_data=tfl.Data("other", image_size=(8, 8), test=0.5))
    with pytest.raises(RecipeError, match=r"extra_data\.input\.length"):
        text = tfl.Data("a", input=tfl.Text(length=16))
        changed(data=text, extra_data=tfl.Data("b", input=tfl.Text(length=32, column="body")))
    with pytest.raises(RecipeError, match="nothing is trained"):
        changed(head=tfl.Head(start="source"))
    with pytest.raises(RecipeError, match="A search trains on `data` alone"):
        check_trains(recipe)
    assert changed(extra_data=tfl.Data("other", image_size=(32, 32))).extra_data is not None  # as that of `data`
    typed = changed(data=text, extra_data=None).override("extra_data", "b")
    assert typed.extra_data == tfl.Data("b", input=tfl.Text()) and typed.override("extra_data", "").extra_data is None
    for strategy in ("scratch", "direct"):
        assert with_strategy(recipe, strategy).extra_data is None
    assert with_strategy(recipe, "finetune").extra_data == recipe.extra_data


def test_extra_data_is_a_field_like_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tfl.Recipe(name="x", data=tfl.Data("a"), backbone=tfl.Backbone("MobileNet"))
    given = recipe.override("extra_data", "drawn").override("extra_data.labels", "ant")
    assert given.extra_data == tfl.Data("drawn", labels=("ant",)) and tfl.Recipe.from_json(given.to_json()) == given
    assert given.override("extra_data", "none") == recipe and given.smoke().extra_data == tfl.Data(
        "drawn", labels=("ant",), per_class=20
    )
    older = json.loads(recipe.to_json())
    del older["extra_data"]
    assert tfl.Recipe.from_json(json.dumps(older)) == recipe
    (tmp_path / "recipes" / "drawn").mkdir(parents=True)
    (tmp_path / "recipes" / "x.json").write_text(given.to_json())
    monkeypatch.chdir(tmp_path)
    loaded = tfl.load_recipe("recipes/x.json").extra_data
    assert loaded is not None and loaded.source == str(tmp_path / "recipes" / "drawn")

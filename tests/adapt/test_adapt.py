"""A run that adapts: what it chooses does not see target labels, the network is the one that was measured, resume is exact."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from rich.console import Console
from sklearn.datasets import load_digits

import tfl
from tfl.errors import BackboneError, DataError, RecipeError
from tfl.evaluate.compare.identical import compare_weights
from tfl.job import run_recipe
from tfl.repeat import repeat_run
from tfl.runs import Run
from tfl.strategies import with_strategy

DIGITS = load_digits()
VALUES, LABELS = (DIGITS.images * 255 / 16).astype(np.uint8), DIGITS.target.astype(int)
KEPT = np.flatnonzero(LABELS < 4)
SOURCE, TARGET = KEPT[:120], KEPT[120:240]


def write(file: Path, rows: Any, labels: Any) -> str:
    """The target: light digits become dark ones."""
    np.savez(file, x=255 - VALUES[rows], y=labels)
    return str(file)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> tfl.Recipe:
    folder = tmp_path_factory.mktemp("domains")
    np.savez(folder / "source.npz", x=VALUES[SOURCE], y=LABELS[SOURCE])
    return tfl.Recipe(
        name="inverted",
        data=tfl.Data(str(folder / "source.npz"), image_size=(32, 32)),
        target_data=tfl.Data(write(folder / "target.npz", TARGET, LABELS[TARGET])),
        backbone=tfl.Backbone("mini"),
        head=tfl.Head(start="probe"),
        stages=(tfl.Stage("probe", epochs=0),),
        adapt=tfl.Adapt(methods=("adabn", "coral", "self_training"), minutes=600),
        export=(),
    )


def run(recipe: tfl.Recipe, folder: Path, **options: Any) -> Run:
    return run_recipe(recipe, out=folder, **{"console": Console(quiet=True), "report": True, **options})


@pytest.fixture(scope="module")
def done(recipe: tfl.Recipe, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """`killed` beside it is what a kill would have left when the network was adapted and nothing was measured."""
    from tfl.job.measure import outputs_by_split

    folder = tmp_path_factory.mktemp("done")

    def copy_before(one: Run, *parts: Any) -> Any:
        shutil.copytree(one.folder, folder / "killed")
        return outputs_by_split(one, *parts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfl.job.measure.outputs_by_split", copy_before)
        return run(recipe, folder / "run")


@pytest.mark.slow
def test_the_network_is_the_one_that_was_measured(done: Run, recipe: tfl.Recipe) -> None:
    found, metrics = done.read_json("adapt.json"), done.read_json("metrics.json")["target"]
    rows = {row["name"]: row for row in found["tried"]}
    assert next(iter(rows)) == "source_only" and {"adabn", "coral", "self_training", "adabn + coral"} < set(rows)
    kept = rows[found["chosen"]]
    assert [row["kept"] for row in found["tried"]].count(True) == 1 and kept["kept"]
    assert kept["criterion"] == max(row["criterion"] for row in found["tried"] if not row["out"])
    assert kept["accuracy"] > rows["source_only"]["accuracy"] and kept["gain_interval"][0] > 0
    assert all(row["interval"][0] <= row["accuracy"] <= row["interval"][1] + 1e-9 for row in rows.values())
    assert metrics["accuracy"] == [rows["source_only"]["accuracy"], kept["accuracy"]]
    best = max(row["accuracy"] for row in found["tried"])
    assert found["regret"]["regret"] == pytest.approx(best - kept["accuracy"]) and found["regret"]["count"] == 120
    target = recipe.target_data
    assert target is not None
    from tfl.prepare import prepare

    bundle = prepare(
        dataclasses.replace(recipe, data=dataclasses.replace(target, image_size=(32, 32))), Console(quiet=True)
    ).bundle
    said = keras.models.load_model(done.model_file).predict(bundle.dataset(np.arange(120), batch_size=64), verbose=0)
    assert abs((said.argmax(axis=1) == LABELS[TARGET]).mean() - kept["accuracy"]) <= 1 / 120  # stored features are rounded
    ledger = json.loads(done.path("ledger.json").read_text())["adapt"]
    assert {row["block"] for row in ledger if row["moved"]} <= {row["block"] for row in ledger if row["was_to_move"]}
    report = json.loads(done.path("report.json").read_text())["adapt"]
    assert report["sentences"][1].startswith("On 120 labelled images of the target it is right in")
    assert 'id="adapt"' in done.path("report.html").read_text() and len(report["rows"]) == len(rows)


@pytest.mark.slow
def test_labels_of_the_target_decide_nothing(done: Run, recipe: tfl.Recipe, tmp_path: Path) -> None:
    shuffled = np.random.default_rng(1).permutation(LABELS[TARGET])
    other = dataclasses.replace(recipe, target_data=tfl.Data(write(tmp_path / "target.npz", TARGET, shuffled)))
    found, plain = run(other, tmp_path / "run").read_json("adapt.json"), done.read_json("adapt.json")
    assert found["chosen"] == plain["chosen"] and found["regret"] != plain["regret"]
    assert [row["criterion"] for row in found["tried"]] == [row["criterion"] for row in plain["tried"]]
    assert compare_weights(done.path("model.keras"), tmp_path / "run" / "model.keras")["identical"]


@pytest.mark.slow
def test_resumed_and_repeated_runs_are_the_same(
    done: Run, recipe: tfl.Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("tfl.adapt.adapt._candidates", interrupted)  # what was tried is not tried again
        again = run(recipe, done.folder.parent / "killed", resume=True)
    assert compare_weights(done.path("model.keras"), again.path("model.keras"))["identical"]
    document = repeat_run(done.folder, out=tmp_path / "again", reuse_store=True, console=Console(quiet=True))
    assert document["identical"], document["sentence"]


@pytest.mark.slow
def test_a_folder_without_labels_is_adapted_to(recipe: tfl.Recipe, tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "night").mkdir()
    for at, row in enumerate(TARGET[:20]):
        Image.fromarray(255 - VALUES[row]).save(tmp_path / "night" / f"{at}.png")
    one = dataclasses.replace(recipe, target_data=tfl.Data(str(tmp_path / "night")), adapt=tfl.Adapt(methods=("coral",)))
    found = run(one, tmp_path / "run", report=False)
    document = found.read_json("adapt.json")
    assert document["chosen"] == "coral" and document["regret"] is None and document["criterion"] is None
    assert found.read_json("metrics.json")["target"] == {
        "source": str(tmp_path / "night"),
        "chosen": "coral",
        "adapted_to": 20,
    }


@pytest.mark.slow
def test_bad_input_is_refused_before_there_is_a_folder(recipe: tfl.Recipe, tmp_path: Path) -> None:
    few = write(tmp_path / "few.npz", TARGET[:5], LABELS[TARGET[:5]])
    with pytest.raises(DataError, match="too few examples to adapt to"):
        run(dataclasses.replace(recipe, target_data=tfl.Data(few)), tmp_path / "run")
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.MaxPooling2D(name="first")(keras.layers.Conv2D(4, 3, activation="relu")(inputs))
    keras.Model(inputs, keras.layers.Conv2D(4, 3, name="second")(x)).save(tmp_path / "plain.keras")
    plain = tfl.Backbone(str(tmp_path / "plain.keras"), preprocessing="none")
    with pytest.raises(BackboneError, match="no BatchNorm"):
        run(dataclasses.replace(recipe, backbone=plain, adapt=tfl.Adapt(methods=("adabn", "tent"))), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_does_not_fit_is_refused_by_the_recipe(recipe: tfl.Recipe) -> None:
    def changed(**parts: Any) -> tfl.Recipe:
        return dataclasses.replace(recipe, **parts)

    with pytest.raises(RecipeError, match="for one of several classes"):
        changed(task="regress", monitor=tfl.Monitor())
    with pytest.raises(RecipeError, match="no layer with weights"):
        changed(head=tfl.Head(start="probe", probe="knn"))
    with pytest.raises(RecipeError, match="another kind of examples"):
        changed(target_data=tfl.Data("sounds", input=tfl.Audio()))
    with pytest.raises(RecipeError, match=r"target_data\.image_size"):
        changed(target_data=tfl.Data("night", image_size=(8, 8)))
    with pytest.raises(RecipeError, match="there is none"):
        changed(target_data=None)
    with pytest.raises(RecipeError, match="each once"):
        tfl.Adapt(methods=("coral", "coral"))
    assert recipe.override("adapt", "coral,tent").adapt.methods == ("coral", "tent")
    assert tfl.Recipe.from_json(recipe.to_json()) == recipe
    assert with_strategy(recipe, "knn").target_data is None and with_strategy(recipe, "lp_ft").target_data == recipe.target_data

"""Runs that learn from images without labels: kept where probes speak for it, exact under resume and repeat."""

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

import tfl
from tfl.backbones.weight_hash import weights_fingerprint
from tfl.errors import RecipeError, RunError
from tfl.evaluate.compare.identical import compare_weights
from tfl.evaluate.report.pretrain import pretrain_sentence
from tfl.job import run_recipe
from tfl.repeat import repeat_run
from tfl.runs import Run
from tfl.strategies import with_strategy
from tfl.train.fit import Fit
from tfl.train.pretrain.pretrain import _Fit
from tfl.tuning.space import check_trains

VIEWS = tfl.Augment(crop=0.7)
PSEUDO = tfl.Stage(
    "all", train="all", epochs=2, batch_size=16, augment=VIEWS, pseudo_labels=tfl.PseudoLabels(ratio=2, threshold=0.5)
)


@pytest.fixture(scope="module")
def recipe() -> tfl.Recipe:
    return tfl.Recipe(
        name="few",
        data=tfl.Sample("digits", image_size=(32, 32), per_class=40, train_per_class=8),
        unlabelled=tfl.Unlabelled("sample:digits", limit=400),
        backbone=tfl.Backbone("LeNet", weights=None),
        pretrain=tfl.Pretrain(epochs=4, batch_size=64, augment=VIEWS, alpha=0.5),
        head=tfl.Head(start="probe"),
        stages=(tfl.Stage("probe", epochs=0), PSEUDO),
        monitor=tfl.Monitor("val_loss", alpha=1.0),
        export=(),
        confidence=None,
    )


def run(recipe: tfl.Recipe, folder: Path, **options: Any) -> Run:
    return run_recipe(recipe, out=folder, **{"console": Console(quiet=True), "report": True, **options})


@pytest.fixture(scope="module")
def used(recipe: tfl.Recipe, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """`killed` beside it is what a kill would have left when half of the epochs without labels were done."""
    folder, run_epoch = tmp_path_factory.mktemp("used"), _Fit._run_epoch

    def copy_before(self: Any, loop: Any) -> None:
        if self.state.epoch == 2:
            shutil.copytree(self.run.folder, folder / "killed")
        run_epoch(self, loop)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_Fit, "_run_epoch", copy_before)
        return run(recipe, folder / "run")


@pytest.mark.slow
def test_the_stages_begin_from_what_was_learned_and_the_report_says_so(used: Run) -> None:
    found = used.read_json("pretrain.json")
    assert found["kept"] and found["gain"]["p"] <= found["alpha"] and found["after"]["loss"] < found["before"]["loss"]
    assert len(found["history"]) == found["epochs"] == 4 and found["history"][-1]["loss"] < found["history"][0]["loss"]
    assert found["pool"] > found["own"] == 80 and "exact copies of validation or test images" in found["notes"][0]
    learned = keras.models.load_model(used.path("pretrained.keras"))
    assert weights_fingerprint(learned) == found["sha256"] == used.manifest["pretrain"]["sha256"]
    with np.load(used.path("checkpoints", "probe-0.weights.npz")) as start:
        assert all(np.array_equal(start[str(at)], weight) for at, weight in enumerate(learned.get_weights()))
    report = json.loads(used.path("report.json").read_text())["pretrain"]
    assert report["sentence"] == pretrain_sentence(found, nouns="images")
    assert 'id="pretrain"' in used.path("report.html").read_text()
    assert not list(used.path("checkpoints").glob("pretrain-*"))


@pytest.mark.slow
def test_a_run_that_is_killed_in_it_and_in_a_stage_after_it_ends_with_the_same_weights(
    recipe: tfl.Recipe, used: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = used.folder.parent / "killed"

    def stopped_in_the_stage(self: Fit, epoch: int, run_epoch: Any = Fit._run_epoch) -> None:
        if epoch == 2:
            raise KeyboardInterrupt
        run_epoch(self, epoch)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Fit, "_run_epoch", stopped_in_the_stage)
        run(recipe, killed, resume=True)
    again = run(recipe, killed, resume=True)
    for name in ("pretrained.keras", "model.keras"):
        assert compare_weights(used.path(name), again.path(name))["identical"]
    left = {"seconds"}
    assert {key: value for key, value in again.read_json("pretrain.json").items() if key not in left} == {
        key: value for key, value in used.read_json("pretrain.json").items() if key not in left
    }
    manifest = again.manifest["unlabelled"]
    again.update_manifest(unlabelled={"fingerprint": "others"})
    with pytest.raises(RunError, match="`unlabelled` are not those"):
        run(recipe, killed, resume=True)
    assert manifest == used.manifest["unlabelled"]


@pytest.mark.slow
def test_a_repeat_is_identical(used: Run, tmp_path: Path) -> None:
    document = repeat_run(used.folder, out=tmp_path / "again", console=Console(quiet=True))
    assert document["identical"], document["sentence"]


@pytest.mark.slow
def test_weights_that_are_not_better_are_not_used(recipe: tfl.Recipe, tmp_path: Path) -> None:
    settings = tfl.Pretrain(method="vicreg", minutes=0.01, batch_size=64, learning_rate=0.0, alpha=0.0)
    plain = dataclasses.replace(recipe, stages=(tfl.Stage("probe", epochs=0),), unlabelled=None)
    done, without = (
        run(dataclasses.replace(plain, pretrain=asked), tmp_path / name, report=False)
        for name, asked in (("run", settings), ("without", None))
    )
    found = done.read_json("pretrain.json")
    assert not found["kept"] and found["pool"] == found["own"] and 1 <= found["epochs"] < 50
    assert pretrain_sentence(found, nouns="images").startswith("What VICReg learned without labels is not used")
    assert done.read_json("metrics.json")["test"] == without.read_json("metrics.json")["test"]


def test_what_does_not_fit_is_refused_early(recipe: tfl.Recipe) -> None:
    def changed(**parts: Any) -> tfl.Recipe:
        return dataclasses.replace(recipe, **parts)

    with pytest.raises(RecipeError, match="of one of several classes"):
        changed(task="regress", monitor=tfl.Monitor())
    with pytest.raises(RecipeError, match=r"does not go together.*a stage called `pretrain`"):
        changed(stages=(tfl.Stage("pretrain"),))
    with pytest.raises(RecipeError, match="the recipe names none"):
        changed(unlabelled=None)
    with pytest.raises(RecipeError, match="weakly changed"):
        changed(stages=(dataclasses.replace(PSEUDO, augment=None),))
    with pytest.raises(RecipeError, match=r"square.*\n?.*32,48"):
        changed(pretrain=tfl.Pretrain(method="rotation"), data=tfl.Sample("digits", image_size=(32, 48)))
    with pytest.raises(RecipeError, match="MixUp and CutMix mix two"):
        tfl.Pretrain(augment=tfl.Augment(mixup=0.2))
    with pytest.raises(RecipeError, match="learns from examples without labels"):
        check_trains(recipe)
    assert with_strategy(recipe, "scratch").pretrain is None and with_strategy(recipe, "auto").pretrain == recipe.pretrain
    assert recipe.override("pretrain", "vicreg").pretrain == tfl.Pretrain(method="vicreg")
    assert recipe.override("unlabelled", "more/").unlabelled == tfl.Unlabelled("more/")
    assert tfl.Recipe.from_json(recipe.to_json()) == recipe

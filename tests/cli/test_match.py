"""Weights of another network taken over by layers: the whole job, its files, and what the commands say."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

import tfl
from tfl.backbones.titles import parse_backbone, title_of
from tfl.cli.main import cli
from tfl.errors import BackboneError, RecipeError, RunError
from tfl.job import check_recipe, run_recipe
from tfl.strategies import with_strategy

Layers = keras.layers

RECIPE = """
import tfl
recipe = tfl.Recipe(
    name="digits",
    data=tfl.Sample("digits", image_size=(40, 40), per_class=15, labels=("3", "8", "0")),
    backbone=tfl.Backbone("structure.keras", weights="trained.weights.h5", match="auto"),
    head=tfl.Head(hidden=(8,)),
    stages=(
        tfl.Stage("new", train="unmatched", epochs=1, optimizer="sgd", momentum=0.9, nesterov=False, weight_decay=5e-4,
                  learning_rate=1e-2, batchnorm="train", multipliers={"head_dense1": 0.5}),
        tfl.Stage("all", train="all", epochs=1, learning_rate=1e-4),
    ),
    confidence=None,
    export=(),
)
"""


def network(widths, *, names, size, seed):
    keras.utils.set_random_seed(seed)
    pixels = keras.Input((size, size, 3))
    x = Layers.Rescaling(1 / 255)(pixels)
    for number, width in enumerate(widths, start=1):
        x = Layers.Conv2D(width, 3, strides=2, padding="same", activation="relu", name=names.format(number))(x)
        x = Layers.BatchNormalization(name=f"{names.format(number)}_bn")(x)
    return keras.Model(pixels, Layers.Dense(4, name="classes")(Layers.GlobalAveragePooling2D()(x)))


def invoke(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A recipe, the structure of its network, and a file of trained weights."""
    base = tmp_path_factory.mktemp("match")
    network((8, 12, 16, 24), names="layer{}", size=40, seed=1).save(base / "structure.keras")
    network((8, 12, 16, 20), names="conv{}", size=32, seed=2).save_weights(base / "trained.weights.h5")
    network((8, 12, 16, 20), names="conv{}", size=32, seed=3).save_weights(base / "other.weights.h5")
    (base / "digits.py").write_text(RECIPE)
    return base


@pytest.fixture(scope="module")
def done(place):
    """What `tfl run` said, and where."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        result = invoke("run", "digits.py", "--out", "run")
    assert result.exit_code == 0, result.stderr[-3000:]
    return place / "run", result


FIRST = ("layer1", "layer1_bn", "layer2", "layer2_bn", "layer3", "layer3_bn")


@pytest.mark.slow
def test_the_table_is_told_and_kept(done):
    folder, result = done
    said = " ".join(result.stderr.split())
    assert "6 of 8 layers with weights" in said and "trained.weights.h5: 6 by order; 2 start at random; 3 of the file" in said
    assert "layer2_bn" in said and "imported by order" in said
    matching = json.loads((folder / "matching.json").read_text())
    rows = {row["layer"]: row for row in matching["rows"] if row["layer"]}
    assert (matching["imported"], matching["layers"], matching["match"]) == (6, 8, "auto")
    assert rows["layer2"]["source"] == "conv2" and rows["layer2"]["shapes"] == [[3, 3, 8, 12], [12]]
    assert rows["layer4"]["by"] is None and "no layer of this kind and shapes" in rows["layer4"]["reason"]
    weights = json.loads((folder / "manifest.json").read_text())["weights"]
    assert tuple(weights["imported"]) == FIRST and weights["random"] == ["layer4", "layer4_bn"]
    assert weights["match"] == "auto" and len(weights["sha256"]) == 64
    page = (folder / "report.html").read_text()
    for words in ("Imported weights", "imported by order", "random: no layer of this kind", "6 of 8 layers with weights"):
        assert words in page
    assert json.loads((folder / "report.json").read_text())["matching"]["rows"][0]["source"] == "conv1"


@pytest.mark.slow
def test_what_was_imported_stands_still_in_the_first_stage(done):
    folder, _ = done
    rows = json.loads((folder / "plans.json").read_text())["new"]["rows"]
    training = [row["block"] for row in rows if row["trainable"]]
    assert training == [row["block"] for row in rows if row["block"].startswith(("layer4", "head"))]
    assert rows[-1]["layer_multipliers"] == {"head_dense1": 0.5}
    ledger = json.loads((folder / "ledger.json").read_text())["new"]
    assert [row["block"] for row in ledger if row["moved"]] == training
    assert {name.split("_")[0] for name in training} == {"layer4", "head"}


@pytest.mark.slow
def test_a_run_that_was_cut_and_resumed_ends_with_the_same_weights_and_repeats(done, place, monkeypatch):
    from tfl.job import learn as stages

    monkeypatch.chdir(place)
    whole, recipe, quiet = stages.train_stage, tfl.load_recipe("digits.py"), Console(quiet=True)

    def cut(run, assembled, stage, *args, **options):
        if stage.name == "all":
            raise KeyboardInterrupt
        return whole(run, assembled, stage, *args, **options)

    monkeypatch.setattr(stages, "train_stage", cut)
    with pytest.raises(KeyboardInterrupt):
        run_recipe(recipe, out="cut", console=quiet)
    monkeypatch.setattr(stages, "train_stage", whole)
    with pytest.raises(RunError, match=r"another recipe: backbone\.match was \"auto\" and is \"order\""):
        run_recipe(recipe.override("backbone.match", "order"), out="cut", resume=True, console=quiet)
    kept = Path("trained.weights.h5").read_bytes()
    Path("trained.weights.h5").write_bytes(Path("other.weights.h5").read_bytes())
    try:
        with pytest.raises(RunError, match=r"The weights of .* are not those"):
            run_recipe(recipe, out="cut", resume=True, console=quiet)
    finally:
        Path("trained.weights.h5").write_bytes(kept)
    run_recipe(recipe, out="cut", resume=True, console=quiet)
    models = [keras.models.load_model(place / name / "model.keras") for name in ("run", "cut")]
    for one, two in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, two)
    repeated = invoke("repeat", "run", "--out", "again", "--json")
    assert repeated.exit_code == 0, repeated.stderr[-2000:]


@pytest.mark.slow
def test_features_of_other_weights_are_never_taken(done, place, monkeypatch):
    """The same layers from another file: the store has features of the first run, which are not those of this one."""
    from tfl.features.extract import Extractor
    from tfl.model.assemble import assemble_for
    from tfl.prepare import prepare
    from tfl.train.stage_plan import plan_stages

    monkeypatch.chdir(place)
    recipe = tfl.load_recipe("digits.py")
    bundle = prepare(recipe, Console(quiet=True)).bundle
    missing, spaces = [], []
    for changes in ({}, {"backbone.weights": "other.weights.h5"}, {"backbone.weights": "none", "backbone.match": "exact"}):
        changed = recipe
        for key, value in changes.items():
            changed = changed.override(key, value)
        changed = changed.override("stages.new.train", "blocks:layer4*")
        prefix = plan_stages(assemble_for(changed, bundle), changed)["new"].prefix
        extractor = Extractor([prefix], bundle, features=changed.features)
        missing.append(extractor.missing("train"))
        spaces.append(extractor.identity[0]["weights"])
    assert missing == [0, 27, 27] and len(set(spaces)) == 3


@pytest.mark.slow
def test_the_table_without_training(place, monkeypatch):
    monkeypatch.chdir(place)
    result = invoke("backbones", "structure.keras", "--weights", "trained.weights.h5")
    assert result.exit_code == 0, result.stderr
    assert "6 of 8 layers with weights" in result.stdout and "match='auto'" in result.stdout and "conv3_bn" in result.stdout
    words = ("backbones", "structure.keras", "--weights", "trained.weights.h5", "--match", "name", "--json")
    document = json.loads(invoke(*words).stdout)
    assert document["name"] == "structure.keras" and document["image_size"] == [40, 40]
    assert (
        document["matching"]["imported"] == 0 and document["matching"]["rows"][0]["reason"] == "no layer of this name in the file"
    )
    assert invoke(*words[:4], "--match", "order", "--image-size", "64,64", "--json").exit_code == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--weights", "trained.weights.h5"), "need the NAME"),
        (("mini", "--match", "name"), "--match goes with --weights"),
        (("mini", "--fetch", "--weights", "trained.weights.h5"), "names others"),
        (("mini", "--weights", "none.keras"), "no weights file none.keras"),
        (("mini", "--weights", "digits.py"), "another format"),
        (("mini", "--weights", "trained.weights.h5", "--match", "exact"), "is not one of 'auto', 'name', 'order'"),
    ],
)
def test_what_does_not_go_together_is_told(place, monkeypatch, words, message):
    monkeypatch.chdir(place)
    result = invoke("backbones", *words)
    assert result.exit_code == 2 and message in " ".join(result.stderr.split())


def test_a_recipe_is_checked_before_anything_is_read(place, monkeypatch):
    monkeypatch.chdir(place)
    recipe = tfl.load_recipe("digits.py")
    check_recipe(recipe)
    with pytest.raises(RecipeError, match="matches no layers"):
        check_recipe(recipe.override("backbone.match", "exact"))
    with pytest.raises(BackboneError, match="none is named"):
        check_recipe(recipe.override("backbone.weights", "pretrained"))
    check_recipe(with_strategy(recipe, "scratch"))
    assert parse_backbone(title_of(recipe.backbone)) == recipe.backbone
    texts = tfl.Data("sample:reviews", input=tfl.Text())
    with pytest.raises(BackboneError, match=r"preset `tiny` come as a whole"):
        check_recipe(tfl.Recipe(name="x", data=texts, backbone=tfl.Backbone("tiny", weights="own.keras", match="auto")))
    assert tfl.Recipe.from_json(recipe.to_json()) == recipe
    older = json.loads(recipe.override("stages.new.train", "head").to_json())
    del older["backbone"]["match"], older["stages"][0]["momentum"], older["stages"][0]["nesterov"]
    found = tfl.Recipe.from_json(json.dumps(older))
    assert found.backbone.match == "exact" and (found.stages[0].momentum, found.stages[0].nesterov) == (0.9, True)


@pytest.mark.slow
def test_a_run_of_which_nothing_fits_leaves_no_folder(place, monkeypatch):
    monkeypatch.chdir(place)
    result = invoke("run", "digits.py", "--out", "never", "--set", "backbone.match=name")
    assert result.exit_code == 2 and "No layer of" in result.stderr and not Path("never").exists()

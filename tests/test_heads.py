"""A run of several targets, whole: trained, beside each alone, resumed, reported, exported, asked."""

import csv
import dataclasses
import json

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from rich.console import Console

import tfl
from tfl.cli.main import cli
from tfl.errors import RecipeError
from tfl.evaluate.predictions import read_predictions
from tfl.features.cut import cut
from tfl.features.engines import KerasEngine
from tfl.features.extract import Extractor
from tfl.job import run_recipe
from tfl.model.assemble import assemble_for
from tfl.prepare import prepare
from tfl.runs import Run
from tfl.serve.page.answer import Answers
from tfl.serve.predictor import open_predictor
from tfl.train.stage import train_stage

pytestmark = pytest.mark.slow

QUIET = Console(quiet=True)
TARGETS = {"bar": "class", "tints": "labels", "level": "number"}


@pytest.fixture(scope="module")
def table(draw_bars, tmp_path_factory):
    """A table of 120 pictures of bars with tints and a level; a quarter of the targets is missing, and two rows have none."""
    folder = tmp_path_factory.mktemp("bars")
    rng = np.random.default_rng(1)
    images, labels = draw_bars(120, 32)
    rows = ["path,bar,tints,level"]
    for at, (image, label) in enumerate(zip(images, labels, strict=True)):
        red, blue, level = rng.random() < 0.5, rng.random() < 0.5, rng.integers(0, 100)
        tinted = image // 2 + np.array([90 * red, 0, 90 * blue], np.uint8)
        tinted[:6, :6] = level
        Image.fromarray(tinted).save(folder / f"{at}.png")
        tints = ";".join(name for name, there in (("red", red), ("blue", blue)) if there) or "none"
        cells = [("lying", "standing", "no bar")[label], tints, str(level)]
        known = rng.random(3) < 0.75 if at not in (7, 8) else np.zeros(3, bool)
        rows.append(",".join([f"{at}.png", *(cell if there else "" for cell, there in zip(cells, known, strict=True))]))
    (folder / "bars.csv").write_text("\n".join(rows) + "\n")
    return folder / "bars.csv"


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A network of a few convolutions, as a file."""
    keras.utils.set_random_seed(0)
    pixels = keras.Input((32, 32, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(pixels)
    for width in (8, 16, 24):
        x = keras.layers.Conv2D(width, 3, strides=2, padding="same", activation="relu")(x)
    file = tmp_path_factory.mktemp("network") / "small.keras"
    keras.Model(pixels, x).save(file)
    return file


@pytest.fixture(scope="module")
def recipe(table, network):
    return tfl.Recipe(
        name="bars",
        data=tfl.Data(str(table), image_size=(32, 32), targets=TARGETS),
        backbone=tfl.Backbone(str(network), preprocessing="none"),
        head=tfl.Head(hidden=(16,), dropout=0.1, loss_weights="uncertainty"),
        stages=(tfl.Stage("finetune", train="top:1", epochs=2, batch_size=16, learning_rate=0.01),),
        features=tfl.Features(store="always"),
        monitor=tfl.Monitor(alpha=1.0, patience=None),
        each_alone=True,
    )


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory) -> Run:
    return run_recipe(recipe, out=tmp_path_factory.mktemp("run") / "bars", console=QUIET)


def labelled_rows(table):
    """How many rows of the table have a target."""
    with table.open() as file:
        return sum(any(row[name] for name in TARGETS) for row in csv.DictReader(file))


def test_each_target_has_its_metrics_and_is_put_beside_itself_alone(run, table):
    metrics = run.read_json("metrics.json")
    test = metrics["test"]
    assert list(test["targets"]) == list(TARGETS) and test["count"] > test["targets"]["bar"]["count"]
    rows = {row["target"]: row for row in metrics["alone"]["rows"]}
    assert [row["metric"] for row in rows.values()] == ["accuracy", "mean_average_precision", "mae"]
    assert all(row["interval"][0] <= row["gain"] <= row["interval"][1] for row in rows.values())
    assert rows["level"]["gain"] == pytest.approx(rows["level"]["alone"] - rows["level"]["together"], abs=1e-4)
    weights = metrics["loss_weights"]
    assert set(weights) == set(TARGETS) and len({round(value, 4) for value in weights.values()}) == 3
    history = run.path("history.csv").read_text().splitlines()[0]
    assert "sum_of_losses" in history and "val_bar_accuracy" in history and "val_level_mae" in history
    counts = run.manifest["data"]["counts"]
    assert sum(counts["train"].values()) > 0 and run.manifest["data"]["count"] == labelled_rows(table)


def test_predictions_and_report_have_a_part_for_each_target(run):
    found = read_predictions(run.folder)["test"]
    assert list(found.parts) == list(TARGETS) and found.outputs.shape[1] == 6
    known = np.isfinite(found.parts["bar"].targets).any(axis=1)
    assert 0 < known.sum() < len(known)
    with run.path("predictions.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "test"]
    assert [("bar" in row["known"].split(";")) for row in rows] == known.tolist() == [bool(row["bar.label"]) for row in rows]
    page = run.path("report.html").read_text()
    assert "Target by target" in page and "Together and alone" in page and "figure-bar_confusion" in page
    assert all(f'id="target-{name}"' in page for name in TARGETS)


def test_the_saved_network_is_keras_alone_and_export_and_run_say_the_same(run, table):
    saved = keras.models.load_model(run.path("model.keras"), compile=False)
    assert all(type(layer).__module__.startswith("keras.") for layer in saved.layers)
    assert {"bar_dense1", "bar_logits", "level_output", "outputs"} <= {layer.name for layer in saved.layers}
    parity = json.loads(run.path("export", "parity.json").read_text())["exports"]["saved_model"]
    assert parity["holds"] and parity["changed"] == 0 and set(parity["test"]["targets"]) == set(TARGETS)
    files = [table.parent / f"{at}.png" for at in (0, 1, 2)]
    own, exported = (open_predictor(place).predict(files) for place in (run.folder, run.path("export")))
    for one, other in zip(own, exported, strict=True):
        assert one["targets"]["bar"]["label"] == other["targets"]["bar"]["label"]
        assert one["targets"]["tints"]["labels"] == other["targets"]["tints"]["labels"]
        assert one["targets"]["level"]["value"] == pytest.approx(other["targets"]["level"]["value"], abs=1e-3)
        assert one["targets"]["level"]["lower"] <= one["targets"]["level"]["value"]
    for shape, words in (("csv", "file,bar,bar_probability,bar_p_lying"), ("table", "tints")):
        said = CliRunner().invoke(cli, ["predict", str(run.folder), str(files[0]), "--format", shape])
        assert said.exit_code == 0 and words in said.stdout, said.stderr


def test_the_page_and_the_rest_interface_name_each_target(run, table):
    import tensorflow as tf

    served = tf.saved_model.load(str(run.path("export", "saved_model", "1"))).signatures["serving_default"]
    content = (table.parent / "0.png").read_bytes()
    outputs = {name: value.numpy() for name, value in served(image_bytes=tf.constant([content])).items()}
    assert outputs["bar"].shape == (1, 3) and outputs["level"].shape == (1, 1) and outputs["bar_label"].shape == (1,)
    predictor = open_predictor(run.folder)
    said = Answers(run, shipping=predictor.shipping, task="heads").answer(content, outputs)
    assert list(said["targets"]) == list(TARGETS) and said["targets"]["bar"]["label"] == outputs["bar_label"][0].decode()
    assert said["neighbours"] and said["grad_cam"]


def test_a_killed_stage_comes_to_the_same_weights(recipe, tmp_path, folder_of_a_kill):
    prepared = prepare(recipe, QUIET)
    alike, stage = {"recipe": prepared.recipe}, recipe.stages[0]

    def trained(name):
        run = Run(tmp_path / name) if (tmp_path / name).exists() else Run.create(tmp_path / name, alike["recipe"], command=[])
        assembled = assemble_for(alike["recipe"], prepared.bundle)
        with run.lock():
            train_stage(run, assembled, stage, prepared.bundle, **alike)
        return assembled.model.get_weights()

    with folder_of_a_kill(tmp_path / "killed", stage.name):
        whole = trained("whole")
    for one, other in zip(whole, trained("killed"), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_resumed_run_is_the_same_run(run, recipe):
    before = run.read_json("metrics.json")
    again = run_recipe(recipe, out=run.folder, resume=True, report=False, console=QUIET).read_json("metrics.json")
    assert {**again, "seconds": 0} == {**before, "seconds": 0}


def test_a_run_of_one_target_after_it_computes_no_feature_again(run, recipe, table, monkeypatch):
    rows = []
    call = KerasEngine.__call__
    monkeypatch.setattr(KerasEngine, "__call__", lambda self, inputs: rows.append(1) or call(self, inputs))
    together = prepare(recipe, QUIET).bundle
    trained = {together.fingerprints[at] for part in ("train", "val") for at in together.indices(part)}
    header, *lines = table.read_text().splitlines()
    (table.parent / "known.csv").write_text("\n".join([header, *(line for line in lines if line.split(",")[1])]))
    for name in TARGETS:
        own = recipe.alone(name)
        if name == "bar":  # a class of its own may not be missing
            own = own.override("data.source", str(table.parent / "known.csv"))
        alone = prepare(own, QUIET)
        assembled = assemble_for(alone.recipe, alone.bundle)
        extractor = Extractor([cut(assembled, len(assembled.blocks) - 1)[0]], alone.bundle, features=alone.recipe.features)
        at = np.array([at for at, print_ in enumerate(alone.bundle.fingerprints) if print_ in trained])
        assert len(at) > 50 and len(extractor.run(at)[1]) == len(at)
    assert rows == []


def test_a_target_starts_together_where_it_starts_alone(recipe):
    together = prepare(dataclasses.replace(recipe, head=tfl.Head(hidden=(16,))), QUIET)
    alone = prepare(recipe.alone("level"), QUIET)
    one, other = (assemble_for(one.recipe, one.bundle).model for one in (together, alone))
    np.testing.assert_array_equal(one.get_layer("level_dense1").get_weights()[0], other.get_layer("head_dense1").get_weights()[0])


def test_it_is_judged_on_another_table(run, table, tmp_path):
    said = CliRunner().invoke(cli, ["evaluate", str(run.folder), "--data", str(table), "--quick", "--json"])
    assert said.exit_code == 0, said.stderr
    document = json.loads(said.stdout)
    assert document["metrics"]["count"] == labelled_rows(table) < 119 and set(document["metrics"]["targets"]) == set(TARGETS)
    shown = CliRunner().invoke(cli, ["evaluate", str(run.folder)])
    assert shown.exit_code == 0 and "level, on" in shown.stdout, shown.stderr


def test_a_probe_starts_every_head(recipe, tmp_path):
    stages = (tfl.Stage("probe", epochs=0),)
    probed = dataclasses.replace(
        recipe, head=tfl.Head(start="probe"), stages=stages, each_alone=False, confidence=None, export=()
    )
    run = run_recipe(probed, out=tmp_path / "probed", report=False, console=QUIET)
    assert run.read_json("metrics.json")["test"]["tints_mean_average_precision"] > 0.8


@pytest.mark.slow
def test_all_formats_and_vectors(run, recipe, table, tmp_path):
    said = CliRunner().invoke(cli, ["export", str(run.folder), *(f"--format={name}" for name in ("keras", "onnx", "litert"))])
    assert said.exit_code == 0, said.stderr
    rows = json.loads(run.path("export", "parity.json").read_text())["exports"]
    assert {"keras", "onnx", "litert_float32"} <= set(rows) and all(row["holds"] is not False for row in rows.values())
    embedded = CliRunner().invoke(cli, ["embed", str(run.folder), str(table), "--out", str(tmp_path / "bars.npy")])
    assert embedded.exit_code == 0, embedded.stderr


@pytest.mark.parametrize(("command", "said"), [(["probe"], "takes one target"), (["tune"], "not there for several targets")])
def test_what_takes_one_target_says_so(recipe, command, said, tmp_path):
    (tmp_path / "recipe.json").write_text(recipe.to_json())
    result = CliRunner().invoke(cli, [*command, str(tmp_path / "recipe.json"), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2 and said in result.stderr, result.stderr
    assert not (tmp_path / "out").exists()
    with pytest.raises(RecipeError, match="A study takes one target"):
        tfl.study(recipe, tmp_path / "study", strategies=["features"], seeds=1)

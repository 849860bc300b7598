"""A detector whole: trained on drawn cells, resumed, evaluated elsewhere, asked, exported and shown."""

import csv
import io
import json
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

import tfl
from tfl.cli.main import cli
from tfl.data.bundle import Bundle
from tfl.errors import TflError
from tfl.features.cut import cut
from tfl.job import run_recipe
from tfl.modalities.samples import load as load_sample
from tfl.model.assemble import assemble
from tfl.prepare import prepare_again
from tfl.runs import Run
from tfl.serve.page.answer import Answers
from tfl.serve.predictor import open_predictor
from tfl.train.stage_plan import plan_stage

FLIPS = tfl.Augment(flip="both", brightness=0.2)


def recipe(**options):
    return tfl.Recipe(
        **{
            "name": "cells",
            "task": "detect",
            "data": tfl.Sample("cells", image_size=(128, 128), per_class=30),
            "backbone": tfl.Backbone("mini"),
            "head": tfl.Head(hidden=(32,), dropout=0.0),
            "stages": (
                tfl.Stage("head", epochs=8, batch_size=8, learning_rate=5e-3),
                tfl.Stage("finetune", train="top:2", epochs=2, batch_size=8, learning_rate=5e-4, augment=FLIPS, views=2),
            ),
            **options,
        }
    )


def call(*words):
    result = CliRunner().invoke(cli, [str(word) for word in words])
    assert result.exit_code == 0, result.output + str(result.exception)
    return result.stdout


@pytest.mark.slow
def test_the_parts_of_a_cut_network_give_what_the_whole_gives():
    assembled = assemble(recipe(), ["a", "b", "c"])
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 128, 128, 3)).astype(np.float32)
    whole = assembled.model.predict_on_batch(pixels)
    assert whole.shape == (2, 100, 6) and [tap.block for tap in assembled.maps] == ["unit5_out"]
    for first in (len(assembled.blocks), len(assembled.blocks) - 1, 2):
        prefix, suffix = cut(assembled, first)
        made = prefix.predict_on_batch(pixels)
        np.testing.assert_allclose(suffix.predict_on_batch(made), whole, atol=1e-5)
    assert plan_stage(assembled, recipe().stages[0]).first_trainable_block == len(assembled.blocks)


@pytest.fixture(scope="module")
def run(tmp_path_factory, folder_of_a_kill):
    folder = tmp_path_factory.mktemp("detect")
    with folder_of_a_kill(folder / "killed", "finetune"):
        return run_recipe(recipe(), out=folder / "run")


@pytest.mark.slow
def test_a_run_finds_cells_and_says_how_well(run):
    test = run.read_json("metrics.json")["test"]
    assert test["map_50"] > 0.3 and test["map_50_interval"][0] <= test["map_50"] <= test["map_50_interval"][1]
    assert set(test["per_kind"]) == {"platelet", "red_cell", "white_cell"}
    with open(run.path("predictions.csv")) as file:
        rows = list(csv.DictReader(file))
    assert {row["box"] for row in rows} == {"true", "found"} and max(float(row["right"]) for row in rows) <= 128
    page = run.path("report.html").read_text()
    assert page.count("<svg viewBox") >= 6 and "mAP@50" in page and "Precision over recall" in page
    parity = json.loads(run.path("export", "parity.json").read_text())
    assert '"tfl' not in zipfile.ZipFile(run.path("model.keras")).read("config.json").decode()  # Keras alone loads it
    assert parity["exports"]["saved_model"]["holds"] and parity["exports"]["saved_model"]["test"]["map_50"] == test["map_50"]


@pytest.mark.slow
def test_a_run_that_was_stopped_resumes_to_the_same(run, monkeypatch):
    monkeypatch.setattr("tfl.job.keep.ship_model", lambda *_, **__: None)  # what follows from the network, and is not compared
    killed = Run.open(run.folder.parent / "killed")
    assert killed.manifest["status"] == "running" and not killed.path("metrics.json").exists()
    again = run_recipe(recipe(), out=killed.folder, resume=True, report=False)
    assert again.read_json("metrics.json")["test"] == run.read_json("metrics.json")["test"]
    assert again.path("predictions.csv").read_bytes() == run.path("predictions.csv").read_bytes()


@pytest.mark.slow
def test_a_run_is_evaluated_elsewhere_and_asked(run, tmp_path):
    dark = json.loads(call("evaluate", run.folder, "--data", "sample:cells_dark", "--quick", "--json"))
    assert dark["metrics"]["count"] == 60 and dark["metrics"]["map_50"] < run.read_json("metrics.json")["test"]["map_50"]
    assert isinstance(prepare_again(run, _silent()), Bundle)
    Image.fromarray(load_sample("cells")["arrays"][0]).resize((256, 192)).save(tmp_path / "one.png")
    lines = list(csv.DictReader(io.StringIO(call("predict", run.folder, tmp_path / "one.png", "--format", "csv"))))
    assert lines and set(lines[0]) == {"file", "label", "score", "left", "top", "right", "bottom"}
    [row] = open_predictor(run.path("export")).predict([tmp_path / "one.png"])
    assert len(row["detections"]) == len(lines) and row["detections"][0]["pixels"][2] <= 256
    answers = Answers(Run.open(run.folder), shipping=open_predictor(run.folder).shipping, task="detect")
    outputs = open_predictor(run.folder).outputs([(tmp_path / "one.png").read_bytes()])
    said = answers.answer(
        (tmp_path / "one.png").read_bytes(), {**outputs, "labels": np.array([[b"platelet", b"red_cell", b"white_cell"]])}
    )
    assert said["boxes"].startswith("data:image/svg+xml") and len(said["detections"]) == len(lines)
    found = json.loads(call("compare", run.folder, run.folder, "--json"))
    assert not found["pairs"] and "by their figures alone" in found["notes"][0]


@pytest.mark.slow
def test_what_boxes_do_not_have_is_refused(run, tmp_path):
    for words in (("evaluate", run.folder, "--confidence"), ("new", tmp_path / "x.py", "--data", "sample:cells")):
        result = CliRunner().invoke(cli, [str(word) for word in words])
        assert result.exit_code == 2 and ("no confidence to fit" in result.stderr or "recipes/blood_cells.py" in result.stderr)
    with pytest.raises(TflError, match="another task"):
        tfl.probe(recipe(), out=tmp_path / "probe")


def _silent():
    from rich.console import Console

    return Console(quiet=True)

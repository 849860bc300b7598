"""A run of several inputs, whole: trained, measured by input, resumed, reported."""

import dataclasses
import importlib.util
import json

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

import tfl
from tfl.cli.main import cli
from tfl.job import run_recipe
from tfl.runs import Run
from tfl.serve.predictor import open_predictor

pytestmark = [pytest.mark.skipif(importlib.util.find_spec("keras_hub") is None, reason="no KerasHub"), pytest.mark.slow]
QUIET = Console(quiet=True)


@pytest.fixture(scope="module")
def run(joint, tmp_path_factory, pictures) -> Run:
    return run_recipe(joint, out=tmp_path_factory.mktemp("run") / "joint", console=QUIET)


def test_both_inputs_together_beat_each_alone(run):
    found = run.read_json("metrics.json")["inputs"]
    assert [row["name"] for row in found["rows"]] == ["photo", "note", "plant"]
    alone = {row["name"]: row["own_head"] for row in found["rows"]}
    assert found["all"] >= max(alone.values()) + 0.2 and alone["plant"] < 0.5
    costs = {row["name"]: row["cost"] for row in found["rows"]}
    assert costs["photo"] > 0.2 and costs["note"] > 0.2 and abs(costs["plant"]) < 0.2
    assert all(row["interval"][0] <= row["cost"] <= row["interval"][1] for row in found["rows"])


def test_the_report_shows_every_input_and_what_it_is_worth(run):
    page = run.path("report.html").read_text()
    assert "What each input is worth" in page and "all together" in page
    album = run.read_json("report/album.json")
    shown = run.path(album["samples"][0]["examples"][0]["file"]).read_text()
    assert "<img" in shown and "it is" in shown and "age" in shown


def test_a_resumed_run_is_the_same_run(run):
    before = run.read_json("metrics.json")["test"]
    again = run_recipe(run.asked, out=run.folder, resume=True, report=False, console=QUIET)
    assert again.read_json("metrics.json")["test"] == before


@pytest.mark.parametrize("join", ["mean", "gated"])
def test_other_joins_learn_from_both(joint, join, tmp_path):
    stages = (tfl.Stage("head", epochs=60, learning_rate=1e-2),)
    recipe = dataclasses.replace(joint, head=tfl.Head(join=join, join_width=16, dropout=0.0), stages=stages)
    found = run_recipe(recipe, out=tmp_path / "run", report=False, console=QUIET).read_json("metrics.json")["inputs"]
    assert found["all"] >= max(row["own_head"] for row in found["rows"]) + 0.1


def test_networks_are_fine_tuned_by_input_and_the_others_stay(joint, tmp_path):
    stages = (tfl.Stage("head", epochs=1), tfl.Stage("photo", train="photo.top:2", epochs=1, layer_decay=0.5))
    run = run_recipe(dataclasses.replace(joint, stages=stages), out=tmp_path / "run", report=False, console=QUIET)
    rows = {row["block"]: row for row in run.read_json("plans.json")["photo"]["rows"]}
    trained = [name for name, row in rows.items() if row["trainable"]]
    assert len(trained) == 3 and all(name.startswith("photo.") or name == "head" for name in trained)
    assert np.allclose(sorted(rows[name]["multiplier"] for name in trained), [0.25, 0.5, 1.0])
    moved = {row["block"] for row in run.read_json("ledger.json")["photo"] if row["moved"]}
    assert moved <= set(trained)


def test_rows_of_a_table_are_answered_also_where_inputs_are_missing(run, bars_with_notes, tmp_path):
    rows = ["photo,note,age", f"{bars_with_notes.parent / '0.png'},it is near,3", ",it is far off,", "none.png,it is near,3"]
    (tmp_path / "new.csv").write_text("\n".join(rows[:3]) + "\n")
    result = CliRunner().invoke(cli, ["predict", str(run.folder), str(tmp_path / "new.csv"), "--format", "json"])
    assert result.exit_code == 0, result.stderr
    assert [row["file"].rpartition(":")[2] for row in json.loads(result.stdout)["predictions"]] == ["2", "3"]
    assert "`photo` is missing in 1 of 2 rows" in result.stderr and "its absence costs +" in result.stderr
    (tmp_path / "new.csv").write_text("\n".join(rows) + "\n")
    wrong = CliRunner().invoke(cli, ["predict", str(run.folder), str(tmp_path / "new.csv")])
    assert wrong.exit_code == 2 and "line 4: no file at" in str(wrong.exception or "") + wrong.stderr


def test_an_export_takes_examples_and_says_what_the_run_says(run, bars_with_notes, tmp_path):
    result = CliRunner().invoke(cli, ["export", str(run.folder), "--format", "saved_model"])
    assert result.exit_code == 0, result.stderr
    assert run.read_json("manifest.json")["parity"]["saved_model"]["changed_labels"] == 0
    rows = ["photo,note,age", f"{bars_with_notes.parent / '0.png'},it is near,3", ",it is far off,"]
    (tmp_path / "new.csv").write_text("\n".join(rows) + "\n")
    said = [open_predictor(place).predict([tmp_path / "new.csv"]) for place in (run.folder, run.path("export"))]
    assert [row["label"] for row in said[0]] == [row["label"] for row in said[1]]
    note = run.path("export", "saved_model", "1", "README.md").read_text()
    assert "tf.train.Example" in note and "tensorflow-text" in note


@pytest.mark.parametrize("command", [["probe"], ["tune"]])
def test_what_takes_one_input_says_so(joint, command, tmp_path):
    (tmp_path / "recipe.json").write_text(joint.to_json())
    result = CliRunner().invoke(cli, [*command, str(tmp_path / "recipe.json"), "--out", str(tmp_path / "out")])
    assert result.exit_code == 2 and "several" in result.stderr
    assert not (tmp_path / "out").exists()


def test_vectors_are_of_one_input(run, bars_with_notes, tmp_path):
    result = CliRunner().invoke(cli, ["embed", str(run.folder), str(bars_with_notes), "--out", str(tmp_path / "v.npy")])
    assert result.exit_code == 2 and "joins several" in result.stderr

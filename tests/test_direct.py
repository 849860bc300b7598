"""The strategy `direct`: a source model answers with its own classifier, from the recipe to the table of a study."""

import dataclasses
import json

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

import tfl
from tfl.cli.main import cli
from tfl.errors import WeightsNotFoundError
from tfl.job import check_recipe, run_recipe
from tfl.strategies import with_strategy
from tfl.studies.axes import Axes, Source
from tfl.studies.cells import cells_of
from tfl.studies.measure import _check

SIZE = (32, 32)
DIGITS = tfl.Sample("digits", image_size=SIZE, per_class=20, labels=("0", "1", "2", "3"))


def transferred(source, data=DIGITS, **parts):
    recipe = tfl.Recipe(name="target", data=data, backbone=tfl.Backbone(str(source)), export=(), confidence=None, **parts)
    return with_strategy(recipe, "direct")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A run that tells four digits apart."""
    recipe = tfl.Recipe(name="source", data=DIGITS, backbone=tfl.Backbone("mini"), export=(), confidence=None)
    folder = tmp_path_factory.mktemp("source") / "run"
    return run_recipe(with_strategy(recipe, "features"), out=folder, console=Console(quiet=True))


@pytest.mark.slow
def test_classes_of_a_run_are_mapped_by_their_names(source, tmp_path):
    data = dataclasses.replace(DIGITS, labels=("1", "3"))
    recipe = dataclasses.replace(transferred(source.folder, data), export=("saved_model",), confidence=tfl.Calibration())
    shown = Console(record=True, width=200, quiet=False, file=open("/dev/null", "w"))  # noqa: SIM115
    run = run_recipe(recipe, out=tmp_path / "run", console=shown)
    mapping = run.read_json("mapping.json")
    assert mapping["by"] == "names" and mapping["left_out"] == 2 and mapping["without"] == []
    assert [(row["source"], row["target"]) for row in mapping["rows"]] == [("1", "1"), ("3", "3")]
    assert all(row["share"] > 0.4 for row in mapping["rows"])
    text = shown.export_text()
    assert "mapped by their names" in text and "2 of 4 classes of the source network are left out" in text
    assert run.read_json("metrics.json")["test"]["accuracy"] > 0.8
    assert run.manifest["parity"]["saved_model"]["holds"]
    report = json.loads(run.path("report.json").read_text())
    assert report["mapping"]["rows"] == mapping["rows"]
    page = run.path("report.html").read_text()
    assert "How the classes were mapped" in page and "What was forgotten" not in page
    assert all(not row["moved"] for row in run.read_json("ledger.json")["source"])


@pytest.mark.slow
def test_classes_of_other_names_are_mapped_by_what_the_source_says(source, tmp_path):
    """The network keeps the source's own answers, added up as the mapping says."""
    data = tfl.Sample("digits", image_size=SIZE, per_class=20, labels=("6", "7", "8"))
    run = run_recipe(transferred(source.folder, data), out=tmp_path / "run", console=Console(quiet=True))
    mapping, model = run.read_json("mapping.json"), keras.models.load_model(run.model_file)
    assert mapping["by"] == "assignment" and mapping["source_classes"] == 4
    own = keras.models.load_model(source.model_file)
    images = np.random.default_rng(0).uniform(0, 255, (5, *SIZE, 3)).astype("float32")
    matrix = np.zeros((4, 3), np.float32)
    for row in mapping["rows"]:
        matrix[row["index"], ("6", "7", "8").index(row["target"])] = 1
    sums = np.maximum(own(images).numpy() @ matrix, 1e-30)
    np.testing.assert_allclose(model(images), sums / sums.sum(axis=1, keepdims=True), atol=1e-5)


@pytest.mark.slow
def test_a_file_without_names_is_mapped_by_assignment_to_the_same_classes(source, tmp_path):
    """The source is right about its own classes, so what it says of them leads to the same map as their names."""
    own = keras.models.load_model(source.model_file)
    own.save(tmp_path / "mine.keras")
    recipe = transferred(tmp_path / "mine.keras")
    recipe = dataclasses.replace(recipe, backbone=dataclasses.replace(recipe.backbone, preprocessing="none"))
    quiet = {"report": False, "console": Console(quiet=True)}
    mapping = run_recipe(recipe, out=tmp_path / "run", **quiet).read_json("mapping.json")
    assert mapping["by"] == "assignment" and mapping["without"] == []
    assert [(row["source"], row["target"]) for row in mapping["rows"]] == [(f"class {digit}", str(digit)) for digit in range(4)]
    (tmp_path / "labels.txt").write_text("0\n1\n2\n3\n")
    named = run_recipe(recipe, out=tmp_path / "named", **quiet).read_json("mapping.json")
    assert named["by"] == "names" and [row["source"] for row in named["rows"]] == ["0", "1", "2", "3"]
    assert [row["share"] for row in named["rows"]] == [row["share"] for row in mapping["rows"]]


@pytest.mark.slow
def test_a_run_that_was_stopped_resumes_to_the_same_answers(source, tmp_path, monkeypatch):
    import tfl.train.stage as stage

    class Killed(stage.Checkpoints):
        def start(self):
            raise KeyboardInterrupt  # the map is made and written, its weights are not

    recipe, quiet = transferred(source.folder), {"report": False, "console": Console(quiet=True)}
    whole = run_recipe(recipe, out=tmp_path / "whole", **quiet)
    with monkeypatch.context() as patch:
        patch.setattr(stage, "Checkpoints", Killed)
        with pytest.raises(KeyboardInterrupt):
            run_recipe(recipe, out=tmp_path / "cut", **quiet)
    resumed = run_recipe(recipe, out=tmp_path / "cut", resume=True, **quiet)
    assert resumed.path("mapping.json").read_bytes() == whole.path("mapping.json").read_bytes()
    assert resumed.path("predictions.csv").read_bytes() == whole.path("predictions.csv").read_bytes()


def test_a_network_without_a_classifier_is_refused_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = tfl.Recipe(name="x", data=DIGITS, backbone=tfl.Backbone("mini"), export=())
    with pytest.raises(WeightsNotFoundError, match="mini come without a classifier"):
        check_recipe(with_strategy(recipe, "direct"))
    (tmp_path / "x.json").write_text(recipe.to_json())
    result = CliRunner().invoke(cli, ["run", "x.json", "--strategy", "direct", "--out", "out"])
    assert result.exit_code == 2 and "without a classifier" in result.stderr and not (tmp_path / "out").exists()


def test_in_a_study_a_network_without_a_classifier_has_no_direct_row_and_all_others():
    recipe = tfl.Recipe(name="x", data=DIGITS, backbone=tfl.Backbone("mini"))
    axes = Axes(sources=(Source(name="x", recipe=recipe),), strategies=("features", "direct"), seeds=1)
    outcomes = _check(axes, cells_of(axes))
    assert [cell.row.strategy for cell in cells_of(axes) if cell.key in outcomes] == ["direct"]
    assert {outcome["status"] for outcome in outcomes.values()} == {"unavailable"}


@pytest.mark.slow
def test_a_study_has_a_row_of_it(source, tmp_path, monkeypatch):
    monkeypatch.setattr("tfl.strategies.SCRATCH_EPOCHS", 2)
    data = dataclasses.replace(DIGITS, labels=("1", "3"), per_class=6)
    recipe = dataclasses.replace(transferred(source.folder, data), monitor=tfl.Monitor(patience=1))
    found = tfl.study(recipe, tmp_path / "study", strategies=("direct",), seeds=1)
    cells = {found.rows[cell["row"]]["strategy"]: cell for cell in found.table}
    assert set(cells) == {"scratch", "direct"} and cells["direct"]["mean"] >= cells["scratch"]["mean"]

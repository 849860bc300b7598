"""Studies as they run, on a small sample: files, resuming, a kill, networks without weights, cells that fail."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import tfl
from tfl.errors import BackboneError, DataError, RecipeError, RunError, StorageError, TrainingError
from tfl.evaluate.compare.paired import Answers
from tfl.evaluate.predictions import Predictions, read_predictions
from tfl.studies import measure
from tfl.studies.folder import StudyFolder
from tfl.studies.table import scores_of
from tfl.tasks.base import task_of

RECIPE = """
import tfl
recipe = tfl.Recipe(
    name="digits",
    data=tfl.Sample("digits", image_size=(32, 32), per_class=10, labels=("3", "8", "0")),
    backbone=tfl.Backbone("mini"),
    stages=(tfl.Stage("head", epochs=1),),
    monitor=tfl.Monitor(patience=1),
)
"""
RANDOM = "LeNet weights=none"
"""A network that trains in a moment."""
FILES = ("study.json", "study.csv", "study.md", "study.tex", "study.html")


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("recipe") / "digits.py"
    file.write_text(RECIPE)
    return file


@pytest.fixture(autouse=True)
def _no_keras_weights(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))


def files_of(study):
    return {
        path: path.stat().st_mtime_ns for path in study.path("cells").rglob("*") if path.name in ("manifest.json", "metrics.json")
    }


@pytest.mark.slow
@pytest.mark.usefixtures("short_trainings")
def test_a_study_and_its_resumption_with_another_seed(recipe_file, tmp_path, small_network):
    found = tfl.study(
        recipe_file, tmp_path / "s", strategies=("features",), backbones=(small_network, "LeNet"), train_per_class=(4,), seeds=1
    )
    assert all(found.path(name).stat().st_size for name in FILES) and found.document["status"] == "done"
    assert [row["title"] for row in found.rows] == [
        *(f"{small_network} scratch", f"{small_network} features"),
        *("LeNet scratch", "LeNet features"),
    ]
    assert [(column["title"], column["train_examples"]) for column in found.columns] == [("digits, 4 per class", [12])]
    *done, missing = found.table
    assert missing["status"] == "unavailable" and "no pretrained weights of LeNet" in missing["reason"]
    for cell in done:
        assert 0 <= cell["mean"] <= 1 and cell["interval"] is None and cell["seeds"] == 1 and cell["mark"]
        assert cell["train_seconds"] > 0
    assert done[1]["parameters"] < done[0]["parameters"]

    runs = [found.run(run["run"].split("/")[1]) for run in found.cells if run["status"] == "done"]
    assert len({tuple(read_predictions(run.folder)["test"].files) for run in runs}) == 1  # one split for all rows
    for run in runs:
        assert not any(run.path("checkpoints").glob("*")) and not run.path("model.keras").exists()
        assert not run.path("report.html").exists() and not run.path("export").exists()

    before = files_of(found)
    with pytest.raises(RunError, match="already holds a study"):
        tfl.study(recipe_file, tmp_path / "s")
    more = tfl.study(recipe_file, tmp_path / "s", seeds=2, resume=True)
    assert {path: when for path, when in files_of(more).items() if path in before} == before
    assert [cell["seeds"] for cell in more.table if cell["status"] == "done"] == [2] * 3 and len(more.rows) == 4
    assert len(more.path("study.csv").read_text().splitlines()) == 1 + 4 * 2
    assert "| LeNet | scratch |" in str(more) and more.report.file.is_file()


@pytest.mark.slow
@pytest.mark.usefixtures("short_trainings")
def test_a_killed_study_is_resumed_without_running_anything_twice(recipe_file, tmp_path):
    words = [
        "study",
        str(recipe_file),
        "--strategy",
        "features",
        "--backbone",
        RANDOM,
        "--seeds",
        "1",
        "--out",
        str(tmp_path / "s"),
    ]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-m", "tfl.cli.main", *words], env=environment, stderr=subprocess.DEVNULL)
    study = StudyFolder(tmp_path / "s")
    until = time.monotonic() + 120
    while len(list(study.path("cells").glob("*/manifest.json"))) < 2 and time.monotonic() < until and process.poll() is None:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert study.document["status"] == "running" and not study.path("study.md").exists()
    before = {path: when for path, when in files_of(study).items() if path.name == "metrics.json"}
    found = tfl.study(recipe_file, study.folder, resume=True)
    assert found.document["status"] == "done" and [cell["status"] for cell in found.table] == ["done"] * 2
    assert before and before.items() <= files_of(found).items()


def test_no_minutes_run_nothing_and_the_table_says_so(recipe_file, tmp_path):
    found = tfl.study(recipe_file, tmp_path / "s", strategies="features", minutes=0)
    assert found.document["status"] == "unfinished" and all(found.path(name).is_file() for name in FILES)
    assert {(cell["status"], cell["reason"]) for cell in found.table} == {("not run", "the time was over")}
    assert "not run" in found.path("study.md").read_text() and not found.path("cells").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("short_trainings")
def test_a_cell_that_fails_does_not_end_the_study(recipe_file, tmp_path, monkeypatch):
    real = measure.run_recipe

    def run_recipe(recipe, **options):
        if recipe.head.start == "probe":
            raise TrainingError("The loss is not finite.")
        return real(recipe, **options)

    monkeypatch.setattr(measure, "run_recipe", run_recipe)
    found = tfl.study(recipe_file, tmp_path / "s", strategies=("features",), backbones=(RANDOM,), seeds=1)
    assert [cell["status"] for cell in found.table] == ["done", "failed"] and found.document["status"] == "done"
    assert found.table[1]["reason"] == "The loss is not finite."

    def full(recipe, **options):
        raise StorageError("Cannot write.")

    monkeypatch.setattr(measure, "run_recipe", full)
    with pytest.raises(StorageError):
        tfl.study(recipe_file, tmp_path / "s", resume=True)
    assert found.document["status"] == "interrupted" and found.table[0]["status"] == "done"
    monkeypatch.setattr(measure, "run_recipe", real)
    again = tfl.study(recipe_file, tmp_path / "s", resume=True)
    assert [cell["status"] for cell in again.table] == ["done", "done"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"backbones": ("Mobilenet",)}, BackboneError, "Did you mean `MobileNet`"),
        ({"backbones": ("MobileNet alfa=0.5",)}, BackboneError, "does not take the argument `alfa`"),
        ({"strategies": ("guess",)}, RecipeError, "no such strategy"),
        ({"data": ("nowhere",)}, DataError, "nothing at this source"),
        ({"seeds": 0}, RecipeError, "seeds"),
    ],
)
def test_what_is_wrong_with_the_input_is_found_before_anything_is_written(recipe_file, tmp_path, options, error, message):
    with pytest.raises(error, match=message):
        tfl.study(recipe_file, tmp_path / "s", **options)
    assert not (tmp_path / "s").exists()


def test_a_folder_with_something_else_is_refused(recipe_file, tmp_path):
    Path(tmp_path / "s").mkdir()
    (tmp_path / "s" / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="is not empty"):
        tfl.study(recipe_file, tmp_path / "s", resume=True)


def test_a_damaged_study_is_refused(recipe_file, tmp_path):
    tfl.study(recipe_file, tmp_path / "s", strategies="features", minutes=0)
    document = (tmp_path / "s" / "study.json").read_text()
    (tmp_path / "s" / "study.json").write_text(document.replace('"strategies"', '"strategy"'))
    with pytest.raises(RunError, match="is damaged"):
        tfl.study(recipe_file, tmp_path / "s", resume=True)


def test_numbers_are_scored_by_their_error():
    about = {"class_names": ("age",), "files": ("a", "b"), "indices": np.arange(2)}
    found = Predictions(task=task_of("regress"), targets=np.array([[1.0], [2.0]]), outputs=np.array([[1.5], [2.0]]), **about)
    scores = scores_of(Answers(predictions=found, contents=("x", "y")))
    assert scores.values.tolist() == [0.5, 0.0] and scores.mean == 0.25

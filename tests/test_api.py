"""`tfl.run`, `tfl.probe`, `tfl.tune` and `tfl.load_run`: what they take, what they return, and what their import costs."""

import json
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tfl
from tfl.errors import BadImageError, DataError, RecipeError, RunError, TflError
from tfl.quiet import load_tensorflow
from tfl.runs import Run

FUNCTIONS = ("advise", "embed", "load_run", "load_vectors", "probe", "run", "similar", "study", "style", "tune", "verify", "warm")
RECIPE = """
import tfl
recipe = tfl.Recipe(
    name="digits",
    data=tfl.Sample("digits", image_size=(32, 32), per_class=10, labels=("3", "8")),
    backbone=tfl.Backbone("mini"),
    stages=(tfl.Stage("head", epochs=2),),
    export=(),
    confidence=None,
)
"""


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory):
    file = tmp_path_factory.mktemp("recipe") / "digits.py"
    file.write_text(RECIPE)
    return file


@pytest.fixture(scope="module")
def run(recipe_file, tmp_path_factory):
    return tfl.run(recipe_file, tmp_path_factory.mktemp("run"))


def test_all_is_what_is_there():
    assert tfl.__all__ == sorted(tfl.__all__, key=lambda name: (name.islower(), name)) and set(tfl.__all__) <= set(dir(tfl))
    assert all(getattr(tfl, name) is not None for name in tfl.__all__)
    public = {name for name in vars(tfl) if not name.startswith("_") and not isinstance(vars(tfl)[name], type(sys))}
    assert public - {"TYPE_CHECKING", "Any"} == set(tfl.__all__)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_module_takes_the_name_of_a_function(name):
    assert not Path("tfl", name).exists() and not Path("tfl", f"{name}.py").exists()


def test_functions_stay_functions_and_import_no_tensorflow():
    code = """
import sys
from tfl import load_run, probe, run, study, tune
import tfl, tfl.api, tfl.job, tfl.measure, tfl.tuning, tfl.studies.measure
import tfl.cli.run, tfl.cli.tune, tfl.cli.probe, tfl.cli.study
assert (tfl.run, tfl.tune, tfl.probe, tfl.study) == (run, tune, probe, study) and callable(tfl.study)
sys.exit(any(name in sys.modules for name in ("tensorflow", "keras")))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nothing"):
        tfl.nothing  # noqa: B018


@pytest.mark.slow
def test_a_run_has_its_figures(run, recipe_file):
    assert isinstance(run, Run) and run.manifest["status"] == "done" and run.recipe == tfl.load_recipe(recipe_file)
    assert run.metrics == json.loads(run.path("metrics.json").read_text())
    assert [(row["stage"], row["epoch"]) for row in run.history] == [("head", 1), ("head", 2)]
    assert all(0 <= row["val_accuracy"] <= 1 for row in run.history)
    assert run.manifest["recipe_file"]["path"] == str(recipe_file)


@pytest.mark.slow
def test_a_run_is_shown_as_a_table_and_its_report_as_a_page(run):
    figures = run._repr_html_()
    assert f"{run.metrics['test']['accuracy']:.3f}" in figures and "<th>validation</th>" in figures and str(run.folder) in figures
    frame = run.report._repr_html_()
    page = run.path("report.html").read_text(encoding="utf-8")
    assert frame.startswith('<iframe srcdoc="') and frame.endswith("</iframe>") and frame.count('"') == 6
    assert page[:15].replace("<", "&lt;").replace(">", "&gt;") in frame


@pytest.mark.slow
def test_predict_takes_a_file_a_folder_or_a_list(run, tmp_path):
    for name in ("a.png", "b.png"):
        Image.fromarray(np.full((32, 32, 3), 128, np.uint8)).save(tmp_path / name)
    both = run.predict(tmp_path)
    assert [Path(row["file"]).name for row in both] == ["a.png", "b.png"]
    assert set(both[0]) == {"file", "label", "probability", "probabilities"} and both[0]["label"] in ("3", "8")
    assert run.predict(str(tmp_path / "a.png")) == both[:1] == run.predict([tmp_path / "a.png"])
    assert run.model.output_shape == (None, 2)
    (tmp_path / "c.png").write_text("no image")
    with pytest.raises(BadImageError, match=r"c\.png"):
        run.predict(tmp_path)
    assert run.predict(tmp_path, on_bad="skip") == both


@pytest.mark.slow
@pytest.mark.parametrize("pixels", [np.zeros((32, 32, 3)), [np.zeros((32, 32, 3))], Image.new("RGB", (32, 32)), 3])
def test_predict_says_that_it_takes_files(run, pixels):
    with pytest.raises(DataError, match=r"takes files, and no arrays.*run\.model\.predict"):
        run.predict(pixels)


@pytest.mark.slow
def test_a_run_is_opened_and_resumed_by_its_folder(run, recipe_file):
    again = tfl.load_run(str(run.folder))
    assert type(again) is type(run) and again.metrics == run.metrics
    with pytest.raises(RunError, match="already holds a run"):
        tfl.run(recipe_file, run.folder)
    with pytest.raises(RunError, match="not a run folder"):
        tfl.load_run(run.folder / "report")


def test_an_unfinished_run_says_what_to_do(tmp_path, recipe_file):
    Run.create(tmp_path / "r", tfl.load_recipe(recipe_file), command=[])
    run = tfl.load_run(tmp_path / "r")
    assert "running" in run._repr_html_() and run.history == []
    for ask in (lambda: run.predict("a.png"), lambda: run.model):
        with pytest.raises(RunError, match=r"has no model\.keras.*--resume"):
            ask()
    with pytest.raises(RunError, match=r"metrics\.json is missing"):
        run.metrics  # noqa: B018


@pytest.mark.slow
def test_probe_returns_a_profile_and_writes_where_it_is_told(recipe_file, tmp_path):
    profile = tfl.probe(recipe_file, tmp_path / "probe")
    assert len(profile.rows) == 8 and (tmp_path / "probe" / "probe.html").is_file()
    shown = profile._repr_html_()
    assert shown.count("<tr>") == 1 + 8 + (profile.together is not None) and profile.best.block in shown
    with pytest.raises(RunError, match="already holds a profile"):
        tfl.probe(recipe_file, tmp_path / "probe")


@pytest.mark.parametrize("call", [tfl.run, tfl.probe, tfl.study, tfl.tune], ids=lambda call: call.__name__)
def test_what_is_wrong_with_the_input_is_one_error(call, tmp_path, monkeypatch, recipe_file):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError, match="no recipe file"):
        call("nowhere.py")
    with pytest.raises(DataError, match="nothing at this source"):
        call(tfl.load_recipe(recipe_file).override("data.source", "nowhere"))
    assert not list(tmp_path.rglob("*.json"))


def test_keras_on_another_backend_is_told(monkeypatch):
    other = types.SimpleNamespace(config=types.SimpleNamespace(backend=lambda: "torch"))
    monkeypatch.setitem(sys.modules, "keras", other)
    with pytest.raises(TflError, match=r"another backend.*Received: torch\. Allowed: tensorflow\. .*KERAS_BACKEND"):
        load_tensorflow()


def test_what_is_no_recipe_is_told():
    from tfl.errors import RecipeError

    with pytest.raises(RecipeError, match="not a recipe"):
        tfl.run(3)

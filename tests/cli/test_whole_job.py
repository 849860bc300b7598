"""The commands one after another on one small run, as a person would use them."""

import csv
import json

import pytest
from click.testing import CliRunner
from PIL import Image

from tfl.cli.main import cli
from tfl.modalities.image.sample import load_sample

pytestmark = pytest.mark.slow

RECIPE = """
import tfl
recipe = tfl.Recipe(
    name="digits",
    data=tfl.Sample("digits", image_size=(32, 32), per_class=15, labels=("3", "8", "0")),
    backbone=tfl.Backbone("mini"),
    stages=(tfl.Stage("head", epochs=3, learning_rate=1e-2),),
)
"""


def invoke(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


def answer(*words):
    result = invoke(*words, "--json")
    assert result.exit_code == 0, result.stderr[-3000:]
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def done(tmp_path_factory, with_pictures, small_network):
    """What `tfl run` answered, and the folder all of it lies in."""
    base = tmp_path_factory.mktemp("job")
    (base / "digits.py").write_text(RECIPE.replace("mini", small_network))
    with with_pictures():
        return base, answer("run", base / "digits.py", "--out", base / "run")


@pytest.fixture(scope="module")
def photos(done):
    sample = load_sample("digits")
    for number in range(60):
        name = sample.class_names[sample.labels[number]]
        if name in ("0", "3", "8"):
            folder = done[0] / "photos" / name
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(sample.images[number]).save(folder / f"{number}.png")
    return done[0] / "photos"


def test_run_answers_with_folder_figures_and_export(done):
    base, document = done
    assert document["run"] == str(base / "run")
    assert document["metrics"]["test"]["count"] == 9
    assert document["export"] == {"saved_model": str(base / "run" / "export" / "saved_model" / "1")}
    assert (base / "run" / "report.html").is_file()


def test_another_run_in_the_same_folder_is_refused(done):
    result = invoke("run", done[0] / "digits.py", "--out", done[0] / "run")
    assert result.exit_code == 2 and "already holds a run" in result.stderr


def test_evaluate_finds_the_figures_of_the_run_again(done):
    found = answer("evaluate", done[0] / "run")["metrics"]
    for name in ("accuracy", "macro_f1", "count", "confusion"):
        assert found[name] == done[1]["metrics"]["test"][name]
    assert found["loss"] == pytest.approx(done[1]["metrics"]["test"]["loss"], abs=1e-5)


def test_evaluate_on_another_source_counts_all_of_it_and_refuses_other_classes(done, photos):
    found = answer("evaluate", done[0] / "run", "--data", photos)
    assert found["metrics"]["count"] == sum(1 for _ in photos.rglob("*.png"))
    (photos / "3").rename(photos / "three")
    result = invoke("evaluate", done[0] / "run", "--data", photos)
    (photos / "three").rename(photos / "3")
    assert result.exit_code == 2 and "missing: 3; added: three" in result.stderr


def test_predict_says_the_same_by_run_and_by_export(done, photos):
    by_run = answer("predict", done[0] / "run", photos)["predictions"]
    by_export = answer("predict", done[0] / "run" / "export", photos)["predictions"]
    assert [row["label"] for row in by_run] == [row["label"] for row in by_export]
    for ours, theirs in zip(by_run, by_export, strict=True):
        assert theirs["probabilities"] == pytest.approx(ours["probabilities"], abs=1e-5)
    assert set(by_run[0]["probabilities"]) == {"0", "3", "8"}


def test_evaluate_agrees_with_predict(done, photos):
    """One decode path: as many labels are right by one command as by the other."""
    predictions = answer("predict", done[0] / "run", photos)["predictions"]
    right = sum(row["file"].split("/")[-2] == row["label"] for row in predictions)
    assert answer("evaluate", done[0] / "run", "--data", photos)["metrics"]["accuracy"] == pytest.approx(right / len(predictions))


def test_predict_writes_csv(done, photos, tmp_path):
    assert invoke("predict", done[0] / "run", photos, "--out", tmp_path / "labels.csv").exit_code == 0
    rows = list(csv.DictReader((tmp_path / "labels.csv").open()))
    assert list(rows[0]) == ["file", "label", "probability", "p_0", "p_3", "p_8"]


def test_export_elsewhere_agrees_with_the_model(done, tmp_path):
    document = answer(
        "export", done[0] / "run", "--format", "saved_model", "--format", "keras", "--version", "2", "--out", tmp_path
    )
    assert document["holds"] and (tmp_path / "saved_model" / "2" / "saved_model.pb").is_file()
    assert (
        set(document["parity"])
        == {"saved_model/2", "keras"}
        == set(json.loads((tmp_path / "parity.json").read_text())["exports"])
    )
    assert document["test_images"] == done[1]["metrics"]["test"]["count"] and document["golden_images"] > 10


def test_an_export_that_nobody_compares_says_so(done, tmp_path):
    document = answer("export", done[0] / "run", "--format", "keras", "--no-verify", "--out", tmp_path)
    assert document["holds"] is None and document["parity"] == {} and not (tmp_path / "parity.json").exists()
    assert invoke("export", done[0] / "run", "--format", "keras", "--no-verify", "--server", "http://x").exit_code == 2
    assert invoke("export", done[0] / "run", "--format", "saved_model", "--version", "0").exit_code == 2


def test_report_of_one_run_and_of_two(done, tmp_path):
    assert answer("report", done[0] / "run")["report"] == str(done[0] / "run" / "report.html")
    page = tmp_path / "two.html"
    assert answer("report", done[0] / "run", done[0] / "run", "--out", page)["report"] == str(page) and page.is_file()


def test_resuming_a_finished_run_changes_nothing_of_what_it_found(done):
    document = answer("run", done[0] / "digits.py", "--out", done[0] / "run", "--resume")
    for name in ("accuracy", "count"):
        assert document["metrics"]["test"][name] == done[1]["metrics"]["test"][name]


@pytest.mark.usefixtures("short_trainings", "shallow_mini")
def test_a_new_recipe_runs_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))  # mini alone is at hand
    sample = load_sample("digits")
    for number in range(30):
        name = sample.class_names[sample.labels[number]]
        (tmp_path / "photos" / name).mkdir(parents=True, exist_ok=True)
        if name in "0123":
            Image.fromarray(sample.images[number]).save(tmp_path / "photos" / name / f"{number}.png")
    for empty in "456789":
        (tmp_path / "photos" / empty).rmdir()
    counts = answer("new", "digits", "--data", "photos")["classes"]
    assert min(counts.values()) == 3  # the fewest that can be split
    document = answer("run", "digits.py", "--smoke")
    assert document["run"].startswith("runs/digits/") and document["metrics"]["test"]["count"] >= 4

"""`tfl study` as a person uses it, on a small sample."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from tfl.cli.main import cli

RECIPE = """
import tfl
recipe = tfl.Recipe(
    name="digits",
    data=tfl.Sample("digits", image_size=(32, 32), per_class=6, labels=("3", "8")),
    backbone=tfl.Backbone("mini"),
    stages=(tfl.Stage("head", epochs=1), tfl.Stage("deep", train="top:2", epochs=1)),
    monitor=tfl.Monitor(patience=1),
)
"""


def invoke(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    (tmp_path / "digits.py").write_text(RECIPE)
    return tmp_path / "digits.py"


@pytest.mark.slow
def test_from_recipe_to_table(file, tmp_path):
    words = (
        "--strategy",
        "recipe",
        "--blocks",
        "1",
        "--backbone",
        "LeNet weights=none",
        "--data",
        "sample:digits",
        "--set",
        "data.per_class=5",
        "--seeds",
        "1",
    )
    result = invoke("study", file, *words, "--out", tmp_path / "s", "--json")
    assert result.exit_code == 0, result.stderr[-3000:]
    document = json.loads(result.stdout)
    assert [row["title"] for row in document["rows"]] == ["LeNet weights=none scratch", "LeNet weights=none recipe top:1"]
    assert document["columns"][0]["title"] == "sample:digits" and document["status"] == "done"
    assert document["axes"]["data"][0]["recipe"]["data"]["per_class"] == 5
    assert "1/2 sample:digits: LeNet weights=none scratch, seed 0: " in result.stderr

    taken = invoke("study", file, *words, "--out", tmp_path / "s")
    assert taken.exit_code == 2 and "already holds a study" in taken.stderr
    resumed = invoke("study", "--out", tmp_path / "s", "--resume")
    assert resumed.exit_code == 0 and "top" not in resumed.stderr, resumed.stderr[-3000:]
    for words in ("network", "sample:digits: accuracy, %", "trained parameters", "report   "):
        assert words in resumed.stdout
    changed = invoke("study", file, "--data", "sample:digits", "--out", tmp_path / "s", "--resume")
    assert changed.exit_code == 2 and "with another recipe" in changed.stderr


def test_what_was_not_run_is_said_with_how_to_resume(file, tmp_path):
    words = ("--backbone", "LeNet", "--strategy", "features", "--train-per-class", "2", "--train-per-class", "4")
    result = invoke("study", file, *words, "--minutes", "0", "--out", tmp_path / "s")
    assert result.exit_code == 0, result.stderr[-3000:]
    shown = " ".join(result.stdout.split())
    assert "LeNet (scratch) on digits, 2 per class; digits, 4 per class, seeds 0, 1, 2: not run: the time was over" in shown
    assert "LeNet (features)" in shown and "unavailable: There are no pretrained weights of LeNet" in shown
    assert f"Resume with: tfl study --out {tmp_path / 's'} --resume" in shown


def test_several_recipes_are_several_columns(file, tmp_path):
    (tmp_path / "other.py").write_text(RECIPE.replace('name="digits"', 'name="other"'))
    result = invoke("study", file, tmp_path / "other.py", "--minutes", "0", "--out", tmp_path / "s", "--json")
    assert [column["title"] for column in json.loads(result.stdout)["columns"]] == ["digits", "other"]
    twice = invoke("study", file, file, "--out", tmp_path / "t")
    assert twice.exit_code == 2 and "same name" in twice.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere.py",), "no recipe file"),
        ((), "Missing argument 'RECIPE...'"),
        (("digits.py", "--strategy", "guess"), "'guess' is not one of"),
        (("digits.py", "--backbone", "Mobilenet"), "Did you mean `MobileNet`"),
        (("digits.py", "--backbone", "alpha=0.5"), "has no name"),
        (("digits.py", "--data", "nowhere"), "nothing at this source"),
        (("digits.py", "--blocks", "0"), "0 is not in the range"),
        (("digits.py", "--seeds", "0"), "0 is not in the range"),
        (("digits.py", "--strategy", "features", "--blocks", "1"), "has no effect"),
        (("digits.py", "digits.py", "--data", "sample:digits"), "goes with one recipe"),
        (("digits.py", "--set", "stages.head.epoch=1"), "Did you mean `epochs`"),
        (("digits.py", "--resume"), "no study of `digits` to resume"),
        (("--resume", "--out", "s", "--set", "seed=1"), "none is named"),
    ],
)
def test_what_makes_no_study_is_refused_before_anything_is_done(file, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    result = invoke("study", *words)
    assert result.exit_code == 2 and message in " ".join(result.stderr.replace("│", " ").split()), result.stderr
    assert not (tmp_path / "s").exists() and not (tmp_path / "runs").exists()


def test_help_imports_no_tensorflow():
    code = (
        "import sys; from tfl.cli.main import cli\n"
        "try: cli(['study', '--help'])\n"
        "except SystemExit: sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, capture_output=True).returncode == 0

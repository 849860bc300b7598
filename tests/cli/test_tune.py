"""`tfl tune` as a person uses it, on a small sample."""

import json
import os
import socket
import subprocess
import sys

import pytest
from click.testing import CliRunner

import tfl
from tfl.cli.main import cli
from tfl.measure import with_options
from tfl.recipe import load_recipe

RECIPE = """
import tfl
recipe = tfl.Recipe(
    name="digits",
    data=tfl.Sample("digits", image_size=(32, 32), per_class=8, labels=("3", "8", "0")),
    backbone=tfl.Backbone("LeNet", weights=None),
    stages=(tfl.Stage("head", epochs=2, learning_rate=1e-2),),
    export=(),
    search=tfl.Search(space={"stages.head.train": tfl.Choice(("head", "top:1"))}, algorithm="grid", seeds=1),
)
"""


def invoke(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


@pytest.fixture
def file(tmp_path):
    (tmp_path / "digits.py").write_text(RECIPE)
    return tmp_path / "digits.py"


@pytest.mark.slow
def test_from_recipe_to_best_recipe_to_run(file, tmp_path):
    result = invoke("tune", file, "--out", tmp_path / "search", "--json")
    assert result.exit_code == 0, result.stderr[-3000:]
    document = json.loads(result.stdout)
    assert [row["status"] for row in document["trials"]] == ["done", "done"]
    assert document["best"]["seeds"] == 1 and document["confirmed"][0]["name"] == "as it was"
    assert (tmp_path / "search" / "tune.html").is_file() and (tmp_path / "search" / "trials.csv").is_file()
    best = document["best_recipe"]
    assert load_recipe(best).name == "digits"
    ran = invoke("run", best, "--smoke", "--out", tmp_path / "run")
    assert ran.exit_code == 0, ran.stderr[-3000:]

    again = invoke("tune", file, "--out", tmp_path / "search")
    assert again.exit_code == 2 and "already holds a search" in again.stderr
    resumed = invoke("tune", file, "--out", tmp_path / "search", "--resume")
    assert resumed.exit_code == 0 and "best     " in resumed.stdout and "use it   tfl run" in resumed.stdout
    changed = invoke("tune", file, "--out", tmp_path / "search", "--resume", "--set", "head.dropout=0.5")
    assert changed.exit_code == 2 and "another recipe" in changed.stderr


@pytest.mark.slow
def test_chief_and_worker_by_kerastuners_own_variables(file, tmp_path):
    """As on two machines that share the folder of the search."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        shared = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(probe.getsockname()[1])}
    words = [
        sys.executable,
        "-m",
        "tfl.cli.main",
        "tune",
        str(file),
        "--set",
        "search.seeds=0",
        "--out",
        str(tmp_path / "search"),
    ]
    both = [
        subprocess.Popen(
            [*words, "--json"],
            env={**os.environ, **shared, "KERASTUNER_TUNER_ID": name},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for name in ("chief", "worker1")
    ]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    document = json.loads(said[0][0])
    assert [row["status"] for row in document["trials"]] == ["done", "done"] and document["best"]
    assert (tmp_path / "search" / "tune.html").is_file()


def test_minutes_alone_lift_the_default_number_of_trials(file):
    recipe = load_recipe(file)
    assert with_options(recipe, {"minutes": 5.0}).search.trials is None
    assert with_options(recipe, {"minutes": 5.0, "trials": 3}).search.trials == 3
    own = recipe.override("search.trials", 7)
    assert with_options(own, {"minutes": 5.0}).search.trials == 7


def test_options_go_over_the_recipe(file):
    search = with_options(load_recipe(file), {"algorithm": "random", "trials": 4}).search
    assert search == tfl.Search(space=search.space, algorithm="random", trials=4, seeds=1)


def test_nothing_to_resume_is_said(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = invoke("tune", file, "--resume")
    assert result.exit_code == 2 and "no search of `digits`" in result.stderr


@pytest.mark.parametrize(
    "words", [("--trials", "0"), ("--workers", "0"), ("--algorithm", "guess"), ("--set", "search.trials=none")]
)
def test_what_makes_no_search_is_refused_before_anything_is_done(file, tmp_path, words):
    extra = ("--algorithm", "random") if "--set" in words else ()
    result = invoke("tune", file, "--out", tmp_path / "search", *words, *extra)
    assert result.exit_code == 2 and not (tmp_path / "search").exists()

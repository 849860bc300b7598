"""`tfl probe`: what it parses, what it writes, what it answers."""

import json
import re

import numpy as np
import pytest
from click.testing import CliRunner
from rich.console import Console

import tfl
from tfl.advice.profile import make_profile
from tfl.cli.main import cli
from tfl.errors import RecipeError
from tfl.measure import profile_recipe

RECIPE = """
import tfl
recipe = tfl.Recipe(
    name="digits",
    data=tfl.Sample("digits", image_size=(32, 32), per_class=12, labels=("3", "8", "0")),
    backbone=tfl.Backbone("mini"),
)
"""


def invoke(*words):
    return CliRunner().invoke(cli, [str(word) for word in words])


def found():
    labels = np.arange(60) % 3
    predicted = np.stack([np.where(np.arange(60) % step, labels, 0) for step in (2, 7, 2)])
    rows = [
        {"block": name, "taps": (name,), "output_shape": (4, 4, 8), "features": 8, "C": 0.25, "compute": share}
        for name, share in (("low", 0.2), ("middle<b>", 0.6), ("high", 1.0))
    ]
    seconds = {"features": 1.0, "probes": 0.5}
    return make_profile(rows, predicted, labels, np.arange(60), classes=3, folds=5, seconds=seconds)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tmp_path.joinpath("digits.py").write_text(RECIPE)
    return tmp_path


@pytest.fixture
def asked(monkeypatch):
    recipes = []

    def probe(recipe, console):
        recipes.append(recipe)
        return found()

    monkeypatch.setattr("tfl.measure.profile_recipe", probe)
    return recipes


@pytest.mark.slow
def test_the_changed_recipe_is_probed(here, asked):
    result = invoke("probe", "digits.py", "--data", "photos", "--set", "backbone=MobileNetV2", "--skip-bad", "--out", "p")
    assert result.exit_code == 0, result.stderr
    assert (asked[0].data.source, asked[0].data.on_bad, asked[0].backbone.name) == ("photos", "skip", "MobileNetV2")


def test_table_advice_and_files(here, asked):
    result = invoke("probe", "digits.py", "--out", "p")
    for words in (
        "middle<b>",
        "P(best)",
        "serves this task best",
        "--set head.taps=middle<b>",
        "p/probe.html",
        "1.0 s for the pass",
    ):
        assert words in result.stdout
    document = json.loads((here / "p" / "probe.json").read_text())
    assert document["best"] == "middle<b>" and document["recipe"]["name"] == "digits" and len(document["rows"]) == 3


def test_json_is_the_document_with_the_files(here, asked):
    answer = json.loads(invoke("probe", "digits.py", "--out", "p", "--json").stdout)
    assert answer == {**json.loads((here / "p" / "probe.json").read_text()), "profile": "p/probe.json", "report": "p/probe.html"}


def test_the_page_is_whole_offline_and_escaped(here, asked):
    invoke("probe", "digits.py", "--out", "p")
    page = (here / "p" / "probe.html").read_text()
    assert "middle&lt;b&gt;" in page and "middle<b>" not in page
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']?https?:", page)
    assert "95% interval" in page and "digits" in page


def test_folders_are_made_anew_and_never_overwritten(here, asked):
    names = [json.loads(invoke("probe", "digits.py", "--json").stdout)["profile"] for _ in range(2)]
    assert len(set(names)) == 2 and all(name.startswith("runs/digits/probe-") for name in names)
    assert invoke("probe", "digits.py", "--out", "p").exit_code == 0
    result = invoke("probe", "digits.py", "--out", "p")
    assert result.exit_code == 2 and "already holds a profile" in result.stderr


@pytest.mark.slow
def test_a_probe_as_a_person_runs_it(here):
    result = invoke("probe", "digits.py", "--out", "p", "--json")
    assert result.exit_code == 0, result.stderr[-3000:]
    document = json.loads(result.stdout)
    assert len(document["rows"]) == 8 and document["best"] in [row["block"] for row in document["rows"]]
    assert all(0 <= row["interval"][0] <= row["accuracy"] <= row["interval"][1] <= 1 for row in document["rows"])
    assert (here / "p" / "probe.html").stat().st_size > 1_000_000
    taps = ",".join(document["together"]["taps"])
    shown = invoke("probe", "digits.py", "--out", "q", "--set", f"head.taps={taps}")
    assert shown.exit_code == 0 and document["best"] in shown.stdout


def test_numbers_have_no_probe(tmp_path):
    (tmp_path / "ages.csv").write_text("text,age\n" + "".join(f"text {at},{at}.5\n" for at in range(8)))
    recipe = tfl.Recipe(
        name="ages",
        data=tfl.Data(str(tmp_path / "ages.csv"), input=tfl.Text(length=8)),
        backbone=tfl.Backbone("tiny", weights=None),
        task="regress",
    )
    with pytest.raises(RecipeError, match=r"another task.*regress.*tfl tune"):
        profile_recipe(recipe, Console(quiet=True))

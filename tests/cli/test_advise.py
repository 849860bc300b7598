"""`tfl advise` as a person uses it, on a few drawn leaves."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from tfl.cli.main import cli


def invoke(*words):
    return CliRunner().invoke(cli, ["advise", *(str(word) for word in words)])


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with two classes of little pictures and a pool without labels; no weights are at hand but those that ship."""
    monkeypatch.chdir(tmp_path)
    for name in ("KERAS_HOME", "KAGGLEHUB_CACHE", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name))
    for number, name in enumerate(("ant", "bee", "pool")):
        folder = tmp_path / ("pool" if name == "pool" else f"insects/{name}")
        folder.mkdir(parents=True)
        for index in range(14):
            rng = np.random.default_rng([number, index])
            pixels = rng.integers(0, 200, (24, 24, 3)).astype(np.uint8)
            pixels[: 12 if (number or index) % 2 else 24, :, number % 2] = 230
            Image.fromarray(pixels).save(folder / f"{name}{index}.png")
    return tmp_path


@pytest.mark.slow
@pytest.mark.usefixtures("shallow_mini")
def test_from_a_folder_to_a_recipe_and_to_what_to_label_next(here):
    result = invoke("insects", "--minutes", 0, "--unlabelled", "pool", "--budget", 4, "--out", "advice", "--json")
    assert result.exit_code == 0, result.stderr[-3000:]
    document = json.loads(result.stdout)
    assert document["options"][0]["recommended"] and document["recipe_file"] == "advice/recipe.py"
    assert len(document["to_label"]) == 4 and {row["suggestion"] for row in document["to_label"]} <= {"ant", "bee"}
    page = (here / "advice" / "label.html").read_text()
    assert page.count('class="card-to-label"') == 4 and page.count("<img") == 4 and "Save labels.csv" in page
    assert "<img" not in (here / "advice" / "advice.html").read_text()

    rows = "".join(f"{row['file']},ant\n" for row in document["to_label"])
    (here / "labels.csv").write_text("path,label\n" + rows)
    again = invoke(
        "insects", "--minutes", 0, "--unlabelled", "pool", "--budget", 20, "--labels", "labels.csv", "--out", "next", "--json"
    )
    assert again.exit_code == 0, again.stderr[-3000:]
    more = json.loads(again.stdout)
    assert sum(more["counts"].values()) == sum(document["counts"].values()) + 4
    chosen = {row["file"] for row in more["to_label"]}
    assert len(chosen) == 10 and not chosen & {row["file"] for row in document["to_label"]}  # all that is left of 14

    (here / "labels.csv").write_text("path,label\n" + "".join(f"{file},bee\n" for file in chosen))
    last = invoke("next/labelled.csv", "--minutes", 0, "--unlabelled", "pool", "--labels", "labels.csv", "--out", "last")
    assert last.exit_code == 2 and "nothing to label" in last.stderr  # the labels of both rounds count


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("nowhere",), "nowhere"),
        ((), "Missing argument 'SOURCE'"),
        (("insects", "--budget", 3), "--budget goes with --unlabelled"),
        (("insects", "--backbone", "alpha=0.5"), "has no name"),
        (("insects", "--backbone", "MobilNet"), "MobileNet"),
        (("insects", "--unlabelled", "elsewhere"), "elsewhere"),
        (("insects", "--labels", "elsewhere.csv"), "elsewhere.csv"),
    ],
)
def test_wrong_input_is_one_message(here, words, message):
    result = invoke(*words)
    assert result.exit_code == 2 and message in result.stderr and "Traceback" not in result.stderr


def test_numbers_are_refused_before_anything_is_measured(here):
    rows = [f"{file.relative_to(here)},{number}.5" for number, file in enumerate(sorted(here.glob("insects/*/*.png")))]
    (here / "ages.csv").write_text("\n".join(["path,age", *rows]))
    result = invoke("ages.csv")
    assert result.exit_code == 2 and "have another task" in result.stderr and "tfl study" in result.stderr


def test_history_without_advice_says_so(here):
    result = invoke("--history")
    assert result.exit_code == 0 and "no advice" in result.stdout

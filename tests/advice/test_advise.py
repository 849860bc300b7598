"""`advise` on a small sample: what is measured, what is left out, and a recipe that runs."""

import json

import numpy as np
import pytest
from rich.console import Console

import tfl
from tfl.advice.advise import advise
from tfl.advice.history import history
from tfl.errors import RecipeError, RunError
from tfl.job import run_recipe
from tfl.measure import advise_on

QUIET = Console(quiet=True)
MINI = tfl.Backbone("mini")


def digits(**options):
    return tfl.Recipe(
        **{
            "name": "digits",
            "data": tfl.Sample("digits", image_size=(32, 32), per_class=20, labels=("0", "3", "8")),
            "backbone": MINI,
            "stages": tfl.Auto(),
            "export": (),
            **options,
        }
    )


@pytest.fixture(scope="module")
def probed():
    """No time: the first network alone, by its probes."""
    return advise(digits(), [MINI, tfl.Backbone("mini", weights=None)], minutes=0)


@pytest.mark.slow
def test_without_time_the_first_network_is_probed_and_the_others_are_told(probed):
    advice = probed.advice
    assert advice.best.strategy == "features" and advice.best.expected.count == 48  # 12 of 60 are tested
    assert [(one.title, bool(one.skipped)) for one in advice.networks] == [("mini", False), ("mini weights=none", True)]
    assert "no time" in advice.networks[1].skipped
    assert any(verdict["kind"] == "time" for verdict in advice.verdicts)
    assert sum(advice.counts.values()) == 48


@pytest.mark.slow
def test_every_block_has_a_depth_and_scores_are_there(probed):
    network = probed.advice.networks[0]
    assert len(network.depth) == 8 and all(0 <= accuracy <= 1 for _, accuracy in network.depth)
    assert set(network.scores) == {"log_me", "h_score", "n_leep"} and np.isfinite(list(network.scores.values())).all()


@pytest.mark.slow
def test_the_learning_curve_rises_and_says_what_more_labels_bring(probed):
    curve = probed.advice.curve
    means = [row["mean"] for row in curve["forecasts"]]
    assert means == sorted(means) and set(curve["gains"]) == {"100", "48"}
    assert all(row["low"] <= row["mean"] <= row["high"] for row in curve["forecasts"])


def test_numbers_are_refused():
    with pytest.raises(RecipeError, match="have another task"):
        advise(digits(task="regress"), [MINI], minutes=0)


@pytest.mark.slow
def test_with_time_it_fine_tunes_compares_random_weights_and_the_recipe_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("tfl.advice.candidate_stages.MOST_EPOCHS", 1)
    monkeypatch.setattr("tfl.advice.candidate_stages.CANDIDATES", ((0.3, 0.3),))
    recipe = digits()
    document = advise_on(recipe, [MINI], tmp_path / "runs" / "digits" / "advise-1", minutes=2, console=QUIET)
    kinds = {option["strategy"] for option in document["options"]}
    assert "finetune" in kinds and "mini weights=none" in {option["title"] for option in document["options"]}
    found = {verdict["kind"] for verdict in document["verdicts"]}
    assert "four_fields" in found and found & {"transfer", "transfer_not_shown"}
    folder = tmp_path / "runs" / "digits" / "advise-1"
    assert (folder / "advice.html").is_file() and json.loads((folder / "advice.json").read_text())["format"] == 1
    with pytest.raises(RunError, match="already holds advice"):
        advise_on(recipe, [MINI], folder, minutes=0, console=QUIET)

    advised = tfl.load_recipe(folder / "recipe.py")
    assert advised.stages == tfl.Auto() and advised.backbone == MINI
    other = digits(stages=(tfl.Stage("head", epochs=1),))
    for name, one in (("1", advised), ("2", other)):
        run_recipe(one, out=tmp_path / "runs" / "digits" / name, report=False, console=QUIET)
    first, second = history(tmp_path / "runs")
    assert first.followed and not second.followed
    best = next(option for option in document["options"] if option["recommended"])["expected"]
    assert (first.expected, first.low, first.high) == (best["mean"], best["low"], best["high"])
    assert first.inside == (best["low"] <= first.found <= best["high"]) and first.count == 12
    assert history(tmp_path / "runs", source="elsewhere") == []

    (folder / "advice.json").write_text("{}")
    with pytest.raises(RunError, match="damaged"):
        history(tmp_path / "runs")

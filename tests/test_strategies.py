"""Each strategy is a recipe that runs, and that stays what the word says."""

import dataclasses

import pytest
from click.testing import CliRunner
from rich.console import Console

import tfl
from tfl.cli.main import cli
from tfl.errors import RecipeError
from tfl.job import run_recipe
from tfl.strategies import STRATEGIES, with_strategy

RECIPE = tfl.Recipe(
    name="digits",
    data=tfl.Sample("digits", image_size=(32, 32), per_class=12),
    backbone=tfl.Backbone("mini"),
    head=tfl.Head(hidden=(8,)),
    stages=(tfl.Stage("head", epochs=1, batch_size=16, augment=tfl.Augment(brightness=0.1)),),
    monitor=tfl.Monitor(alpha=1.0),
    export=(),
)
PARTS = {"bitfit": "biases", "adapters": "LoRA", "residual_adapters": "adapters"}
"""What the report says that the strategies train which leave a part of each block as it is."""


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_changes_head_and_stages_alone(name):
    recipe = with_strategy(RECIPE, name)
    assert (recipe.data, recipe.seed, recipe.name) == (RECIPE.data, RECIPE.seed, RECIPE.name)
    assert (recipe.monitor == RECIPE.monitor) is (name != "scratch")
    assert recipe.head.hidden == () and recipe.backbone.name == "mini"
    assert (recipe.backbone.weights is None) is (name == "scratch")
    assert (recipe.head.start == "probe") is (
        name in ("features", "svm", "class_means", "knn", "lp_ft", "wise_ft", "l2_sp", "bitfit", "adapters", "residual_adapters")
    )
    assert (recipe.backbone.adapter_width > 0) is (name == "residual_adapters")


def test_adapters_belong_to_their_strategy_and_may_have_another_width():
    wide = RECIPE.override("backbone.adapter_width", "64")
    assert with_strategy(wide, "residual_adapters").backbone.adapter_width == 64
    assert with_strategy(wide, "lp_ft") == with_strategy(RECIPE, "lp_ft")


def test_random_weights_are_given_time_to_leave_chance():
    assert with_strategy(RECIPE, "scratch").monitor == dataclasses.replace(RECIPE.monitor, patience=20)
    patient = dataclasses.replace(RECIPE, monitor=tfl.Monitor(patience=None))
    assert with_strategy(patient, "scratch").monitor.patience is None


def test_sounds_whose_length_the_training_sounds_decide_take_a_strategy():
    recipe = tfl.Recipe(name="s", data=tfl.Sample("sounds", input=tfl.Audio()), backbone=tfl.Backbone("mini"))
    assert with_strategy(recipe, "lp_ft").stages[0].learning_rate == with_strategy(RECIPE, "lp_ft").stages[0].learning_rate


def test_rates_suit_the_kind_of_example():
    texts = tfl.Recipe(name="t", data=tfl.Sample("reviews", input=tfl.Text()), backbone=tfl.Backbone("tiny", weights=None))
    assert with_strategy(texts, "lp_ft").stages[0].learning_rate < with_strategy(RECIPE, "lp_ft").stages[0].learning_rate


@pytest.mark.parametrize(("name", "weights"), [("bitfit", "biases"), ("adapters", "lora"), ("residual_adapters", "adapters")])
def test_a_part_of_the_weights_takes_a_larger_rate(name, weights):
    (stage,), (whole,) = with_strategy(RECIPE, name).stages, with_strategy(RECIPE, "lp_ft").stages
    assert (stage.weights, stage.train) == (weights, "all") and stage.learning_rate > whole.learning_rate


def test_an_unknown_strategy_names_the_others():
    with pytest.raises(RecipeError, match="lp_ft"):
        with_strategy(RECIPE, "lpft")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["scratch", "svm", "class_means", "knn", "gradual", "l2_sp", *PARTS])
def test_a_strategy_runs(name, tmp_path, small_network):
    recipe = with_strategy(RECIPE.override("backbone", small_network), name).smoke()
    run = run_recipe(recipe, out=tmp_path / "run", console=Console(quiet=True))
    assert run.read_json("metrics.json")["test"]["count"] == 20
    assert run.path("model.keras").is_file()
    if name in PARTS:
        assert f"▲ trains {PARTS[name]}" in run.path("report.html").read_text()


def test_the_command_line_takes_a_strategy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits.json").write_text(RECIPE.to_json())
    result = CliRunner().invoke(cli, ["run", "digits.json", "--strategy", "lpft"])
    assert result.exit_code == 2 and "lp_ft" in result.stderr

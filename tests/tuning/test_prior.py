"""What is done before the first trial: depths in the order of the probes, features of all depths in one pass."""

import json

import pytest
from rich.console import Console

import tfl
from tfl.tuning.space import hyperparameters, values_of

PATH = "stages.head.train"
DEPTHS = ("head", "top:1", "top:3", "all", "top:99")


@pytest.fixture(scope="module")
def made(source, small_network):
    """A recipe's network and images."""
    from tfl.job import prepare_data
    from tfl.model.assemble import assemble

    recipe = tfl.Recipe(
        name="bars",
        data=tfl.Data(source, image_size=(32, 32)),
        backbone=tfl.Backbone(small_network),
        stages=(tfl.Stage("head", epochs=2, learning_rate=1e-2),),
    )
    bundle, _ = prepare_data(recipe, Console(quiet=True))
    return recipe, assemble(recipe, bundle.examples.class_names), bundle


def test_first_come_depths_whose_frozen_part_serves_best(made):
    from tfl.tuning.prior import first_values

    recipe, assembled, _ = made
    names = [block.name for block in assembled.blocks]
    profile = dict.fromkeys(names, 0.5) | {names[-2]: 0.9, names[-1]: 0.7, names[-4]: 0.6}
    space = {
        PATH: tfl.Choice(DEPTHS),
        "stages.head.learning_rate": tfl.Between(1e-4, 1e-1, log=True),
        "head.dropout": tfl.Choice((0.0, 0.4)),
    }
    first = first_values(recipe, space, assembled, profile, most=10)
    assert [json.loads(values[PATH]) for values in first] == ["top:1", "head", "top:3", "all"]
    for values in first:
        assert values_of(space, values)["stages.head.learning_rate"] == 0.01  # the recipe's own
        assert values_of(space, values)["head.dropout"] == 0.4
    assert len(first_values(recipe, space, assembled, profile, most=2)) == 2
    assert first_values(recipe, space, assembled, {}, most=10) == []
    assert first_values(recipe, {"head.dropout": tfl.Choice((0.0,))}, assembled, profile, most=10) == []


def test_equal_probes_try_the_shallow_depth_first(made):
    from tfl.tuning.prior import promising

    recipe, assembled, _ = made
    profile = {block.name: 0.5 for block in assembled.blocks}
    assert promising(recipe, ("top:3", "top:1", "head"), assembled, profile) == ["head", "top:1", "top:3"]


@pytest.mark.parametrize("algorithm", ["bayesian", "random", "hyperband"])
def test_an_oracle_begins_with_what_the_prior_says(made, algorithm, tmp_path):
    from tfl.tuning.oracles import make_oracle

    recipe, _, _ = made
    recipe = recipe.override("stages.head.epochs", 9)
    space = {PATH: tfl.Choice(DEPTHS), "stages.head.learning_rate": tfl.Between(1e-4, 1e-1, log=True)}
    first = [{PATH: json.dumps(depth), "stages.head.learning_rate": 0.01} for depth in ("top:3", "head")]
    search = tfl.Search(algorithm=algorithm, trials=4)
    oracle = make_oracle(recipe, search, hyperparameters(recipe, space), first=first)
    oracle._set_project_dir(str(tmp_path), "trials")
    drawn = []
    for number in range(3):
        trial = oracle.create_trial(f"tuner{number}")
        drawn.append(values_of(space, trial.hyperparameters.values))
    assert [values[PATH] for values in drawn[:2]] == ["top:3", "head"] and drawn[2] not in drawn[:2]


def test_one_pass_stores_every_depth_that_a_trial_reads(made, tmp_path, monkeypatch):
    from tfl.features import extract as module
    from tfl.features.cut import cut
    from tfl.tuning.precompute import precompute_features

    monkeypatch.setenv("TFL_CACHE", str(tmp_path))
    recipe, assembled, bundle = made
    passes = []
    was = module.stored_features
    monkeypatch.setattr(
        module, "stored_features", lambda spaces, rows, *a, **k: (passes.append(len(spaces)), was(spaces, rows, *a, **k))[1]
    )
    space = {PATH: tfl.Choice(DEPTHS), "stages.head.learning_rate": tfl.Choice((1e-2, 1e-3))}
    always = recipe.override("features.store", "always")
    stored = precompute_features(always, space, assembled, bundle, trials=8)
    blocks = len(assembled.blocks)
    assert stored == (blocks, blocks - 1, blocks - 3) and passes == [3, 3]  # training and validation images, three depths each
    for first_trainable in stored:
        one = module.Extractor([cut(assembled, first_trainable)[0]], bundle, features=always.features)
        assert one.missing("train") == 0 and one.missing("val") == 0


@pytest.mark.parametrize("path", ["backbone.arguments.alpha", "data.fit", "head.pooling", "stages.head.augment.crop"])
def test_where_trials_differ_below_the_cut_each_stores_for_itself(made, path):
    from tfl.tuning.precompute import precompute_features

    recipe, assembled, bundle = made
    space = {PATH: tfl.Choice(DEPTHS), path: tfl.Choice((1,))}
    assert precompute_features(recipe, space, assembled, bundle, trials=8) == ()


def test_what_an_earlier_stage_trains_is_not_stored_ahead(made):
    import dataclasses

    from tfl.tuning.precompute import precompute_features

    recipe, assembled, bundle = made
    deep = dataclasses.replace(recipe, stages=(tfl.Stage("first", train="top:2"), recipe.stages[0]))
    space = {PATH: tfl.Choice(("head", "top:1", "top:2", "top:3"))}
    always = deep.override("features.store", "always")
    blocks = len(assembled.blocks)
    assert precompute_features(always, space, assembled, bundle, trials=8) == (blocks - 2, blocks - 3)

"""A space: what may be searched, its KerasTuner twin, and values back into recipes."""

import pytest

import tfl
from tfl.errors import RecipeError
from tfl.tuning.source import recipe_source
from tfl.tuning.space import check_space, hyperparameters, recipe_of, space_of, value_at, values_of


@pytest.fixture
def recipe():
    return tfl.Recipe(
        name="digits",
        data=tfl.Sample("digits", image_size=(32, 32)),
        backbone=tfl.Backbone("mini"),
        stages=(
            tfl.Stage("head", epochs=3),
            tfl.Stage("finetune", train="top:2", learning_rate=1e-4, augment=tfl.Augment(rotate_deg=10.0)),
        ),
    )


def test_the_built_space_has_depth_rates_head_and_augmentation(recipe):
    space = space_of(recipe, 17)
    assert list(space) == [
        "stages.finetune.train",
        "stages.finetune.learning_rate",
        "stages.finetune.layer_decay",
        "head.dropout",
        "stages.finetune.augment.rotate_deg",
    ]
    assert {"head", "top:2", "top:13"} <= set(space["stages.finetune.train"].values)
    assert space["stages.finetune.learning_rate"].log and space["stages.finetune.augment.rotate_deg"].values == (5.0, 10.0, 15.0)
    check_space(recipe, space)


def test_a_network_of_few_blocks_is_not_asked_for_more(recipe):
    depths = space_of(recipe, 1)["stages.finetune.train"].values
    assert depths == ("head", "top:1", "top:2")  # the last is the recipe's own


def test_a_stage_that_trains_a_part_of_blocks_is_not_asked_to_train_none(recipe):
    space = space_of(recipe.override("stages.finetune.weights", "lora"), 17)
    assert "head" not in space["stages.finetune.train"].values
    check_space(recipe.override("stages.finetune.weights", "lora"), space)


def test_the_recipes_own_space_counts(recipe):
    own = {"head.dropout": tfl.Choice((0.0, 0.1))}
    assert space_of(recipe.override("search", tfl.Search(space=own)), 17) == own


@pytest.mark.parametrize(
    ("path", "tried", "named"),
    [
        ("stages.finetune.epoch", tfl.Choice((1,)), "epoch"),
        ("stages.other.epochs", tfl.Choice((1,)), "other"),
        ("head.dropout", tfl.Choice((0.1, 2.0)), "head.dropout=2.0"),
        ("head.dropout", tfl.Between(0.1, 2.0), "head.dropout=2.0"),
        ("stages.finetune.train", tfl.Choice(("head", "upper")), "stages.finetune.train=upper"),
        ("seed", tfl.Choice((1, 2)), "same in every trial"),
        ("monitor.metric", tfl.Choice(("val_loss",)), "same in every trial"),
        ("data.test", tfl.Choice((0.1, 0.2)), "same in every trial"),
        ("stages", tfl.Choice(("a",)), "same in every trial"),
    ],
)
def test_what_cannot_be_searched_is_refused_with_its_path(recipe, path, tried, named):
    with pytest.raises(RecipeError, match=named):
        check_space(recipe, {path: tried})


def test_values_go_to_kerastuner_and_back(recipe):
    space = {
        "stages.finetune.train": tfl.Choice(("head", "top:2")),
        "data.image_size": tfl.Choice(((32, 32), (48, 48))),
        "stages.finetune.epochs": tfl.Between(2, 8),
        "stages.finetune.learning_rate": tfl.Between(1e-5, 1e-2, log=True),
        "head.dropout": tfl.Between(0.0, 0.4, step=0.2),
    }
    made = hyperparameters(recipe, space)
    assert {item.name for item in made.space} == set(space)
    assert values_of(space, made.values)["stages.finetune.train"] == "top:2"  # the recipe's own value
    for seed in range(20):
        sampled = {item.name: item.random_sample(seed) for item in made.space}
        changed = recipe_of(recipe, values_of(space, sampled))
        assert changed.stages[1].train in ("head", "top:2") and changed.data.image_size in ((32, 32), (48, 48))
        assert 2 <= changed.stages[1].epochs <= 8 and 1e-5 <= changed.stages[1].learning_rate <= 1e-2
        assert changed.head.dropout in (0.0, 0.2, 0.4)


def test_numbers_that_went_through_32_bits_come_back_as_they_were():
    import numpy as np

    space = {"head.dropout": tfl.Between(0.0, 1.0)}
    value = 0.123457
    assert values_of(space, {"head.dropout": float(np.float32(value))}) == {"head.dropout": value}


def test_a_trials_recipe_has_no_search(recipe):
    assert recipe_of(recipe.override("search", tfl.Search()), {"head.dropout": 0.3}).search is None


def test_a_value_that_does_not_go_with_the_others_names_its_path(recipe):
    with pytest.raises(RecipeError, match=r"search.space, stages.finetune.warmup_epochs=50"):
        recipe_of(recipe, {"stages.finetune.warmup_epochs": 50.0})


def test_value_at_enters_stages_by_name_and_mappings_by_key(recipe):
    changed = recipe.override("backbone.arguments.alpha", 0.35)
    assert value_at(changed, "backbone.arguments.alpha") == 0.35
    assert value_at(changed, "stages.finetune.augment.rotate_deg") == 10.0


def test_a_search_goes_to_json_and_back(recipe):
    search = tfl.Search(
        algorithm="hyperband",
        space={"data.image_size": tfl.Choice(([32, 32], [48, 48])), "head.dropout": tfl.Between(0.0, 0.5, step=0.1)},
        minutes=3,
    )
    asked = recipe.override("search", search)
    assert tfl.Recipe.from_json(asked.to_json()) == asked


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: tfl.Choice(()),
        lambda: tfl.Choice((1, 1)),
        lambda: tfl.Between(2.0, 1.0),
        lambda: tfl.Between(0.0, 1.0, log=True),
        lambda: tfl.Between(0.0, 1.0, step=0.0),
        lambda: tfl.Search(trials=None),
        lambda: tfl.Search(space={"head.dropout": {"low": 0.0, "hihg": 1.0}}),
    ],
)
def test_a_search_that_cannot_be_is_refused(wrong):
    with pytest.raises(RecipeError):
        wrong()


def test_the_source_of_a_recipe_is_that_recipe(recipe):
    rich = recipe.override(
        "search", tfl.Search(space={"head.dropout": tfl.Between(0.0, 0.5, step=0.1)}, trials=None, minutes=2.0)
    )
    rich = rich.override("stages.finetune.multipliers", {"block_*": 0.5}).override("data.labels", ("3", 'a "b"'))
    for one in (recipe, rich, rich.override("search.space", {"data.fit": tfl.Choice(("crop", "pad"))})):
        scope = {}
        exec(recipe_source(one, title='Say "hi" \\ """twice"""'), scope)
        assert scope["recipe"] == one


def test_the_source_leaves_defaults_out(recipe):
    text = recipe_source(recipe, title="Digits.")
    assert "batch_size" not in text and "monitor" not in text and 'tfl.Stage("head", epochs=3)' in text
    assert max(map(len, text.splitlines())) <= 120

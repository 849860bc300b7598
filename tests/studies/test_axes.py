"""The axes of a study: titles of networks, what is refused, what is added when a study is resumed; and the cells they make."""

import dataclasses

import pytest

import tfl
from tfl.backbones.titles import parse_backbone, title_of
from tfl.errors import RecipeError
from tfl.studies.axes import Axes, Source, sources_of
from tfl.studies.cells import cells_of, columns_of, rows_of

RECIPE = tfl.Recipe(
    name="digits",
    data=tfl.Sample("digits", image_size=(32, 32)),
    backbone=tfl.Backbone("mini"),
    stages=(tfl.Stage("head"), tfl.Stage("deep", train="top:2", batch_size=8)),
)


def axes(*recipes, **fields):
    return Axes(sources=tuple(Source(name=recipe.name, recipe=recipe) for recipe in recipes or (RECIPE,)), **fields)


@pytest.mark.parametrize(
    "text",
    ["MobileNetV2", "MobileNet alpha=0.75", "models/my net.keras", "mini weights=none", "MobileNetV3Small minimalistic=True"],
)
def test_a_title_names_the_network_that_has_it(text):
    assert title_of(parse_backbone(text)) == text


def test_values_of_a_title_are_typed():
    found = parse_backbone("MobileNetV3Small alpha=0.75 minimalistic=true weights=w.h5 preprocessing=none")
    assert dict(found.arguments) == {"alpha": 0.75, "minimalistic": True}
    assert (found.weights, found.preprocessing) == ("w.h5", "none")


@pytest.mark.parametrize("text", ["", "alpha=0.75"])
def test_a_title_without_a_name_is_refused(text):
    with pytest.raises(RecipeError, match="has no name"):
        parse_backbone(text)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"strategies": ("lpft",)}, "Did you mean `lp_ft`"),
        ({"blocks": (0,)}, "`blocks` of a study is out of range"),
        ({"train_per_class": (True,)}, "`train_per_class`"),
        ({"seeds": 0}, "`seeds`"),
        ({"backbones": ("mini",)}, "not a network"),
        ({"sources": ()}, "needs a recipe"),
    ],
)
def test_what_makes_no_study_is_refused(fields, message):
    with pytest.raises(RecipeError, match=message):
        dataclasses.replace(axes(), **fields)


def test_two_columns_of_one_name_are_refused():
    with pytest.raises(RecipeError, match="same name"):
        axes(RECIPE, RECIPE)


def test_sources_replace_that_of_the_only_recipe():
    found = sources_of([(RECIPE, "digits.py")], ["sample:digits", "sample:strawberry"])
    assert [(one.name, one.recipe.data.source) for one in found] == [("sample:digits",) * 2, ("sample:strawberry",) * 2]
    with pytest.raises(RecipeError, match="2 recipes"):
        sources_of([(RECIPE, ""), (RECIPE, "")], ["sample:digits"])


def test_axes_come_back_from_json():
    made = axes(backbones=(None, tfl.Backbone("MobileNet", arguments={"alpha": 0.5})), blocks=(None, 2), train_per_class=(3,))
    assert Axes.from_plain(made.as_plain()) == made


def test_more_is_added_and_nothing_is_lost():
    other = dataclasses.replace(RECIPE, name="other")
    more = axes(seeds=3).with_more(sources=(Source(name="other", recipe=other),), strategies=("lp_ft", "wise_ft"), seeds=2)
    assert [source.name for source in more.sources] == ["digits", "other"] and more.seeds == 3
    assert more.strategies == ("features", "finetune", "lp_ft", "auto", "wise_ft")
    with pytest.raises(RecipeError, match="with another recipe"):
        axes().with_more(sources=(Source(name="digits", recipe=other),))


def test_scratch_is_a_row_of_every_network_and_blocks_only_where_a_last_stage_fine_tunes():
    found = axes(backbones=(None, tfl.Backbone("LeNet")), strategies=("features", "lp_ft", "recipe", "gradual"), blocks=(None, 1))
    of_one = ["scratch", "features", "lp_ft", "lp_ft top:1", "recipe", "recipe top:1", "gradual"]
    assert [row.title for row in rows_of(found)] == [f"{name} {row}" for name in ("mini", "LeNet") for row in of_one]
    recipes = {cell.row.title: cell.recipe for cell in cells_of(found)}
    assert recipes["mini scratch"].backbone.weights is None and recipes["LeNet scratch"].backbone.name == "LeNet"
    assert [stage.train for stage in recipes["mini recipe top:1"].stages] == ["head", "top:1"]
    assert recipes["mini recipe"].stages == RECIPE.stages and recipes["mini lp_ft top:1"].stages[-1].train == "top:1"


def test_biases_and_adapters_have_blocks_too():
    titles = [row.title for row in rows_of(axes(strategies=("bitfit", "adapters", "residual_adapters"), blocks=(2,)))]
    assert titles == ["mini scratch", "mini bitfit top:2", "mini adapters top:2", "mini residual_adapters top:2"]


def test_blocks_without_effect_are_refused():
    with pytest.raises(RecipeError, match="has no effect"):
        cells_of(axes(strategies=("features", "auto"), blocks=(2,)))


def test_cells_of_a_column_and_a_seed_share_everything_that_decides_their_examples():
    cells = cells_of(axes(train_per_class=(6, 3), seeds=2, strategies=("features",)))
    assert [column.train_per_class for column in columns_of(axes(train_per_class=(6, 3)))] == [3, 6]
    assert [cell.number for cell in cells] == [0] * 4 + [1] * 4
    for cell in cells:
        recipe = cell.recipe
        assert (recipe.seed, recipe.split_seed) == (cell.number, cell.number)
        assert recipe.data.train_per_class == cell.column.train_per_class and recipe.export == () and recipe.confidence is None
    assert len({cell.key for cell in cells}) == len(cells)


def test_each_recipe_keeps_its_own_network():
    other = dataclasses.replace(RECIPE, name="other", backbone=tfl.Backbone("LeNet"))
    found = {(cell.column.data, cell.row.network) for cell in cells_of(axes(RECIPE, other, strategies=("features",)))}
    assert found == {("digits", "mini"), ("other", "LeNet")}

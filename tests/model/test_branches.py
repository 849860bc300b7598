"""The networks of several inputs in one graph: their names, their plans, and where they are cut."""

import importlib.util

import numpy as np
import pytest
import tensorflow as tf

import tfl
from tfl.errors import RecipeError
from tfl.features.cut import cut_branches
from tfl.model.assemble import assemble
from tfl.model.freeze import make_plan
from tfl.train.stage_plan import plan_stage

pytestmark = pytest.mark.skipif(importlib.util.find_spec("keras_hub") is None, reason="no KerasHub")


@pytest.fixture(scope="module")
def assembled():
    photo = tfl.Image(size=(32, 32))
    data = tfl.Data("unused.csv", inputs={"photo": photo, "other": photo, "note": tfl.Text(length=8)})
    backbone = {"photo": tfl.Backbone("mini"), "other": tfl.Backbone("mini"), "note": tfl.Backbone("tiny", weights=None)}
    return assemble(tfl.Recipe(name="two", data=data, backbone=backbone), ("x", "y"))


def test_two_inputs_may_have_the_same_network(assembled):
    groups = assembled.groups()
    assert list(groups) == ["photo", "other", "note"]
    assert [name.removeprefix("photo.") for name in groups["photo"]] == [name.removeprefix("other.") for name in groups["other"]]
    paths = [weight.path for weight in assembled.model.weights]
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize(
    ("train", "counts"),
    [("head", (0, 0, 0)), ("top:2", (2, 2, 2)), ("photo.top:3,note.all", (3, 0, 3)), ("blocks:other.*", (0, 8, 0))],
)
def test_a_stage_trains_blocks_of_each_network(assembled, train, counts):
    plan = make_plan(assembled, tfl.Stage("a", train=train, layer_decay=0.5))
    trained = {name: [plan.row(block).trainable for block in blocks] for name, blocks in assembled.groups().items()}
    assert tuple(sum(found) for found in trained.values()) == counts
    for blocks in assembled.groups().values():
        rates = [plan.row(block).multiplier for block in blocks if plan.row(block).trainable]
        assert rates == [0.5 ** (len(rates) - at) for at in range(len(rates))]


def test_stages_name_inputs_and_blocks_that_are_there(assembled):
    with pytest.raises(RecipeError, match="names an input that has no network"):
        make_plan(assembled, tfl.Stage("a", train="foto.top:1"))
    with pytest.raises(RecipeError, match="more blocks than the backbone has"):
        make_plan(assembled, tfl.Stage("a", train="note.top:9"))


def test_prefix_and_suffix_are_the_whole_network(assembled):
    firsts = {"photo": 3, "other": 8, "note": 0}
    prefix, suffix = cut_branches(assembled, firsts)
    rng = np.random.default_rng(0)
    values = {f"{name}_pixels": rng.uniform(0, 255, (2, 32, 32, 3)).astype("float32") for name in ("photo", "other")}
    tokens = {"token_ids": np.full((2, 8), 7), "padding_mask": np.ones((2, 8)), "segment_ids": np.zeros((2, 8))}
    values |= {f"note_{name}": array.astype("int32") for name, array in tokens.items()}
    values["present"] = np.ones((2, 3), np.int32)
    made = {f"{name}_features": model(values[f"{name}_pixels"]) for name, model in prefix.models.items()}
    given = {one.name: made[one.name] if one.name in made else values[one.name] for one in suffix.inputs}
    given, values = ({name: tf.convert_to_tensor(one) for name, one in some.items()} for some in (given, values))
    np.testing.assert_allclose(suffix(given), assembled.model(values), atol=1e-5)
    assert set(prefix.models) == {"photo", "other"}


def test_frozen_features_are_of_use_where_what_trains_whole_has_small_inputs(assembled):
    assert plan_stage(assembled, tfl.Stage("a", train="photo.top:1,note.all")).has_prefix
    assert not plan_stage(assembled, tfl.Stage("a", train="photo.all")).has_prefix
    assert not plan_stage(assembled, tfl.Stage("a", train="all")).has_prefix

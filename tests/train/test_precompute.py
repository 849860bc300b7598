"""Before the first stage, one pass computes what the stages will read of the images as they are."""

import dataclasses

import pytest

import tfl
from tfl.features.extract import Extractor
from tfl.runs import Run
from tfl.train.precompute import precompute
from tfl.train.stage import train_stage


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TFL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def passes(monkeypatch):
    """The number of images in each pass that computed any."""
    made = []
    real = Extractor.run

    def counting(self, part, **options):
        missing = self.missing(part, augment=options.get("augment"), view=options.get("view", 0))
        made.extend([(len(self.models), part, missing)] if missing else [])
        return real(self, part, **options)

    monkeypatch.setattr(Extractor, "run", counting)
    return made


@pytest.mark.slow
def test_one_pass_serves_all_stages(tmp_path, recipe, bundle, network, passes):
    run, assembled = Run.create(tmp_path / "run", recipe, command=[]), network(recipe)
    assert precompute(run, assembled, bundle, recipe=recipe) == ("head", "finetune")
    train, val = len(bundle.indices("train")), len(bundle.indices("val"))
    assert passes == [(2, "train", train), (2, "val", val)]
    for stage in recipe.stages:
        train_stage(run, assembled, stage, bundle, recipe=recipe)
    assert len(passes) == 2, "the stages found everything in the store"


def test_what_an_earlier_stage_trains_is_left_to_its_stage(tmp_path, recipe, bundle, network, changed):
    recipe = changed(recipe, "head", train="top:3")
    run = Run.create(tmp_path / "run", recipe, command=[])
    assert precompute(run, network(recipe), bundle, recipe=recipe) == ("head",), "its blocks are below those of `finetune`"
    upward = dataclasses.replace(recipe, stages=(*recipe.stages, tfl.Stage("all", train="all", epochs=1)))
    assert precompute(run, network(recipe), bundle, recipe=upward) == ("head",)


@pytest.mark.parametrize(("first", "second", "found"), [("adapters", "all", ("one", "two")), ("all", "adapters", ("one",))])
def test_under_an_adapter_lies_what_a_stage_of_all_weights_changes(tmp_path, recipe, bundle, network, first, second, found):
    stages = tuple(tfl.Stage(name, train="top:1", epochs=4, weights=part) for name, part in (("one", first), ("two", second)))
    recipe = dataclasses.replace(recipe, stages=stages, features=tfl.Features(store="always")).override(
        "backbone.adapter_width", "2"
    )
    run = Run.create(tmp_path / "run", recipe, command=[])
    assert precompute(run, network(recipe), bundle, recipe=recipe) == found


@pytest.mark.slow
def test_augmented_copies_are_left_to_their_stage(tmp_path, recipe, bundle, network, changed, passes):
    recipe = changed(recipe, "finetune", augment=tfl.Augment(flip="horizontal"), views=2)
    run = Run.create(tmp_path / "run", recipe, command=[])
    precompute(run, network(recipe), bundle, recipe=recipe)
    assert [(models, part) for models, part, _ in passes] == [(1, "train"), (2, "val")]


@pytest.mark.slow
def test_nothing_is_stored_for_stages_that_are_done_or_do_not_want_it(tmp_path, recipe, bundle, network, passes):
    never = dataclasses.replace(recipe, features=tfl.Features(store="never"))
    assert precompute(Run.create(tmp_path / "one", never, command=[]), network(never), bundle, recipe=never) == ()
    run, assembled = Run.create(tmp_path / "two", recipe, command=[]), network(recipe)
    train_stage(run, assembled, recipe.stages[0], bundle, recipe=recipe)
    passes.clear()
    assert precompute(run, network(recipe), bundle, recipe=recipe) == ("finetune",)
    assert {models for models, _, _ in passes} == {1}
